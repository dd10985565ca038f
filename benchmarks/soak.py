"""Hours of a robot's life in minutes: episode after episode in the emulated laboratory while things break at random.

    python benchmarks/soak.py                                 # 30 minutes, two tasks, about one injection an episode
    python benchmarks/soak.py --minutes 5 --seed 3 --task shoe_push --json soak.json

Every fault that the laboratory's control socket can inject comes at random moments of opening, looking, resetting,
acting and finishing; the policy also falls silent, and the program is interrupted. What the environment reports is
held against what was injected and against the errors that the control box really had. Status 1, and a line for each,
for: an episode without a reason, a reason that is not true, a fault that nobody noticed, a robot that does not come
back once all is mended, a set point after a fault, a thread, socket, file or process left behind, memory that grows.
An operation that takes too long ends the program with every stack printed and status 3.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from soak_watch import (
    BEFORE_ACTING,
    FRAME_AGE_S,
    INTERRUPTION,
    MOVED,
    SILENT_POLICY,
    Findings,
    Fired,
    Injection,
    Plan,
    Sample,
    Watchdog,
    children_of,
    draw_plan,
    growth,
    own_sample,
    sample,
)

from iker_agent.learning.shipped import shipped_policy
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.documents import read_value
from iker_envs.spec import spec_of
from iker_envs.world import WorldFault
from real_env.calibration import Calibration
from real_env.config import RealConfig
from real_env.faults import RULES, Kind, fault_of_code
from real_env.lab.client import LabError, LabOrders, LabProcess, calibration, robot_yaml
from real_env.world import RealWorld

TASKS = ("shoe_push", "shoe_place")
CAMERAS = ("front",)  # one: pictures are most of what a laboratory computes
_GRACE_S = 1.5  # of an episode that must be left for a fault to be noticed in it
_PAST_S = 20.0  # after which what has passed is no reason any more
_EPISODES_OF_A_WORLD = 10  # then it is closed and opened again


class Cell:
    """A laboratory, and the worlds that are opened in it one after the other."""

    def __init__(self, task: str, clock: float, rng: np.random.Generator, findings: Findings, folder: Path) -> None:
        self.rng = rng
        self.findings = findings
        self.task = task
        self.lab = LabProcess(task, clock=clock, seed=int(rng.integers(1000)))
        self.watchdog = Watchdog(clock, self._hung)
        card = self.lab.card
        self._moves = rng.spawn(1)[0]  # for the threads that break things
        self._orders = LabOrders(card["ip"], card["control_port"], card["token"])
        path = folder / f"{task}.calibration.json"
        Calibration.from_dict(calibration(card)).save(path)
        config = RealConfig.from_dict(read_value(robot_yaml(card, str(path)), "robot.yaml"))
        cameras = {role: config.cameras[role] for role in CAMERAS}
        self.config = replace(config, cameras=cameras, watch_cameras=True, max_frame_age_s=FRAME_AGE_S)
        self.world: RealWorld | None = None
        self.fired: list[Fired] = []
        self._lock = threading.Lock()
        self._interrupting = False
        self._silent = threading.Event()
        self._num_codes: Counter[str] = Counter()  # of the box's errors so far
        self._dropped_s = 0.0
        self._act_ended_s = 0.0
        self._in_the_way = True  # may an object stand where no way leads to the start?
        self._told = ""  # the sentence for a person
        self._seen = np.zeros(0)  # the newest observation
        self._used: list[tuple[Sample, Sample]] = []  # by this program and by the laboratory
        self._closed: list[Sample] = []  # by this program after a world was closed

    def _hung(self, what: str) -> None:
        broken = ", ".join(f.injection.name for f in self.fired) or "nothing"
        self.findings.problem(f"{self.task}: {what}; injected: {broken}")
        self.findings.show()
        self.lab.stop()

    # -- breaking and mending ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def breaking(self, phase: str, plan: Plan) -> Iterator[None]:
        """Around a phase: what is planned for it happens during it, or not at all if the phase is over before."""
        timers = [threading.Timer(delay, self._fire, (i, phase)) for where, delay, i in plan if where == phase]
        for timer in timers:
            timer.start()
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()
            for timer in timers:
                timer.join()

    def _fire(self, injection: Injection, phase: str) -> None:
        now = time.monotonic()
        lasts_s = math.inf if injection.mend else injection.lasts_s
        with self._lock:
            self.fired.append(Fired(injection, phase, now, now + lasts_s))
        if injection is SILENT_POLICY:
            self._silent.set()
        elif injection is INTERRUPTION:
            self._interrupting = True
            os.kill(os.getpid(), signal.SIGINT)
        try:
            for order in self._move() if injection is MOVED else injection.orders:
                self._give(order)
        except LabError:  # an object is not put into the arm
            with self._lock:
                self.fired = [f for f in self.fired if f.at_s != now]

    def _move(self) -> tuple[dict[str, Any], ...]:
        objects = self._give({"do": "truth"})["objects"]
        name = str(self._moves.choice(list(objects)))
        pose = np.array(objects[name]["pose"])
        pose[:2] += self._moves.uniform(-0.12, 0.12, 2)
        return ({"do": "move", "name": name, "pose": pose.tolist()},)

    def _give(self, order: dict[str, Any]) -> Any:
        with self._lock:
            return self._orders.order(**order)

    def mend(self) -> None:
        """Everything that stays broken; what passes by itself is waited for."""
        for fired in self.fired:
            for order in fired.injection.mend:
                self._give(order)
        last_s = max((f.at_s + f.injection.lasts_s for f in self.fired if not f.injection.mend), default=0.0)
        time.sleep(max(0.0, last_s + 0.5 / self.config.clock - time.monotonic()))
        self.fired = []
        self._silent.clear()

    # -- one episode ---------------------------------------------------------------------------------------------

    def episode(self) -> None:
        """Open if need be, look perhaps, reset, act, finish; once more without faults where it could not begin."""
        plan = draw_plan(self.rng, self.config.clock, opens=self.world is None)
        self.findings.num_episodes += 1
        self.watchdog.forget()
        reason, phase = self._reason(plan)
        self._judge(reason, phase)
        with self._lock:
            still_broken = [f for f in self.fired if f.until_s > time.monotonic()]
        if still_broken and self.rng.random() < 0.5:  # what holds is told again
            self.findings.num_episodes += 1
            self._judge(*self._reason([]), again=True)
        self.mend()
        if phase in BEFORE_ACTING:
            self.findings.num_episodes += 1
            reason, phase = self._reason([])
            self._judge(reason, phase, came_back=phase not in BEFORE_ACTING)
        self._used.append((own_sample(), sample(self.lab.pid)))

    def _reason(self, plan: Plan) -> tuple[str, str]:
        """Run an episode; how it ended, and in which phase."""
        phase = "open"
        reason = ""
        self._told = ""
        try:
            looks = any(where == "look" for where, *_ in plan)
            for phase in ("open", *(("look",) if looks else ()), "reset", "act", "finish"):
                begun = time.monotonic()
                with self.breaking(phase, plan), self.watchdog.bound(phase):
                    ended = getattr(self, f"_{phase}")()
                took_s = time.monotonic() - begun
                if phase == "act":
                    self._act_ended_s = begun + took_s
                else:
                    self.findings.longest_s[phase] = max(self.findings.longest_s[phase], took_s)
                if phase == "act" and ended not in ("time limit", "lost"):
                    with self.watchdog.bound("finish"):
                        self._finish()
                    return ended, phase
                if phase in ("act", "finish"):
                    reason = ended or reason
            return reason, phase
        except WorldFault as stop:
            self._told = str(stop.fault)
            return stop.fault.kind, phase
        except KeyboardInterrupt:  # perhaps between two calls of the environment: what flows, flows on
            if not self._interrupting:
                raise
            self._interrupting = False
            return Kind.INTERRUPTED.value, phase
        except Exception as error:  # the finding of this benchmark
            traceback.print_exc()
            return f"{type(error).__name__}: {error}", phase

    def _open(self) -> None:
        if self.world is None:
            self.world = RealWorld(self.task, self.config, seed=int(self.rng.integers(1000)))
            self.findings.num_worlds += 1

    def _look(self) -> None:
        assert self.world is not None
        self.world.view()

    def _reset(self) -> None:
        assert self.world is not None
        how = "new" if self._in_the_way else self.rng.choice(["new", "look", "keep"])
        self._in_the_way = True  # until it is known to be otherwise
        if how != "keep":
            self._seen = self.world.reset(seed=int(self.rng.integers(2**31)), options={"look": how == "look"})[0]
        if how != "new":
            self._seen = self.world.reset(options={"world": "keep"})[0]
        self._in_the_way = False

    def _actor(self) -> Callable[[np.ndarray], np.ndarray]:
        assert self.world is not None
        kind = self.rng.choice(["waypoint", "shipped", "random"])
        policy = shipped_policy(self.task, spec_of(self.world.template)) if kind == "shipped" else None
        if kind == "random":
            return lambda seen: np.clip(self.rng.normal(0.0, 0.3, 6), -1, 1)
        policy = policy or WaypointLearner().learn(self.world.scene, self.world.goal).policy
        return lambda seen: policy.act(seen[None])[0].astype(float)

    def _act(self) -> str:
        assert self.world is not None
        act = self._actor()
        while True:
            if self._silent.is_set():
                self._silent.clear()
                time.sleep(2.5 * self.config.watchdog_s / self.config.clock)
            begun = time.monotonic()
            self._seen, _, lost, over, info = self.world.step(act(self._seen))
            took_s = time.monotonic() - begun
            what = "tick with a fault" if "fault" in info else "tick"
            self.findings.longest_s[what] = max(self.findings.longest_s[what], took_s)
            if "fault" in info:
                before = self._num_sent()
                time.sleep(0.05)
                if self._num_sent() != before:
                    self.findings.problem(f"{self.task}: set points after {info['fault'].kind}")
                self._told = str(info["fault"])
                return str(info["fault"].kind)
            if lost or over:
                return "lost" if lost else "time limit"

    def _num_sent(self) -> int:
        assert self.world is not None
        return sum(n for (name, _), n in self.world.robot.arm.codes.items() if name == "set_servo_angle_j")

    def _finish(self) -> str:
        """The fault that came while finishing, "" if none."""
        assert self.world is not None
        told = self.world.finish().reason
        self._told = self._told or told
        return next((kind.value for kind in Kind if told.startswith(RULES[kind].what)), "")

    # -- what is true --------------------------------------------------------------------------------------------

    def _judge(self, reason: str, phase: str, *, again: bool = False, came_back: bool = True) -> None:
        """Count how an episode ended, and hold it against what was done to it."""
        with self._lock:
            fired = list(self.fired)
        status = self._give({"do": "status"})
        codes = Counter(status["errors"]) - self._num_codes
        self._num_codes = Counter(status["errors"])
        dropped_s = status["dropped_s"] - self._dropped_s
        self._dropped_s = status["dropped_s"]
        for name in {f.injection.name for f in fired} or {"nothing"}:
            self.findings.table[name + (", next episode" if again else "")][reason] += 1
        if reason != Kind.INTERRUPTED and self.world is not None and self.world.robot.stream.running:
            self.findings.problem(f"{self.task}: set points still flow after {reason} in {phase}")
        told = f"{self.task}, episode {self.findings.num_episodes}: {reason} in {phase}"
        told += f"; injected: {', '.join(f'{f.injection.name} in {f.phase}' for f in fired) or 'nothing'}"
        told += f"; errors of the box: {dict(codes) or 'none'}; told: {self._told}"
        print(told, flush=True)
        if reason in ("time limit", "lost"):
            for f in fired:
                left_s = self._act_ended_s - f.at_s - f.injection.notice_s
                if f.phase == "act" and f.injection.must and left_s > _GRACE_S / self.config.clock and not again:
                    self.findings.problem(f"unnoticed: {told}")
        elif reason not in set(Kind):
            self.findings.problem(f"no reason: {told}")
        elif not self._is_true(Kind(reason), fired, codes):
            if self.watchdog.excuses(reason, self.config.clock, dropped_s):
                self.findings.by_the_machine[reason] += 1
            else:
                self.findings.problem(f"not true: {told}")
        elif not came_back:
            self.findings.problem(f"does not come back: {told}")

    def _is_true(self, kind: Kind, fired: list[Fired], codes: Counter[str]) -> bool:
        if any(fault_of_code(int(code)).kind == kind for code in codes):
            return True
        recently_s = time.monotonic() - _PAST_S / self.config.clock
        if any(kind in f.injection.reasons and f.until_s > recently_s for f in fired):
            return True
        return kind == Kind.UNREACHABLE and self._in_the_way  # things lie where the arm or a person left them

    # -- what is left --------------------------------------------------------------------------------------------

    def close_world(self) -> None:
        """Hang up; what a world leaves behind is found when the next ones leave it, too."""
        if self.world is None:
            return
        begun = time.monotonic()
        with self.watchdog.bound("close"):
            self.world.close()
        self.findings.longest_s["close"] = max(self.findings.longest_s["close"], time.monotonic() - begun)
        self.findings.num_set_points += self._num_sent()
        self.world = None
        deadline = time.monotonic() + 8.0  # threads of the libraries end when their next wait does
        while (left := self._strangers()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            self.findings.problem(f"{self.task}: threads left after close: {', '.join(left)}")
        self._closed.append(own_sample())

    def _strangers(self) -> list[str]:
        known = (threading.main_thread(), self.watchdog._thread)
        return [thread.name for thread in threading.enumerate() if thread not in known]

    def close(self) -> None:
        """End the laboratory, and add up."""
        self.close_world()
        use, problems = growth(self._used, self._closed)
        for text in problems:
            self.findings.problem(f"{self.task}: {text}")
        self._orders.close()
        group = self.lab.pid
        self.lab.stop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, 0)
            self.findings.problem(f"{self.task}: a process of the laboratory is left")
        self.watchdog.close()
        self.findings.use[self.task] = use


def soak(tasks: list[str], minutes: float, clock: float, seed: int, folder: Path) -> Findings:
    """Live in a laboratory of each task for an equal share of the time."""
    findings = Findings()
    before = own_sample()
    for number, task in enumerate(tasks):
        cell = Cell(task, clock, np.random.default_rng([seed, number]), findings, folder)
        end_s = time.monotonic() + 60.0 * minutes / len(tasks)
        try:
            while time.monotonic() < end_s:
                for _ in range(_EPISODES_OF_A_WORLD):
                    if time.monotonic() < end_s:
                        cell.episode()
                cell.close_world()
        finally:
            cell.close()
    after = own_sample()
    findings.use["this program, before the first laboratory and after the last"] = asdict(before), asdict(after)
    if left := children_of("self"):
        findings.problem(f"processes left: {left}")
    return findings


def main() -> None:
    """Soak, print, and say by the status whether anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--task", action="append", choices=("shoe_push", "shoe_place", "book_push", "book_reorient"))
    parser.add_argument("--clock", type=float, default=1.0, help="laboratory seconds in a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        findings = soak(given.task or list(TASKS), given.minutes, given.clock, given.seed, Path(folder))
    findings.show()
    if given.json:
        given.json.write_text(json.dumps(vars(findings), indent=1) + "\n")
    sys.exit(1 if findings.problems else 0)


if __name__ == "__main__":
    main()
