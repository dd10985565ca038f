"""Rigid-body geometry: properties over random rotations, angles by hand, and one answer from every array library."""

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from iker_envs import geometry as g

NAMESPACES = {
    "array_api_strict": (array_api_strict.asarray, np.asarray),
    "torch": (lambda a: torch.as_tensor(a), lambda t: t.numpy()),
}
RIGHT = np.sqrt(0.5)  # cos and sin of 45 degrees: a quarter turn
unit = st.floats(-1, 1)
positions = st.tuples(*[st.floats(-2, 2)] * 3).map(np.array)


@st.composite
def quaternions(draw) -> np.ndarray:
    q = np.array(draw(st.tuples(*[unit] * 4)))
    assume(np.linalg.norm(q) > 0.1)
    return q / np.linalg.norm(q)


poses = st.builds(lambda p, q: np.concatenate([p, q]), positions, quaternions())
point_clouds = st.integers(0, 2**31).map(lambda seed: np.random.default_rng(seed).normal(size=(5, 3)))


def scipy_rotation(q: np.ndarray) -> Rotation:
    return Rotation.from_quat(np.roll(q, -1))


def same_rotation(a: np.ndarray, b: np.ndarray, atol: float = 1e-9) -> bool:
    return np.allclose(a, b, atol=atol) or np.allclose(a, -b, atol=atol)


@given(quaternions(), positions)
def test_rotating_agrees_with_scipy(q, v):
    np.testing.assert_allclose(g.quaternion_rotate(q, v), scipy_rotation(q).apply(v), atol=1e-9)
    np.testing.assert_allclose(g.rotation_matrix(q), scipy_rotation(q).as_matrix(), atol=1e-9)


@given(quaternions(), quaternions(), positions)
def test_a_product_turns_by_the_right_factor_first(a, b, v):
    once = g.quaternion_rotate(g.quaternion_multiply(a, b), v)
    np.testing.assert_allclose(once, g.quaternion_rotate(a, g.quaternion_rotate(b, v)), atol=1e-9)


@given(quaternions())
def test_quaternion_round_trips(q):
    assert same_rotation(g.quaternion_from_rotvec(g.rotvec_from_quaternion(q)), q)
    assert same_rotation(g.quaternion_from_matrix(g.rotation_matrix(q)), q, atol=1e-7)
    np.testing.assert_allclose(g.quaternion_multiply(q, g.quaternion_conjugate(q)), g.IDENTITY_QUATERNION, atol=1e-12)


@given(positions, st.floats(1e-12, np.pi - 1e-6))
def test_rotvec_round_trip_down_to_tiny_angles(axis, angle):
    assume(np.linalg.norm(axis) > 0.1)
    rotvec = axis / np.linalg.norm(axis) * angle
    again = g.rotvec_from_quaternion(g.quaternion_from_rotvec(rotvec))
    np.testing.assert_allclose(again, rotvec, rtol=1e-6, atol=1e-15)


def test_no_rotation_at_all_has_no_nan():
    np.testing.assert_array_equal(g.quaternion_from_rotvec(np.zeros(3)), g.IDENTITY_QUATERNION)
    np.testing.assert_array_equal(g.rotvec_from_quaternion(np.array(g.IDENTITY_QUATERNION)), np.zeros(3))


@given(poses, poses, poses, point_clouds)
def test_poses_form_a_group_that_acts_on_points(a, b, c, points):
    np.testing.assert_allclose(
        g.pose_apply(g.pose_compose(a, b), points), g.pose_apply(a, g.pose_apply(b, points)), atol=1e-9
    )
    np.testing.assert_allclose(g.pose_apply(g.pose_inverse(a), g.pose_apply(a, points)), points, atol=1e-9)
    left = g.pose_compose(g.pose_compose(a, b), c)
    right = g.pose_compose(a, g.pose_compose(b, c))
    np.testing.assert_allclose(left, right, atol=1e-9)
    identity = g.pose_compose(g.pose_inverse(a), a)
    np.testing.assert_allclose(identity, [0, 0, 0, 1, 0, 0, 0], atol=1e-9)


def test_a_pose_by_hand():
    pose = np.array([1.0, 2.0, 3.0, RIGHT, 0, 0, RIGHT])  # a quarter turn to the left about z, then moved
    np.testing.assert_allclose(
        g.pose_apply(pose, np.array([[1.0, 0, 0], [0, 1, 5]])), [[1, 3, 3], [0, 2, 8]], atol=1e-12
    )


@given(poses, point_clouds)
def test_fit_rigid_recovers_a_rigid_motion(pose, points):
    fitted, residual = g.fit_rigid(points, g.pose_apply(pose, points))
    assert residual < 1e-9
    np.testing.assert_allclose(fitted[:3], pose[:3], atol=1e-7)
    assert same_rotation(fitted[3:], pose[3:], atol=1e-7)


@given(poses)
def test_fit_rigid_recovers_a_flat_cross_of_keypoints(pose):
    cross = np.array([[0.14, 0, 0], [-0.14, 0, 0], [0, 0.05, 0], [0, -0.05, 0]])
    fitted, residual = g.fit_rigid(cross, g.pose_apply(pose, cross))
    assert residual < 1e-9 and same_rotation(fitted[3:], pose[3:], atol=1e-6)


