"""What the joints' torques say about contact, and how the hand gives way."""

import numpy as np
import pytest

pytest.importorskip("mink", reason="these tests need mink: pip install 'iker[real]'")

import mujoco

from real_env.arm_model import build_arm
from real_env.config import RealConfig
from real_env.ik import TOOL, HostIK, tool_pose
from real_env.kinematics import jacobian
from real_env.safety import Guard
from real_env.stream import Line
from real_env.touch import PRESSED_N, Touch

HOME = np.array(RealConfig.from_dict({"arm": {"ip": "192.168.1.200"}}).home_joints_rad)
HARD_N = 3 * PRESSED_N


def torques(joints, force_N=(0, 0, 0), at_m=(0, 0, 0)) -> np.ndarray:
    """Of motors that hold the arm still while a force (3,) acts on the hand at a point (3,) from the tool centre."""
    model = build_arm()
    data = mujoco.MjData(model)
    data.qpos[:] = joints
    mujoco.mj_forward(model, data)
    force = np.array(force_N, dtype=float)
    wrench = np.concatenate([force, np.cross(at_m, force)])
    return data.qfrc_bias - jacobian(joints, TOOL).T @ wrench


def touch_with(weight_N: float = 0.0) -> Touch:
    touch = Touch()
    touch.tare(HOME, torques(HOME, (0, 0, -weight_N)))
    return touch


@pytest.mark.parametrize("force", [(0, 0, HARD_N), (HARD_N, 0, 0), (0, -HARD_N, 0)], ids=str)
def test_the_hand_gives_way_to_a_force_that_lasts_and_comes_back(force):
    touch = touch_with(weight_N=4.0)
    for _ in range(6):
        touch.feel(HOME, torques(HOME, np.add(force, (0, 0, -4.0))))
    assert touch.yields and np.allclose(touch.force_N, force, atol=0.5)
    away = touch.yield_m
    assert away @ np.array(force) > 0.9 * np.linalg.norm(away) * np.linalg.norm(force) > 0
    for _ in range(100):
        touch.feel(HOME, torques(HOME, (0, 0, -4.0)))
    assert not touch.yields and np.allclose(touch.yield_m, 0.0)


@pytest.mark.parametrize(
    "readings",
    [[(0, 0, PRESSED_N - 2)] * 20, [(0, 0, HARD_N), (0, 0, 0)] * 10, [(0, 0, -HARD_N)] * 20],
    ids=["a light touch", "single spikes", "pulled down"],
)
def test_the_hand_does_not_move_for(readings):
    touch = touch_with()
    for force in readings:
        touch.feel(HOME, torques(HOME, force))
    assert np.allclose(touch.yield_m, 0.0, atol=1e-6)


def test_it_gives_way_by_a_centimetre_at_most():
    touch = touch_with()
    for _ in range(200):
        touch.feel(HOME, torques(HOME, (0, 0, HARD_N)))
    assert 0.009 < np.linalg.norm(touch.yield_m) <= 0.01 + 1e-9


@pytest.mark.parametrize("side_m", [0.04, -0.04])
def test_the_lever_says_which_finger_stands_on_something(side_m):
    touch = touch_with()
    touch.feel(HOME, torques(HOME, (0, 0, HARD_N), (0, side_m, 0)))
    assert np.allclose(touch.lever_m, [0, side_m, 0], atol=2e-3)


def test_a_line_is_shifted_by_what_the_hand_yields():
    start = tool_pose(HOME)
    shift = np.array([0.0, 0.004, 0.006])
    line = Line(HostIK(), Guard(), start, start, 0.0, 20, lambda joints: shift)
    joints = HOME
    while not line.done(joints):
        joints = line.next(joints)
    assert np.allclose(tool_pose(joints)[:3] - start[:3], shift, atol=5e-4)
    assert np.allclose(line.reached, start), "the next line goes on from where the policy wanted to be"
