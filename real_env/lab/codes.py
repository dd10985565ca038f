"""Codes of the control box: states, errors, and how a motion ended, as the vendor numbers them.

Sources: the vendor's protocol manual and SDK (core/config/x_code.py, core/config/x_config.py).
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """Of the box; from STOPPED on it does not move."""

    MOVING = 1
    READY = 2
    PAUSED = 3
    STOPPED = 4
    CHANGED = 5  # mode or a setting was changed; set_state(0) makes it ready
    DECELERATING = 6


class Mode(IntEnum):
    """What the arm follows."""

    QUEUE = 0  # planned moves
    SERVO = 1  # the newest joint set point
    TEACH = 2
    JOINT_VELOCITY = 4
    CARTESIAN_VELOCITY = 5
    ONLINE_JOINT = 6  # the newest joint goal, planned
    ONLINE_CARTESIAN = 7


class Fault(IntEnum):
    """Errors of the box that the lab raises by itself or on request."""

    EMERGENCY_STOP = 1
    END_EFFECTOR = 19
    KINEMATICS = 21
    SELF_COLLISION = 22
    JOINT_LIMIT = 23
    SPEED = 24
    COLLISION = 31
    FENCE = 35
    SERVO_TCP_SPEED = 60


CUT_POWER = frozenset({1, 2, 3, *range(10, 18)})  # errors that take the power from the motors


class Ending(IntEnum):
    """How a motion command ended, in the box's feedback."""

    DONE = 0
    FAILED = 1
    DISCARDED = 2


class MotionFault(Exception):
    """A motion that cannot go on; `fault` is the error that the box shows."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"error {int(fault)} ({fault.name.lower()})")
        self.fault = fault
