"""TorchRL on our vector environment: a tensordict environment with partial resets, rolled out with a random policy.

python examples/torchrl_rollout.py --steps 20000 --num-envs 64
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.data import Binary, Bounded, Composite, Unbounded
from torchrl.envs import EnvBase

import iker_envs  # noqa: F401 (registers the environments)


class TorchRLEnv(EnvBase):
    """A gymnasium VectorEnv made with `autoreset_mode="disabled"`; TorchRL says which worlds begin anew."""

    def __init__(self, env: gym.vector.VectorEnv) -> None:
        n = env.num_envs
        space = env.single_observation_space
        super().__init__(device="cpu", batch_size=[n])
        self._worlds = env
        self._seed = None
        low, high = (torch.from_numpy(bound).expand(n, -1) for bound in (space.low, space.high))
        self.observation_spec = Composite(observation=Bounded(low=low, high=high, dtype=torch.float32), shape=[n])
        self.action_spec = Bounded(low=-1.0, high=1.0, shape=(n, env.single_action_space.shape[0]))
        self.reward_spec = Unbounded(shape=(n, 1))
        flags = {name: Binary(1, shape=(n, 1), dtype=torch.bool) for name in ("done", "terminated", "truncated")}
        self.done_spec = Composite(**flags, shape=[n])

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        options = {} if mask is None else {"reset_mask": mask.reshape(self.batch_size).numpy()}
        observation, _ = self._worlds.reset(seed=self._seed, options=options)
        self._seed = None
        return self._with_ends({"observation": torch.from_numpy(observation)})

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        observation, reward, terminated, truncated, _ = self._worlds.step(tensordict["action"].numpy())
        rows = {"observation": torch.from_numpy(observation), "reward": torch.from_numpy(reward).float()[:, None]}
        return self._with_ends(rows, torch.from_numpy(terminated), torch.from_numpy(truncated))

    def _with_ends(self, rows: dict, terminated=None, truncated=None) -> TensorDict:
        never = torch.zeros(self.batch_size, dtype=torch.bool)
        terminated = never if terminated is None else terminated
        truncated = never if truncated is None else truncated
        ends = {"terminated": terminated, "truncated": truncated, "done": terminated | truncated}
        return TensorDict({**rows, **{k: v[:, None] for k, v in ends.items()}}, batch_size=self.batch_size)

    def _set_seed(self, seed: int | None) -> None:
        self._seed = seed

    def close(self, **kwargs) -> None:
        self._worlds.close()
        super().close(**kwargs)


def roll_out(env_id: str, num_envs: int, steps: int, seed: int = 0, **make) -> TensorDictBase:
    """Transitions (num_envs, ticks) of a random policy."""
    env = TorchRLEnv(gym.make_vec(env_id, num_envs=num_envs, autoreset_mode="disabled", **make))
    env.set_seed(seed)
    data = env.rollout(max(1, steps // num_envs), break_when_any_done=False)
    env.close()
    return data


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="IKER-ShoePush-v0")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    transitions = roll_out(options.env, options.num_envs, options.steps)
    print(f"{transitions.numel()} transitions, mean reward {transitions['next', 'reward'].mean():.2f}")
