"""How fast is a task learned? Environment steps and seconds to 0.5, 0.8, 0.9, 0.95 success, beside Stable-Baselines3.

    python benchmarks/learning.py --tasks shoe_push --seeds 0,1,2 --max-steps 1000000 --out learning.json

Both learners train on the same environment with the same budget of steps; a deterministic evaluation on fresh copies
(the paper's measure, finish() included) every --eval-every steps says where they are, and its time does not count.
Stable-Baselines3 runs PPO with its defaults (pip install stable-baselines3), on fewer worlds, as its defaults are made
for. `--search` races the settings of SEARCH instead, one changed at a time, by strict success: all on the first task,
the better ones on the next. Every finished cell is written to --out at once: run the same command again to go on. A
cell that was not run, or did not get there, stays empty.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch

import iker_envs
from iker_agent.atomic import replace_file
from iker_agent.learning.evaluate import evaluate
from iker_agent.learning.policy import Policy
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.provenance import task_facts
from iker_agent.learning.training import Training
from iker_envs.task import load_task

GOALS = (0.5, 0.8, 0.9, 0.95)
LEARNERS = ("ours", "sb3")
# Our PPO with one of its settings (PPOConfig) changed, first what was shipped when they were searched. A name is
# "ours:" and changes, parted by blanks.
BASE = "ours:kl_target=0.01"
SEARCH = (
    BASE,
    f"{BASE} num_envs=128",
    f"{BASE} num_envs=512",
    f"{BASE} horizon=8",
    f"{BASE} horizon=32",
    f"{BASE} epochs=3",
    f"{BASE} epochs=8",
    f"{BASE} mini_batches=2",
    f"{BASE} mini_batches=8",
    f"{BASE} discount=0.97",
    f"{BASE} discount=0.99",
    f"{BASE} gae_lambda=0.9",
    "ours:kl_target=0.02",
    f"{BASE} max_learning_rate=0.003",
    f"{BASE} value_loss=0.5",
    f"{BASE} entropy=0",
    f"{BASE} entropy=0.02",
)
RACE = (len(SEARCH) - 1, 5, 2)  # settings tried beside BASE on the first task, on the second, on every further one
HOPELESS = 4.0  # a setting that takes so many times the steps of BASE on a task has no further seeds there


@dataclass(frozen=True)
class Settings:
    """What all cells of a results file have in common."""

    max_steps: int
    eval_every: int
    eval_envs: int
    num_envs: int
    baseline_envs: int
    measure: str = "success_rate"  # or success_rate_strict: what the goals are


@dataclass
class Curve:
    """Success over the steps and seconds of a training; evaluations stop the clock."""

    settings: Settings
    task: str
    seed: int
    points: list[tuple[int, float, float]] = field(default_factory=list)
    _paused_s: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    def due(self, steps: int) -> bool:
        """Is it time for an evaluation?"""
        last = self.points[-1][0] if self.points else 0
        return steps - last >= self.settings.eval_every or steps >= self.settings.max_steps > last

    def look(self, policy: Policy, steps: int) -> bool:
        """Evaluate; True when the highest goal is reached."""
        began = time.monotonic()
        seed = 1_000_003 * (len(self.points) + 1) + self.seed
        found = evaluate(policy, num_envs=self.settings.eval_envs, seed=seed, task=self.task)
        rate = getattr(found, self.settings.measure)
        self.points.append((steps, began - self._start - self._paused_s, rate))
        self._paused_s += time.monotonic() - began
        print(f"  {steps:>9,} steps  {self.points[-1][1]:7.1f} s  success {rate:.3f}", flush=True)
        return rate >= GOALS[-1]


def changes_of(learner: str) -> dict[str, float]:
    """The settings of PPO that a name like "ours:epochs=3 horizon=8" changes; ValueError for an unknown one."""
    changes = {}
    for change in learner.partition(":")[2].split():
        name, _, value = change.partition("=")
        known = vars(PPOConfig())
        if name not in known or not isinstance(known[name], (int, float)):
            raise ValueError(f"PPO has no setting {name!r} that is a number; it has: {', '.join(known)}")
        changes[name] = type(known[name])(value)
    return changes


def train_ours(curve: Curve, changes: dict[str, Any]) -> None:
    """PPO as in `iker train`, with some settings changed, until the highest goal or the budget."""
    settings = curve.settings
    budget = {"budget_s": float("inf"), "max_steps": settings.max_steps, "eval_every_s": float("inf")}
    config = PPOConfig(**{"num_envs": settings.num_envs, **changes, **budget})
    env = gym.make_vec(
        "IKER-Stage-v0", num_envs=config.num_envs, task=curve.task, random_first_age=True, **iker_envs.TRAINING
    )

    def look(training: Training) -> None:
        steps = training.progress.steps
        if curve.due(steps) and not training.stopping:
            training.stopping = curve.look(training.policy, steps)

    try:
        Training(env, config, lambda *_: 0.0, seed=curve.seed, after_update=look).run()
    finally:
        env.close()


def train_sb3(curve: Curve) -> None:
    """Stable-Baselines3's PPO with its defaults."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback

    class Look(BaseCallback):
        reached = False

        def _on_step(self) -> bool:
            return not self.reached

        def _on_rollout_start(self) -> None:
            if self.num_timesteps and curve.due(self.num_timesteps):
                act = lambda observations: self.model.predict(observations, deterministic=True)[0]  # noqa: E731
                self.reached = curve.look(FunctionPolicy(act), self.num_timesteps)

        def _on_training_end(self) -> None:
            self._on_rollout_start()

    env = baseline_env(
        gym.make_vec("IKER-Stage-v0", num_envs=curve.settings.baseline_envs, task=curve.task, **iker_envs.TRAINING)
    )
    try:
        model = PPO("MlpPolicy", env, seed=curve.seed, device="cpu")
        model.learn(curve.settings.max_steps, callback=Look())
    finally:
        env.close()


