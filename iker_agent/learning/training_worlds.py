"""The worlds that a policy is trained and evaluated in, as the trainer sees them.

make_worlds(num_envs, arguments)  ->  StageVectorEnv, which is a TrainingWorlds; mixture.py makes another one
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import gymnasium as gym
import numpy as np

import iker_envs
from iker_envs.stage.stage import Stage
from iker_envs.vector_env import StageVectorEnv


class TrainingWorlds(Protocol):
    """What training needs of a vector environment with same-step autoreset, no more."""

    num_envs: int
    single_observation_space: gym.Space
    single_action_space: gym.Space

    @property
    def worlds(self) -> Stage:
        """The simulated worlds, or those of one part, which has the spec and the time limit of all."""
        ...

    def reset(self, *, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin episodes in all worlds; observations (N, observation_dim) and the info."""
        ...

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One tick; from actions (N, 6) observation, reward, terminated, truncated (N, ...) and the info."""
        ...

    def close(self) -> None:
        """Free the simulation."""
        ...


def parts_of(env: TrainingWorlds) -> list[TrainingWorlds]:
    """The environments that worlds are put together of, in their order: those of a Mixture, else the one itself."""
    return list(getattr(env, "envs", [env]))


def make_worlds(num_envs: int, **make: Any) -> StageVectorEnv:
    """N worlds that are quick to begin anew (`iker_envs.TRAINING`); `make` are arguments of the vector environment."""
    arguments = {**iker_envs.TRAINING, **make}
    return cast(StageVectorEnv, gym.make_vec("IKER-Stage-v0", num_envs=num_envs, **arguments))
