"""What the joints' torques say about contact."""

import numpy as np
import pytest

pytest.importorskip("mink", reason="these tests need mink: pip install 'iker[real]'")

import mujoco

from real_env.arm_model import build_arm
from real_env.config import RealConfig
from real_env.ik import TOOL
from real_env.kinematics import jacobian
from real_env.touch import Touch

HOME = np.array(RealConfig.from_dict({"arm": {"ip": "192.168.1.200"}}).home_joints_rad)


def torques(joints, force_N=(0, 0, 0), at_m=(0, 0, 0)) -> np.ndarray:
    """Of motors that hold the arm still while a force (3,) acts on the hand at a point (3,) from the tool centre."""
    model = build_arm()
    data = mujoco.MjData(model)
    data.qpos[:] = joints
    mujoco.mj_forward(model, data)
    force = np.array(force_N, dtype=float)
    wrench = np.concatenate([force, np.cross(at_m, force)])
    return data.qfrc_bias - jacobian(joints, TOOL).T @ wrench


@pytest.mark.parametrize("force", [(0, 0, 30), (20, 0, 0), (0, -15, 5), (0, 0, 0)], ids=str)
@pytest.mark.parametrize("side_m", [0.04, -0.04])
def test_force_and_place_of_a_contact_are_felt_beside_a_weight(force, side_m):
    touch = Touch()
    weight = torques(HOME, (0, 0, -4.0)) - torques(HOME)
    touch.tare(HOME, torques(HOME) + weight)
    joints = HOME + 0.05  # where the arm weighs on its joints otherwise
    felt, lever_m = touch.feel(joints, torques(joints, force, (0, side_m, 0)) + weight)
    assert np.allclose(felt, force, atol=0.5)
    if force == (0, 0, 30):
        assert np.allclose(lever_m, [0, side_m, 0], atol=2e-3)
