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
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from iker_envs.geometry import Array, namespace
from iker_envs.rewards import ROWS


@dataclass(frozen=True)
class TrainingRow:
    """One line of the log. Success is that of the last episodes, exploring; `eval_strict` deterministic or NaN."""

    steps: int
    seconds: float
    steps_per_s: float
    success: float
    success_strict: float
    goal_error_m: float
    reward: float  # per tick, mean over the worlds
    rewards: Mapping[str, float]  # the weighted rows that `reward` is the sum of, by name
    lost: float
    learning_rate: float
    std: float
    eval_strict: float
    seconds_left: float
    kl: float = math.nan  # divergence of the policy from the one before the update
    entropy: float = math.nan  # of the action distribution, nats
    explained_variance: float = math.nan  # of the returns, by the value function

    def columns(self) -> dict[str, float]:
        """Plain values by name, the rows of the reward as `reward_NAME`: a line of metrics.csv."""
        columns: dict[str, float] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            columns |= {f"{_REWARD}{n}": v for n, v in value.items()} if f.name == "rewards" else {f.name: value}
        return columns

    @classmethod
    def from_columns(cls, columns: Mapping[str, float]) -> TrainingRow:
        """The row that gave these `columns`; ValueError names a column that is missing or unknown."""
        rewards = {n.removeprefix(_REWARD): v for n, v in columns.items() if n.startswith(_REWARD)}
        others = {n: v for n, v in columns.items() if not n.startswith(_REWARD)}
        needed = [f.name for f in fields(cls) if f.default is MISSING and f.name != "rewards"]
        if missing := [name for name in needed if name not in others]:
            raise ValueError(f"a row of the training log lacks the column {missing[0]!r}")
        if unknown := [name for name in others if name not in {f.name for f in fields(cls)}]:
            raise ValueError(f"a row of the training log has the unknown column {unknown[0]!r}")
        steps = int(others.pop("steps"))
        return cls(steps=steps, rewards=rewards, **others)

    @classmethod
    def unknown(cls, steps: int = 0) -> TrainingRow:
        """A row in which every number but the steps is NaN: nothing has been rolled out."""
        numbers = {f.name: math.nan for f in fields(cls) if f.name not in ("steps", "rewards")}
        return cls(steps=steps, rewards=dict.fromkeys(ROWS, math.nan), **numbers)


_NUM_ENDED = 1024  # episodes that the rates of a row are those of
_REWARD = "reward_"  # what the column of a row of the reward begins with
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
        self.rows: list[TrainingRow] = []
        self._start = time.monotonic()
        self._ended: deque[np.ndarray] = deque(maxlen=_NUM_ENDED)  # (success, strict, error, lost) of ended episodes
        self._reward: list[Array] = []  # means over the worlds since the last update, a number per tick
        self._rewards: dict[str, list[Array]] = {}  # the same for each of its rows
        self._eval = float("nan")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._start

    def spent(self) -> bool:
        """Is the budget used up?"""
        return self.seconds >= self.budget_s or self.steps >= self.max_steps

    def observe(self, reward: Array, terminated: Array, truncated: Array, info: dict) -> None:
        """Take in one step of all worlds; a device is waited for to know which episodes have ended."""
        self.steps += len(reward) * self.num_processes
        self._reward.append(reward.mean())
        for name, value in info.items():
            if name.startswith("reward/"):
                self._rewards.setdefault(name.removeprefix("reward/"), []).append(value.mean())
        over = terminated | truncated
        if not over.any():
            return
        xp = namespace(reward)
        columns = (info["is_success"], info["is_success_strict"], info["goal_error_m"], terminated)
        rows = xp.stack([xp.astype(column, xp.float64) for column in columns], axis=-1)[over]
        ended = rows if isinstance(rows, np.ndarray) else rows.cpu().numpy()
        ended[:, :2] *= 1.0 - ended[:, 3:]
        self._ended.extend(ended)

    def evaluated(self, success_strict: float) -> None:
        """Note a deterministic evaluation."""
        self._eval = success_strict

    def tried(self) -> None:
        """A row for the evaluation of a policy that was there before; there was no rollout yet."""
        row = TrainingRow.unknown(self.steps)
        left = max(0.0, self.budget_s - self.seconds)
        self._add(replace(row, seconds=self.seconds, steps_per_s=0.0, eval_strict=self._eval, seconds_left=left))

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
            reward=_mean(self._reward),
            rewards={name: _mean(values) for name, values in self._rewards.items()},
            lost=lost,
            learning_rate=agent.optimizer.param_groups[0]["lr"],
            std=float(agent.policy.network.log_std.detach().exp().mean()),
            eval_strict=self._eval,
            seconds_left=max(0.0, min(self.budget_s - self.seconds, by_steps)),
            **asdict(agent.facts),
        )
        self._reward = []
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
            "rows": [row.columns() for row in self.rows],
            "ended": [row.tolist() for row in self._ended],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on counting from an earlier `state`; the time in between does not count."""
        self.steps = state["steps"]
        self.rows = [TrainingRow.from_columns(row) for row in state["rows"]]
        self._ended.extend(np.array(row) for row in state["ended"])
        self._start = time.monotonic() - state["seconds"]

    def close(self) -> None:
        """Add a last row if an evaluation came after the last update."""
        if self.rows and not np.isnan(self._eval):
            self._add(replace(self.rows[-1], seconds=self.seconds, eval_strict=self._eval, seconds_left=0.0))


def _mean(values: Sequence[Array]) -> float:
    """Of numbers, or of tensors that hold one each."""
    return float(sum(values)) / len(values)


def write_metrics(path: str | Path, rows: Sequence[TrainingRow]) -> None:
    """metrics.csv: a header and one line per row; rewards that a row does not have are left empty."""
    lines = [row.columns() for row in rows]
    names = dict.fromkeys(name for line in [TrainingRow.unknown().columns(), *lines] for name in line)
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for line in lines:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in line.items()})


def read_metrics(path: str | Path) -> list[TrainingRow]:
    """The rows of a metrics.csv; ValueError if it is none."""
    with Path(path).open(newline="") as file:
        return [
            TrainingRow.from_columns({k: int(v) if k == "steps" else float(v) for k, v in line.items() if v})
            for line in csv.DictReader(file)
        ]
