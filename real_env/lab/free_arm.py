"""An arm in empty space: ideal joints and fingers, no table, no objects, nothing to touch.

For the vendor's own example programs, which move a bare arm through places where our table and gripper are, and for
tests of the control box. A `Plant`, and as much of a world as the lab asks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from iker_envs.geometry import quaternion_from_matrix
from real_env import kinematics
from real_env.lab.plant import ArmReading
from real_env.xarm7 import GRIPPER_STROKE_M, MAX_JOINT_SPEED_RAD_S, NUM_JOINTS, TOOL_M

NAME = "none"  # of the task that has no objects
_LAG_S = 0.02  # of the joints behind their set points
_TOOL = kinematics.matrix(np.array([0.0, 0.0, TOOL_M]), np.eye(3))


class FreeArm:
    """Joints that follow their targets with a lag of 20 ms."""

    def __init__(self, angles_rad: np.ndarray) -> None:
        self._angles = np.array(angles_rad, dtype=float)
        self._speeds = np.zeros(NUM_JOINTS)
        self._opening_m = 0.0
        self._opening_speed_m_s = 0.0

    def read(self) -> ArmReading:
        """See `Plant.read`; there are no torques."""
        none = np.zeros(NUM_JOINTS)
        return ArmReading(
            self._angles.copy(), self._speeds.copy(), none, none.copy(), self._opening_m, self._opening_speed_m_s
        )

    def step(self, angles_rad: np.ndarray, opening_m: float, duration_s: float) -> None:
        """See `Plant.step`."""
        most = MAX_JOINT_SPEED_RAD_S * duration_s
        way = np.clip((angles_rad - self._angles) * min(1.0, duration_s / _LAG_S), -most, most)
        self._angles = self._angles + way
        self._speeds = way / duration_s
        opening_m = float(np.clip(opening_m, 0.0, GRIPPER_STROKE_M))
        self._opening_speed_m_s = (opening_m - self._opening_m) / duration_s
        self._opening_m = opening_m

    # -- what the lab asks a world for -------------------------------------------------------------------------------

    def hand_pose(self) -> np.ndarray:
        """The tool centre's pose (7,)."""
        pose = kinematics.forward(self._angles) @ _TOOL
        return np.concatenate([pose[:3, 3], quaternion_from_matrix(pose[:3, :3])])

    def truth(self) -> dict[str, Any]:
        """There are no objects."""
        return {}

    def contacts(self) -> tuple[str, ...]:
        """There is nothing to touch."""
        return ()
