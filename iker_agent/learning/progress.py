"""The log of a training run: counts steps and episodes, one TrainingRow per update.

step results     ->  Progress.observe
once per update  ->  Progress.log      ->  TrainingRow  ->  report, metrics.csv, curve
"""

from __future__ import annotations

import csv
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TrainingRow:
    """One line of the log. Success is that of the last episodes, exploring; `eval_strict` deterministic or NaN."""

    steps: int
    seconds: float
    steps_per_s: float
    success: float
    success_strict: float
    goal_error_m: float
    reward: float
    reward_distance: float
    reward_direction: float
    reward_alignment: float
    reward_bonus: float
    reward_penalty: float
    lost: float
    learning_rate: float
    std: float
    eval_strict: float
    seconds_left: float
    kl: float = math.nan  # divergence of the policy from the one before the update
    entropy: float = math.nan  # of the action distribution, nats
    explained_variance: float = math.nan  # of the returns, by the value function


Report = Callable[[TrainingRow], None]  # hears every row as soon as it is written


class Progress:
    """Collects what happens in a training run with a time and a step budget.

    Steps are those of all processes that train together; the other numbers are this process's own.
    """

    def __init__(self, budget_s: float, max_steps: int, report: Report | None, num_processes: int = 1) -> None:
        self.budget_s = budget_s
        self.max_steps = max_steps
        self.report = report
        self.num_processes = num_processes
        self.steps = 0
        self.rows = []
        self.best_eval = float("nan")
        self._start = time.monotonic()
        self._ended: deque[np.ndarray] = deque(maxlen=1024)  # (success, strict, error, lost) of ended episodes
        self._rewards: dict[str, list[float]] = {}
        self._eval = float("nan")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._start

    def spent(self) -> bool:
        """Is the budget used up?"""
        return self.seconds >= self.budget_s or self.steps >= self.max_steps

    def observe(self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: dict) -> None:
        """Take in one step of all worlds."""
        self.steps += len(reward) * self.num_processes
        self._rewards.setdefault("reward", []).append(float(reward.mean()))
        for name, value in info.items():
            if name.startswith("reward/"):
                self._rewards.setdefault(name.replace("/", "_"), []).append(float(value.mean()))
        columns = (info["is_success"], info["is_success_strict"], info["goal_error_m"], terminated)
        ended = np.stack([np.asarray(c, dtype=float) for c in columns], axis=-1)[terminated | truncated]
        ended[:, :2] *= 1.0 - ended[:, 3:]
        self._ended.extend(ended)

    def evaluated(self, success_strict: float) -> None:
        """Note a deterministic evaluation."""
        self._eval = success_strict
        self.best_eval = success_strict if np.isnan(self.best_eval) else max(self.best_eval, success_strict)

    def tried(self) -> None:
        """A row for the evaluation of a policy that was there before; there was no rollout yet."""
        known = {"steps": self.steps, "seconds": self.seconds, "steps_per_s": 0.0, "eval_strict": self._eval}
        unknown = {f.name: math.nan for f in fields(TrainingRow)}
        self._add(TrainingRow(**{**unknown, **known, "seconds_left": max(0.0, self.budget_s - self.seconds)}))

    def log(self, agent) -> TrainingRow:
        """One row for the update that just happened."""
        ended = np.array(self._ended) if self._ended else np.full((1, 4), [0.0, 0.0, np.nan, 0.0])
        success, strict, error, lost = ended.mean(axis=0).tolist()
        rate = self.steps / max(self.seconds, 1e-9)
        by_steps = (self.max_steps - self.steps) / rate
        row = TrainingRow(
            steps=self.steps,
            seconds=self.seconds,
            steps_per_s=rate,
            success=success,
            success_strict=strict,
            goal_error_m=error,
            lost=lost,
            learning_rate=agent.optimizer.param_groups[0]["lr"],
            std=float(agent.policy.network.log_std.detach().exp().mean()),
            eval_strict=self._eval,
            seconds_left=max(0.0, min(self.budget_s - self.seconds, by_steps)),
            **asdict(agent.facts),
            **{name: float(np.mean(values)) for name, values in self._rewards.items()},
        )
        self._rewards = {}
        self._add(row)
        return row

    def _add(self, row: TrainingRow) -> None:
        self.rows.append(row)
        self._eval = math.nan
        if self.report:
            self.report(row)

    def state(self) -> dict[str, Any]:
        """Plain values from which `restore` goes on."""
        return {
            "steps": self.steps,
            "seconds": self.seconds,
            "best_eval": self.best_eval,
            "rows": [asdict(row) for row in self.rows],
            "ended": [row.tolist() for row in self._ended],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on counting from an earlier `state`; the time in between does not count."""
        self.steps = state["steps"]
        self.best_eval = state["best_eval"]
        self.rows = [TrainingRow(**row) for row in state["rows"]]
        self._ended.extend(np.array(row) for row in state["ended"])
        self._start = time.monotonic() - state["seconds"]

    def close(self) -> None:
        """Add a last row if an evaluation came after the last update."""
        if self.rows and not np.isnan(self._eval):
            self._add(replace(self.rows[-1], seconds=self.seconds, eval_strict=self._eval, seconds_left=0.0))


def write_metrics(path: str | Path, rows: Sequence[TrainingRow]) -> None:
    """metrics.csv: a header and one line per row."""
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(TrainingRow)])
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in asdict(row).items()})


def read_metrics(path: str | Path) -> list[TrainingRow]:
    """The rows of a metrics.csv."""
    with Path(path).open(newline="") as file:
        return [
            TrainingRow(**{k: int(v) if k == "steps" else float(v) for k, v in line.items()})
            for line in csv.DictReader(file)
        ]
