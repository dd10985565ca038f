"""Set points for the arm, 100 a second, from a thread of their own; they stop exactly, at the first fault for good.

    Motion (a line for the tool, or a path of the joints)  ->  Stream  ->  Arm.servo(joints) every 10 ms

Between motions the last set point is repeated. Each one is capped in joint angle and tool travel. Two never leave, nor
reach the box, closer than 10 ms: after a late one the schedule begins anew, for catching up would be too fast. While
it is watched, the stream halts after some time without a motion, and says that the policy was silent. Times are of the
robot's clock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from real_env.arm import Arm
from real_env.config import RealConfig
from real_env.faults import Kind, RobotFault
from real_env.ik import HostIK, tool_pose
from real_env.safety import Guard, between

PERIOD_S = 0.01
_LATE_S = 0.005  # a set point later than this is counted
_ANSWER_S = 0.002  # an answer takes no longer, or the set point was late on its way, too
_TRAVELLED = 300  # set points that are remembered, 3 s
_KEPT = 60_000  # latenesses, 10 minutes
_EXTRA_S = 3.0  # that a motion may take beyond its own time before it counts as stuck


class Motion(Protocol):
    """Where the next set points lead."""

    num_points: int

    def done(self, joints_rad: np.ndarray) -> bool:
        """Is it over, now that a set point (7,) has been sent?"""
        ...

    def next(self, joints_rad: np.ndarray) -> np.ndarray:
        """Joints (7,) to go to from the last set point (7,)."""
        ...


class Line:
    """The tool goes straight from one pose (7,) to another in `num_points` set points, the tips guarded."""

    def __init__(
        self, ik: HostIK, guard: Guard, start: np.ndarray, goal: np.ndarray, opening_m: float, num_points: int
    ):
        self._ik = ik
        self._guard = guard
        self._start = start
        self._goal = goal
        self._opening_m = opening_m
        self._sent = 0
        self._share = 0.0
        self.num_points = num_points

    def done(self, joints_rad: np.ndarray) -> bool:
        """See `Motion`."""
        return self._sent == self.num_points

    def next(self, joints_rad: np.ndarray) -> np.ndarray:
        """See `Motion`; the hand waits at its place where it has to rise first."""
        self._sent += 1
        share = min(1.0, self._share + 1.0 / self.num_points)
        pose = between(self._start, self._goal, share)
        if self._guard.rise(pose, self._opening_m):
            self._share = share
        return self._ik.follow(self._guard.lifted(self.reached), joints_rad)

    @property
    def reached(self) -> np.ndarray:
        """How far (7,) the line has got, before the tips' lift."""
        return between(self._start, self._goal, self._share)


class Path:
    """Joints (M, 7) one after the other; a cap delays them, none is left out."""

    def __init__(self, joints_rad: np.ndarray) -> None:
        self._joints_rad = joints_rad
        self._index = 0
        self.num_points = len(joints_rad)

    def done(self, joints_rad: np.ndarray) -> bool:
        """See `Motion`."""
        return self._index == self.num_points and np.array_equal(self._joints_rad[-1], joints_rad)

    def next(self, joints_rad: np.ndarray) -> np.ndarray:
        """See `Motion`; the row before was sent if the set point is there."""
        if self._index and not np.array_equal(self._joints_rad[self._index - 1], joints_rad):
            self._index -= 1  # a cap kept it short
        self._index += 1
        return self._joints_rad[self._index - 1]


@dataclass(frozen=True)
class StreamStatistics:
    """How punctual the set points were; milliseconds of the wall."""

    num_set_points: int
    num_late: int  # by more than 5 ms
    num_capped: int
    num_unsolved: int
    lateness_p50_ms: float
    lateness_p99_ms: float
    lateness_max_ms: float


