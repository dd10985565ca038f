"""The table of the box's commands by register number, and how their payloads are read and written.

    @command(21)
    def move_line(box, payload, sender) -> bytes      the reply's payload; Refused makes it "invalid"

fp32 and int32 of a payload are little endian, u16 big endian (the vendor's private TCP protocol manual).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from real_env import kinematics
from real_env.lab.box import ControlBox
from real_env.lab.moves import Finish

MM = 1e-3


class Sender(Protocol):
    """Who sent a command."""

    feedback_mask: int

    def finish(self) -> Finish:
        """What to call when the motion of this command has ended."""
        ...


Handler = Callable[[ControlBox, bytes, Sender], bytes]
COMMANDS: dict[int, Handler] = {}


class Refused(Exception):
    """The command is not carried out; the host sees "invalid" and this payload."""

    def __init__(self, payload: bytes = b"") -> None:
        super().__init__("refused")
        self.payload = payload


def command(*registers: int) -> Callable[[Handler], Handler]:
    """Register the handler of one or several commands."""

    def register(handler: Handler) -> Handler:
        for number in registers:
            COMMANDS[number] = handler
        return handler

    return register


def floats(payload: bytes, count: int, offset: int = 0) -> list[float]:
    """`count` fp32 from a byte on; Refused if the payload is too short or holds a NaN."""
    values = list(_unpack(f"<{count}f", payload, offset))
    if any(np.isnan(value) for value in values):
        raise Refused
    return values


def _unpack(form: str, payload: bytes, offset: int) -> tuple:
    try:
        return struct.unpack_from(form, payload, offset)
    except struct.error:
        raise Refused from None


def integers(payload: bytes, count: int, offset: int = 0) -> list[int]:
    """`count` int32 from a byte on; Refused if the payload is too short."""
    return list(_unpack(f"<{count}i", payload, offset))


def byte(payload: bytes, offset: int = 0, default: int | None = None) -> int:
    """One byte; Refused if it is missing and has no default."""
    if offset < len(payload):
        return payload[offset]
    if default is None:
        raise Refused
    return default


def u16(payload: bytes, offset: int = 0) -> int:
    return int(_unpack(">H", payload, offset)[0])


def packed(values: Iterable[float]) -> bytes:
    """fp32 of numbers."""
    numbers = [float(value) for value in values]
    return struct.pack(f"<{len(numbers)}f", *numbers)


def pose_from_wire(values: Iterable[float], *, axis_angle: bool = False) -> np.ndarray:
    """A pose (4, 4) in metres from x, y, z in mm and either roll, pitch, yaw or a rotation vector in radians."""
    numbers = np.array(list(values), dtype=float)
    turn = kinematics.rotation_from_rotvec if axis_angle else kinematics.rotation_from_rpy
    return kinematics.matrix(MM * numbers[:3], turn(numbers[3:6]))


def pose_to_wire(pose: np.ndarray, *, axis_angle: bool = False) -> np.ndarray:
    """x, y, z in mm and roll, pitch, yaw (or a rotation vector) in radians of a pose (4, 4)."""
    turn = kinematics.rotvec if axis_angle else kinematics.rpy
    return np.concatenate([pose[:3, 3] / MM, turn(pose[:3, :3])])
