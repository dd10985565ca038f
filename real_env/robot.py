"""Arm, kinematics, set points and their guards put together: what an environment asks of a robot, and what stops it.

    Robot.arrive(joints | pose)  ->  checked free move     Robot.tick(pose)  ->  one tick of a policy
    Robot.pick_up, release       ->  scripted motions      Robot.recover(fault)  ->  the fault, recovered or not

All motion is joint set points in servo mode; a free move is a path that was checked before. Any method may raise a
RobotFault, after which no set point is sent until `recover` has made the arm ready.
"""

from __future__ import annotations

import contextlib
import time

import numpy as np

from iker_envs.geometry import body_axis
from iker_envs.planning.fingertips import tops_of
from iker_envs.planning.hand import FINGER_STIFFNESS, GRIP_FORCE_N, MAX_OPENING_M
from iker_envs.scene import Scene
from iker_envs.spec import Spec
from real_env.arm import Arm
from real_env.config import RealConfig
from real_env.faults import Kind, Recovery, RobotFault
from real_env.ik import HostIK, tool_pose
from real_env.planned import Planner, timed
from real_env.safety import Guard
from real_env.stream import PERIOD_S, Line, Path, Stream, StreamStatistics
from real_env.touch import Touch

RETREAT_M = 0.12  # as in simulation: how far the hand backs off along its approach axis
POINTS_PER_TICK = round(1.0 / Spec.control_hz / PERIOD_S)
_APPROACH_TICKS = 6  # as far as nothing can be in the way
_FEELING_M = 0.002  # then in steps so small that what a finger meets is felt before it counts as a collision
_REST_S = 0.06  # until the servos stand still
_TOUCHED_N = 8.0
_SHIFTS = 3
_SHIFT_M = 0.008
_CLOSE_TICKS = 8
_GRIP_TICKS = 2
_WITHDRAW_TICKS = 6
_OPEN_TICKS = 6
_ASTRAY_RAD = 0.35  # a joint so far from its set point is not lagging (3 set points at full speed), it is held
_RECONNECT_S = 12.0  # of the wall at least: one attempt of the SDK takes up to 5 s
_BACK_POINTS = 100  # of a retreat along the travelled path, 1 s at most
_BACK_M = 0.06
_BACK_HOLDING_M = 0.01
_HOLDS_READY = (Kind.SILENT_POLICY, Kind.UNREACHABLE, Kind.OVERLOADED)  # the arm obeys: nothing is left to do
_PRESSED_M = 0.003  # set points so near to where the arm was stopped may press on what stopped it


