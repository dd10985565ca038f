"""Commands that move the arm: lines, joint moves, arcs, servo set points, velocities.

A coordinate of +inf means "as it is at the end of what was asked for before". `only_check` makes the box plan a move
and answer whether it could, without moving.
"""

from __future__ import annotations

import numpy as np

from real_env import kinematics
from real_env.lab.box import ControlBox
from real_env.lab.codes import Mode, MotionFault, State
from real_env.lab.commands import (
    MM,
    Refused,
    Sender,
    byte,
    command,
    floats,
    integers,
    pose_from_wire,
    pose_to_wire,
)
from real_env.lab.modes import CartesianVelocityPlan, JointVelocityPlan, QueuePlan, ServoPlan
from real_env.lab.moves import ArcMove, JointMove, Limits, LineMove, Move, Posture, Rest, solved
from real_env.xarm7 import NUM_JOINTS

_BASE_FRAME = 0
_CHECKED = 3  # bytes of a reply to a command that can be only checked; the last one is the result


def _last(box: ControlBox) -> Posture:
    return box.plan.last(box.arm) if isinstance(box.plan, QueuePlan) else box.arm.posture()


def _submit(box: ControlBox, move: Move, only_check: int) -> bytes:
    """Give the box a move, or only say what would become of it: 0, or the error."""
    if only_check:
        try:
            move.end(_last(box), box.arm.tool)
        except MotionFault as stop:
            return bytes([0, 0, stop.fault])
    else:
        box.move(move)
    return bytes(_CHECKED)


def _pose_goal(box: ControlBox, values: list[float], *, axis_angle: bool) -> np.ndarray:
    """A pose (4, 4) in the base frame with what was left out taken from where the arm will be."""
    here = pose_to_wire(_last(box).pose, axis_angle=axis_angle)
    return pose_from_wire(np.where(np.isinf(values), here, values), axis_angle=axis_angle)


def _relative_goal(box: ControlBox, values: list[float], *, axis_angle: bool) -> np.ndarray:
    """Moved by x, y, z and turned, both in base axes."""
    here = _last(box).pose
    step = pose_from_wire(values, axis_angle=axis_angle)
    return kinematics.matrix(here[:3, 3] + step[:3, 3], step[:3, :3] @ here[:3, :3])


def _line(box: ControlBox, goal: np.ndarray, speed: float, acceleration: float, sender: Sender) -> LineMove:
    return LineMove(goal, Limits.line(MM * speed, MM * acceleration), sender.finish())


