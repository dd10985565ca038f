"""Commands that ask the box who and where it is: identity, state, errors, joints, poses, kinematics."""

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
    packed,
    pose_from_wire,
    pose_to_wire,
)
from real_env.xarm7 import DH, JOINT_LIMITS_RAD, MAX_JOINT_SPEED_RAD_S, NUM_JOINTS

VERSION = b"7,7,XS1304,AC1304,v2.5.0"  # axes, type, serial numbers of arm and box, firmware
SERIAL_NUMBERS = b"XS130400000000\0AC130400000000\0"
_TEXT_LENGTH = 40
_ANGLES = 1
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
