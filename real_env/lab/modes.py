"""How the control box moves the arm in each of its modes: one class a mode, asked for joint angles at every tick.

    command of a host  ->  add / aim  ->  advance(arm), once in 4 ms  ->  planned joint angles, or MotionFault

What is assumed, because nobody has compared it with a box: a servo target is reached in three ticks; online goals are
approached with the speed and acceleration that were asked for; a pause brakes within a tenth of a second.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np

from real_env import kinematics
from real_env.lab.codes import Ending, Fault, Mode, MotionFault
from real_env.lab.moves import JointMove, LineMove, Move, Path, Posture, solved
from real_env.xarm7 import (
    JOINT_LIMITS_RAD,
    MAX_JOINT_ACCELERATION_RAD_S2,
    MAX_JOINT_SPEED_RAD_S,
    NUM_JOINTS,
)

TICK_S = 0.004
_SERVO_TICKS = 3  # in which a servo target is reached
_PAUSE_S = 0.1
_AT_GOAL_RAD = 1e-4
_AT_GOAL_M = 5e-5
_TURN_SPEED_RAD_S = np.pi
_TURN_ACCELERATION_RAD_S2 = 10.0
_VELOCITY_ACCELERATION_M_S2 = 2.0
_STILL = 1e-6
_SPEED_SLACK = 1.5  # a planned line may be this much over a joint's speed for one tick
_APPROACH_SHARE = 0.9  # of the braking distance: rounding must not overshoot


class Arm:
    """What a mode plans for: joint angles (7,), the tool (4, 4) in the flange frame, speed limits."""

    def __init__(self, angles_rad: np.ndarray) -> None:
        self.angles_rad = np.array(angles_rad)
        self.tool = np.eye(4)
        self.servo_tcp_speed_m_s = 0.0  # above it servo mode faults

    def pose(self, angles_rad: np.ndarray | None = None) -> np.ndarray:
        """Pose (4, 4) of the tool centre in the base frame."""
        return kinematics.forward(self.angles_rad if angles_rad is None else angles_rad) @ self.tool

    def posture(self) -> Posture:
        return Posture(self.angles_rad.copy(), self.pose())


class ModePlan(Protocol):
    """One mode's plan; `advance` moves `arm.angles_rad` by one tick and says whether the arm is under way."""

    def advance(self, arm: Arm) -> bool: ...

    def stop(self, ending: Ending) -> None:
        """Forget all goals; their senders are told how they ended."""
        ...


class QueuePlan:
    """Mode 0: moves one after another; the only mode that can be paused."""

    def __init__(self) -> None:
        self._queue: deque[Move] = deque()
        self._move: Move | None = None
        self._path: Path | None = None
        self._time_s = 0.0
        self._rate = 1.0  # of the path's time; below 1 while a pause brakes
        self._end: Posture | None = None  # of the last move
        self.paused = False

    def __len__(self) -> int:
        return len(self._queue) + (self._move is not None)

    def last(self, arm: Arm) -> Posture:
        """Where the arm will stand when all that was asked for is done."""
        return arm.posture() if self._end is None else self._end

    def add(self, move: Move, arm: Arm) -> None:
        """Append a move; MotionFault if it ends out of reach."""
        self._end = move.end(self.last(arm), arm.tool)
        self._queue.append(move)

    def advance(self, arm: Arm) -> bool:
        self._rate = float(np.clip(self._rate + (-1 if self.paused else 1) * TICK_S / _PAUSE_S, 0.0, 1.0))
        if self._move is None:
            if not self._queue:
                self._end = None
                return False
            self._move = self._queue.popleft()
            self._path = self._move.begin(arm.posture(), arm.tool)
            self._time_s = 0.0
        assert self._path is not None
        self._time_s += self._rate * TICK_S
        angles = self._path.angles(self._time_s, arm.angles_rad)
        if np.abs(angles - arm.angles_rad).max() > _SPEED_SLACK * MAX_JOINT_SPEED_RAD_S * TICK_S:
            raise MotionFault(Fault.SPEED)
        arm.angles_rad = angles
        if self._time_s >= self._path.duration_s:
            done = self._move
            self._move = None
            done.finish(Ending.DONE)
        return True

    def stop(self, ending: Ending) -> None:
        moves = [*([] if self._move is None else [self._move]), *self._queue]
        self._queue.clear()
        self._move = None
        self._end = None
        self.paused = False
        self._rate = 1.0
        for move in moves:
            move.finish(ending)


