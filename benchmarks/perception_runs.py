"""What poses from pictures cost a run: the single-stage tasks with perception.source=rgbd, beside truth plus noise.

    python benchmarks/perception_runs.py --seeds 0 1 2 3 4 5 6 7 8 9
    python benchmarks/perception_runs.py --tasks shoe_push --sources rgbd --learner ppo run.act_above=0

A run of seed s begins in arrangement s of its task, with either source the same. Strict is the first try: 3 cm, 15
degrees, nothing else moved, as the simulator knows it. Done is the whole run, its retries included. Intervals are
Wilson's, 95 %; under the table stand the runs that only one of two sources succeeded in. Settings of `iker run` may
follow.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from run import Silent

from iker_agent.config import make_config
from iker_agent.learning.evaluate import wilson
from iker_agent.loop import run_task
from iker_agent.records.record import RunResult
from iker_agent.records.run_folder import Folder

TASKS = ("shoe_place", "shoe_push", "book_push", "book_reorient")
SOURCES = ("truth", "rgbd")
ARRANGEMENTS = 10


@dataclass
class Count:
    """Of runs, by task and seed: strict success of the first try, and of the whole run."""

    strict: dict[tuple[str, int], bool] = field(default_factory=dict)
    done: dict[tuple[str, int], bool] = field(default_factory=dict)

    def add(self, task: str, seed: int, result: RunResult) -> None:
        """Take in one run."""
        first = result.stages[0].outcome if result.stages else None
        self.strict[task, seed] = bool(first and first.success_strict)
        self.done[task, seed] = bool(result.success)

    def of(self, task: str) -> Count:
        """The runs of one task."""
        strict, done = ({key: v for key, v in c.items() if key[0] == task} for c in (self.strict, self.done))
        return Count(strict, done)


def measure(task: str, source: str, seed: int, learner: str, settings: Sequence[str]) -> RunResult:
    """One run, into a folder that is thrown away."""
    asked = (f"perception.source={source}", f"configuration={seed % ARRANGEMENTS}", "run.video=false", *settings)
    config = make_config(asked, task=task, seed=seed, learner=learner)
    with tempfile.TemporaryDirectory() as folder:
        return run_task(config, Folder(folder), Silent())


def said(result: RunResult) -> str:
    """What happened, in a line."""
    stages = [
        f"{1000 * s.outcome.goal_error_m:.0f} mm{'' if s.ok else f', {s.failed}'}" if s.outcome else s.problem
        for s in result.stages
    ]
    return f"{'done' if result.success else 'not done'} after {len(stages)}: {'; '.join(stages) or result.reason}"


def row(name: str, counts: Sequence[Count]) -> str:
    """A line of the table: for every source strict and done, with their intervals."""
    return f"| {name} | " + " | ".join(f"{share(c.strict)} | {share(c.done)}" for c in counts) + " |"


def share(right: dict) -> str:
    """How many of how many, and the interval in percent."""
    hits = sum(right.values())
    low, high = wilson(hits, len(right))
    return f"{hits}/{len(right)} ({100 * low:.0f}-{100 * high:.0f} %)"


def main() -> None:
    """Print a line for each run as it ends, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--sources", nargs="+", default=list(SOURCES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--learner", default="waypoint", choices=["ppo", "waypoint"])
    options, settings = parser.parse_known_args()
    counts = {source: Count() for source in options.sources}
    for seed in options.seeds:  # so that a benchmark that is stopped has counted all tasks alike
        for task in options.tasks:
            for source, count in counts.items():
                result = measure(task, source, seed, options.learner, settings)
                count.add(task, seed, result)
                print(f"{task} seed {seed} {source}: {said(result)}", flush=True)
    print("\n| task | " + " | ".join(f"{s}: strict | done" for s in options.sources) + " |")
    print("|---|" + "---|---|" * len(options.sources))
    for task in options.tasks:
        print(row(task, [count.of(task) for count in counts.values()]))
    print(row("all", list(counts.values())))
    for key in next(iter(counts.values())).strict:
        if len({count.strict[key] for count in counts.values()}) > 1:
            print(f"only one source succeeded strictly at once: {key[0]}, seed {key[1]}")


if __name__ == "__main__":
    main()
