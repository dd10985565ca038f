"""Stable-Baselines3 on our vector environment: it knows no gymnasium VectorEnv, so an adapter makes it a VecEnv.

python examples/stable_baselines3_ppo.py --steps 200000 --num-envs 128
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

import iker_envs


class VectorEnvAdapter(VecEnv):
    """A gymnasium VectorEnv with same-step autoreset as Stable-Baselines3's VecEnv."""

    def __init__(self, env: gym.vector.VectorEnv) -> None:
        self.env = env
        self.render_mode = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        """First observations (N, obs); seeds given by `seed` are used once."""
        seeds = None if self._seeds[0] is None else [int(s) for s in self._seeds]
        observation, _ = self.env.reset(seed=seeds)
        self._reset_seeds()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self):
        """Observations, rewards, dones (N,) and one info per world, with the last observation where one ended."""
        observation, reward, terminated, truncated, info = self.env.step(np.clip(self._actions, -1.0, 1.0))
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for world in np.flatnonzero(terminated | truncated):
            infos[world]["terminal_observation"] = info["final_obs"][world]
            infos[world]["TimeLimit.truncated"] = bool(truncated[world] and not terminated[world])
            infos[world]["is_success"] = bool(info["is_success"][world])
        return observation, reward.astype(np.float32), terminated | truncated, infos

    def close(self) -> None:
        self.env.close()

    def _worlds(self, indices) -> Sequence[int]:
        return list(self._get_indices(indices))

    def get_attr(self, attr_name: str, indices=None) -> list[Any]:
        return [getattr(self.env, attr_name) for _ in self._worlds(indices)]

    def set_attr(self, attr_name: str, value: Any, indices=None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices=None, **kwargs: Any) -> list[Any]:
        return [getattr(self.env, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class, indices=None) -> list[bool]:
        return [False for _ in self._worlds(indices)]


def train(env_id: str, num_envs: int, steps: int, seed: int = 0) -> PPO:
    """A PPO agent after `steps` env steps."""
    env = VectorEnvAdapter(gym.make_vec(env_id, num_envs=num_envs, random_first_age=True, **iker_envs.TRAINING))
    horizon = 16
    agent = PPO(
        "MlpPolicy", env, n_steps=horizon, batch_size=horizon * num_envs // 4, n_epochs=5, gamma=0.98, seed=seed,
        device="cpu",
    )  # fmt: skip
    agent.learn(total_timesteps=steps)
    env.close()
    return agent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="IKER-ShoePush-v0")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    trained = train(options.env, options.num_envs, options.steps)
    successes = [bool(s) for s in trained.ep_success_buffer]
    print(f"{trained.num_timesteps} env steps, success in the last {len(successes)} episodes: {np.mean(successes):.2f}")
