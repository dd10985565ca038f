"""What the emulated control box drives: a mechanism with seven joints and two fingers.

The lab's mechanism is a MuJoCo world (world.py); a test may put any other one behind the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class ArmReading:
    """What the box's sensors say now."""

    angles_rad: np.ndarray  # (7,)
    speeds_rad_s: np.ndarray  # (7,)
    torques_nm: np.ndarray  # (7,) of the motors, gravity included
    external_nm: np.ndarray  # (7,) of contacts on the joints: the box's estimate, here without error
    opening_m: float  # between the fingers
    opening_speed_m_s: float


class Plant(Protocol):
    """A mechanism that follows joint targets."""

    def read(self) -> ArmReading:
        """The present state."""
        ...

    def step(self, angles_rad: np.ndarray, opening_m: float, duration_s: float) -> None:
        """Follow joint targets (7,) and an opening in metres for a time in seconds."""
        ...
