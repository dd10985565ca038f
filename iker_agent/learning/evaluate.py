"""How good is a policy? Strict and lenient success over fresh randomised copies, `finish()` included.

    policy, scene + goal or task, seed          ->  evaluate       ->  Evaluation
    policy of each configuration, task, seed    ->  evaluate_task  ->  TaskEvaluation, whose to_dict is the JSON file

Intervals are Wilson's 95 % score intervals (Wilson 1927).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from iker_agent.learning.policy import Policy
from iker_agent.learning.seeds import seed_for
from iker_agent.learning.training_worlds import make_worlds
from iker_envs.geometry import norm
from iker_envs.measure import Errors
from iker_envs.stage.grasp_bank import SharedStates
from iker_envs.vector_env import StageVectorEnv

_Z_95 = 1.959964  # the standard normal distribution has 95 % within so many standard deviations


@dataclass(frozen=True)
class Evaluation:
    """Rates over `num_episodes` deterministic episodes; `interval` belongs to `success_rate`.

    `hard_rate` is the share of episodes in which the hand met more than the net contact force that the reward lets
    pass (`RewardConfig.force_limit_N`, 20 N); None where the hand does not feel forces: on a robot.
    """

    num_episodes: int
    success_rate: float
    success_rate_strict: float
    interval: tuple[float, float]
    interval_strict: tuple[float, float]
    mean_error_m: float
    hard_rate: float | None


@dataclass(frozen=True)
class TaskEvaluation:
    """All configurations put together, and each by its index."""

    overall: Evaluation
    configurations: dict[int, Evaluation]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the overall rates on top, `configurations` a list."""
        parts = [{"configuration": index, **asdict(part)} for index, part in self.configurations.items()]
        return {**asdict(self.overall), "configurations": parts}


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a proportion."""
    if trials == 0:
        return 0.0, 1.0
    z = _Z_95
    p = successes / trials
    centre = p + z * z / (2 * trials)
    spread = z * sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def evaluate(
    policy: Policy, *, num_envs: int = 256, seed: int = 0, configuration: int | None = None, **make: Any
) -> Evaluation:
    """One deterministic episode in each of `num_envs` fresh copies; `make` are arguments of the vector environment."""
    env = make_copies(num_envs, **make)
    try:
        return summary(run_episodes(env, policy, seed, configuration))
    finally:
        env.close()


class StrictCopies:
    """N fresh copies in which policies are judged by strict success; made when they are first needed.

    Each copy grasps once. Where there are `grasped` states of the same stage, the copies begin with those. `make` are
    arguments of the vector environment.
    """

    def __init__(self, num_envs: int, *, grasped: SharedStates | None = None, **make: Any) -> None:
        self._num_envs = num_envs
        self._grasped = grasped
        self._make = make
        self._env: StageVectorEnv | None = None

    def __call__(self, policy: Policy, seed: int) -> np.ndarray:
        """Strict success (N,) bool of one deterministic episode in each copy, which depends on its seed alone."""
        if self._env is None:
            self._env = make_copies(self._num_envs, **{**self._make, "grasp_bank": 1})
            self._env.worlds.grasps.shared = self._grasped
        return run_episodes(self._env, policy, seed, None)[:, 1] > 0.0

    def close(self) -> None:
        """Free the copies."""
        if self._env:
            self._env.close()
            self._env = None


def evaluate_task(
    policy_of: Callable[[int], Policy],
    configurations: Sequence[int],
    *,
    num_envs: int = 128,
    episodes: int = 1,
    seed: int = 0,
    report: Callable[[int, Evaluation], None] | None = None,
    **make: Any,
) -> TaskEvaluation:
    """`episodes` deterministic episodes in each of `num_envs` copies of every configuration of a task.

    `policy_of(configuration)` gives the policy to try; `report` hears of each configuration when it is done.
    """
    parts = {}
    every = []
    env = make_copies(num_envs, **make)
    try:
        for index in configurations:
            policy = policy_of(index)
            runs = [run_episodes(env, policy, seed_for(seed, index, k), index) for k in range(episodes)]
            parts[index] = summary(np.concatenate(runs))
            every += runs
            if report:
                report(index, parts[index])
    finally:
        env.close()
    return TaskEvaluation(summary(np.concatenate(every)), parts)


def make_copies(num_envs: int, **make: Any) -> StageVectorEnv:
    """A vector environment for evaluation: episodes do not start anew by themselves."""
    return make_worlds(num_envs, autoreset_mode="disabled", **make)


def run_episodes(env: StageVectorEnv, policy: Policy, seed: int, configuration: int | None) -> np.ndarray:
    """One episode in every world, `finish()` included: (N, 4) of what `summary` takes.

    A world in which the policy gives an action that is not finite has failed; its hand stays where it is in that tick.
    """
    observation, _ = env.reset(seed=seed, options={"configuration": configuration})
    lost = ~env.worlds.grasped if env.worlds.goal.grasp else np.zeros(env.num_envs, dtype=bool)
    is_hard = np.zeros(env.num_envs, dtype=bool)
    for _ in range(env.worlds.config.max_steps):  # the worlds themselves: those that are lost wait for the others
        actions = policy.act(observation).astype(np.float64)
        broken = ~np.all(np.isfinite(actions), axis=-1)
        _, lost_now, _ = env.worlds.step(np.where(broken[:, None], 0.0, actions))
        observation = env.worlds.observe()
        force = env.worlds.arrays.host(norm(env.worlds.state.contact_force))
        is_hard |= ~lost & (force > env.worlds.config.rewards.force_limit_N)
        lost = lost | lost_now | broken
    errors: Errors = env.finish()
    return np.stack([errors.success & ~lost, errors.strict & ~lost, errors.goal_m, is_hard], axis=-1).astype(float)


def summary(rows: np.ndarray) -> Evaluation:
    """The Evaluation of episodes (E, 4): success, strict success, keypoint error in metres, hard contact or nan."""
    count = len(rows)
    (success, strict) = (int(total) for total in rows[:, :2].sum(axis=0))
    return Evaluation(
        num_episodes=count,
        success_rate=success / count,
        success_rate_strict=strict / count,
        interval=wilson(success, count),
        interval_strict=wilson(strict, count),
        mean_error_m=float(rows[:, 2].mean()),
        hard_rate=None if np.isnan(rows[:, 3]).any() else float(rows[:, 3].mean()),
    )
