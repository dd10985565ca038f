"""A hand follows waypoints: the policy that carries a path out in our worlds.

Waypoint, ...  ->  Follower.act(observations)  ->  actions

It is a function of the measured hand pose and of which waypoint is next; at the last one it stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iker_agent.learning.policy import save_policy
from iker_envs.geometry import quaternion_conjugate, quaternion_multiply, rotvec_from_quaternion
from iker_envs.spec import Spec, unpack_observation

_REACHED_RAD = 0.1
_STUCK_TICKS = 8  # on the way to a waypoint without coming nearer, until the next one is tried
_NEARER_M = 0.002
_METRES_PER_RAD = 0.1


@dataclass(frozen=True, eq=False)
class Waypoint:
    """A tool-centre pose (7,), base frame; how far the hand moves there in a tick, and how near is near enough."""

    pose: np.ndarray
    step_m: float = Spec.position_step_m
    reached_m: float = 0.02


class Follower:
    """Follows waypoints in one world; made anew for every path."""

    def __init__(self, waypoints: Sequence[Waypoint], spec: Spec) -> None:
        self.waypoints = tuple(waypoints)
        self.spec = spec
        self._next = 0
        self._best_m = np.inf
        self._waited = 0

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions (1, 6) for observations (1, D) of one world."""
        hand = np.asarray(unpack_observation(self.spec, np.asarray(observations, dtype=float)).gripper_pose)[0]
        move, turn = self._left(hand)
        while self._next < len(self.waypoints) - 1 and self._arrived(move, turn):
            self._go_on()
            move, turn = self._left(hand)
        step_m = min(self.waypoints[self._next].step_m, self.spec.position_step_m)
        move *= min(1.0, step_m / max(float(np.linalg.norm(move)), 1e-9))
        action = np.concatenate([move / self.spec.position_step_m, turn / self.spec.rotation_step_rad])
        return np.clip(action, -1.0, 1.0)[None].astype(np.float32)

    def _left(self, hand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Displacement (3,) and rotation vector (3,) from a hand pose (7,) to the next waypoint."""
        pose = self.waypoints[self._next].pose
        turn = rotvec_from_quaternion(quaternion_multiply(pose[None, 3:], quaternion_conjugate(hand[None, 3:])))[0]
        return pose[:3] - hand[:3], np.asarray(turn)

    def _arrived(self, move: np.ndarray, turn: np.ndarray) -> bool:
        """Is the hand there, or has it not come nearer for a while?"""
        left_m = float(np.linalg.norm(move) + _METRES_PER_RAD * np.linalg.norm(turn))
        self._waited = 0 if left_m < self._best_m - _NEARER_M else self._waited + 1
        self._best_m = min(self._best_m, left_m)
        near = np.linalg.norm(move) <= self.waypoints[self._next].reached_m and np.linalg.norm(turn) <= _REACHED_RAD
        return bool(near) or self._waited >= _STUCK_TICKS

    def _go_on(self) -> None:
        self._next += 1
        self._best_m = np.inf
        self._waited = 0

    def save(self, path: str | Path) -> None:
        """Write the waypoints as a policy file."""
        poses = np.array([w.pose for w in self.waypoints])
        save_policy(path, "waypoints of value maps", self.spec, {"poses": poses}, {})
