"""The xArm7 as numbers, formulas and a MuJoCo model: three descriptions of one arm."""

import mujoco
import numpy as np
import pytest

from real_env import kinematics
from real_env.arm_model import HAND, add_arm, build_arm
from real_env.xarm7 import JOINT_LIMITS_RAD, JOINTS, TOOL_M

TOOL = kinematics.matrix(np.array([0, 0, TOOL_M]), np.eye(3))


def some_angles(rng, count):
    low, high = np.clip(JOINT_LIMITS_RAD, -2.5, 2.5).T
    return rng.uniform(low, high, (count, 7))


def test_the_zero_pose_is_the_vendors():
    flange = kinematics.forward(np.zeros(7))
    np.testing.assert_allclose(flange[:3, 3], [0.206, 0.0, 0.1205], atol=1e-9)
    np.testing.assert_allclose(abs(kinematics.rpy(flange[:3, :3])), [np.pi, 0, 0], atol=1e-9)


def test_the_mechanics_stand_where_the_formula_says(rng):
    model = build_arm()
    data = mujoco.MjData(model)
    assert model.nq == 7
    for angles in some_angles(rng, 20):
        data.qpos[:] = angles
        mujoco.mj_kinematics(model, data)
        hand = data.body(HAND)
        expected = kinematics.forward(angles) @ TOOL
        np.testing.assert_allclose(hand.xpos, expected[:3, 3], atol=1e-9)
        np.testing.assert_allclose(hand.xmat.reshape(3, 3), expected[:3, :3], atol=1e-9)


def test_the_models_joints_end_where_the_vendors_do():
    spec = mujoco.MjSpec()
    add_arm(spec)
    model = spec.compile()
    limits = np.array([model.joint(name).range for name in JOINTS])
    np.testing.assert_allclose(limits, JOINT_LIMITS_RAD, atol=1e-9)
    assert model.nu == 9


def test_the_jacobian_is_the_slope_of_the_pose(rng):
    for angles in some_angles(rng, 5):
        here = kinematics.forward(angles) @ TOOL
        step = 1e-6
        for i, column in enumerate(kinematics.jacobian(angles, TOOL).T):
            there = kinematics.forward(angles + step * np.eye(7)[i]) @ TOOL
            np.testing.assert_allclose(kinematics.difference(here, there) / step, column, atol=1e-5)


def test_inverse_kinematics_comes_back_to_a_pose_nearby(rng):
    for angles in some_angles(rng, 20):
        angles[3] = rng.uniform(0.4, 2.0)
        goal = kinematics.forward(angles) @ TOOL
        found, ok = kinematics.solve(goal, np.clip(angles + rng.normal(0, 0.1, 7), *JOINT_LIMITS_RAD.T), TOOL)
        assert ok
        np.testing.assert_allclose(kinematics.forward(found) @ TOOL, goal, atol=2e-4)


def test_a_pose_out_of_reach_is_not_solved():
    _, ok = kinematics.solve(kinematics.matrix(np.array([2.0, 0, 0.3]), np.eye(3)), np.full(7, 0.3))
    assert not ok


@pytest.mark.parametrize("angle", [0.0, 1e-10, 0.3, 2.0, np.pi - 1e-6, np.pi])
def test_rotation_vectors_and_angles_survive_the_matrix(angle, rng):
    for _ in range(5):
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        turn = kinematics.rotation_from_rotvec(angle * axis)
        np.testing.assert_allclose(kinematics.rotation_from_rotvec(kinematics.rotvec(turn)), turn, atol=2e-6)
        np.testing.assert_allclose(kinematics.rotation_from_rpy(kinematics.rpy(turn)), turn, atol=1e-7)