class Stream:
    """The thread that commands the arm. One at a time; `fault` says why it ended, if it ended by itself."""

    def __init__(self, arm: Arm, ik: HostIK, config: RealConfig) -> None:
        self._arm = arm
        self._ik = ik
        self._caps = config.caps
        self._period_s = PERIOD_S / config.clock
        self._watchdog_s = config.watchdog_s / config.clock
        self._extra_s = _EXTRA_S / config.clock
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._halted = True
        self._motion: Motion | None = None
        self._idle_since_s = 0.0
        self._sent_s = 0.0  # when the last set point left
        self._arrived_s = 0.0  # since when the box has had it, at the earliest
        self._lateness_s: deque[float] = deque(maxlen=_KEPT)
        self._num_capped = 0
        self._num_set_points = 0
        self._answered_s = 0.0  # that the box took to answer them
        self.fault: Exception | None = None  # a RobotFault, or a mistake of this program
        self.watched = False  # does silence halt it?
        self.joints_rad = np.zeros(7)  # the last set point
        self.travelled: deque[np.ndarray] = deque(maxlen=_TRAVELLED)

    @property
    def running(self) -> bool:
        """Are set points being sent?"""
        return not self._halted

    def start(self, joints_rad: np.ndarray) -> None:
        """Begin by echoing the measured joints (7,); what was travelled before is forgotten."""
        self.halt()
        self.joints_rad = np.array(joints_rad, dtype=float)
        self.travelled.clear()
        self.fault = None
        self.watched = False
        self._motion = None
        self._idle_since_s = time.monotonic()
        self._halted = False
        self._thread = threading.Thread(target=self._run, name="set points", daemon=True)
        self._thread.start()

    def begin(self, motion: Motion) -> None:
        """Set a motion going in the place of the present one; the stream's fault is raised if it has ended."""
        with self._changed:
            self._check()
            self._motion = motion
            self._changed.notify_all()

    def watch(self) -> None:
        """From now on silence halts it, until `watched` is False."""
        with self._changed:
            self._idle_since_s = time.monotonic()
            self.watched = True

    def finish(self, motion: Motion) -> None:
        """Wait until the motion's last set point is sent; RobotFault if that fails or takes much too long."""
        begun = time.monotonic()
        num_before, answered_before_s = self._num_set_points, self._answered_s
        longest_s = motion.num_points * self._period_s * 2 + self._extra_s
        with self._changed:
            while self._motion is motion and self.fault is None and not self._halted:
                left = begun + longest_s - time.monotonic()
                if left <= 0:
                    raise self._too_slow(num_before, answered_before_s, time.monotonic() - begun)
                self._changed.wait(left)
            self._check()

    def _too_slow(self, num_before: int, answered_before_s: float, took_s: float) -> RobotFault:
        """The box answers each set point late, or this computer does not get to send them."""
        num = self._num_set_points - num_before
        answered_s = self._answered_s - answered_before_s
        kind = Kind.LINK if answered_s > took_s / 2 else Kind.OVERLOADED
        return RobotFault(kind, f"{num} set points in {took_s:.1f} s, of which their answers took {answered_s:.1f} s")

    def carry_out(self, motion: Motion) -> None:
        """`begin` and `finish`."""
        self.begin(motion)
        self.finish(motion)

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault
        if self._halted:
            raise RobotFault(Kind.INTERRUPTED, "the stream of set points is halted")

    def halt(self) -> None:
        """No set point leaves after this has returned; the arm holds the last one. May be called again."""
        with self._changed:
            self._halted = True
            self._motion = None
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._halted:
            time.sleep(max(0.0, max(due_s, self._arrived_s + self._period_s) - time.monotonic()))
            with self._changed:
                if self._halted:
                    return
                try:
                    self._send_next()
                except Exception as error:  # is raised where the stream is asked for something
                    self._end(error)
            self._lateness_s.append(self._sent_s - due_s)
            due_s = max(due_s, self._sent_s) + self._period_s

    def _end(self, fault: Exception) -> None:
        self.fault = fault
        self._halted = True
        self._motion = None
        self._changed.notify_all()

    def _send_next(self) -> None:
        motion = self._motion
        if motion is None:
            if self.watched and time.monotonic() - self._idle_since_s > self._watchdog_s:
                raise RobotFault(Kind.SILENT_POLICY, f"none for {self._watchdog_s:.2g} s")
            self._send(self.joints_rad)
            return
        self._send(self._capped(motion.next(self.joints_rad)))
        if motion.done(self.joints_rad):
            self._motion = None
            self._idle_since_s = time.monotonic()
            self._changed.notify_all()

    def _send(self, joints: np.ndarray) -> None:
        self._sent_s = time.monotonic()
        self._arm.servo(joints)
        answered_s = time.monotonic()
        self._answered_s += answered_s - self._sent_s
        self._arrived_s = answered_s - _ANSWER_S
        self._num_set_points += 1
        if not np.array_equal(joints, self.joints_rad):
            self.travelled.append(self.joints_rad)
        self.joints_rad = joints

    def _capped(self, want: np.ndarray) -> np.ndarray:
        """`want` (7,), or as far towards it as one set point may go."""
        step = want - self.joints_rad
        largest = float(np.abs(step).max())
        if largest == 0.0:
            return want
        travel_m = float(np.linalg.norm(tool_pose(want)[:3] - tool_pose(self.joints_rad)[:3]))
        share = min(1.0, self._caps.joint_step_rad / largest, self._caps.tool_step_m / max(travel_m, 1e-12))
        if share == 1.0:
            return want
        self._num_capped += 1
        return self.joints_rad + share * step

    def statistics(self) -> StreamStatistics:
        """Since the stream was made."""
        late_ms = 1e3 * np.array(self._lateness_s or [0.0])
        p50, p99 = np.percentile(late_ms, [50, 99])
        return StreamStatistics(
            num_set_points=self._num_set_points,
            num_late=int((late_ms > 1e3 * _LATE_S).sum()),
            num_capped=self._num_capped,
            num_unsolved=self._ik.num_unsolved,
            lateness_p50_ms=float(p50),
            lateness_p99_ms=float(p99),
            lateness_max_ms=float(late_ms.max()),
        )
