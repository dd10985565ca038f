"""What an xArm7 reaches: margins worked out by hand from the closed form, and its symmetry about the base."""

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iker_envs.geometry import pose_compose, quaternion_from_yaw
from iker_envs.reach import reach_margin, reachable
from iker_envs.scene import HOME_GRIPPER_QUATERNION

DOWN = HOME_GRIPPER_QUATERNION
FORWARD = (np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0)  # approach along +x
BACK = (np.sqrt(0.5), 0.0, -np.sqrt(0.5), 0.0)  # approach along -x, facing the base


def pose(position, quaternion) -> np.ndarray:
    return np.array([*position, *quaternion], dtype=float)


@pytest.mark.parametrize(
    ("position", "quaternion", "margin"),
    [
        # tool down: the wrist is 0.269 above the tool, 0.267 of which is the shoulder's height
        ((0.60, 0.0, 0.10), DOWN, 0.645 - np.hypot(0.102, 0.524)),
        ((0.36, 0.48, 0.10), DOWN, 0.645 - np.hypot(0.102, 0.524)),
        ((0.75, 0.0, 0.10), DOWN, 0.645 - np.hypot(0.102, 0.674)),  # negative
        ((0.30, 0.0, 0.10), DOWN, 0.05),  # nearness to the base counts
        ((0.20, 0.0, 0.10), DOWN, -0.05),
        # along +x the wrist is 0.269 behind the tool; 3.3 cm of height are within the wrist's offset of 7.6 cm
        ((0.80, 0.0, 0.30), FORWARD, 0.645 - 0.531),
        ((0.80, 0.0, 0.443), FORWARD, 0.645 - np.hypot(0.531, 0.10)),
        ((0.40, 0.0, 0.30), BACK, 0.645 - 0.669),
    ],
)
def test_margins_by_hand(position, quaternion, margin):
    assert reach_margin(pose(position, quaternion)) == pytest.approx(margin, abs=1e-9)
    assert bool(reachable(pose(position, quaternion))) == (margin >= 0)


@pytest.mark.parametrize(("x", "z"), [(0.69, 0.15), (0.65, 0.25), (0.50, 0.45)])
def test_the_table_of_the_reference_tool_down(x, z):
    assert reachable(pose((x, 0.0, z), DOWN)) and not reachable(pose((x + 0.06, 0.0, z + 0.03), DOWN))


@given(
    st.floats(0.1, 0.9), st.floats(-0.5, 0.5), st.floats(0.0, 0.6), st.sampled_from([DOWN, FORWARD, BACK]),
    st.floats(-3, 3),
)  # fmt: skip
def test_the_base_turns_freely(x, y, z, quaternion, yaw):
    turn = np.concatenate([np.zeros(3), quaternion_from_yaw(np.array(yaw))])
    before = pose((x, y, z), quaternion)
    assert reach_margin(pose_compose(turn, before)) == pytest.approx(float(reach_margin(before)), abs=1e-9)


@pytest.mark.parametrize("to", [array_api_strict.asarray, torch.as_tensor], ids=["array_api_strict", "torch"])
def test_every_library_gives_numpys_numbers_for_batches(to, rng):
    quaternions = rng.normal(size=(2, 5, 4))
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    poses = np.concatenate([rng.uniform(-0.8, 0.8, (2, 5, 3)), quaternions], axis=-1)
    margins = reach_margin(poses)
    assert margins.shape == (2, 5) and (margins > 0).any() and (margins < 0).any()
    np.testing.assert_allclose(np.asarray(reach_margin(to(poses))), margins, atol=1e-12)
    np.testing.assert_array_equal(np.asarray(reachable(to(poses))), reachable(poses))
