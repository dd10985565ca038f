"""The control box without its wire: states, modes, errors, settings, and a tick of 4 ms that moves the arm.

    registers.py calls its methods  ->  ControlBox.tick  ->  Plant (world.py)  ->  ControlBox.reading  ->  reports.py

Metres and radians; the wire's millimetres end in registers.py. Collisions are detected from the external torque of the
joints, which the lab knows exactly; thresholds by sensitivity are assumed (docs/lab.md), the vendor publishes none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from real_env.lab.codes import CUT_POWER, Ending, Fault, Mode, MotionFault, State
from real_env.lab.gripper import Gripper
from real_env.lab.modes import TICK_S, Arm, QueuePlan, make_plan
from real_env.lab.moves import JointMove, LineMove, Move
from real_env.lab.plant import Plant
from real_env.lab.ports import Ports
from real_env.xarm7 import JOINT_LIMITS_RAD, SERVO_TCP_SPEED_M_S

ALL_AXES = 8
ENABLED = 0xFF
MODES = frozenset(range(12))
# Assumed: external torque on any joint, in Nm, at which the box sees a collision; sensitivity 0 is off.
COLLISION_NM = (np.inf, 36.0, 26.0, 18.0, 12.0, 8.0)
COLLISION_TICKS = 3  # in a row: 12 ms
_YIELD_TICKS = 75  # after a collision the arm gives way for 0.3 s, then holds: what it met is not pressed any longer
NO_BOUNDARY_MM = (9999, -9999) * 3


@dataclass
class Settings:
    """What hosts set and read back, in the wire's units; nothing here moves the arm by itself."""

    tcp_offset: tuple[float, ...] = (0.0,) * 6  # mm, rad
    load: tuple[float, ...] = (0.0,) * 4  # kg, mm
    gravity: tuple[float, ...] = (0.0, 0.0, -1.0)
    collision_sensitivity: int = 3
    teach_sensitivity: int = 3
    collision_rebound: bool = False
    self_collision_check: bool = False
    collision_tool: tuple[int, tuple[float, ...]] = (0, (0.0,) * 6)
    fence: bool = False
    boundary_mm: tuple[int, ...] = NO_BOUNDARY_MM  # xmax, xmin, ymax, ymin, zmax, zmin
    reduced: bool = False
    reduced_tcp_speed_mm_s: float = 1000.0
    reduced_joint_speed_rad_s: float = float(np.pi)
    reduced_joint_range_rad: tuple[float, ...] = tuple(map(float, JOINT_LIMITS_RAD.ravel()))
    tcp_jerk_mm_s3: float = 1000.0
    tcp_max_acc_mm_s2: float = 50000.0
    joint_jerk_rad_s3: float = 20.0
    joint_max_acc_rad_s2: float = 20.0
    approximate_motion: bool = False
    report_current: bool = False
    continuous_velocity: bool = False
    counter: int = 0
    common: dict[int, bytes] = field(default_factory=dict)  # parameters of register 232 by type


