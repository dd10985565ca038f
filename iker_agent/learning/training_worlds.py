"""The worlds that a policy is trained and evaluated in, as the trainer sees them.

make_worlds(num_envs, arguments)  ->  StageVectorEnv, which is a TrainingWorlds; mixture.py makes another one
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import gymnasium as gym

import iker_envs
from iker_envs.geometry import Array
from iker_envs.physics.engines import base_name
from iker_envs.stage.stage import Stage
from iker_envs.vector_env import StageVectorEnv

if TYPE_CHECKING:  # policies are evaluated without torch, too
    import torch


class TrainingWorlds(Protocol):
    """What training needs of a vector environment with same-step autoreset, no more.

    Arrays are numpy's, or torch tensors where the worlds live on a device (`worlds.arrays`).
    """

    num_envs: int
    single_observation_space: gym.Space
    single_action_space: gym.Space

    @property
    def worlds(self) -> Stage:
        """The simulated worlds, or those of one part, which has the spec and the time limit of all."""
        ...

    def reset(self, *, seed: int) -> tuple[Array, dict[str, Any]]:
        """Begin episodes in all worlds; observations (N, observation_dim) and the info."""
        ...

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One tick; from actions (N, 6) observation, reward, terminated, truncated (N, ...) and the info."""
        ...

    def close(self) -> None:
        """Free the simulation."""
        ...


def parts_of(env: TrainingWorlds) -> list[TrainingWorlds]:
    """The environments that worlds are put together of, in their order: those of a Mixture, else the one itself."""
    return list(getattr(env, "envs", [env]))


def device_of(env: TrainingWorlds) -> str:
    """Where a policy for these worlds is trained: where their arrays are."""
    return "cpu" if env.worlds.arrays.on_host else env.worlds.ticks.device


def arrays_for(sim: str) -> str:
    """The arrays that training exchanges with the worlds of an engine: torch's where those may be on a GPU."""
    return "torch" if base_name(sim) == "warp" else "numpy"


def to_worlds(env: TrainingWorlds, actions: torch.Tensor) -> Array:
    """Actions (N, 6) as the worlds take them."""
    return actions.numpy() if env.worlds.arrays.on_host else actions


def make_worlds(num_envs: int, **make: Any) -> StageVectorEnv:
    """N worlds that are quick to begin anew (`iker_envs.TRAINING`); `make` are arguments of the vector environment."""
    arguments = {**iker_envs.TRAINING, **make}
    return cast(StageVectorEnv, gym.make_vec("IKER-Stage-v0", num_envs=num_envs, **arguments))
