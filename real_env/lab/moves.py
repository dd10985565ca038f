"""What a control box can be told to do in one command: joint moves, lines, arcs and rests, as paths over time.

    Move + where the arm stands  ->  start  ->  Path: joint angles at any time, and how long it takes

Speeds follow a trapezoid. The firmware's planner (jerk limits, blending of corners) is not known and not imitated: a
move comes to rest at its end, whatever radius was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from real_env import kinematics
from real_env.lab.codes import Fault, MotionFault
from real_env.xarm7 import (
    JOINT_LIMITS_RAD,
    MAX_JOINT_ACCELERATION_RAD_S2,
    MAX_JOINT_SPEED_RAD_S,
    MAX_TCP_ACCELERATION_M_S2,
    MAX_TCP_SPEED_M_S,
)

_TURN_AS_LENGTH_M = 1.0 / np.pi  # of a line that turns by one radian: half a turn takes as long as a metre
_LEAST_SPEED = 1e-4
_LEAST_ACCELERATION = 1e-2
_LEAST_LENGTH = 1e-9
_SAME_LINE = 1e-9  # squared sine of the angle between three points of an arc
_INSIDE_RAD = 0.01

Finish = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Posture:
    """Where a move begins or ends: joint angles (7,) and the pose (4, 4) of the tool centre."""

    angles_rad: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class Limits:
    """Speed and acceleration that a command asked for, within the arm's."""

    speed: float
    acceleration: float

    @classmethod
    def joint(cls, speed: float, acceleration: float) -> Limits:
        """Of joints, rad/s and rad/s2."""
        return cls(
            float(np.clip(speed, _LEAST_SPEED, MAX_JOINT_SPEED_RAD_S)),
            float(np.clip(acceleration, _LEAST_ACCELERATION, MAX_JOINT_ACCELERATION_RAD_S2)),
        )

    @classmethod
    def line(cls, speed: float, acceleration: float) -> Limits:
        """Of the tool centre, m/s and m/s2."""
        return cls(
            float(np.clip(speed, _LEAST_SPEED, MAX_TCP_SPEED_M_S)),
            float(np.clip(acceleration, _LEAST_ACCELERATION, MAX_TCP_ACCELERATION_M_S2)),
        )


class Trapezoid:
    """Distance over time: even acceleration to a speed, and down to rest at `length`."""

    def __init__(self, length: float, limits: Limits) -> None:
        self.length = max(length, _LEAST_LENGTH)
        self._acceleration = limits.acceleration
        self._speed = min(limits.speed, np.sqrt(limits.acceleration * self.length))
        self._ramp_s = self._speed / self._acceleration
        self.duration_s = self.length / self._speed + self._ramp_s

    def share(self, time_s: float) -> float:
        """How much of the way is done, 0 to 1."""
        if time_s >= self.duration_s:
            return 1.0
        if time_s < self._ramp_s:
            distance = 0.5 * self._acceleration * time_s**2
        elif time_s > self.duration_s - self._ramp_s:
            distance = self.length - 0.5 * self._acceleration * (self.duration_s - time_s) ** 2
        else:
            distance = self._speed * (time_s - self._ramp_s / 2)
        return min(1.0, distance / self.length)


class Path(Protocol):
    """A move that has begun."""

    @property
    def duration_s(self) -> float: ...

    def angles(self, time_s: float, now_rad: np.ndarray) -> np.ndarray:
        """Joint angles (7,) at a time, solved from the present ones; MotionFault where there are none."""
        ...


class Move(Protocol):
    """One command of the queue; `finish` tells its sender how it ended."""

    @property
    def finish(self) -> Finish: ...

    def end(self, start: Posture, tool: np.ndarray) -> Posture:
        """Where it ends if it begins at `start`; MotionFault if that is out of reach."""
        ...

    def begin(self, start: Posture, tool: np.ndarray) -> Path: ...


@dataclass(frozen=True, eq=False)
class JointMove:
    """All joints at once, straight in joint space."""

    goal_rad: np.ndarray
    limits: Limits
    finish: Finish

    def end(self, start: Posture, tool: np.ndarray) -> Posture:
        if np.any(self.goal_rad < JOINT_LIMITS_RAD[:, 0]) or np.any(self.goal_rad > JOINT_LIMITS_RAD[:, 1]):
            raise MotionFault(Fault.JOINT_LIMIT)
        return Posture(self.goal_rad, kinematics.forward(self.goal_rad) @ tool)

    def begin(self, start: Posture, tool: np.ndarray) -> Path:
        return _JointPath(start.angles_rad, self.goal_rad, self.limits)


