"""The interface of a policy: observations packed by hand, actions decoded by hand, and a hash that notices changes."""

import dataclasses

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iker_envs import spec as spec_module
from iker_envs.geometry import body_axis, quaternion_from_rotvec, quaternion_multiply, rotation_angle
from iker_envs.scene import HOME_GRIPPER_QUATERNION
from iker_envs.spec import POSITION_BOUND_M, Spec, decode_action, pack_observation

SPEC = Spec()
WORKSPACE = np.array([[0.2, -0.4, 0.02], [0.7, 0.4, 0.4]])
HOME = np.array([0.5, 0.0, 0.2, *HOME_GRIPPER_QUATERNION])
LIBRARIES = {"numpy": np.asarray, "array_api_strict": array_api_strict.asarray, "torch": torch.as_tensor}

# One world: every number is different, so that nothing can be swapped unnoticed.
GRIPPER = np.array([[0.41, -0.12, 0.23, 0.1, -0.7, 0.1, 0.7]])  # dot with home (0, 1, 0, 0) is negative
OBJECT = np.array([[0.35, 0.17, 0.045, -0.8, 0.0, 0.0, 0.6]])  # w is negative
KEYPOINTS = np.array([[[1.01, 1.02, 1.03], [1.04, 1.05, 1.06], [1.07, 1.08, 1.09], [1.10, 1.11, 1.12]]])
TARGETS = KEYPOINTS + 0.5
TARGET = np.array([[0.65, -0.04, 0.145, -0.6, 0.0, 0.8, 0.0]])
PACKED_HEAD = [0.41, -0.12, 0.23, -0.1, 0.7, -0.1, -0.7, 0.35, 0.17, 0.045, 0.8, 0.0, 0.0, -0.6]
PACKED = {
    "keypoints": [
        *PACKED_HEAD,
        *(1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08, 1.09, 1.10, 1.11, 1.12),
        *(1.51, 1.52, 1.53, 1.54, 1.55, 1.56, 1.57, 1.58, 1.59, 1.60, 1.61, 1.62),
    ],
    "pose": [*PACKED_HEAD, 0.65, -0.04, 0.145, 0.6, 0.0, -0.8, 0.0],
}


@pytest.mark.parametrize("to", LIBRARIES.values(), ids=LIBRARIES)
@pytest.mark.parametrize("layout", PACKED)
def test_packing_by_hand(layout, to):
    inputs = [to(a) for a in (GRIPPER, OBJECT, KEYPOINTS, TARGETS, TARGET)]
    packed = np.asarray(pack_observation(Spec(observation=layout), *inputs))
    assert packed.dtype == np.float32 and packed.shape == (1, {"keypoints": 38, "pose": 21}[layout])
    np.testing.assert_array_equal(packed[0], np.array(PACKED[layout], dtype=np.float32))


def test_worlds_are_rows():
    many = [np.concatenate([a, a + 0.25]) for a in (GRIPPER, OBJECT, KEYPOINTS, TARGETS, TARGET)]
    packed = pack_observation(SPEC, *many)
    np.testing.assert_array_equal(packed[0], np.array(PACKED["keypoints"], dtype=np.float32))
    np.testing.assert_allclose(packed[1, 14:26], np.array(PACKED["keypoints"][14:26]) + 0.25, atol=1e-6)


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1), st.sampled_from([1, -1]))
def test_both_signs_of_a_quaternion_are_one_observation(q, sign):
    q = np.array(q) / np.linalg.norm(q)
    gripper, obj = (np.array([[0, 0, 0, *(sign * q)]]) for _ in range(2))
    packed = pack_observation(SPEC, gripper, obj, KEYPOINTS, TARGETS, TARGET)[0]
    if abs(q[1]) > 1e-6:
        assert packed[4] > 0  # dot with home
        np.testing.assert_allclose(packed[3:7], q * np.sign(q[1]), atol=1e-6)
    if abs(q[0]) > 1e-6:
        assert packed[10] > 0  # dot with the identity
        np.testing.assert_allclose(packed[10:14], q * np.sign(q[0]), atol=1e-6)


@pytest.mark.parametrize("layout", PACKED)
def test_bounds_are_finite_and_belong_to_the_layout(layout):
    bound = Spec(observation=layout).observation_bound()
    assert bound.shape == (len(PACKED[layout]),) and bound.dtype == np.float32
    assert set(bound.tolist()) == {1.0, POSITION_BOUND_M}
    for start in (3, 10) if layout == "keypoints" else (3, 10, 17):
        np.testing.assert_array_equal(bound[start : start + 4], 1.0)
    assert np.sum(bound == 1.0) == (8 if layout == "keypoints" else 12)
    assert (np.abs(PACKED[layout]) <= bound).all()