@command(21)
def move_line(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """To a pose in base axes, or by one in tool axes. Newer hosts add a blending radius and three bytes."""
    x = floats(payload, 8)
    newer = len(payload) >= 43
    in_tool = newer and payload[40] != _BASE_FRAME
    axis_angle = newer and bool(payload[41])
    if in_tool:
        goal = _last(box).pose @ pose_from_wire(x[:6], axis_angle=axis_angle)
    else:
        goal = _pose_goal(box, x[:6], axis_angle=axis_angle)
    only_check = payload[42] if newer else byte(payload, 36, 0)
    return _submit(box, _line(box, goal, x[6], x[7], sender), only_check)


@command(22)
def move_line_blended(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    x = floats(payload, 8)
    move = _line(box, _pose_goal(box, x[:6], axis_angle=False), x[6], x[7], sender)
    return _submit(box, move, byte(payload, 40, 0))


@command(28)
def move_line_in_tool_axes(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    x = floats(payload, 8)
    move = _line(box, _last(box).pose @ pose_from_wire(x[:6]), x[6], x[7], sender)
    return _submit(box, move, byte(payload, 36, 0))


@command(92)
def move_line_axis_angle(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    x = floats(payload, 8)
    if byte(payload, 36) != _BASE_FRAME:
        goal = _last(box).pose @ pose_from_wire(x[:6], axis_angle=True)
    elif byte(payload, 37):
        goal = _relative_goal(box, x[:6], axis_angle=True)
    else:
        goal = _pose_goal(box, x[:6], axis_angle=True)
    return _submit(box, _line(box, goal, x[6], x[7], sender), byte(payload, 38, 0))


def _joint_move(angles: np.ndarray, speed: float, acceleration: float, sender: Sender) -> JointMove:
    return JointMove(np.array(angles, dtype=float), Limits.joint(speed, acceleration), sender.finish())


@command(23, 24)
def move_joints(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    x = floats(payload, 9)
    goal = np.where(np.isinf(x[:7]), _last(box).angles_rad, x[:7])
    return _submit(box, _joint_move(goal, x[7], x[8], sender), byte(payload, 40, 0))


@command(25)
def go_home(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """All joints to zero."""
    speed, acceleration = floats(payload, 2)
    return _submit(box, _joint_move(np.zeros(NUM_JOINTS), speed, acceleration, sender), byte(payload, 12, 0))


@command(83)
def move_relative(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    x = floats(payload, 9)
    if byte(payload, 44):
        move: Move = _joint_move(_last(box).angles_rad + np.array(x[:7]), x[7], x[8], sender)
    else:
        goal = _relative_goal(box, x[:6], axis_angle=bool(byte(payload, 45)))
        move = _line(box, goal, x[7], x[8], sender)
    return _submit(box, move, byte(payload, 46, 0))


@command(27)
def move_circle(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """By a share (percent) of the circle through the present place and two others; the tool does not turn."""
    x = floats(payload, 16)
    newer = len(payload) >= 67
    if newer and payload[64] != _BASE_FRAME:
        raise Refused(bytes(_CHECKED))
    move = ArcMove(
        MM * np.array(x[:3]),
        MM * np.array(x[6:9]),
        x[15] / 100,
        Limits.line(MM * x[12], MM * x[13]),
        sender.finish(),
    )
    return _submit(box, move, payload[66] if newer else byte(payload, 64, 0))


@command(26)
def rest(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Nothing for some seconds, in the queue of moves."""
    seconds = floats(payload, 1)[0]
    if not 0 <= seconds < np.inf:
        raise Refused
    box.move(Rest(seconds, sender.finish()))
    return b""


@command(29)
def servo_joints(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """A joint set point; the box ignores its speed, acceleration and time."""
    angles = np.array(floats(payload, NUM_JOINTS))
    _servo(box, angles)
    return b""


def _servo(box: ControlBox, angles: np.ndarray) -> None:
    if box.can_move and isinstance(box.plan, ServoPlan):
        box.plan.aim(angles)
        box.state = State.MOVING


@command(30)
def servo_pose(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    x = floats(payload, 9)
    _servo_to(box, x[:6], in_tool=bool(x[8]), relative=False, axis_angle=False)
    return b""


@command(93)
def servo_pose_axis_angle(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    values = floats(payload, 6)
    in_tool = bool(integers(payload, 1, 32)[0])
    _servo_to(box, values, in_tool=in_tool, relative=bool(byte(payload, 36)), axis_angle=True)
    return b""


def _servo_to(box: ControlBox, values: list[float], *, in_tool: bool, relative: bool, axis_angle: bool) -> None:
    if not (box.can_move and isinstance(box.plan, ServoPlan)):
        return
    if in_tool:
        goal = box.arm.pose() @ pose_from_wire(values, axis_angle=axis_angle)
    elif relative:
        goal = _relative_goal(box, values, axis_angle=axis_angle)
    else:
        goal = _pose_goal(box, values, axis_angle=axis_angle)
    try:
        _servo(box, solved(goal, box.arm.angles_rad, box.arm.tool))
    except MotionFault as stop:
        box.fault(stop.fault)


@command(81)
def joint_velocity(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Joint speeds, and for how long (a watchdog of the box)."""
    _velocity(box, Mode.JOINT_VELOCITY, np.array(floats(payload, 7)), _duration_s(payload, 29))
    return b""


@command(82)
def tool_velocity(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Velocity of the tool centre in base axes (mm/s, rad/s) or in tool axes, and for how long."""
    velocity = np.array(floats(payload, 6))
    velocity[:3] *= MM
    if byte(payload, 24):
        velocity = np.concatenate([box.arm.pose()[:3, :3] @ velocity[:3], box.arm.pose()[:3, :3] @ velocity[3:]])
    _velocity(box, Mode.CARTESIAN_VELOCITY, velocity, _duration_s(payload, 25))
    return b""


def _duration_s(payload: bytes, offset: int) -> float:
    return floats(payload, 1, offset)[0] if len(payload) >= offset + 4 else 0.0


def _velocity(box: ControlBox, mode: Mode, speed: np.ndarray, duration_s: float) -> None:
    plan = box.plan
    if box.can_move and box.mode == mode and isinstance(plan, (JointVelocityPlan, CartesianVelocityPlan)):
        plan.aim(speed, duration_s)
        box.state = State.MOVING
