"""Keeps the fingertips off table and furniture, and the tool inside its box.

    commanded pose (7,), opening, Surfaces of a scene  ->  lift_needed  ->  metres
    start and goal of a tick                           ->  Guard        ->  poses of the set points, lifted by a ramp

A policy learns on a hand that gives way when its tips touch the table; an arm jams. So the commanded pose is raised
until the lowest corner of the tips is 3 mm above what stands under it. Where the way leads over an edge the hand rises
first, and goes on when it is high enough.
"""

from __future__ import annotations

import numpy as np

from iker_envs.geometry import pose_apply, quaternion_conjugate, quaternion_from_rotvec, quaternion_multiply
from iker_envs.geometry import rotvec_from_quaternion as rotvec
from iker_envs.planning.collision import object_boxes
from iker_envs.planning.hand import FINGER_HALF_SIZE_M, FINGERTIP_M
from iker_envs.scene import Scene

CLEARANCE_M = 0.003
_EDGE_M = 0.005  # a surface counts this far beyond its edge
_BELOW_TOP_M = 0.03  # a tip further under a surface's top is beside or beneath the furniture, not on it
_RISE_M = 0.002  # per set point, 0.2 m/s
_UPRIGHT = 0.99  # cosine: furniture whose box leans more has no top to glide over
_HALF_X_M, _HALF_Y_M = FINGER_HALF_SIZE_M[:2]
_TIP_X_M = np.array([-_HALF_X_M, _HALF_X_M, -_HALF_X_M, _HALF_X_M])
_TIP_Y_M = np.array([0.0, 0.0, 2 * _HALF_Y_M, 2 * _HALF_Y_M])


def tip_corners(opening_m: float) -> np.ndarray:
    """The lowest corners (8, 3) of both fingers in the end-effector frame, opened by `opening_m`."""
    outwards = opening_m / 2 + _TIP_Y_M
    depth = np.full(4, FINGERTIP_M)
    left = np.stack([_TIP_X_M, outwards, depth], axis=-1)
    right = np.stack([_TIP_X_M, -outwards, depth], axis=-1)
    return np.concatenate([left, right])


class Surfaces:
    """The table, z = 0, and the tops of a scene's furniture."""

    def __init__(self, scene: Scene) -> None:
        boxes = [box for o in scene.objects if not o.movable for box in object_boxes(o.model, o.pose)]
        self._boxes = []
        for box in boxes:
            up = int(np.argmax(np.abs(box.axes[2])))
            if abs(box.axes[2, up]) >= _UPRIGHT:
                sides = [i for i in range(3) if i != up]
                self._boxes.append((box.centre, box.axes[:, sides], box.half[sides] + _EDGE_M, box.half[up]))

    def lift_needed(self, pose: np.ndarray, opening_m: float) -> float:
        """How far a pose (7,) must be raised for the tips to clear everything under them, in metres; 0 if they do."""
        tips = pose_apply(pose, tip_corners(opening_m))
        floor = np.zeros(len(tips))
        for centre, sides, half, height in self._boxes:
            top = centre[2] + height
            over = np.all(np.abs((tips - centre) @ sides) < half, axis=1) & (tips[:, 2] > top - _BELOW_TOP_M)
            floor[over] = np.maximum(floor[over], top)
        return max(0.0, float((floor + CLEARANCE_M - tips[:, 2]).max()))


def between(start: np.ndarray, goal: np.ndarray, share: float) -> np.ndarray:
    """The pose (7,) a share of the way from one pose to another: straight, and by the shortest turn."""
    turn = rotvec(quaternion_multiply(goal[3:], quaternion_conjugate(start[3:])))
    rotation = quaternion_multiply(quaternion_from_rotvec(share * turn), start[3:])
    return np.concatenate([start[:3] + share * (goal[:3] - start[:3]), rotation])


class Guard:
    """Remembers how far the hand is lifted, so that lifting and lowering are ramps."""

    def __init__(self) -> None:
        self.surfaces: Surfaces | None = None  # None: nothing is guarded
        self.lift_m = 0.0

    def rise(self, pose: np.ndarray, opening_m: float) -> bool:
        """Move the lift towards what a pose (7,) needs, by a set point's ramp; is it enough already?"""
        needed = self.surfaces.lift_needed(pose, opening_m) if self.surfaces is not None else 0.0
        change = np.clip(needed - self.lift_m, -_RISE_M, _RISE_M)
        self.lift_m += float(change)
        return self.lift_m >= needed - 1e-9

    def lifted(self, pose: np.ndarray) -> np.ndarray:
        """A pose (7,) raised by the present lift."""
        return np.concatenate([pose[:2], [pose[2] + self.lift_m], pose[3:]])
