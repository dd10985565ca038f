"""Observations taken apart again: named parts, whatever their order in the vector and whichever array library."""

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from iker_envs import spec as spec_module
from iker_envs.geometry import IDENTITY_QUATERNION, align_sign
from iker_envs.scene import HOME_GRIPPER_QUATERNION
from iker_envs.spec import NUM_KEYPOINTS, Spec, pack_observation, unpack_keypoints, unpack_observation

LIBRARIES = {
    "numpy": (np.asarray, np.ndarray),
    "array_api_strict": (array_api_strict.asarray, type(array_api_strict.asarray(0.0))),
    "torch": (torch.as_tensor, torch.Tensor),
}
HOLDS = {"keypoints": ("keypoints_m", "targets_m"), "pose": ("target_pose",)}
NUMBERS = st.floats(-2.0, 2.0, width=32)


def inputs(values: np.ndarray) -> list[np.ndarray]:
    """Gripper, object pose, keypoints, targets and target pose from rows (N, 45) of numbers."""
    points = values[:, 21:].reshape(-1, 2, NUM_KEYPOINTS, 3)
    return [values[:, :7], values[:, 7:14], points[:, 0], points[:, 1], values[:, 14:21]]


def as_packed(pose: np.ndarray, reference) -> np.ndarray:
    """A pose (N, 7) with its quaternion's sign as observations have it."""
    return np.concatenate([pose[:, :3], align_sign(pose[:, 3:], np.array(reference))], axis=-1)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("layout", HOLDS)
@given(values=st.integers(1, 4).flatmap(lambda n: arrays(np.float64, (n, 45), elements=NUMBERS)))
def test_what_was_packed_comes_out_again(layout, library, values):
    to, kind = LIBRARIES[library]
    given_ = inputs(values)
    spec = Spec(observation=layout)
    seen = unpack_observation(spec, pack_observation(spec, *(to(a) for a in given_)))
    expected = {
        "gripper_pose": as_packed(given_[0], HOME_GRIPPER_QUATERNION),
        "object_pose": as_packed(given_[1], IDENTITY_QUATERNION),
        "keypoints_m": given_[2],
        "targets_m": given_[3],
        "target_pose": as_packed(given_[4], IDENTITY_QUATERNION),
    }
    absent = {name for names in HOLDS.values() for name in names} - set(HOLDS[layout])
    assert {name for name, part in vars(seen).items() if part is None} == absent
    for name in set(expected) - absent:
        part = getattr(seen, name)
        assert isinstance(part, kind)
        np.testing.assert_array_equal(np.asarray(part), expected[name].astype(np.float32), err_msg=name)


@pytest.mark.parametrize("layout", HOLDS)
def test_the_layout_alone_decides_what_stands_where(layout, monkeypatch):
    given_ = inputs(np.random.default_rng(0).uniform(-1, 1, (3, 45)))
    spec = Spec(observation=layout)
    before = pack_observation(spec, *given_)
    parts = vars(unpack_observation(spec, before))
    monkeypatch.setitem(spec_module.LAYOUTS, layout, spec_module.LAYOUTS[layout][::-1])
    packed = pack_observation(spec, *given_)
    assert not np.array_equal(packed, before)
    for name, part in vars(unpack_observation(spec, packed)).items():
        np.testing.assert_array_equal(part, parts[name], err_msg=name)


def test_double_precision_is_kept():
    observation = np.random.default_rng(0).uniform(-1, 1, (2, 38))
    seen = unpack_observation(Spec(), observation)
    assert seen.targets_m.dtype == np.float64
    np.testing.assert_array_equal(seen.targets_m.reshape(2, 12), observation[:, 26:])


@pytest.mark.parametrize("shape", [(38,), (1, 21), (2, 37), (2, 1, 38)])
def test_observations_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"layout 'keypoints' are an array \(N, 38\), not ") as caught:
        unpack_observation(Spec(), np.zeros(shape))
    assert str(shape) in str(caught.value)


def test_keypoints_of_another_layout_are_refused():
    with pytest.raises(ValueError, match="keypoints are in observations of the layout 'keypoints', not of 'pose'"):
        unpack_keypoints(Spec(observation="pose"), np.zeros((1, 21)))
