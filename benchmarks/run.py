"""Where the seconds of whole runs go: one row per task and seed, printed when the run has ended.

    python benchmarks/run.py --tasks shoe_rack --seeds 0 1 2
    python benchmarks/run.py --tasks shoe_push --learner waypoint run.video=false

Phases: `look` (pictures, poses, keypoints, marks), `transfer` (the scene made of the poses comes to rest), `ask` (the
backend), `goal` (the program is run and its goal checked), `try` (grasps and the stage in copies), `learn`, `act` (in
the world, a second look after a missed grasp not included), `film` (the video is handed over, and waited for in the
end), `rest` (records, and all else). A phase inside another one counts for itself alone. Settings
of `iker run` may follow.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.records.record import RunResult
from iker_agent.records.run_folder import Folder

PHASES = ("look", "transfer", "ask", "goal", "try", "learn", "act", "film", "rest")
# What is timed: the phase, a module, and a function or method in it, where it is looked up when it is called.
TIMED = (
    ("look", "iker_agent.loop", "look"),
    ("look", "iker_agent.acting", "look"),
    ("transfer", "iker_agent.seeing.look", "scene_from_poses"),
    ("ask", "iker_agent.asking.ask", "_reply"),
    ("goal", "iker_agent.asking.ask", "read_reply"),
    ("try", "iker_agent.preparing", "Preparer.prepare"),
    ("learn", "iker_agent.preparing", "Preparer._learn"),
    ("act", "iker_agent.acting", "Actor.act"),
    ("try", "iker_agent.acting", "choose_grasps"),
    ("film", "iker_agent.records.film", "Films.add"),
    ("film", "iker_agent.records.film", "Films.wait"),
)


class Clock:
    """Seconds by phase; the innermost phase is the one that runs."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._open = ["rest"]
        self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Inside, time is that of a phase."""
        self._note()
        self._open.append(name)
        try:
            yield
        finally:
            self._note()
            self._open.pop()

    def _note(self) -> None:
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def stop(self) -> dict[str, float]:
        """The seconds of all phases."""
        self._note()
        return self.seconds


@contextmanager
def timed(clock: Clock) -> Iterator[None]:
    """Inside, the phases of runs are timed."""
    originals = []
    for phase, module, path in TIMED:
        owner: Any = import_module(module)
        *classes, name = path.split(".")
        for each in classes:
            owner = getattr(owner, each)
        original = getattr(owner, name)
        originals.append((owner, name, original))
        setattr(owner, name, _in_phase(clock, phase, original))
    try:
        yield
    finally:
        for owner, name, original in reversed(originals):
            setattr(owner, name, original)


def _in_phase(clock: Clock, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with clock.phase(phase):
            return function(*args, **kwargs)

    return inside


class Silent:
    """A display that shows nothing."""

    def stage(self, number: int, text: str) -> None:
        """Nothing."""

    def learning(self, row: Any) -> None:
        """Nothing."""

    def outcome(self, record: Any) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


def measure(task: str, seed: int, learner: str, settings: Sequence[str]) -> tuple[RunResult, dict[str, float]]:
    """One run into a folder that is thrown away: its result and the seconds of its phases."""
    config = make_config(tuple(settings), task=task, seed=seed, learner=learner)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        with timed(clock):
            result = run_task(config, Folder(folder), Silent())
        return result, clock.stop()


def main() -> None:
    """Print one row per run and the medians of every task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["shoe_rack"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--learner", default="ppo", choices=["ppo", "waypoint"])
    options, settings = parser.parse_known_args()
    print("| task | seed | stages | " + " | ".join(PHASES) + " | seconds | done |")
    print("|---|" + "---|" * (len(PHASES) + 4), flush=True)
    for task in options.tasks:
        rows = []
        for seed in options.seeds:
            result, seconds = measure(task, seed, options.learner, settings)
            rows.append(seconds)
            done = "yes" if result.success else f"no: {result.reason or 'not as the task wants it'}"
            print(_row(task, str(seed), str(len(result.stages)), seconds, done), flush=True)
        middle = {phase: statistics.median(row[phase] for row in rows) for phase in PHASES}
        print(_row(task, "median", "", middle, ""), flush=True)


def _row(task: str, seed: str, stages: str, seconds: dict[str, float], done: str) -> str:
    numbers = " | ".join(f"{seconds[phase]:.1f}" for phase in PHASES)
    return f"| {task} | {seed} | {stages} | {numbers} | {sum(seconds.values()):.1f} | {done} |"


if __name__ == "__main__":
    main()
