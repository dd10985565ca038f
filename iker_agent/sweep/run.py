"""A whole sweep: what is finished is kept, the rest is carried out, and the table is written after every trial.

trials, folder, runner  ->  run_sweep  ->  SweepResult            results.json, results.md, trials/NAME/result.json
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iker_agent.atomic import replace_file
from iker_agent.learning.task_evaluation import write_record
from iker_agent.sweep.plan import Trial
from iker_agent.sweep.runners import Failure, Outcome
from iker_agent.sweep.table import markdown, row
from iker_agent.sweep.trial import RESULT, finished, trial_folder

FAILURE = "failure.txt"
TABLE = "results.md"
ROWS = "results.json"
Runner = Callable[[Sequence[Trial], Path], Iterator[tuple[Trial, Outcome]]]


@dataclass
class SweepResult:
    """What came of each trial so far: a record, a Failure, or nothing yet."""

    trials: Sequence[Trial]
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by the trial's name
    kept: int = 0  # of the records, those that were there before

    @property
    def failed(self) -> dict[str, Failure]:
        """The failures by the trial's name."""
        return {name: outcome for name, outcome in self.outcomes.items() if isinstance(outcome, Failure)}

    @property
    def complete(self) -> bool:
        """Has every trial a result?"""
        return len(self.outcomes) - len(self.failed) == len(self.trials)

    def rows(self) -> list[dict[str, Any]]:
        """One line of the table for each trial."""
        return [row(trial, self.outcomes.get(trial.name)) for trial in self.trials]


def run_sweep(
    trials: Sequence[Trial],
    folder: Path,
    runner: Runner,
    report: Callable[[Trial, Outcome], None] | None = None,
) -> SweepResult:
    """Carry out what is not finished; `report` hears of each trial when it ends."""
    result = SweepResult(trials)
    for trial in trials:
        if (record := finished(trial, folder)) is not None:
            result.outcomes[trial.name] = record
    result.kept = len(result.outcomes)
    write_table(folder, result)
    remaining = [trial for trial in trials if trial.name not in result.outcomes]
    for trial, outcome in runner(remaining, folder) if remaining else ():
        _keep(trial, outcome, folder)
        result.outcomes[trial.name] = outcome
        write_table(folder, result)
        if report:
            report(trial, outcome)
    return result


def _keep(trial: Trial, outcome: Outcome, folder: Path) -> None:
    """The outcome of a trial as a file, also where a machine without this folder has carried it out."""
    own = trial_folder(trial, folder)
    own.mkdir(parents=True, exist_ok=True)
    failure = own / FAILURE
    if isinstance(outcome, Failure):
        replace_file(failure, lambda path: path.write_text(f"{outcome.reason}\n\n{outcome.details}", "utf-8"))
        return
    failure.unlink(missing_ok=True)
    if not (own / RESULT).exists():
        write_record(own / RESULT, outcome)


def write_table(folder: Path, result: SweepResult) -> None:
    """results.md and results.json, each all or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = result.rows()
    replace_file(folder / TABLE, lambda path: path.write_text(markdown(rows), "utf-8"))
    replace_file(folder / ROWS, lambda path: path.write_text(json.dumps(rows, indent=2) + "\n", "utf-8"))
