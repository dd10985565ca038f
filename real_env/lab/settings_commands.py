"""Commands that set the box up: tool, load, safety, parameters; and those that the lab does not model.

What is not modelled (trajectory records, force sensor, load and friction identification, calibration, world offset,
simulation mode) is refused with "invalid" and as many zero bytes as the vendor's SDK reads.
"""

from __future__ import annotations

import struct

from real_env.lab.box import ControlBox
from real_env.lab.commands import Handler, Refused, Sender, byte, command, floats, integers, packed, pose_from_wire
from real_env.xarm7 import NUM_JOINTS

_MAX_SENSITIVITY = 5
_SERVO_FACTOR = 1  # common parameter: servo mode's speed limit, as a factor of 1000 mm/s
_REDUNDANCY = 7
_LAST_COLLISION = 101
_DETAILS_LENGTH = 40


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


def _flag_setter(name: str) -> Handler:
    def set_flag(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        setattr(box.settings, name, bool(byte(payload)))
        return b""

    return set_flag


def _number_setter(name: str) -> Handler:
    def set_number(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        setattr(box.settings, name, floats(payload, 1)[0])
        return b""

    return set_number


def _flag_getter(name: str) -> Handler:
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


@command(234)
def get_details(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """What is known of the last error of a kind: of a collision the joint, the torque expected and the one found."""
    if byte(payload) != _LAST_COLLISION or box.last_collision is None:
        raise Refused(bytes(_DETAILS_LENGTH))
    joint, expected_nm, found_nm = box.last_collision
    return bytes([joint]) + packed([expected_nm, found_nm])


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
}


def _refuse(num_bytes: int) -> Handler:
    def refuse(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        raise Refused(bytes(num_bytes))

    return refuse


for _register, _num_bytes in _NOT_MODELLED.items():
    command(_register)(_refuse(_num_bytes))


_IDLE = {57: 1, 65: 1, 69: 1, 106: 16, 140: 6, 141: 2}  # answers that are zeros: safe level, idle records, ...


def _zeros(num_bytes: int) -> Handler:
    def answer(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
        return bytes(num_bytes)

    return answer


for _register, _num_bytes in _IDLE.items():
    command(_register)(_zeros(_num_bytes))