def test_an_unknown_layout_names_the_known_ones():
    with pytest.raises(ValueError, match="'pixels' is unknown; known: keypoints, pose"):
        Spec(observation="pixels")


# -- the hash ---------------------------------------------------------------------------------------------------------


def test_the_hash_is_stable_and_short():
    assert Spec().spec_hash() == Spec().spec_hash()
    assert len(SPEC.spec_hash()) == 12 and int(SPEC.spec_hash(), 16) >= 0


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Spec)])
def test_the_hash_changes_with_every_number(name):
    value = getattr(SPEC, name)
    changed = {str: "pose", tuple: (0.0, 1e-9, -1.0)}.get(type(value))
    other = dataclasses.replace(SPEC, **{name: changed or value * (1 + 1e-12)})
    assert other.spec_hash() != SPEC.spec_hash()


def test_the_hash_changes_with_the_layout(monkeypatch):
    before = SPEC.spec_hash()
    rows = list(spec_module.LAYOUTS["keypoints"])
    rows[0], rows[2] = rows[2], rows[0]
    monkeypatch.setitem(spec_module.LAYOUTS, "keypoints", tuple(rows))
    assert SPEC.spec_hash() != before


def test_equal_specs_have_equal_hashes():
    whole = Spec(control_hz=10)
    assert whole == SPEC and whole.spec_hash() == SPEC.spec_hash()


# -- actions ----------------------------------------------------------------------------------------------------------


def decode(action, commanded=HOME, measured=None, workspace=WORKSPACE, spec=SPEC) -> np.ndarray:
    measured = commanded if measured is None else measured
    return decode_action(spec, np.atleast_2d(action).astype(float), commanded[None], measured[None], workspace)[0]


def turned(*rotvec: float, position=HOME[:3]) -> np.ndarray:
    rotation = quaternion_multiply(quaternion_from_rotvec(np.array(rotvec)), HOME[3:])
    return np.concatenate([position, rotation])


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("value", "step"), [(1.0, 0.03), (-0.5, -0.015), (7.0, 0.03)])
def test_a_displacement_is_scaled_and_clipped(axis, value, step):
    expected = HOME.copy()
    expected[axis] += step
    np.testing.assert_allclose(decode(value * np.eye(6)[axis]), expected, atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("value", "step"), [(1.0, 0.15), (-0.5, -0.075), (-7.0, -0.15)])
def test_a_rotation_is_scaled_clipped_and_about_base_axes(axis, value, step):
    np.testing.assert_allclose(decode(value * np.eye(6)[3 + axis]), turned(*(step * np.eye(3)[axis])), atol=1e-9)


def test_steps_add_to_the_command_not_to_the_measurement():
    measured = HOME + np.array([-0.02, 0, 0, 0, 0, 0, 0])
    assert decode([1 / 3, 0, 0, 0, 0, 0], HOME, measured)[0] == pytest.approx(0.51)


def test_the_leash_keeps_the_command_near_the_measured_pose():
    measured = HOME + np.array([-0.03, 0.04, 0, 0, 0, 0, 0])  # 5 cm behind
    np.testing.assert_allclose(decode(np.zeros(6), HOME, measured)[:3], [0.488, 0.016, 0.2], atol=1e-9)
    measured = turned(0, 0, -0.1)
    leashed = decode([0, 0, 0, 0, 0, 1.0], turned(0, 0, 0.05), measured)
    np.testing.assert_allclose(leashed, turned(0, 0, 0.1), atol=1e-6)  # 0.2 rad from the measured pose


@pytest.mark.parametrize("corner", WORKSPACE, ids=["low", "high"])
def test_the_workspace_clips(corner):
    start = np.clip(corner, [0.3, -0.4, 0.02], [0.5, 0.4, 0.4])
    outward = np.sign(corner - WORKSPACE.mean(axis=0))
    commanded = np.concatenate([start, HOME[3:]])
    low_reach = WORKSPACE.copy()
    low_reach[:, 0] = 0.3, 0.5
    np.testing.assert_allclose(decode([*outward, 0, 0, 0], commanded, workspace=low_reach)[:3], start, atol=1e-12)


def approach_angle(pose: np.ndarray) -> float:
    return float(np.arccos(np.clip(-body_axis(pose[3:], 2)[2], -1, 1)))


