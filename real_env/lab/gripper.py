"""The two-finger xArm gripper as the box sees it: a Modbus RTU device at the end of the tool's RS-485 line.

    frames of register 124  ->  Gripper.request  ->  reply
    Gripper.tick, once in 4 ms  ->  opening for the fingers

Registers are those of the vendor's gripper manual that its SDK uses. Positions are pulses, 850 fully open (85 mm).
Assumed: 5000 r/min close at the manual's top speed of 100 mm/s, other speeds in proportion; fingers that are stopped
before their target press with the whole force, however near the target is.
"""

from __future__ import annotations

import struct

from iker_envs.planning.hand import FINGER_STIFFNESS
from real_env.arm_model import FINGER_FORCE_N
from real_env.lab.modes import TICK_S
from real_env.xarm7 import GRIPPER_PULSES, GRIPPER_STROKE_M

ADDRESS = 8
_READ = 0x03
_WRITE = 0x10
_ILLEGAL_FUNCTION = 1
_MAX_REGISTERS = 64
STATUS = 0x0000
ERROR = 0x000F
ENABLE = 0x0100
CLEAR_ERROR = 0x0109
SPEED = 0x0303
TARGET = 0x0700
POSITION = 0x0702
_VERSION = {0x0801: 3, 0x0802: 4, 0x0803: 3}  # from 3.4.3 on hosts wait by the status register
_PULSES_PER_M = GRIPPER_PULSES / GRIPPER_STROKE_M
_M_S_PER_RPM = 0.1 / 5000
_LEAST_RPM = 50
_DEFAULT_RPM = 1500
_STOPPED = 0
_MOVING = 1
_HOLDING = 2
_STILL_M_S = 1e-3
_AT_TARGET_M = 6e-4  # a finger that gives way under a load is still there
_SETTLE_TICKS = 10
_PRESS_M = 2 * FINGER_FORCE_N / FINGER_STIFFNESS  # so far below the opening, both fingers press with their whole force


class Gripper:
    """Registers, and the fingers' set point."""

    def __init__(self, opening_m: float) -> None:
        self._registers: dict[int, int] = {}
        self._set_point_m = opening_m  # what the fingers are told, on its way to the target
        self._target_m = opening_m
        self._opening_m = opening_m
        self._still_ticks = 0
        self._presses = False  # on something that stopped the fingers, until the next target
        self.error = 0
        self.error_held = False  # cleaning does not help
        self.enabled = False
        self.boot()

    def boot(self) -> None:
        """As after power on; the fingers stay as they are."""
        self._registers = {SPEED: _DEFAULT_RPM, **_VERSION}
        self.enabled = False
        self.error = self.error if self.error_held else 0
        self._target_m = self._set_point_m

    @property
    def _speed_m_s(self) -> float:
        return max(self._registers[SPEED], _LEAST_RPM) * _M_S_PER_RPM

    def tick(self, opening_m: float, speed_m_s: float) -> float:
        """Note what the fingers do and return the opening that they are told, in metres."""
        self._opening_m = opening_m
        self._still_ticks = self._still_ticks + 1 if abs(speed_m_s) < _STILL_M_S else 0
        if self.enabled and not self.error:
            stopped = self._still_ticks > _SETTLE_TICKS and opening_m - self._target_m > _AT_TARGET_M
            self._presses |= stopped and self._set_point_m == self._target_m
            aim_m = min(self._target_m, opening_m - _PRESS_M) if self._presses else self._target_m
            most = self._speed_m_s * TICK_S
            self._set_point_m += min(max(aim_m - self._set_point_m, -most), most)
        return self._set_point_m

    def fail(self, code: int, *, held: bool) -> None:
        """Show an error of the gripper; the fingers keep their set point."""
        self.error = code
        self.error_held = held
        self._target_m = self._set_point_m

    def release(self) -> None:
        """Let a held error be cleaned again."""
        self.error_held = False

    @property
    def pulses(self) -> int:
        return round(self._opening_m * _PULSES_PER_M)

    @property
    def status(self) -> int:
        """0 stopped where it was told, 1 moving, 2 holding something in the way."""
        there = abs(self._opening_m - self._target_m) < _AT_TARGET_M
        if there and self._set_point_m == self._target_m:
            return _STOPPED
        return _HOLDING if self._still_ticks > _SETTLE_TICKS else _MOVING

    def request(self, frame: bytes) -> bytes:
        """Answer a Modbus RTU frame without its checksum; empty if it is for another device (the box times out)."""
        if len(frame) < 6 or frame[0] != ADDRESS:
            return b""
        function = frame[1]
        address, count = struct.unpack_from(">HH", frame, 2)
        if function == _READ and 0 < count <= _MAX_REGISTERS:
            values = [self._read(address + i) & 0xFFFF for i in range(count)]
            return bytes([ADDRESS, _READ, 2 * count]) + struct.pack(f">{count}H", *values)
        if function == _WRITE and len(frame) == 7 + 2 * count:
            for i, value in enumerate(struct.unpack_from(f">{count}H", frame, 7)):
                self._registers[address + i] = value
            self._react(address)
            return frame[:6]
        return bytes([ADDRESS, function | 0x80, _ILLEGAL_FUNCTION])

    def _read(self, address: int) -> int:
        if address == STATUS:
            return self.status
        if address == ERROR:
            return self.error
        if address in (POSITION, POSITION + 1):
            high_low = struct.unpack(">HH", struct.pack(">i", self.pulses))
            return high_low[address - POSITION]
        return self._registers.get(address, 0)

    def _react(self, address: int) -> None:
        if address == ENABLE:
            self.enabled = bool(self._registers[ENABLE])
        elif address == CLEAR_ERROR:
            self.error = self.error if self.error_held else 0
        elif address == TARGET and self.enabled and not self.error:
            words = self._registers[TARGET], self._registers.get(TARGET + 1, 0)
            pulses = struct.unpack(">i", struct.pack(">HH", *words))[0]
            self._target_m = min(max(pulses, 0), GRIPPER_PULSES) / _PULSES_PER_M
            self._still_ticks = 0
            if self._presses:  # the motor lets go at once
                self._set_point_m = max(self._set_point_m, min(self._target_m, self._opening_m))
            self._presses = False