@dataclass(frozen=True)
class FunctionPolicy:
    """A policy from a function of observations (N, obs) to actions (N, 6)."""

    act: Callable[[np.ndarray], np.ndarray]


def baseline_env(env: gym.vector.VectorEnv):
    """A same-step autoreset vector environment as Stable-Baselines3 wants it."""
    from stable_baselines3.common.vec_env import VecEnv

    class Adapter(VecEnv):
        def __init__(self) -> None:
            super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

        def reset(self):
            seed = self._seeds[0]
            self._reset_seeds()
            return env.reset(seed=seed)[0]

        def step_async(self, actions) -> None:
            self._actions = actions

        def step_wait(self):
            observation, reward, terminated, truncated, info = env.step(self._actions)
            infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            for i in np.flatnonzero(terminated | truncated):
                infos[i] = {
                    "terminal_observation": info["final_obs"][i],
                    "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                }
            return observation, reward.astype(np.float32), terminated | truncated, infos

        def close(self) -> None:
            env.close()

        def get_attr(self, attr_name, indices=None):
            return [getattr(env, attr_name, None)] * self.num_envs

        def set_attr(self, attr_name, value, indices=None) -> None:
            raise AttributeError(f"the worlds have no {attr_name!r} of their own")

        def env_method(self, method_name, *args, indices=None, **kwargs):
            raise AttributeError(f"the worlds have no method {method_name!r} of their own")

        def env_is_wrapped(self, wrapper_class, indices=None):
            return [False] * self.num_envs

    return Adapter()


def run_cell(task: str, learner: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Train once; when each goal was first reached (null: not), and the whole curve."""
    torch.set_num_threads(1)
    print(f"{task}, {learner}, seed {seed}", flush=True)
    curve = Curve(settings, task, seed)
    if learner == "sb3":
        train_sb3(curve)
    else:
        train_ours(curve, changes_of(learner))
    reached = {str(goal): next(([s, t] for s, t, rate in curve.points if rate >= goal), None) for goal in GOALS}
    return {"reached": reached, "curve": curve.points, "facts": task_facts(load_task(task), "keypoints")}


def table(cells: dict[str, Any], tasks: Sequence[str], seeds: Sequence[int], learners: Sequence[str] = LEARNERS) -> str:
    """Median steps / seconds over the seeds that got there, how many did, and the ratio sb3 : ours."""
    lines = ["| task | learner | " + " | ".join(f"to {goal}" for goal in GOALS) + " |", "|---" * (2 + len(GOALS)) + "|"]
    for task in tasks:
        found = {}
        for learner in learners:
            runs = [cells[k]["reached"] for s in seeds if (k := f"{task}/{learner}/{s}") in cells]
            found[learner] = [[run[str(goal)] for run in runs if run[str(goal)]] for goal in GOALS]
            texts = [_cell(there, len(runs)) for there in found[learner]]
            lines.append(f"| {task} | {learner} | " + " | ".join(texts) + " |")
        if set(LEARNERS) <= set(learners):
            ratios = [_ratio(ours, theirs) for ours, theirs in zip(found["ours"], found["sb3"], strict=True)]
            lines.append(f"| {task} | sb3 : ours | " + " | ".join(ratios) + " |")
    return "\n".join(lines)


def _cell(there: list[list[float]], runs: int) -> str:
    if not there:
        return ""
    steps, seconds = (median(column) for column in zip(*there, strict=True))
    return f"{steps:,.0f} / {seconds:.0f} s ({len(there)} of {runs})"


def _ratio(ours: list[list[float]], theirs: list[list[float]]) -> str:
    if not ours or not theirs:
        return ""
    steps, seconds = (median(row[k] for row in theirs) / median(row[k] for row in ours) for k in (0, 1))
    return f"{steps:.1f} / {seconds:.1f}"


def relative_steps(cells: dict[str, Any], learner: str, tasks: Sequence[str], max_steps: int) -> float:
    """Steps to the highest goal over those of BASE: geometric mean over all cells of these tasks that both have.

    A training that does not get there counts as max_steps. NaN without such cells.
    """
    logs = []
    for key in cells:
        task, of, seed = key.split("/")
        if of == learner and task in tasks and (first := f"{task}/{BASE}/{seed}") in cells:
            theirs, base = (cells[one]["reached"][str(GOALS[-1])] or [max_steps] for one in (key, first))
            logs.append(math.log(theirs[0] / base[0]))
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def still_in_race(cells: dict[str, Any], tasks: Sequence[str], max_steps: int) -> tuple[str, ...]:
    """BASE and the settings that go on after these tasks, those of the fewest relative steps."""
    others = SEARCH[1:]
    for number in range(len(tasks) + 1):
        rank = {one: relative_steps(cells, one, tasks[:number], max_steps) for one in others}
        keep = RACE[min(number, len(RACE) - 1)]
        others = tuple(sorted(others, key=rank.__getitem__))[:keep]
    return (BASE, *others)


def is_hopeless(cells: dict[str, Any], learner: str, task: str, max_steps: int) -> bool:
    """Is a setting so slow in the seeds that a task has so far that further ones would not save it?"""
    return relative_steps(cells, learner, [task], max_steps) > HOPELESS


def search_table(cells: dict[str, Any], tasks: Sequence[str], seeds: Sequence[int], max_steps: int) -> str:
    """Thousands of steps of every seed to the highest goal, and their ratio to those of the first row."""
    lines = [f"| PPO | {' | '.join(tasks)} | steps / first row |", "|---" * (2 + len(tasks)) + "|"]
    for learner in SEARCH:
        columns = []
        for task in tasks:
            runs = [cells[key]["reached"][str(GOALS[-1])] for s in seeds if (key := f"{task}/{learner}/{s}") in cells]
            columns.append(", ".join(f"{run[0] / 1000:.0f}" if run else f">{max_steps / 1000:.0f}" for run in runs))
        ratio = relative_steps(cells, learner, tasks, max_steps)
        columns.append("" if math.isnan(ratio) else f"{ratio:.2f}")
        lines.append(f"| {learner.removeprefix('ours:')} | {' | '.join(columns)} |")
    return "\n".join(lines)


def read_cells(path: Path, settings: Settings) -> dict[str, Any]:
    """Cells measured so far; ValueError if they were measured with other settings."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text())
    if content["settings"] != vars(settings):
        raise ValueError(f"{path} holds results of other settings: {content['settings']}; choose another --out")
    return content["cells"]


def main() -> None:
    """Measure what is asked for and not yet measured, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="shoe_place,shoe_push,book_push,book_reorient")
    parser.add_argument("--learners", default=",".join(LEARNERS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--max-steps", type=int, default=3_000_000)
    parser.add_argument("--eval-every", type=int, default=50_000)
    parser.add_argument("--eval-envs", type=int, default=128)
    parser.add_argument("--num-envs", type=int, default=None, help="worlds of ours; 512, in a search those shipped")
    parser.add_argument("--baseline-envs", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("runs/bench_learning.json"))
    parser.add_argument("--measure", default=None, choices=["success_rate", "success_rate_strict"])
    parser.add_argument("--search", action="store_true", help="race settings of our PPO, by strict success")
    given = parser.parse_args()
    given.measure = given.measure or ("success_rate_strict" if given.search else "success_rate")
    given.num_envs = given.num_envs or (PPOConfig().num_envs if given.search else 512)
    learners = SEARCH if given.search else tuple(given.learners.split(","))
    tasks = given.tasks.split(",")
    seeds = [int(s) for s in given.seeds.split(",")]
    settings = Settings(**{name: getattr(given, name) for name in Settings.__dataclass_fields__})
    given.out.parent.mkdir(parents=True, exist_ok=True)
    cells = read_cells(given.out, settings)
    machine = {"cpu_count": os.cpu_count()}
    for number, task in enumerate(tasks):
        if given.search:
            learners = still_in_race(cells, tasks[:number], settings.max_steps)
        for key, seed, learner in ((f"{task}/{one}/{s}", s, one) for s in seeds for one in learners):
            out = given.search and is_hopeless(cells, learner, task, settings.max_steps)
            if key not in cells and not out:
                cells[key] = run_cell(task, learner, seed, settings)
                content = json.dumps({"settings": vars(settings), "machine": machine, "cells": cells}, indent=1)
                replace_file(given.out, lambda path, content=content: path.write_text(content))
    if given.search:
        print(search_table(cells, tasks, seeds, settings.max_steps))
    else:
        print(table(cells, tasks, seeds, learners))


if __name__ == "__main__":
    main()
