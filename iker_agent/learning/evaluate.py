"""How good is a policy? Strict and lenient success over fresh randomised copies, `finish()` included.

    policy, scene + goal (or task), seed  ->  Evaluation(success_rate, success_rate_strict, interval, ...)

Intervals are Wilson's 95 % score intervals (Wilson 1927).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import gymnasium as gym
import numpy as np

import iker_envs  # noqa: F401 (registers the environments)
from iker_agent.learning.policy import Policy


@dataclass(frozen=True)
class Evaluation:
    """Rates over `num_episodes` deterministic episodes; `interval` belongs to `success_rate`."""

    num_episodes: int
    success_rate: float
    success_rate_strict: float
    interval: tuple[float, float]
    interval_strict: tuple[float, float]
    mean_error_m: float


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a proportion."""
    if trials == 0:
        return 0.0, 1.0
    z, p = 1.959964, successes / trials
    centre, spread = p + z * z / (2 * trials), z * sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def evaluate(
    policy: Policy, *, num_envs: int = 256, seed: int = 0, configuration: int | None = None, **make: Any
) -> Evaluation:
    """One deterministic episode in each of `num_envs` fresh copies; `make` are arguments of the vector environment."""
    env = gym.make_vec("IKER-Stage-v0", num_envs=num_envs, autoreset_mode="disabled", **make)
    try:
        observation, _ = env.reset(seed=seed, options={"configuration": configuration})
        lost = ~env.stage.grasped if env.stage.goal.grasp else np.zeros(num_envs, dtype=bool)
        for _ in range(env.stage.config.max_steps):
            observation, _, terminated, _, _ = env.step(policy.act(observation))
            lost |= terminated
        errors = env.finish()
    finally:
        env.close()
    success, strict = errors.success & ~lost, errors.strict & ~lost
    return Evaluation(
        num_episodes=num_envs,
        success_rate=float(success.mean()),
        success_rate_strict=float(strict.mean()),
        interval=wilson(int(success.sum()), num_envs),
        interval_strict=wilson(int(strict.sum()), num_envs),
        mean_error_m=float(errors.goal_m.mean()),
    )