class _JointPath:
    def __init__(self, start_rad: np.ndarray, goal_rad: np.ndarray, limits: Limits) -> None:
        self._start_rad = start_rad
        self._way_rad = goal_rad - start_rad
        self._profile = Trapezoid(float(np.abs(self._way_rad).max()), limits)
        self.duration_s = self._profile.duration_s

    def angles(self, time_s: float, now_rad: np.ndarray) -> np.ndarray:
        return self._start_rad + self._profile.share(time_s) * self._way_rad


@dataclass(frozen=True, eq=False)
class LineMove:
    """The tool centre along a straight line, turning evenly."""

    goal: np.ndarray  # (4, 4)
    limits: Limits
    finish: Finish

    def end(self, start: Posture, tool: np.ndarray) -> Posture:
        return Posture(solved(self.goal, start.angles_rad, tool, iterations=200), self.goal)

    def begin(self, start: Posture, tool: np.ndarray) -> Path:
        way = kinematics.difference(start.pose, self.goal)
        length = max(float(np.linalg.norm(way[:3])), float(np.linalg.norm(way[3:])) * _TURN_AS_LENGTH_M)
        return _PosePath(lambda share: kinematics.between(start.pose, self.goal, share), length, self.limits, tool)


@dataclass(frozen=True, eq=False)
class ArcMove:
    """The tool centre along the circle through its place and two points (3,), by a share of it, without turning."""

    via_m: np.ndarray
    to_m: np.ndarray
    share: float  # of the whole circle
    limits: Limits
    finish: Finish

    def end(self, start: Posture, tool: np.ndarray) -> Posture:
        pose = self._pose(start, 1.0)
        return Posture(solved(pose, start.angles_rad, tool, iterations=200), pose)

    def begin(self, start: Posture, tool: np.ndarray) -> Path:
        centre, _ = self._circle(start)
        length = float(np.linalg.norm(start.pose[:3, 3] - centre)) * 2 * np.pi * self.share
        return _PosePath(lambda share: self._pose(start, share), length, self.limits, tool)

    def _circle(self, start: Posture) -> tuple[np.ndarray, np.ndarray]:
        """Centre (3,) and unit axis (3,) of the circle; MotionFault if the points lie on a line."""
        a = self.via_m - start.pose[:3, 3]
        b = self.to_m - start.pose[:3, 3]
        normal = np.cross(a, b)
        square = float(normal @ normal)
        if square <= _SAME_LINE * float(a @ a) * float(b @ b):
            raise MotionFault(Fault.KINEMATICS)
        offset = np.cross(float(a @ a) * b - float(b @ b) * a, normal) / (-2 * square)
        return start.pose[:3, 3] - offset, normal / np.sqrt(square)

    def _pose(self, start: Posture, share: float) -> np.ndarray:
        centre, axis = self._circle(start)
        turn = kinematics.rotation_from_rotvec(axis * 2 * np.pi * self.share * share)
        return kinematics.matrix(centre + turn @ (start.pose[:3, 3] - centre), start.pose[:3, :3])


class _PosePath:
    """Poses by share of the way, solved tick by tick."""

    def __init__(self, pose: Callable[[float], np.ndarray], length_m: float, limits: Limits, tool: np.ndarray) -> None:
        self._pose = pose
        self._tool = tool
        self._profile = Trapezoid(length_m, limits)
        self.duration_s = self._profile.duration_s

    def angles(self, time_s: float, now_rad: np.ndarray) -> np.ndarray:
        return solved(self._pose(self._profile.share(time_s)), now_rad, self._tool)


@dataclass(frozen=True, eq=False)
class Rest:
    """Nothing, for a time."""

    duration_s: float
    finish: Finish

    def end(self, start: Posture, tool: np.ndarray) -> Posture:
        return start

    def begin(self, start: Posture, tool: np.ndarray) -> Path:
        return _RestPath(self.duration_s)


@dataclass(frozen=True)
class _RestPath:
    duration_s: float

    def angles(self, time_s: float, now_rad: np.ndarray) -> np.ndarray:
        return now_rad


def solved(goal: np.ndarray, start_rad: np.ndarray, tool: np.ndarray, *, iterations: int = 60) -> np.ndarray:
    """Joint angles (7,) of a pose; MotionFault says whether a joint's limit or the arm's length is in the way."""
    angles, ok = kinematics.solve(goal, start_rad, tool, iterations=iterations)
    if ok:
        return angles
    at_limit = np.any((angles < JOINT_LIMITS_RAD[:, 0] + _INSIDE_RAD) | (angles > JOINT_LIMITS_RAD[:, 1] - _INSIDE_RAD))
    raise MotionFault(Fault.JOINT_LIMIT if at_limit else Fault.KINEMATICS)
