"""What can go wrong with a robot: one kind for each cause, what follows from it, and who must act.

    controller's error code | SDK's return code | a camera's silence  ->  RobotFault(kind)  ->  RULES[kind]

Codes are those of the vendor's SDK (core/config/x_code.py): C1 to C3 emergency stop, C10 to C17 a joint's drive, C19
and C28 the tool's wiring, C21 to C24 planning, C31 collision, C35 safety boundary, C60 speed in servo mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iker_envs.world import Fault, WorldFault


class Kind(StrEnum):
    """Every reason for which an episode on a robot is cut short."""

    COLLISION = "collision"
    EMERGENCY_STOP = "emergency_stop"
    DRIVE = "drive"
    KINEMATICS = "kinematics"
    SELF_COLLISION = "self_collision"
    JOINT_LIMIT = "joint_limit"
    JOINT_SPEED = "joint_speed"
    BOUNDARY = "boundary"
    SERVO_SPEED = "servo_speed"
    CONTROLLER = "controller"
    LINK = "link"
    FOREIGN = "foreign"
    TRACKING = "tracking"
    GRIPPER = "gripper"
    UNREACHABLE = "unreachable"
    SILENT_POLICY = "silent_policy"
    OVERLOADED = "overloaded"
    CAMERA_MISSING = "camera_missing"
    CAMERA_STALE = "camera_stale"
    CAMERA_CHANGED = "camera_changed"
    CALIBRATION = "calibration"
    PERCEPTION = "perception"
    INTERRUPTED = "interrupted"


class Recovery(StrEnum):
    """What is tried after a fault, once and within a deadline."""

    RETREAT = "retreat"  # clear the error, enable, and go back along the travelled path
    READY = "ready"  # clear the error, enable, and hold still
    RECONNECT = "reconnect"  # wait for the link, then as READY
    HOLD = "hold"  # the arm has no error: it holds its position
    PERSON = "person"  # nothing: somebody must act first


@dataclass(frozen=True)
class Rule:
    """What a kind means, what is tried, and what a person is told if that does not help, or is not allowed."""

    what: str
    recovery: Recovery
    action: str


_LOOK = "look what the arm touches, free it by hand, then reset"
RULES: dict[Kind, Rule] = {
    Kind.COLLISION: Rule("the arm stopped because it felt a collision", Recovery.RETREAT, _LOOK),
    Kind.EMERGENCY_STOP: Rule(
        "the emergency stop is pressed", Recovery.PERSON, "make the cell safe, release the button, then reset"
    ),
    Kind.DRIVE: Rule(
        "a joint's drive reports an error",
        Recovery.PERSON,
        "switch the control box off and on; if it stays, call UFACTORY",
    ),
    Kind.KINEMATICS: Rule(
        "the control box found no joint angles", Recovery.READY, "drive the arm home in UFACTORY Studio"
    ),
    Kind.SELF_COLLISION: Rule(
        "the arm would have touched itself", Recovery.RETREAT, "drive the arm home in UFACTORY Studio"
    ),
    Kind.JOINT_LIMIT: Rule(
        "a joint would have left its range", Recovery.RETREAT, "drive the arm home in UFACTORY Studio"
    ),
    Kind.JOINT_SPEED: Rule("a joint would have turned too fast", Recovery.READY, "lower the caps in robot.yaml"),
    Kind.BOUNDARY: Rule(
        "the tool left the safety boundary of the control box",
        Recovery.RETREAT,
        "move the arm back inside by hand, or widen the boundary in UFACTORY Studio",
    ),
    Kind.SERVO_SPEED: Rule("the tool would have moved too fast", Recovery.READY, "lower the caps in robot.yaml"),
    Kind.CONTROLLER: Rule(
        "the control box reports an error", Recovery.PERSON, "look the code up in UFACTORY's manual, clear it in Studio"
    ),
    Kind.LINK: Rule(
        "the control box did not answer", Recovery.RECONNECT, "check cable, power and arm.ip of robot.yaml, then reset"
    ),
    Kind.FOREIGN: Rule(
        "somebody else commands the arm",
        Recovery.HOLD,
        "close UFACTORY Studio and other programs on this arm, then reset",
    ),
    Kind.TRACKING: Rule("the arm is not where it was sent", Recovery.HOLD, _LOOK),
    Kind.GRIPPER: Rule("the gripper reports an error", Recovery.READY, "check the gripper's cable and what it holds"),
    Kind.UNREACHABLE: Rule(
        "no safe way leads to where the arm should go", Recovery.HOLD, "move what is in the way, then reset"
    ),
    Kind.SILENT_POLICY: Rule("no command came in time", Recovery.HOLD, "let the policy act without pauses"),
    Kind.OVERLOADED: Rule(
        "this computer did not keep up with the set points", Recovery.HOLD, "end other programs on it, then reset"
    ),
    Kind.CAMERA_MISSING: Rule("a camera is not there", Recovery.HOLD, "check its cable and its serial in robot.yaml"),
    Kind.CAMERA_STALE: Rule(
        "a camera's picture is old", Recovery.HOLD, "plug the camera in again, on a USB 3 port of its own"
    ),
    Kind.CAMERA_CHANGED: Rule(
        "a camera sees with other settings than it was calibrated with",
        Recovery.HOLD,
        "restore them, or calibrate again",
    ),
    Kind.CALIBRATION: Rule("the calibration does not fit", Recovery.HOLD, "run iker calibrate"),
    Kind.PERCEPTION: Rule("the objects' poses are not known", Recovery.HOLD, "bring the objects into view, then reset"),
    Kind.INTERRUPTED: Rule("the program was interrupted", Recovery.HOLD, "start again; the arm held its position"),
}
_RANGES = {
    Kind.EMERGENCY_STOP: (1, 2, 3),
    Kind.DRIVE: tuple(range(10, 18)),
    Kind.GRIPPER: (19, 28),
    Kind.KINEMATICS: (21, 40),
    Kind.SELF_COLLISION: (22,),
    Kind.JOINT_LIMIT: (23,),
    Kind.JOINT_SPEED: (24,),
    Kind.COLLISION: (31,),
    Kind.BOUNDARY: (35,),
    Kind.SERVO_SPEED: (60,),
}
_KIND_OF_CODE = {code: kind for kind, codes in _RANGES.items() for code in codes}


class RobotFault(WorldFault):
    """Something stopped the robot; `kind` says what, `detail` adds the code or the number."""

    def __init__(self, kind: Kind, detail: str = "", *, code: int = 0, recovered: bool = False) -> None:
        rule = RULES[kind]
        self.kind = kind
        self.code = code  # of the control box, 0 for none
        self.detail = detail
        told = ", ".join(part for part in (f"C{code}" if code else "", detail) if part)
        message = f"{rule.what} ({told})" if told else rule.what
        super().__init__(Fault(kind.value, message, recovered, "" if recovered else rule.action))

    @property
    def rule(self) -> Rule:
        """What follows from it."""
        return RULES[self.kind]

    def after_recovery(self) -> RobotFault:
        """The same, with the arm ready again."""
        return RobotFault(self.kind, self.detail, code=self.code, recovered=True)


def fault_of_code(code: int, detail: str = "") -> RobotFault:
    """The fault that an error code of the control box stands for; unknown ones wait for a person."""
    return RobotFault(_KIND_OF_CODE.get(code, Kind.CONTROLLER), detail, code=code)