class ServoPlan:
    """Mode 1: the newest set point, reached in three ticks at up to 180 degrees per second a joint."""

    def __init__(self) -> None:
        self._target_rad: np.ndarray | None = None
        self._ticks_left = 0

    def aim(self, angles_rad: np.ndarray) -> None:
        """Take a set point (7,); what is outside the joints' limits is cut."""
        self._target_rad = np.clip(angles_rad, JOINT_LIMITS_RAD[:, 0], JOINT_LIMITS_RAD[:, 1])
        self._ticks_left = _SERVO_TICKS

    def advance(self, arm: Arm) -> bool:
        if self._target_rad is None:
            return False
        way = self._target_rad - arm.angles_rad
        if np.abs(way).max() < _AT_GOAL_RAD and self._ticks_left == 0:
            arm.angles_rad = self._target_rad.copy()
            return False
        most = MAX_JOINT_SPEED_RAD_S * TICK_S
        angles = arm.angles_rad + np.clip(way / max(self._ticks_left, 1), -most, most)
        self._ticks_left = max(self._ticks_left - 1, 0)
        travel_m = np.linalg.norm(arm.pose(angles)[:3, 3] - arm.pose()[:3, 3])
        if travel_m / TICK_S > arm.servo_tcp_speed_m_s:
            raise MotionFault(Fault.SERVO_TCP_SPEED)
        arm.angles_rad = angles
        return True

    def stop(self, ending: Ending) -> None:
        self._target_rad = None


class JointVelocityPlan:
    """Mode 4: joint speeds (7,), for a time if one was given."""

    def __init__(self) -> None:
        self._wanted = np.zeros(NUM_JOINTS)
        self._speed = np.zeros(NUM_JOINTS)
        self._left_s = np.inf

    def aim(self, speed: np.ndarray, duration_s: float) -> None:
        """Take speeds in rad/s; a duration of 0 or less holds them until others come."""
        self._wanted = np.clip(speed, -MAX_JOINT_SPEED_RAD_S, MAX_JOINT_SPEED_RAD_S)
        self._left_s = duration_s if duration_s > 0 else np.inf

    def advance(self, arm: Arm) -> bool:
        self._count_down()
        most = MAX_JOINT_ACCELERATION_RAD_S2 * TICK_S
        self._speed += np.clip(self._wanted - self._speed, -most, most)
        if np.abs(self._speed).max() < _STILL:
            return False
        angles = arm.angles_rad + self._speed * TICK_S
        if np.any(angles < JOINT_LIMITS_RAD[:, 0]) or np.any(angles > JOINT_LIMITS_RAD[:, 1]):
            raise MotionFault(Fault.JOINT_LIMIT)
        arm.angles_rad = angles
        return True

    def _count_down(self) -> None:
        self._left_s -= TICK_S
        if self._left_s < 0:
            self._wanted = np.zeros_like(self._wanted)

    def stop(self, ending: Ending) -> None:
        self._wanted = np.zeros_like(self._wanted)
        self._speed = np.zeros_like(self._speed)


class CartesianVelocityPlan(JointVelocityPlan):
    """Mode 5: velocity of the tool centre (6,) in base axes, m/s and rad/s."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted = np.zeros(6)
        self._speed = np.zeros(6)

    def aim(self, speed: np.ndarray, duration_s: float) -> None:
        """Take a velocity; a duration of 0 or less holds it until another comes."""
        self._wanted = np.array(speed)
        self._left_s = duration_s if duration_s > 0 else np.inf

    def advance(self, arm: Arm) -> bool:
        self._count_down()
        most = TICK_S * np.repeat([_VELOCITY_ACCELERATION_M_S2, MAX_JOINT_ACCELERATION_RAD_S2], 3)
        self._speed += np.clip(self._wanted - self._speed, -most, most)
        if np.abs(self._speed).max() < _STILL:
            return False
        arm.angles_rad = _moved(arm, self._speed)
        return True


class OnlineJointPlan:
    """Mode 6: the newest joint goal, approached with bounded speed and acceleration; replaceable under way."""

    def __init__(self) -> None:
        self._move: JointMove | None = None
        self._speed = np.zeros(NUM_JOINTS)

    def aim(self, move: JointMove, arm: Arm) -> None:
        """Take a goal in the place of the one before; MotionFault if it is outside the joints' limits."""
        move.end(arm.posture(), arm.tool)
        before = self._move
        self._move = move
        if before is not None:
            before.finish(Ending.DISCARDED)

    def advance(self, arm: Arm) -> bool:
        if self._move is None:
            return False
        way = self._move.goal_rad - arm.angles_rad
        limits = self._move.limits
        if np.abs(way).max() < _AT_GOAL_RAD:
            arm.angles_rad = self._move.goal_rad.copy()
            done = self._move
            self._move = None
            self._speed[:] = 0
            done.finish(Ending.DONE)
            return False
        self._speed = _approach(way, self._speed, limits.speed, limits.acceleration)
        arm.angles_rad = arm.angles_rad + self._speed * TICK_S
        return True

    def stop(self, ending: Ending) -> None:
        before = self._move
        self._move = None
        self._speed[:] = 0
        if before is not None:
            before.finish(ending)


