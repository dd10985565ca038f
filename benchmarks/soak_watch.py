"""What a soak injects, and what it watches: beside soak.py, which lives through it.

INJECTIONS: orders to the laboratory and what may truly be said of each      Watchdog: no operation takes for ever
sample(pid): threads, sockets, files, memory of a process                    Findings: table and problems
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import math
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from real_env.faults import Kind, fault_of_code

_BOUND_S = 60.0, 40.0  # for one operation, of the wall and of the arm's clock: a reconnection may take 12 s or more
FRAME_AGE_S = 3.0  # five cameras on two cores draw four pictures a second each
BEFORE_ACTING = ("open", "look", "reset")
# How often something breaks in each phase, and within how many seconds of the arm's clock from its beginning.
_PHASES = {"open": (5.0, 0.2), "look": (1.0, 2.0), "reset": (2.0, 3.0), "act": (6.0, 3.5), "finish": (1.5, 0.6)}
_LOOK_S = 0.05
_STALL_S = 0.15  # of this machine; the arm waits 0.2 s for an answer
_SLOW_S = 1.0  # of this machine all together in an episode
_LATE = (Kind.LINK, Kind.CAMERA_STALE, Kind.SILENT_POLICY)
_MOST_MB = 40.0  # that memory may grow by from the third quarter of a cell's life to its last


@dataclass(frozen=True)
class Injection:
    """Something that goes wrong: orders to the laboratory, or a deed of ours; and what may truly be said of it."""

    name: str
    orders: tuple[dict[str, Any], ...]
    mend: tuple[dict[str, Any], ...] = ()  # takes it back; without, it passes by itself
    reasons: frozenset[Kind] = frozenset()  # beside those of the box's own error codes
    must: bool = True  # be noticed if it comes while the policy acts
    lasts_s: float = 0.0  # until it has passed by itself
    notice_s: float = 0.0  # that noticing it may take, beyond the usual


def _code(code: int) -> Injection:
    return Injection(f"C{code}", ({"do": "fault", "code": code},), reasons=frozenset({fault_of_code(code).kind}))


def _link(name: str, order: dict[str, Any], lasts_s: float, mend: tuple[dict[str, Any], ...] = ()) -> Injection:
    return Injection(name, (order,), mend, frozenset({Kind.LINK}), lasts_s=lasts_s)


def _camera(does: str, reasons: set[Kind], must: bool, value: float = 1.0) -> Injection:
    orders = ({"do": "camera", "name": "front", "does": does, "value": value},)
    mend = tuple({"do": "camera", "name": "front", "does": d, "value": 1.0} for d in ("ok", "exposure"))
    return Injection(f"camera {does}", orders, mend, frozenset(reasons), must, notice_s=FRAME_AGE_S + 1.0)


def _foreign(does: str) -> Injection:
    return Injection(f"second client: {does}", ({"do": "second_client", "does": does},), reasons=_FOREIGN)


_FOREIGN = frozenset({Kind.FOREIGN})
_GRIPPER = frozenset({Kind.GRIPPER})
_MISSING = {Kind.CAMERA_MISSING, Kind.CAMERA_STALE}  # stale is what it is until it is known to have left
_RELEASE = ({"do": "emergency_stop", "held": False},)
_MEND_GRIPPER = ({"do": "gripper_fault", "code": 0},)
SILENT_POLICY = Injection("policy silent", (), reasons=frozenset({Kind.SILENT_POLICY}))
INTERRUPTION = Injection("interrupted", (), reasons=frozenset({Kind.INTERRUPTED}))
MOVED = Injection("object moved", (), must=False, reasons=frozenset({Kind.UNREACHABLE}))
INJECTIONS = (
    *map(_code, (31, 22, 23, 24, 35, 60, 21, 11, 99)),
    Injection("C1 held", ({"do": "emergency_stop", "held": True},), _RELEASE),
    _link("dead link, 0.3 s", {"do": "dead_link", "wall_s": 0.3}, 0.3),
    _link("dead link, 5 s", {"do": "dead_link", "wall_s": 5.0}, 5.0),
    _link("silence", {"do": "silence", "on": True}, math.inf, ({"do": "silence", "on": False},)),
    _link("closed sockets", {"do": "close_sockets"}, 0.0),
    _link("reboot", {"do": "reboot", "lab_s": 4.0}, 4.0),
    Injection("gripper", ({"do": "gripper_fault", "code": 11},), _MEND_GRIPPER, _GRIPPER),
    Injection("gripper held", ({"do": "gripper_fault", "code": 11, "held": True},), _MEND_GRIPPER, _GRIPPER),
    *map(_foreign, ("mode", "stop", "move")),
    _camera("frozen", {Kind.CAMERA_STALE}, True),
    _camera("missing", _MISSING, True),
    _camera("stuck", set(), False),
    _camera("exposure", {Kind.CAMERA_CHANGED}, False, 0.3),
    MOVED,
    SILENT_POLICY,
    INTERRUPTION,
)


Plan = list[tuple[str, float, Injection]]
"""Phase, seconds after its beginning, what breaks then."""


def draw_plan(rng: np.random.Generator, clock: float, *, opens: bool) -> Plan:
    """What happens in an episode that begins by opening a world, or not: mostly one thing."""
    plan: Plan = []
    weights = {phase: weight for phase, (weight, _) in _PHASES.items() if opens or phase != "open"}
    total = sum(weights.values())
    for _ in range(rng.choice([0, 1, 2], p=[0.1, 0.75, 0.15])):
        phase = str(rng.choice(list(weights), p=[weight / total for weight in weights.values()]))
        injection = INJECTIONS[rng.integers(len(INJECTIONS))]
        if injection is SILENT_POLICY:
            phase = "act"
        plan.append((phase, float(rng.uniform(0.0, _PHASES[phase][1])) / clock, injection))
    return plan


@dataclass
class Fired:
    """An injection that took place."""

    injection: Injection
    phase: str
    at_s: float
    until_s: float  # inf until it is mended


@dataclass(frozen=True)
class Sample:
    """What a process uses: threads, open files and sockets, memory."""

    threads: int
    files: int
    sockets: int
    mb: float


def sample(pid: int | str) -> Sample:
    """Of a process of this machine, from /proc."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    sockets = sum(link.startswith("socket:") for link in links)
    return Sample(int(status["Threads"]), len(links) - sockets, sockets, int(status["VmRSS"].split()[0]) / 1024)