class ControlBox:
    """One arm's control box."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.reading = plant.read()
        self.arm = Arm(self.reading.angles_rad)
        self.arm.servo_tcp_speed_m_s = SERVO_TCP_SPEED_M_S
        self.gripper = Gripper(self.reading.opening_m)
        self.collision_nm = list(COLLISION_NM)
        self.num_ticks = 0
        self.emergency_held = False
        self.errors: Counter[int] = Counter()  # how often each came since the lab started
        self.boot()

    def boot(self) -> None:
        """As after power on: settings and errors forgotten, motors off, the arm where it is."""
        self.settings = Settings()
        self.ports = Ports()
        self.state = State.STOPPED
        self.mode: int = Mode.QUEUE
        self.plan = make_plan(self.mode)
        self.error = 0
        self.warning = 0
        self.enabled = 0
        self.num_hits = 0  # ticks in a row with too much external torque
        self._ticks_to_yield = 0
        self.last_collision: tuple[int, float, float] | None = None  # joint, torque expected and found, in Nm
        self.arm.tool = np.eye(4)
        self.arm.servo_tcp_speed_m_s = SERVO_TCP_SPEED_M_S
        self.gripper.boot()
        self.hold()
        if self.emergency_held:
            self.fault(Fault.EMERGENCY_STOP)

    @property
    def time_us(self) -> int:
        """Lab time since the lab started."""
        return round(self.num_ticks * TICK_S * 1e6)

    @property
    def status(self) -> int:
        """The status byte of a reply: error 0x40, warning 0x20, does not move 0x10."""
        stopped = 0x10 if self.state >= State.STOPPED else 0
        return (0x40 if self.error else 0) | (0x20 if self.warning else 0) | stopped

    @property
    def num_commands(self) -> int:
        """Moves in the queue, the present one included."""
        return len(self.plan) if isinstance(self.plan, QueuePlan) else 0

    @property
    def can_move(self) -> bool:
        return self.state < State.STOPPED and self.enabled == ENABLED and not self.error

    # -- time --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Advance by 4 ms of lab time."""
        self.num_ticks += 1
        if self._ticks_to_yield:  # moves that a quick host asks for meanwhile begin afterwards
            self._ticks_to_yield -= 1
            self.hold()
        elif self.can_move:
            self._advance()
        opening_m = self.gripper.tick(self.reading.opening_m, self.reading.opening_speed_m_s)
        self.plant.step(self.arm.angles_rad, opening_m, TICK_S)
        self.reading = self.plant.read()
        self._watch_torque()

    def _advance(self) -> None:
        try:
            moving = self.plan.advance(self.arm)
        except MotionFault as stop:
            self.fault(stop.fault)
            return
        if self.state != State.PAUSED:
            self.state = State.MOVING if moving else State.READY
        if self.settings.fence and self._outside_boundary():
            self.fault(Fault.FENCE)

    def _outside_boundary(self) -> bool:
        return not self.inside_boundary(self.arm.pose()[:3, 3])

    def inside_boundary(self, position_m: np.ndarray) -> bool:
        """Is a position (3,) of the tool centre within the box that the host has set?"""
        high_mm = np.array(self.settings.boundary_mm[0::2])
        low_mm = np.array(self.settings.boundary_mm[1::2])
        position_mm = 1e3 * position_m
        return tuple(self.settings.boundary_mm) == NO_BOUNDARY_MM or bool(
            np.all(position_mm <= high_mm) and np.all(position_mm >= low_mm)
        )

    def _watch_torque(self) -> None:
        threshold_nm = self.collision_nm[self.settings.collision_sensitivity]
        too_much = not self._ticks_to_yield and float(np.abs(self.reading.external_nm).max()) > threshold_nm
        self.num_hits = self.num_hits + 1 if too_much else 0
        if self.num_hits >= COLLISION_TICKS and self.enabled == ENABLED and not self.error:
            joint = int(np.abs(self.reading.external_nm).argmax())
            actual_nm = float(self.reading.torques_nm[joint])
            self.last_collision = (joint + 1, actual_nm - float(self.reading.external_nm[joint]), actual_nm)
            self.fault(Fault.COLLISION)
            self._ticks_to_yield = _YIELD_TICKS

    # -- what stops it -----------------------------------------------------------------------------------------------

    def fault(self, code: int) -> None:
        """Stop with an error and hold where the arm really is; some errors cut the motors' power (brakes hold)."""
        self.error = int(code)
        self.errors[self.error] += 1
        self._stop(Ending.FAILED)
        if code in CUT_POWER:
            self.enabled = 0
        if code in CUT_POWER or code == Fault.END_EFFECTOR:
            self.gripper.enabled = False

    def press_emergency_stop(self, *, held: bool) -> None:
        """Push the red button, or turn it free again (the error stays until it is cleaned)."""
        self.emergency_held = held
        if held:
            self.fault(Fault.EMERGENCY_STOP)

    def _stop(self, ending: Ending) -> None:
        self.plan.stop(ending)
        self.state = State.STOPPED
        self.num_hits = 0
        self.hold()

    def hold(self) -> None:
        """Plan to stay where the arm really is."""
        self.arm.angles_rad = self.reading.angles_rad.copy()

    def _change(self) -> None:
        """After a change of mode or of a setting that motion depends on, until set_state(0)."""
        self.plan.stop(Ending.DISCARDED)
        if self.state < State.STOPPED:
            self.state = State.CHANGED

    # -- what hosts ask for ------------------------------------------------------------------------------------------

    def enable(self, axis: int, *, on: bool) -> None:
        """Switch the motors of an axis, or of all (8)."""
        mask = ENABLED if axis == ALL_AXES else 1 << (axis - 1)
        before = self.enabled
        if not self.emergency_held and self.error not in CUT_POWER:
            self.enabled = self.enabled | mask if on else self.enabled & ~mask
        if self.enabled != before:
            self.plan.stop(Ending.DISCARDED)
            self.hold()
            self.state = State.CHANGED if self.enabled == ENABLED and not self.error else State.STOPPED

    def set_state(self, state: int) -> None:
        """0 go on, 3 pause, 4 stop, 6 brake."""
        if state == 0:
            self._start()
        elif state == State.PAUSED and self.state < State.PAUSED and isinstance(self.plan, QueuePlan):
            self.plan.paused = True
            self.state = State.PAUSED
        elif state in (State.STOPPED, State.DECELERATING):
            self._stop(Ending.DISCARDED)

    def _start(self) -> None:
        if self.error or self.enabled != ENABLED:
            self.state = State.STOPPED
        elif self.state == State.PAUSED and isinstance(self.plan, QueuePlan):
            self.plan.paused = False
            self.state = State.MOVING if self.num_commands else State.READY
        elif self.state >= State.STOPPED:
            self.hold()
            self.state = State.READY

    def set_mode(self, mode: int) -> None:
        """Take another mode; the arm stays until set_state(0)."""
        self._change()
        self.mode = mode
        self.plan = make_plan(mode)

    def set_tool(self, tool: np.ndarray, offset: tuple[float, ...]) -> None:
        """Take a tool centre (4, 4) in the flange frame, and the numbers that the host wrote it in."""
        self._change()
        self.arm.tool = tool
        self.settings.tcp_offset = offset

    def set_collision_sensitivity(self, value: int) -> None:
        self._change()
        self.settings.collision_sensitivity = value

    def clean_error(self) -> None:
        """Forget the error; a held emergency stop comes back at once. The state stays stopped."""
        had_error = bool(self.error)
        self.error = 0
        if had_error:
            self._stop(Ending.DISCARDED)
        if self.emergency_held:
            self.fault(Fault.EMERGENCY_STOP)

    def move(self, move: Move) -> None:
        """Take a move in the modes that take one; in others, and while the box does not move, it is discarded."""
        if not self.can_move:
            move.finish(Ending.DISCARDED)
            return
        try:
            self._take(move)
        except MotionFault as stop:
            move.finish(Ending.FAILED)
            self.fault(stop.fault)

    def _take(self, move: Move) -> None:
        if isinstance(self.plan, QueuePlan):
            self.plan.add(move, self.arm)
        elif (self.mode == Mode.ONLINE_JOINT and isinstance(move, JointMove)) or (
            self.mode == Mode.ONLINE_CARTESIAN and isinstance(move, LineMove)
        ):
            self.plan.aim(move, self.arm)  # type: ignore[attr-defined]
        else:
            move.finish(Ending.DISCARDED)
            return
        if self.state != State.PAUSED:
            self.state = State.MOVING