@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0.6, -0.8)])
def test_the_approach_cone_holds(direction):
    pose = np.concatenate([[0.4, 0.0, 0.2], HOME[3:]])
    angles = []
    for _ in range(8):
        pose = decode([0, 0, 0, *direction, 0], pose)
        angles.append(approach_angle(pose))
    length = np.hypot(*direction) * 0.15
    np.testing.assert_allclose(angles[:4], length * np.arange(1, 5), atol=1e-6)
    np.testing.assert_allclose(angles[5:], np.deg2rad(40), atol=1e-6)
    spun = decode([0, 0, 0, 0, 0, 1.0], pose)  # the cone does not hinder a turn of the tool about the vertical
    assert approach_angle(spun) == pytest.approx(np.deg2rad(40), abs=1e-6)
    assert rotation_angle(spun[3:], pose[3:]) == pytest.approx(0.15, abs=1e-6)


def test_a_cone_about_another_axis():
    forward = Spec(approach_axis=(1.0, 0.0, 0.0))
    level = np.array([0.6, 0, 0.3, np.sqrt(0.5), 0, np.sqrt(0.5), 0])
    np.testing.assert_allclose(decode(np.zeros(6), level, spec=forward), level, atol=1e-9)
    cut = decode(np.zeros(6), np.concatenate([[0.6, 0, 0.3], HOME[3:]]), spec=forward)
    np.testing.assert_allclose(np.arccos(body_axis(cut[3:], 2)[0]), np.deg2rad(40), atol=1e-6)


FAR = np.array([[0.0, -1, 0], [2.0, 1, 1]])


def test_a_step_out_of_reach_keeps_the_command():
    edge = np.array([0.70, 0.0, 0.10, *HOME_GRIPPER_QUATERNION])  # 7.7 mm of reach are left, see test_reach
    np.testing.assert_allclose(decode([1, 0, 0, 0, 0, 0], edge, workspace=FAR), edge, atol=1e-12)
    inward = decode([-1, 0, 0, 0, 0, 0], edge, workspace=FAR)
    assert inward[0] == pytest.approx(0.67)


def test_from_out_of_reach_only_the_way_back_is_open():
    outside = np.array([0.90, 0.0, 0.10, *HOME_GRIPPER_QUATERNION])
    assert decode([-1, 0, 0, 0, 0, 0], outside, workspace=FAR)[0] == pytest.approx(0.87)
    np.testing.assert_allclose(decode([1, 0, 0, 0, 0, 0], outside, workspace=FAR), outside, atol=1e-12)


@pytest.mark.parametrize(
    ("action", "position", "turn_rad"),
    [
        (
            [0, 0, 0.5, 0, 1, 0],
            [0, 0, 0.015],
            0.0,
        ),  # a tool that leans outwards leaves reach, the displacement does not
        ([1, 0, 0, 0, 0, 1], [0, 0, 0], 0.15),  # a turn about the vertical is no matter of reach
        ([1, 0, 0, 0, 1, 0], [0, 0, 0], 0.0),
        ([1, 1, 0, 0, 0, 0], [-0.0003006, 0.0205848, 0], 0.0),  # along the edge, around the base
        ([-1, 0, 0, 0, 0, 1], [-0.03, 0, 0], 0.15),
    ],
)
def test_at_the_edge_of_reach_what_can_be_followed_of_a_step_is(action, position, turn_rad):
    edge = np.array([0.705, 0.0, 0.10, *HOME_GRIPPER_QUATERNION])
    found = decode(action, edge, workspace=FAR)
    np.testing.assert_allclose(found[:3] - edge[:3], position, atol=1e-6)
    assert rotation_angle(found[3:], edge[3:]) == pytest.approx(turn_rad, abs=1e-6)


@given(st.integers(0, 2**31))
def test_a_command_is_always_a_pose_near_the_measured_one(seed):
    rng = np.random.default_rng(seed)
    pose = HOME.copy()
    for _ in range(12):
        measured = np.concatenate([pose[:3] + rng.uniform(-0.01, 0.01, 3), pose[3:]])
        pose = decode(rng.uniform(-2, 2, 6), pose, measured)
        assert np.linalg.norm(pose[3:]) == pytest.approx(1.0, abs=1e-9)
        assert np.all(pose[:3] >= WORKSPACE[0]) and np.all(pose[:3] <= WORKSPACE[1])
        assert approach_angle(pose) <= np.deg2rad(40) + 1e-6


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_every_library_decodes_alike(library, rng):
    to = LIBRARIES[library]
    commanded = np.tile(HOME, (6, 1))
    commanded[:, :3] += rng.uniform(-0.1, 0.25, (6, 3))
    measured = commanded + np.concatenate([rng.uniform(-0.04, 0.04, (6, 3)), np.zeros((6, 4))], axis=-1)
    arguments = (rng.uniform(-1.5, 1.5, (6, 6)), commanded, measured, WORKSPACE)
    result = decode_action(SPEC, *(to(a) for a in arguments))
    np.testing.assert_allclose(np.asarray(result), decode_action(SPEC, *arguments), atol=1e-12)
