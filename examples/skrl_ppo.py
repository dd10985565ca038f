"""skrl on our vector environment, through a wrapper that shares memory between numpy and torch.

    python examples/skrl_ppo.py --steps 200000 --num-envs 128

skrl bootstraps truncated episodes from the next observation, which after a same-step reset is another episode's; the
agent here takes the one that ended the episode instead.
"""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium as gym
import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch.base import Wrapper
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from torch import nn

import iker_envs

HORIZON = 16


class SkrlWrapper(Wrapper):
    """A gymnasium VectorEnv as skrl wants it: tensors in and out, columns (N, 1)."""

    def reset(self):
        observation, info = self._env.reset()
        return torch.from_numpy(observation), info

    def step(self, actions: torch.Tensor):
        observation, reward, terminated, truncated, info = self._env.step(actions.clamp(-1, 1).numpy())
        columns = [torch.from_numpy(x)[:, None] for x in (reward, terminated, truncated)]
        info = {**info, "final_obs": torch.from_numpy(info["final_obs"])}
        return torch.from_numpy(observation), columns[0].float(), columns[1], columns[2], info

    def state(self) -> None:
        return None

    def render(self, *args: Any, **kwargs: Any) -> None:
        return None

    def close(self) -> None:
        self._env.close()


class FinalObservationPPO(PPO):
    """Bootstraps from `infos["final_obs"]`."""

    def record_transition(self, *, next_observations, infos, **rest) -> None:
        super().record_transition(next_observations=infos["final_obs"], infos=infos, **rest)
        self._current_next_observations = next_observations


class Policy(GaussianMixin, Model):
    """Mean action from a small network."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, device="cpu", **spaces)
        GaussianMixin.__init__(self)
        self.net = _network(self.num_observations, self.num_actions)
        self.log_std = nn.Parameter(torch.full((self.num_actions,), -0.5))

    def compute(self, inputs, role: str = ""):
        return self.net(inputs["observations"]), {"log_std": self.log_std}


class Value(DeterministicMixin, Model):
    """Value from another."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, device="cpu", **spaces)
        DeterministicMixin.__init__(self)
        self.net = _network(self.num_observations, 1)

    def compute(self, inputs, role: str = ""):
        return self.net(inputs["observations"]), {}


def _network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 128), nn.ELU(), nn.Linear(128, 64), nn.ELU(), nn.Linear(64, outputs))


def train(env_id: str, num_envs: int, steps: int, seed: int = 0) -> list[float]:
    """Mean reward of every rollout."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the physics has the cores
    worlds = gym.make_vec(env_id, num_envs=num_envs, random_first_age=True, **iker_envs.TRAINING)
    env = SkrlWrapper(worlds)
    spaces = {"observation_space": worlds.single_observation_space, "action_space": worlds.single_action_space}
    config = PPO_CFG()
    config.rollouts = HORIZON
    config.learning_epochs = 5
    config.mini_batches = 4
    config.discount_factor = 0.98
    config.time_limit_bootstrap = True
    config.experiment.write_interval = config.experiment.checkpoint_interval = 0
    memory = RandomMemory(memory_size=HORIZON, num_envs=num_envs, device="cpu")
    models = {"policy": Policy(**spaces), "value": Value(**spaces)}
    agent = FinalObservationPPO(models=models, memory=memory, cfg=config, device="cpu", **spaces)
    agent.init()
    agent.enable_training_mode(True)
    (observation, _) = env.reset()
    rewards = []
    for tick in range(max(HORIZON, steps // num_envs)):
        with torch.no_grad():
            actions, _ = agent.act(observation, None, timestep=tick, timesteps=0)
        after, reward, terminated, truncated, infos = env.step(actions)
        agent.record_transition(
            observations=observation, states=None, actions=actions, rewards=reward, next_observations=after,
            next_states=None, terminated=terminated, truncated=truncated, infos=infos, timestep=tick, timesteps=0,
        )  # fmt: skip
        agent.post_interaction(timestep=tick, timesteps=0)
        observation = after
        rewards.append(float(reward.mean()))
    env.close()
    return rewards


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="IKER-ShoePush-v0")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    history = train(options.env, options.num_envs, options.steps)
    print(f"mean reward per tick: first {history[0]:.2f}, last {history[-1]:.2f}")