class Robot:
    """One arm; connects when it is made. `usable` is False while only a person can help."""

    def __init__(self, config: RealConfig) -> None:
        self.config = config
        self.arm = Arm(config)
        self.ik = HostIK(PERIOD_S)
        self.home_rad = np.array(config.home_joints_rad)
        self.look_rad = np.array(config.look_joints_rad)
        self.ik.set_posture(self.home_rad)
        self.guard = Guard()
        self.touch = Touch()
        self.stream = Stream(self.arm, self.ik, config)
        self._planner = Planner(self.ik, self.home_rad)
        self._line_end: np.ndarray | None = None  # where the last line of a policy got to
        self.opening_m = 0.0  # last asked of the fingers
        self.holds = False  # is something in the hand?
        self.usable = False

    # -- beginning and ending motion -----------------------------------------------------------------------------

    def wake(self) -> None:
        """Be in servo mode with set points flowing from where the arm is."""
        if self.stream.running:
            return
        self.arm.ready()
        self.usable = True
        self.stream.start(self.arm.planned_joints())
        self._line_end = None

    def hold(self) -> None:
        """No more set points; the arm holds its position."""
        self.stream.halt()

    @property
    def rests(self) -> bool:
        """Was it told to hold, or never to move, and has nothing gone wrong with its set points since?"""
        return not self.stream.running and self.stream.fault is None

    def close(self) -> None:
        """Hold, and hang up. May be called again."""
        self.stream.halt()
        self.arm.close()

    def measured_pose(self) -> np.ndarray:
        """The end effector's pose (7,) by the measured joints."""
        return tool_pose(self.arm.joints())

    def statistics(self) -> StreamStatistics:
        """How punctual the set points were."""
        return self.stream.statistics()

    # -- free moves ----------------------------------------------------------------------------------------------

    def arrive(self, goal: np.ndarray, scene: Scene, opening_m: float, *, is_pose: bool) -> None:
        """Move the empty hand to a pose (7,) or to joints (7,), along a way that is free in this scene."""
        self.hold()
        self.arm.check_error()
        path = self._planner.plan(self.arm.joints(), goal, scene, opening_m, is_pose=is_pose)
        self.wake()
        self.grip(opening_m)
        self.stream.carry_out(Path(path))
        self.guard.tops = tops_of(scene)
        self.guard.lift_m = 0.0
        self.holds = False
        self._line_end = tool_pose(self.stream.joints_rad)
        self.check()

    # -- ticks ---------------------------------------------------------------------------------------------------

    def tick(self, pose: np.ndarray) -> None:
        """Go straight to a pose (7,) within a tick, the tips guarded; returns when its last set point is sent."""
        start = self._line_end if self._line_end is not None else tool_pose(self.stream.joints_rad)
        line = Line(self.ik, self.guard, start, pose, self.opening_m, POINTS_PER_TICK)
        self.stream.carry_out(line)
        self._line_end = line.reached

    def check(self, *, gripper: bool = False) -> np.ndarray:
        """The measured joints (7,); RobotFault if the arm has an error, is not ours, or is not where it was sent."""
        self.arm.check_ours()
        if gripper:
            self.arm.check_gripper()
        joints = self.arm.joints()
        astray = np.abs(joints - self.stream.joints_rad)
        if astray.max() > _ASTRAY_RAD:
            joint = int(np.argmax(astray)) + 1
            raise RobotFault(Kind.TRACKING, f"joint {joint} is {astray.max():.2f} rad from its set point")
        return joints

    def grip(self, opening_m: float) -> None:
        """Send the fingers to a distance from each other."""
        self.arm.move_gripper(opening_m)
        self.opening_m = opening_m

    # -- scripted motions ----------------------------------------------------------------------------------------

    def approach_and_close(self, tcp: np.ndarray, width_m: float) -> np.ndarray:
        """From behind a grasp's pose (7,), where the open hand is: go there in a line and close on a width.

        Where a finger meets something on the way, the hand goes back and comes again further to that side. Returns the
        pose (7,) in which it closed.
        """
        sideways = body_axis(tcp[3:], 1)
        for _ in range(_SHIFTS):
            lever_m = self._comes_to(tcp)
            if lever_m is None:
                break
            self.tick(moved_back(tcp, RETREAT_M / 2))
            self.tick(moved_back(tcp, RETREAT_M))
            tcp = np.concatenate([tcp[:3] + np.sign(lever_m @ sideways) * _SHIFT_M * sideways, tcp[3:]])
            self.tick(moved_back(tcp, RETREAT_M))
        self.holds = True
        squeezed_m = max(width_m - 2 * GRIP_FORCE_N / FINGER_STIFFNESS, 0.0)
        for opening_m in np.linspace(MAX_OPENING_M, squeezed_m, _CLOSE_TICKS + 1)[1:]:
            self.grip(float(opening_m))
            self.tick(tcp)
        for _ in range(_GRIP_TICKS):
            self.tick(tcp)
        return tcp

    def _comes_to(self, tcp: np.ndarray) -> np.ndarray | None:
        """Go along the approach axis to a pose (7,), the last half feeling the way.

        None if it is free, else where something is in the way, (3,) in metres from the tool centre; there it stops.
        """
        for back in np.linspace(RETREAT_M, RETREAT_M / 2, _APPROACH_TICKS + 1):
            self.tick(moved_back(tcp, float(back)))
        self.wait(_REST_S)
        self.touch.tare(self.check(), self.arm.torques_nm())
        for back in np.linspace(RETREAT_M / 2, 0.0, round(RETREAT_M / 2 / _FEELING_M) + 1)[1:]:
            self.tick(moved_back(tcp, float(back)))
            self.wait(_REST_S)
            force_N, lever_m = self.touch.feel(self.check(), self.arm.torques_nm())
            if -force_N @ body_axis(tcp[3:], 2) > _TOUCHED_N:
                return lever_m
        return None

    def withdraw(self, pose: np.ndarray) -> None:
        """Back off by 12 cm along the approach axis from a pose (7,)."""
        for back in (*np.linspace(0.0, RETREAT_M, _WITHDRAW_TICKS + 1)[1:], RETREAT_M):
            self.tick(moved_back(pose, back))
        self.check()

    def release(self, pose: np.ndarray) -> None:
        """Open the fingers where the hand is, at a pose (7,)."""
        self.holds = False
        for opening_m in np.linspace(self.opening_m, MAX_OPENING_M, _OPEN_TICKS + 1)[1:]:
            self.grip(float(opening_m))
            self.tick(pose)

    def wait(self, seconds: float) -> None:
        """Let time of the robot's clock pass."""
        time.sleep(seconds / self.config.clock)

    # -- faults --------------------------------------------------------------------------------------------------

    def recover(self, fault: RobotFault) -> RobotFault:
        """Try what the fault's rule allows, once; the fault, with `recovered` if the arm is ready again."""
        self.stream.halt()
        travelled = [*self.stream.travelled, self.stream.joints_rad]
        rule = fault.rule
        if rule.recovery in (Recovery.PERSON, Recovery.HOLD):
            self.usable = rule.recovery is Recovery.HOLD and fault.kind not in (Kind.FOREIGN, Kind.TRACKING)
            return fault.after_recovery() if fault.kind in _HOLDS_READY else fault
        self.usable = False
        try:
            if rule.recovery is Recovery.RECONNECT:
                self.arm.reconnect(_RECONNECT_S / min(1.0, self.config.clock))
            self.arm.ready()
            if rule.recovery is Recovery.RETREAT:
                self._go_back(travelled)
        except RobotFault as second:
            self.stream.halt()
            told = ", ".join(part for part in (fault.detail, f"and recovery failed: {second.fault.message}") if part)
            return RobotFault(fault.kind, told, code=fault.code)
        except BaseException:  # a person interrupts: the way back ends here
            self.stream.halt()
            raise
        self.usable = True
        return fault.after_recovery()

    def _go_back(self, travelled: list[np.ndarray]) -> None:
        """Along what was travelled, until the tool is 6 cm from where that is nearest to where the arm is now.

        1 cm with something in the hand: it is let go next, near where it was. An arm that was pushed away as far stays.
        """
        back_m = _BACK_HOLDING_M if self.holds else _BACK_M
        joints = self.arm.joints()
        nearest = int(np.argmin([np.abs(point - joints).max() for point in travelled]))
        back = travelled[: nearest + 1][::-1][:_BACK_POINTS]
        tools_m = [tool_pose(point)[:3] for point in back]
        away_m = np.linalg.norm(np.array(tools_m) - tools_m[0], axis=-1)
        pushed_m = float(np.linalg.norm(tool_pose(joints)[:3] - tools_m[0]))
        if pushed_m < back_m:
            is_clear = away_m > max(_PRESSED_M, pushed_m)  # of what stopped it, and of what pushed it
            first = int(np.argmax(is_clear)) if is_clear.any() else len(back) - 1
            is_far = away_m > back_m
            last = int(np.argmax(is_far)) if is_far.any() else len(back) - 1
            held = self.arm.planned_joints()
            self.stream.start(held)
            self.stream.carry_out(Path(timed(np.array([held, *back[first : last + 1]]))))
            self.stream.halt()
        self.arm.check_error()

    def stop_for_good(self) -> None:
        """Whatever happens, halt the stream and stop the arm; a box that does not answer is left alone."""
        self.stream.halt()
        with contextlib.suppress(RobotFault):
            self.arm.stop()
        self.usable = False


def moved_back(pose: np.ndarray, distance_m: float) -> np.ndarray:
    """An end-effector pose (7,) moved back along its approach axis."""
    return np.concatenate([pose[:3] - distance_m * body_axis(pose[3:], 2), pose[3:]])
