"""The frames that the box sends by itself, 5 to 250 times a second, to whoever listens on its report ports.

    ControlBox  ->  report(box, port)  ->  bytes

Layouts follow the vendor's table of report ports and the structures of its SDK (x3/report.py): 30000 (804 bytes),
30001 (145), 30002 (587), 30003 (135). The first 87 bytes are common to 30001, 30002 and 30003.
"""

from __future__ import annotations

import struct

import numpy as np

from real_env import kinematics
from real_env.lab.box import ControlBox
from real_env.lab.box_commands import VERSION
from real_env.lab.commands import packed, pose_to_wire
from real_env.xarm7 import (
    MAX_JOINT_ACCELERATION_RAD_S2,
    MAX_JOINT_SPEED_RAD_S,
    MAX_TCP_SPEED_M_S,
    NUM_JOINTS,
)

FULL, NORMAL, RICH, REAL = 30000, 30001, 30002, 30003
RATES_HZ = {FULL: 250, NORMAL: 5, RICH: 5, REAL: 100}
SIZES = {FULL: 804, NORMAL: 145, RICH: 587, REAL: 135}
_AXES = 7
_TYPE = 7
_IDS = bytes([0xAA, 0x55, 0, 0])
_TEMPERATURE_C = 30
_SUPPLY = 4800  # hundredths of a volt
_VERSION_LENGTH = 30


def report(box: ControlBox, port: int) -> bytes:
    """The present frame of a report port."""
    body = _FRAMES[port](box)
    return struct.pack(">I", len(body) + 4) + body


def _state(box: ControlBox) -> bytes:
    return struct.pack(">BH", box.state | box.mode << 4, box.num_commands)


def _head(box: ControlBox) -> bytes:
    reading = box.reading
    pose = pose_to_wire(box.arm.pose(reading.angles_rad))
    return _state(box) + packed(reading.angles_rad) + packed(pose) + packed(reading.torques_nm)


def _real(box: ControlBox) -> bytes:
    return _head(box) + bytes(48)  # no force sensor


def _normal(box: ControlBox) -> bytes:
    s = box.settings
    codes = bytes([box.enabled, box.enabled, box.error, box.warning])  # released brakes, motors on
    sensitivities = bytes([s.collision_sensitivity, s.teach_sensitivity])
    return _head(box) + codes + packed(s.tcp_offset) + packed(s.load) + sensitivities + packed(s.gravity)


def _rich(box: ControlBox) -> bytes:
    s = box.settings
    measured = box.arm.pose(box.reading.angles_rad)
    tool, shape = s.collision_tool
    parts = (
        bytes([_TYPE, _AXES]) + _IDS,
        VERSION.ljust(_VERSION_LENGTH, b"\0"),
        packed([s.tcp_jerk_mm_s3, 1.0, s.tcp_max_acc_mm_s2, 0.1, 1e3 * MAX_TCP_SPEED_M_S]),
        packed([s.joint_jerk_rad_s3, 0.01, s.joint_max_acc_rad_s2, 1e-4, MAX_JOINT_SPEED_RAD_S]),
        packed([MAX_JOINT_ACCELERATION_RAD_S2, MAX_JOINT_ACCELERATION_RAD_S2]),  # of turns
        bytes(14),  # servo states
        bytes(2),  # tool line
        bytes([_TEMPERATURE_C] * NUM_JOINTS),
        packed([_tcp_speed_mm_s(box)]),
        packed(box.reading.speeds_rad_s),
        struct.pack(">I", s.counter),
        bytes(24),  # world offset
        bytes(2),  # ports are not reset on stop
        bytes([0, s.self_collision_check, tool]),  # the 0: not the vendor's simulation
        packed(shape),
        struct.pack(f">{NUM_JOINTS}H", *[_SUPPLY] * NUM_JOINTS),
        bytes(28),  # currents
        box.ports.box_state(),
        bytes(48),  # no force sensor
        bytes(1),  # progress of identification
        packed(kinematics.rotvec(measured[:3, :3])),
        bytes([_flags(box)]),
        bytes([s.reduced]) + struct.pack(">6h", *s.boundary_mm),
        packed([s.reduced_tcp_speed_mm_s, s.reduced_joint_speed_rad_s]),
        packed(s.reduced_joint_range_rad),
        bytes([s.fence, s.collision_rebound]),
        bytes(13),  # alarms, switches, monitored device
    )
    return _normal(box) + b"".join(parts)


def _flags(box: ControlBox) -> int:
    s = box.settings
    bits = (s.reduced, s.fence, s.report_current, s.approximate_motion, s.continuous_velocity)
    return sum(bit << k for k, bit in enumerate(bits))


def _tcp_velocity(box: ControlBox) -> np.ndarray:
    return kinematics.jacobian(box.reading.angles_rad, box.arm.tool) @ box.reading.speeds_rad_s


def _tcp_speed_mm_s(box: ControlBox) -> float:
    return 1e3 * float(np.linalg.norm(_tcp_velocity(box)[:3]))


def _full(box: ControlBox) -> bytes:
    reading = box.reading
    planned = pose_to_wire(box.arm.pose(), axis_angle=True)
    measured = pose_to_wire(box.arm.pose(reading.angles_rad), axis_angle=True)
    velocity = _tcp_velocity(box)
    velocity[:3] *= 1e3
    body = bytearray(SIZES[FULL] - 4)
    fields = {
        4: struct.pack(">Q", box.time_us) + _state(box),
        32: packed(box.arm.angles_rad),
        116: packed(reading.angles_rad),
        144: packed(reading.speeds_rad_s),
        228: packed(reading.torques_nm),
        424: packed(planned),
        472: packed(measured),
        496: packed(velocity),
    }
    for offset, data in fields.items():
        body[offset - 4 : offset - 4 + len(data)] = data
    return bytes(body)


_FRAMES = {FULL: _full, NORMAL: _normal, RICH: _rich, REAL: _real}
