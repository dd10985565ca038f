"""How hard something presses against the hand, by the joints' torques; the hand gives way if it is too much.

    joints (7,), torques (7,)  ->  Touch.feel  ->  Touch.yield_m (3,), by which set points are shifted

A policy learns on a hand that gives way where it presses on something; an arm does not, and its control box calls that
a collision. What the motors carry beyond the arm's weight is the contact, plus what accelerates the arm: so the hand
gives way slowly, and after two readings in a row. Base frame.
"""

from __future__ import annotations

import mujoco
import numpy as np

from real_env.arm_model import build_arm
from real_env.ik import TOOL
from real_env.kinematics import jacobian

PRESSED_N = 12.0  # at arm's length a third of what a collision takes at sensitivity 3 in the laboratory
_IN_A_ROW = 2
_YIELD_M = 0.0008  # per set point, 0.08 m/s: slow enough not to be felt as a contact itself
_RETURN_M = 0.0004  # per set point, once nothing presses
_MOST_M = 0.01


class Touch:
    """Compares torques with the weight of the arm; `tare` where the hand, with what it holds, is free."""

    def __init__(self) -> None:
        self._model = build_arm()
        self._data = mujoco.MjData(self._model)
        self._tare_nm = np.zeros(7)
        self._num_pressed = 0
        self.yield_m = np.zeros(3)
        self.force_N = np.zeros(3)  # on the hand
        self.lever_m = np.zeros(3)  # from the tool centre to the line along which it acts

    @property
    def yields(self) -> bool:
        """Does something press so that the hand gives way?"""
        return self._num_pressed >= _IN_A_ROW

    def _beyond_weight(self, joints_rad: np.ndarray, torques_nm: np.ndarray) -> np.ndarray:
        self._data.qpos[:] = joints_rad
        mujoco.mj_forward(self._model, self._data)
        return self._data.qfrc_bias - torques_nm

    def tare(self, joints_rad: np.ndarray, torques_nm: np.ndarray) -> None:
        """The arm stands still with joints (7,) and torques (7,), and nothing touches the hand."""
        self._tare_nm = self._beyond_weight(joints_rad, torques_nm)
        self._num_pressed = 0
        self.yield_m = np.zeros(3)
        self.force_N = np.zeros(3)

    def feel(self, joints_rad: np.ndarray, torques_nm: np.ndarray) -> None:
        """A reading: joints (7,), torques (7,) of the motors."""
        external = self._beyond_weight(joints_rad, torques_nm) - self._tare_nm
        wrench = np.linalg.lstsq(jacobian(joints_rad, TOOL).T, external, rcond=None)[0]
        self.force_N = wrench[:3]
        self.lever_m = np.cross(self.force_N, wrench[3:]) / max(float(self.force_N @ self.force_N), 1e-6)
        size_N = float(np.linalg.norm(self.force_N))
        self._num_pressed = self._num_pressed + 1 if size_N > PRESSED_N else 0
        if self.yields:
            self.yield_m = _at_most(_MOST_M, self.yield_m + _YIELD_M * self.force_N / size_N)
            self.yield_m[2] = max(0.0, self.yield_m[2])  # never down, where the fingertips are guarded
        elif not self._num_pressed:
            self.yield_m = _at_most(max(0.0, float(np.linalg.norm(self.yield_m)) - _RETURN_M), self.yield_m)


def _at_most(length_m: float, vector_m: np.ndarray) -> np.ndarray:
    """A vector (3,), shortened to a length if it is longer."""
    return vector_m * min(1.0, length_m / max(float(np.linalg.norm(vector_m)), 1e-12))
