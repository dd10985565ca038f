"""Worlds of several stages side by side, as one vector environment: what a family's policy is trained in.

stages, arguments  ->  make_mixture  ->  StageVectorEnv | Mixture            MixtureCopies  ->  Judge
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from gymnasium.vector.utils import batch_space

from iker_agent.learning.evaluate import StrictCopies
from iker_agent.learning.network import NetworkPolicy
from iker_agent.learning.seeds import seed_for
from iker_agent.learning.shipped import Stages
from iker_agent.learning.training_worlds import TrainingWorlds, make_worlds
from iker_envs.geometry import Array, namespace
from iker_envs.stage.grasp_bank import SharedStates
from iker_envs.vector_env import StageVectorEnv


class Mixture:
    """Several vector environments as one, the worlds of the first coming first.

    A TrainingWorlds whose `worlds` are those of the first one.
    """

    def __init__(self, envs: Sequence[StageVectorEnv]) -> None:
        self.envs = list(envs)
        self.worlds = envs[0].worlds
        self.num_envs = sum(env.num_envs for env in self.envs)
        self.single_observation_space = envs[0].single_observation_space
        self.single_action_space = envs[0].single_action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._ends = np.cumsum([env.num_envs for env in self.envs])

    def reset(self, *, seed: int) -> tuple[Array, dict[str, Any]]:
        """Begin episodes everywhere, the seeds of one environment apart from those of the others."""
        parts = [env.reset(seed=seed_for(seed, index))[0] for index, env in enumerate(self.envs)]
        return joined(parts), {}

    def step(self, actions: Array):
        """One tick everywhere; actions (N, 6). The info is without "final_info", which only some parts may have."""
        shares = [actions[first:end] for first, end in pairwise((0, *self._ends))]
        *columns, infos = zip(*(env.step(share) for env, share in zip(self.envs, shares, strict=True)), strict=True)
        info = {name: joined([part[name] for part in infos]) for name in infos[0] if name.lstrip("_") != "final_info"}
        return *map(joined, columns), info

    def close(self) -> None:
        """Free the simulations."""
        for env in self.envs:
            env.close()


def joined(parts: Sequence[Array]) -> Array:
    """The rows of all parts, one below the other."""
    return namespace(parts[0]).concat(list(parts))


def make_mixture(stages: Stages, num_envs: int, **make: Any) -> TrainingWorlds:
    """Training worlds, shared out evenly among the stages; ValueError if one policy cannot serve all of them."""
    shares = [num_envs // len(stages) + (index < num_envs % len(stages)) for index in range(len(stages))]
    envs = [_worlds(stage, share, make) for stage, share in zip(stages, shares, strict=True)]
    specs = {env.worlds.config.spec for env in envs}
    if len(specs) > 1:
        raise ValueError(
            f"the stages {', '.join(name for name, _ in stages)} have {len(specs)} specs; a policy has one"
        )
    return envs[0] if len(envs) == 1 else Mixture(envs)


def _worlds(stage: tuple[str, int], num_envs: int, make: dict[str, Any]) -> StageVectorEnv:
    name, index = stage
    env = make_worlds(num_envs, task=name, stage_index=index, random_first_age=True, **make)
    env.worlds.grasps.shared = SharedStates()  # a configuration that fails is in the hands of some worlds only
    return env


class MixtureCopies:
    """Judges a policy by its deterministic strict success in fresh copies, as many of every stage."""

    def __init__(self, stages: Stages, num_envs: int, **make: Any) -> None:
        share = max(1, num_envs // len(stages))
        self._parts = [StrictCopies(share, task=name, stage_index=index, **make) for name, index in stages]

    def __call__(self, policy: NetworkPolicy, seed: int) -> np.ndarray:
        """Strict success (N,) bool, stage by stage."""
        return np.concatenate([copies(policy, seed) for copies in self._parts])

    def close(self) -> None:
        """Free the copies."""
        for copies in self._parts:
            copies.close()
