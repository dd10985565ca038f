"""Commands that ask the box for something or set it up: identity, state, errors, kinematics, tool, safety, parameters.

What the lab does not model (trajectory records, force sensor, load and friction identification, calibration, world
offset, simulation mode) is refused with "invalid" and as many zero bytes as the vendor's SDK reads.
"""

from __future__ import annotations

import struct

import numpy as np

from real_env import kinematics
from real_env.lab.box import MODES, ControlBox
from real_env.lab.commands import (
    MM,
    Refused,
    Sender,
    byte,
    command,
    floats,
    integers,
    packed,
    pose_from_wire,
    pose_to_wire,
)
from real_env.xarm7 import DH, JOINT_LIMITS_RAD, MAX_JOINT_SPEED_RAD_S, NUM_JOINTS

VERSION = b"7,7,XS1304,AC1304,v2.5.0"  # axes, type, serial numbers of arm and box, firmware
SERIAL_NUMBERS = b"XS130400000000\0AC130400000000\0"
_TEXT_LENGTH = 40
_MAX_SENSITIVITY = 5
_ANGLES = 1
_SERVO_FACTOR = 1  # common parameter: servo mode's speed limit, as a factor of 1000 mm/s
_REDUNDANCY = 7
_ALL_AXES = 8


# -- identity, state, errors -----------------------------------------------------------------------------------------


