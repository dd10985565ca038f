"""After a collision: back along the way that was travelled, from where the box holds the arm, gently."""

import numpy as np
import pytest

from real_env.config import ArmConfig, LabConfig, RealConfig

pytest.importorskip("mink", reason="these tests need mink: pip install 'iker[real]'")

from real_env.ik import HostIK, tool_pose
from real_env.robot import Robot
from real_env.stream import PERIOD_S, Stream

CONFIG = RealConfig(ArmConfig("127.0.0.1"), clock=5.0, lab=LabConfig(1, "token"))
HOME = np.array(CONFIG.home_joints_rad)


class Pushed:
    """An arm that something has pushed away from where the box plans to be; it remembers its set points."""

    def __init__(self, planned, measured):
        self._planned = planned
        self._measured = measured
        self.sent = []

    def joints(self):
        return self._measured

    def planned_joints(self):
        return self._planned

    def servo(self, joints):
        self.sent.append(joints)

    def check_error(self):
        pass


def came_down() -> list[np.ndarray]:
    """Set points of a hand that came down by 10 cm, 2 mm each: joints (51, 7)."""
    ik = HostIK()
    ik.set_posture(HOME)
    high = tool_pose(HOME)
    joints = [HOME]
    for _ in range(50):
        high[2] -= 0.002
        joints.append(ik.follow(high, joints[-1]))
    return joints


def goes_back(pushed: np.ndarray, *, holds: bool) -> np.ndarray:
    """Tool positions (M, 3) of the set points that lead an arm back whose box and motors are at joints (7,)."""
    robot = Robot.__new__(Robot)  # without a box to connect to
    robot.arm = Pushed(pushed, pushed + 1e-3)
    robot.holds = holds
    robot.stream = Stream(robot.arm, HostIK(), CONFIG)
    robot._go_back(came_down())
    return np.array([tool_pose(joints)[:3] for joints in robot.arm.sent])


@pytest.mark.parametrize("holds", [False, True], ids=["empty", "holding"])
@pytest.mark.parametrize("pushed_m", [0.0, 0.004, 0.05, 0.1])
def test_an_arm_that_was_stopped_goes_back_slowly_and_by_no_more_than_it_has_to(pushed_m, holds):
    """Up along its way, as gently as a free move: quick set points after a collision were another fault (C60)."""
    ik = HostIK()
    ik.set_posture(HOME)
    low = tool_pose(came_down()[-1])
    low[0] += pushed_m
    tools_m = goes_back(ik.solve(low), holds=holds)
    back_m = 0.01 if holds else 0.06
    if pushed_m >= back_m:
        assert len(tools_m) == 0  # it is clear of what stopped it
        return
    np.testing.assert_allclose(tools_m[0], low[:3], atol=1e-3)  # where the box is, not where the motors are
    speed_m_s = np.linalg.norm(np.diff(tools_m, axis=0), axis=-1) / PERIOD_S
    assert speed_m_s.max() < 0.4
    assert tools_m[-1][2] - low[2] == pytest.approx(back_m, abs=0.003)