class OnlineCartesianPlan:
    """Mode 7: the newest pose, approached in a straight line; replaceable under way."""

    def __init__(self) -> None:
        self._move: LineMove | None = None
        self._speed = np.zeros(6)

    def aim(self, move: LineMove, arm: Arm) -> None:
        """Take a pose in the place of the one before."""
        before = self._move
        self._move = move
        if before is not None:
            before.finish(Ending.DISCARDED)

    def advance(self, arm: Arm) -> bool:
        if self._move is None:
            return False
        way = kinematics.difference(arm.pose(), self._move.goal)
        limits = self._move.limits
        if np.linalg.norm(way[:3]) < _AT_GOAL_M and np.linalg.norm(way[3:]) < 5 * _AT_GOAL_RAD:
            done = self._move
            self._move = None
            self._speed[:] = 0
            done.finish(Ending.DONE)
            return False
        self._speed[:3] = _approach(way[:3], self._speed[:3], limits.speed, limits.acceleration)
        self._speed[3:] = _approach(way[3:], self._speed[3:], _TURN_SPEED_RAD_S, _TURN_ACCELERATION_RAD_S2)
        arm.angles_rad = _moved(arm, self._speed)
        return True

    def stop(self, ending: Ending) -> None:
        before = self._move
        self._move = None
        self._speed[:] = 0
        if before is not None:
            before.finish(ending)


class NoPlan:
    """Modes in which the host moves nothing."""

    def advance(self, arm: Arm) -> bool:
        return False

    def stop(self, ending: Ending) -> None:
        """There is nothing to forget."""


def make_plan(mode: int) -> ModePlan:
    """A fresh plan for a mode."""
    plans: dict[int, type[ModePlan]] = {
        Mode.QUEUE: QueuePlan,
        Mode.SERVO: ServoPlan,
        Mode.JOINT_VELOCITY: JointVelocityPlan,
        Mode.CARTESIAN_VELOCITY: CartesianVelocityPlan,
        Mode.ONLINE_JOINT: OnlineJointPlan,
        Mode.ONLINE_CARTESIAN: OnlineCartesianPlan,
    }
    return plans.get(mode, NoPlan)()


def _moved(arm: Arm, velocity: np.ndarray) -> np.ndarray:
    """Joint angles after one tick of a tool velocity (6,)."""
    pose = arm.pose()
    turn = kinematics.rotation_from_rotvec(velocity[3:] * TICK_S)
    goal = kinematics.matrix(pose[:3, 3] + velocity[:3] * TICK_S, turn @ pose[:3, :3])
    return solved(goal, arm.angles_rad, arm.tool)


def _approach(way: np.ndarray, speed: np.ndarray, most_speed: float, acceleration: float) -> np.ndarray:
    """The next speed on the way to a goal: as fast as allowed, and slow enough to stop there."""
    distance = float(np.linalg.norm(way))
    wanted = np.zeros_like(way)
    if distance > _LEAST_WAY:
        braking = _APPROACH_SHARE * np.sqrt(2 * acceleration * distance)
        wanted = way / distance * min(most_speed, braking, distance / TICK_S)
    change = wanted - speed
    size = float(np.linalg.norm(change))
    most = acceleration * TICK_S
    return speed + (change if size <= most else change / size * most)


_LEAST_WAY = 1e-9