@given(poses, point_clouds)
def test_fit_rigid_never_returns_a_mirror_image(pose, points):
    mirrored = g.pose_apply(pose, points * np.array([1.0, -1.0, 1.0]))
    fitted, residual = g.fit_rigid(points, mirrored)
    assert np.linalg.det(g.rotation_matrix(fitted[3:])) == pytest.approx(1.0)
    assert residual > 1e-3
    assert np.sqrt(np.mean(np.sum((g.pose_apply(fitted, points) - mirrored) ** 2, -1))) == pytest.approx(residual)


def test_the_residual_of_fit_rigid_by_hand():
    # A square's corners moved outwards by 10 % along the diagonals: no rigid motion follows, each is 0.1 * sqrt(2) off.
    square = np.array([[1.0, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])
    pose, residual = g.fit_rigid(square, 1.1 * square)
    np.testing.assert_allclose(pose, [0, 0, 0, 1, 0, 0, 0], atol=1e-9)
    assert residual == pytest.approx(0.1 * np.sqrt(2))


def about(axis: str, degrees: float) -> np.ndarray:
    return np.roll(Rotation.from_euler(axis, degrees, degrees=True).as_quat(), 1)


@pytest.mark.parametrize(
    ("q", "tilt", "heading"),
    [
        (about("x", 0), 0, 0),
        (about("z", 30), 0, 30),
        (about("z", -170), 0, 170),
        (about("x", 90), 90, 0),  # on its side, not turned
        (about("y", -20), 20, 0),
        (about("x", 180), 180, 0),
        (g.quaternion_multiply(about("z", 40), about("x", 25)), 25, 40),
        (g.quaternion_multiply(about("y", 50), about("z", -10)), 50, 10),
    ],
)
@pytest.mark.parametrize("base", [about("z", 0), about("z", 130)], ids=["at the origin", "turned base"])
def test_tilt_and_heading_by_hand(q, tilt, heading, base):
    turned = g.quaternion_multiply(base, q)
    for sign in (1, -1):
        assert np.rad2deg(g.tilt_angle(base, sign * turned)) == pytest.approx(tilt, abs=1e-5)
        assert np.rad2deg(g.heading_angle(base, sign * turned)) == pytest.approx(heading, abs=1e-5)


@given(quaternions(), quaternions())
def test_rotation_angle_is_scipys_and_align_sign_keeps_the_rotation(a, b):
    assert g.rotation_angle(a, b) == pytest.approx((scipy_rotation(a).inv() * scipy_rotation(b)).magnitude(), abs=1e-6)
    aligned = g.align_sign(a, b)
    assert aligned @ b >= 0 and (np.array_equal(aligned, a) or np.array_equal(aligned, -a))


def batch(rng: np.random.Generator) -> dict[str, np.ndarray]:
    q = rng.normal(size=(2, 4, 4))
    p = rng.normal(size=(2, 4, 3))
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    pose = np.concatenate([p, q], axis=-1)
    return {"q": q[0], "r": q[1], "v": p[0], "a": pose[0], "b": pose[1], "points": rng.normal(size=(4, 5, 3))}


CALLS = {
    "cross": lambda d: g.cross(d["v"], d["b"][..., :3]),
    "norm": lambda d: g.norm(d["v"]),
    "multiply": lambda d: g.quaternion_multiply(d["q"], d["r"]),
    "conjugate": lambda d: g.quaternion_conjugate(d["q"]),
    "rotate": lambda d: g.quaternion_rotate(d["q"], d["v"]),
    "from_rotvec": lambda d: g.quaternion_from_rotvec(d["v"]),
    "to_rotvec": lambda d: g.rotvec_from_quaternion(d["q"]),
    "from_yaw": lambda d: g.quaternion_from_yaw(d["v"][:, 0]),
    "align_sign": lambda d: g.align_sign(d["q"], d["r"][0, :]),
    "rotation_angle": lambda d: g.rotation_angle(d["q"], d["r"]),
    "body_axis": lambda d: g.body_axis(d["q"], 2),
    "tilt": lambda d: g.tilt_angle(d["q"], d["r"]),
    "heading": lambda d: g.heading_angle(d["q"], d["r"]),
    "matrix": lambda d: g.rotation_matrix(d["q"]),
    "apply": lambda d: g.pose_apply(d["a"], d["points"]),
    "compose": lambda d: g.pose_compose(d["a"], d["b"]),
    "inverse": lambda d: g.pose_inverse(d["a"]),
}


@pytest.mark.parametrize("library", NAMESPACES)
@pytest.mark.parametrize("name", CALLS)
def test_every_library_gives_numpys_numbers(name, library, rng):
    to, back = NAMESPACES[library]
    data = batch(rng)
    result = CALLS[name]({k: to(v) for k, v in data.items()})
    assert type(result) is type(to(data["q"]))
    np.testing.assert_allclose(back(result), CALLS[name](data), atol=1e-12)
