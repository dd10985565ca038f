"""A robot's world in an emulated laboratory, for tests: quick clock, no cameras, no errors of the poses."""

from dataclasses import replace

import numpy as np
import pytest

from iker_envs.documents import read_value
from real_env.lab.client import LabProcess

CLOCK = 2.0
STILL = np.zeros(6)
NUDGE = np.array([0.0, 0.0, 0.3, 0, 0, 0])  # upwards, clear of everything


def lab_config(lab: LabProcess, **changes):
    """The RealConfig that reaches a lab; keyword arguments change its fields."""
    pytest.importorskip("xarm", reason="this test needs the robot's SDK: pip install 'iker[real]'")
    pytest.importorskip("mink", reason="this test needs mink: pip install 'iker[real]'")
    from real_env.config import RealConfig

    config = RealConfig.from_dict(read_value(lab.robot_yaml(), "robot.yaml"))
    exact = replace(config.lab, position_m=0.0, rotation_deg=0.0)
    return replace(config, lab=exact, **changes)


def num_set_points(world) -> int:
    """How many set points were sent so far, answered or not."""
    return sum(count for (name, _), count in world.robot.arm.codes.items() if name == "set_servo_angle_j")


def mend(lab: LabProcess) -> None:
    """Take back what was broken and stays so."""
    lab.order("emergency_stop", held=False)
    lab.order("gripper_fault", code=0)
    lab.order("silence", on=False)