def own_sample() -> Sample:
    """Of this program, after what is waiting to be collected, or only in store for later, was given back."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # of the GNU library only
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return sample("self")


def children_of(pid: int | str) -> list[int]:
    """Ids of a process's children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += map(int, (task / "children").read_text().split())
    return found


def growth(used: list[tuple[Sample, Sample]], closed: list[Sample]) -> tuple[dict[str, Any], list[str]]:
    """What host and laboratory used in the third quarter of a cell's life and in its last; what grew too much.

    Not from its beginning: the camera library's stores of pictures fill at first. `closed` is what the host used after
    each world was closed.
    """
    most = {"threads": 3, "files": 3, "sockets": 3, "mb": _MOST_MB}
    quarter = max(1, len(used) // 4)
    parts = used[-2 * quarter : -quarter] or used, used[-quarter:]
    halves = {name: [[pair[of] for pair in part] for part in parts] for of, name in enumerate(("host", "laboratory"))}
    if len(closed) > 1:
        halves["host, worlds closed"] = [closed[-2:-1], closed[-1:]]
    told: dict[str, Any] = {}
    problems = []
    for name, (early, late) in halves.items():
        told[name] = {}
        for key, limit in most.items():
            before, after = (float(np.median([getattr(s, key) for s in part])) for part in (early, late))
            told[name][key] = round(before, 1), round(after, 1)
            if after - before > limit:
                problems.append(f"{name}: {key} grew from {before:.0f} to {after:.0f}")
    return told, problems


class Watchdog:
    """Ends this program if an operation takes longer than its bound; also measures how long this machine stalls."""

    def __init__(self, clock: float, on_hang: Callable[[str], None]) -> None:
        self._on_hang = on_hang
        self._bound_s = _BOUND_S[0] + _BOUND_S[1] / clock
        self._what = ""
        self._spent_s = 0.0  # on the operation, without what this machine stalled: it may get little of a busy one
        self.stalled_s = 0.0  # the longest since `forget`
        self.late_s = 0.0  # all together since `forget`
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog")
        self._thread.start()

    def forget(self) -> None:
        """Measure anew how this machine stalls."""
        self.stalled_s = 0.0
        self.late_s = 0.0

    def excuses(self, reason: str, clock: float, dropped_s: float) -> bool:
        """Is what is told about lateness true, since this machine, or the laboratory on it, was late?"""
        if reason == Kind.OVERLOADED:
            return self.late_s > _SLOW_S
        return reason in _LATE and (self.stalled_s * clock > _STALL_S or dropped_s > 0.0)

    @contextlib.contextmanager
    def bound(self, what: str) -> Iterator[None]:
        """Around one operation."""
        self._what = what
        self._spent_s = 0.0
        try:
            yield
        finally:
            self._what = ""

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(_LOOK_S):
            now = time.monotonic()
            self.stalled_s = max(self.stalled_s, now - before - _LOOK_S)
            self.late_s += now - before - _LOOK_S
            self._spent_s += min(now - before, 2 * _LOOK_S)
            before = now
            if self._what and self._spent_s > self._bound_s:
                faulthandler.dump_traceback(all_threads=True)
                self._on_hang(f"{self._what} hung for {self._bound_s:g} s")
                os._exit(3)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


@dataclass
class Findings:
    """What the soak has seen; `problems` decides the status."""

    num_episodes: int = 0
    num_worlds: int = 0
    num_set_points: int = 0
    table: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    longest_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    by_the_machine: Counter[str] = field(default_factory=Counter)  # late because this machine was
    problems: list[str] = field(default_factory=list)
    use: dict[str, Any] = field(default_factory=dict)

    def problem(self, text: str) -> None:
        self.problems.append(text)
        print(f"PROBLEM  {text}", flush=True)

    def show(self) -> None:
        reasons = sorted({reason for row in self.table.values() for reason in row})
        print("\ninjected (rows) and how the episode ended")
        for name, row in sorted(self.table.items()):
            print(f"  {name:24s} {sum(row.values()):4d}   " + ", ".join(f"{r} {row[r]}" for r in reasons if row[r]))
        print("longest, s: " + ", ".join(f"{what} {s:.2f}" for what, s in sorted(self.longest_s.items())))
        print(f"late because the machine was: {dict(self.by_the_machine) or 'nothing'}")
        for name, told in self.use.items():
            print(f"{name}: {told}")
        print(f"{self.num_episodes} episodes, {self.num_worlds} worlds opened, {self.num_set_points} set points")
        print(f"{len(self.problems)} problems" + "".join(f"\n  {p}" for p in self.problems))
