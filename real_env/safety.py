"""Keeps the fingertips off table and furniture between two commands.

    start and goal of a tick  ->  Guard  ->  poses of the set points, lifted by a ramp

Commands keep clear by themselves (planning/fingertips.py), the way between two of them need not: where it leads over an
edge the hand rises first, and goes on when it is high enough.
"""

from __future__ import annotations

import numpy as np

from iker_envs.geometry import quaternion_conjugate, quaternion_from_rotvec, quaternion_multiply
from iker_envs.geometry import rotvec_from_quaternion as rotvec
from iker_envs.planning.fingertips import lift_needed
from iker_envs.spec import Spec

_RISE_M = 0.002  # per set point, 0.2 m/s


def between(start: np.ndarray, goal: np.ndarray, share: float) -> np.ndarray:
    """The pose (7,) a share of the way from one pose to another: straight, and by the shortest turn."""
    turn = rotvec(quaternion_multiply(goal[3:], quaternion_conjugate(start[3:])))
    rotation = quaternion_multiply(quaternion_from_rotvec(share * turn), start[3:])
    return np.concatenate([start[:3] + share * (goal[:3] - start[:3]), rotation])


class Guard:
    """Remembers how far the hand is lifted, so that lifting and lowering are ramps."""

    def __init__(self) -> None:
        self.tops: np.ndarray | None = None  # (1, B, 9) of the furniture; None: nothing is guarded
        self.lift_m = 0.0

    def needed_m(self, pose: np.ndarray, opening_m: float) -> float:
        """How far a pose (7,) must be raised, in metres."""
        if self.tops is None:
            return 0.0
        return float(lift_needed(pose[None], np.array([opening_m]), self.tops, Spec.fingertip_clearance_m)[0])

    def rise(self, pose: np.ndarray, opening_m: float) -> bool:
        """Move the lift towards what a pose (7,) needs, by a set point's ramp; is it enough already?"""
        needed = self.needed_m(pose, opening_m)
        change = np.clip(needed - self.lift_m, -_RISE_M, _RISE_M)
        self.lift_m += float(change)
        return self.lift_m >= needed - 1e-9

    def lifted(self, pose: np.ndarray) -> np.ndarray:
        """A pose (7,) raised by the present lift."""
        return np.concatenate([pose[:2], [pose[2] + self.lift_m], pose[3:]])