@command(1)
def version(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return VERSION.ljust(_TEXT_LENGTH, b"\0")


@command(2)
def serial_numbers(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return SERIAL_NUMBERS.ljust(_TEXT_LENGTH, b"\0")


@command(10)
def system_control(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Shut down or reboot from remote; use the lab's control socket."""
    raise Refused


@command(11)
def enable_motion(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    axis = byte(payload)
    if not 1 <= axis <= _ALL_AXES:
        raise Refused
    box.enable(axis, on=bool(byte(payload, 1)))
    return bytes([box.enabled, box.enabled])


@command(18)
def set_brake(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Release a brake by hand: an arm without power would fall, the lab keeps it."""
    raise Refused


@command(12)
def set_state(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    if byte(payload) not in (0, 3, 4, 6):
        raise Refused
    box.set_state(byte(payload))
    return b""


@command(13)
def get_state(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return bytes([box.state])


@command(14)
def get_num_commands(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return struct.pack(">H", box.num_commands)


@command(15)
def get_error(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return bytes([box.error, box.warning])


@command(16)
def clean_error(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.clean_error()
    return b""


@command(17)
def clean_warning(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.warning = 0
    return b""


@command(19)
def set_mode(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    if byte(payload) not in MODES:
        raise Refused
    box.set_mode(byte(payload))
    return b""


@command(254)
def set_feedback(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Which unasked news the sender wants: a mask, 2 for "motion finished"."""
    sender.feedback_mask = byte(payload)
    return b""


@command(253)
def check_feedback(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Ask for one piece of feedback."""
    sender.finish()(0)
    return b""


# -- where the arm is ------------------------------------------------------------------------------------------------


@command(41)
def get_pose(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return packed(pose_to_wire(box.arm.pose()))


@command(91)
def get_pose_axis_angle(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return packed(pose_to_wire(box.arm.pose(), axis_angle=True))


@command(42)
def get_joints(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Planned angles; with a count, measured angles, speeds, torques."""
    if not payload:
        return packed(box.arm.angles_rad)
    reading = box.reading
    rows = (reading.angles_rad, reading.speeds_rad_s, reading.torques_nm)
    return packed(np.concatenate(rows[: min(max(payload[0] & 0x0F, _ANGLES), len(rows))]))


@command(55)
def get_torques(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return packed(box.reading.torques_nm)


@command(43)
def inverse_kinematics(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    reference = np.array(floats(payload, NUM_JOINTS, 25)) if len(payload) >= 53 else box.arm.angles_rad
    goal = pose_from_wire(floats(payload, 6))
    angles, ok = kinematics.solve(goal, reference, box.arm.tool, iterations=200)
    if not ok:
        raise Refused(packed(angles))
    return packed(angles)


@command(44)
def forward_kinematics(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return packed(pose_to_wire(box.arm.pose(np.array(floats(payload, NUM_JOINTS)))))


@command(45)
def is_outside_joint_limits(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    angles = np.array(floats(payload, NUM_JOINTS))
    return bytes([int(np.any((angles < JOINT_LIMITS_RAD[:, 0]) | (angles > JOINT_LIMITS_RAD[:, 1])))])


@command(46)
def is_outside_boundary(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return bytes([int(not box.inside_boundary(MM * np.array(floats(payload, 6)[:3])))])


@command(67)
def get_dh(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return packed(x for row in DH for x in (0.0, row.d_m / MM, row.alpha_rad, row.a_m / MM))


@command(76)
def pose_offset(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """The second of two poses as seen from the first."""
    values = floats(payload, 12)
    inward = bool(byte(payload, 48))
    first, second = (pose_from_wire(values[i : i + 6], axis_angle=inward) for i in (0, 6))
    return packed(pose_to_wire(np.linalg.inv(first) @ second, axis_angle=bool(byte(payload, 49))))


@command(231)
def max_joint_velocity(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return packed([MAX_JOINT_SPEED_RAD_S])


# -- tool, load, safety ----------------------------------------------------------------------------------------------


@command(35)
def set_tool(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    offset = tuple(floats(payload, 6))
    box.set_tool(pose_from_wire(offset), offset)
    return b""


@command(36)
def set_load(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.settings.load = tuple(floats(payload, 4))
    return b""


@command(37)
def set_collision_sensitivity(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    if byte(payload) > _MAX_SENSITIVITY:
        raise Refused
    box.set_collision_sensitivity(byte(payload))
    return b""


@command(38)
def set_teach_sensitivity(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    if byte(payload) > _MAX_SENSITIVITY:
        raise Refused
    box.settings.teach_sensitivity = byte(payload)
    return b""


@command(51)
def set_gravity(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.settings.gravity = tuple(floats(payload, 3))
    return b""


@command(52)
def set_boundary(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.settings.boundary_mm = tuple(integers(payload, 6))
    return b""


@command(78)
def set_collision_tool(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    count = (len(payload) - 1) // 4
    shape = floats(payload, count, 1) if count > 0 else []
    box.settings.collision_tool = (byte(payload), tuple((shape + [0.0] * 6)[:6]))
    return b""


@command(53)
def get_reduced(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    s = box.settings
    speeds = packed([s.reduced_tcp_speed_mm_s, s.reduced_joint_speed_rad_s])
    limits = packed(s.reduced_joint_range_rad)
    flags = bytes([s.fence, s.collision_rebound])
    return bytes([s.reduced]) + struct.pack(">6h", *s.boundary_mm) + speeds + limits + flags


@command(58)
def set_reduced_joint_range(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.settings.reduced_joint_range_rad = tuple(floats(payload, 2 * NUM_JOINTS))
    return b""


_FLAGS = {
    50: "reduced",
    59: "fence",
    60: "collision_rebound",
    66: "approximate_motion",
    70: "report_current",
    77: "self_collision_check",
    80: "continuous_velocity",
}
_NUMBERS = {
    31: "tcp_jerk_mm_s3",
    32: "tcp_max_acc_mm_s2",
    33: "joint_jerk_rad_s3",
    34: "joint_max_acc_rad_s2",
    47: "reduced_tcp_speed_mm_s",
    48: "reduced_joint_speed_rad_s",
}
_READABLE = {5: "report_current", 7: "approximate_motion", 49: "reduced"}


def _flag_setter(name: str):
    def set_flag(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        setattr(box.settings, name, bool(byte(payload)))
        return b""

    return set_flag


def _number_setter(name: str):
    def set_number(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        setattr(box.settings, name, floats(payload, 1)[0])
        return b""

    return set_number


def _flag_getter(name: str):
    def get_flag(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        return bytes([getattr(box.settings, name)])

    return get_flag


for _register, _name in _FLAGS.items():
    command(_register)(_flag_setter(_name))
for _register, _name in _NUMBERS.items():
    command(_register)(_number_setter(_name))
for _register, _name in _READABLE.items():
    command(_register)(_flag_getter(_name))


@command(39, 40)
def forget_or_save_settings(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """The lab has no permanent memory: accepted, and gone with the next boot."""
    return b""


@command(73)
def set_world_offset(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """The lab's base frame is the world; only the offset 0 is taken."""
    if any(floats(payload, 6)):
        raise Refused
    return b""


@command(79)
def set_simulation(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """In the vendor's simulation mode nothing moves; the lab has none."""
    if byte(payload):
        raise Refused
    return b""


@command(74)
def reset_counter(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.settings.counter = 0
    return b""


@command(75)
def count_up(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.settings.counter += 1
    return b""


# -- parameters by type ----------------------------------------------------------------------------------------------


@command(232)
def set_parameter(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    kind = byte(payload)
    box.settings.common[kind] = payload[1:]
    if kind == _SERVO_FACTOR:
        box.arm.servo_tcp_speed_m_s = max(floats(payload, 1, 1)[0], 0.0)
    return b""


@command(233)
def get_parameter(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    kind = byte(payload)
    if kind == _SERVO_FACTOR:
        return packed([box.arm.servo_tcp_speed_m_s])
    zeros = 14 if kind == _REDUNDANCY else 6
    return box.settings.common.get(kind, packed([0.0] * zeros))


# Not modelled: how many bytes the vendor's SDK reads of the answer.
_NOT_MODELLED = {
    3: 1,  # signature
    4: 0,  # reload dynamics
    6: 4,  # rotation radius of the tool
    **dict.fromkeys((61, 62, 63, 64), 0),  # trajectory records
    68: 1,  # other DH parameters
    **dict.fromkeys((71, 72), 0),  # timers
    105: 0,  # a servo's zero
    111: 12,
    112: 12,
    113: 12,
    114: 12,  # calibration of tool and world
    115: 4,  # identify friction
    150: 24,
    200: 24,  # force sensor: none is fitted
    203: 1,
    204: 40,  # identify the load
    212: 280,
    **dict.fromkeys((201, 202, 205, 206, 207, 208, 209, 210, 211), 0),
    230: 16,
    234: 40,  # information on a running trajectory
}


def _refuse(num_bytes: int):
    def refuse(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        raise Refused(bytes(num_bytes))

    return refuse


for _register, _num_bytes in _NOT_MODELLED.items():
    command(_register)(_refuse(_num_bytes))


_IDLE = {57: 1, 65: 1, 69: 1, 106: 16, 140: 6, 141: 2}  # answers that are zeros: safe level, idle records, ...


def _zeros(num_bytes: int):
    def answer(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        return bytes(num_bytes)

    return answer


for _register, _num_bytes in _IDLE.items():
    command(_register)(_zeros(_num_bytes))
