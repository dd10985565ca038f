"""What presses against the hand of an arm that stands still, by its joints' torques.

    joints (7,), torques (7,)  ->  Touch.tare, where the hand is free  ->  Touch.feel  ->  force (3,), lever (3,)

What the motors hold beyond the arm's own weight, and beyond what they held where nothing touched the hand, is contact.
In motion they also carry what accelerates the arm, which is more than a contact: ask an arm that rests. Base frame.
"""

from __future__ import annotations

import mujoco
import numpy as np

from real_env.arm_model import build_arm
from real_env.ik import TOOL
from real_env.kinematics import jacobian

_LEAST_N2 = 1e-6


class Touch:
    """Compares torques with the weight of the arm."""

    def __init__(self) -> None:
        self._model = build_arm()
        self._data = mujoco.MjData(self._model)
        self._tare_nm = np.zeros(7)

    def _beyond_weight(self, joints_rad: np.ndarray, torques_nm: np.ndarray) -> np.ndarray:
        self._data.qpos[:] = joints_rad
        mujoco.mj_forward(self._model, self._data)
        return self._data.qfrc_bias - torques_nm

    def tare(self, joints_rad: np.ndarray, torques_nm: np.ndarray) -> None:
        """The arm rests with joints (7,) and torques (7,), and nothing touches the hand or what it holds."""
        self._tare_nm = self._beyond_weight(joints_rad, torques_nm)

    def feel(self, joints_rad: np.ndarray, torques_nm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Force (3,) in N on the hand of an arm that rests, and where it acts: (3,) in metres from the tool centre.

        Where is known up to a shift along the force.
        """
        external = self._beyond_weight(joints_rad, torques_nm) - self._tare_nm
        wrench = np.linalg.lstsq(jacobian(joints_rad, TOOL).T, external, rcond=None)[0]
        force = wrench[:3]
        return force, np.cross(force, wrench[3:]) / max(float(force @ force), _LEAST_N2)
