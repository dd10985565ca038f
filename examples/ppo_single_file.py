"""PPO in one file, in the style of CleanRL: vector environment in, policy out, nothing hidden.

    python examples/ppo_single_file.py --steps 400000 --num-envs 256

Truncated episodes bootstrap from `info["final_obs"]`, the observation that ended them.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import gymnasium as gym
import numpy as np
import torch
from torch import nn

import iker_envs
from iker_envs.spec import Spec, unpack_observation

SPEC = Spec()  # what the numbers of an observation are

HORIZON = 16
EPOCHS = 5
MINI_BATCHES = 4
DISCOUNT = 0.98
GAE_LAMBDA = 0.95
CLIP = 0.2
LEARNING_RATE = 5e-4
MAX_GRAD_NORM = 1.0
SCALE_M = 0.1  # of the relative vectors, so that they are about as large as the rest


class Agent(nn.Module):
    """Mean action and value from one trunk, after the relative vectors that matter."""

    def __init__(self, observations: int, actions: int) -> None:
        super().__init__()
        sizes = (observations + 24, 256, 128, 64)
        self.trunk = nn.Sequential(*(layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ELU())))
        self.mean = nn.Linear(64, actions)
        self.value = nn.Linear(64, 1)
        self.log_std = nn.Parameter(torch.full((actions,), -0.5))
        nn.init.orthogonal_(self.mean.weight, 0.01)

    def forward(self, o: torch.Tensor) -> tuple[torch.distributions.Normal, torch.Tensor]:
        """Action distribution (N, actions) and value (N,) of observations (N, 38)."""
        seen = unpack_observation(SPEC, o)
        error = (seen.targets_m - seen.keypoints_m).flatten(1) / SCALE_M
        near = (seen.keypoints_m - seen.gripper_pose[:, None, :3]).flatten(1) / SCALE_M
        hidden = self.trunk(torch.cat([o, error, near], dim=-1))
        return torch.distributions.Normal(self.mean(hidden), self.log_std.exp()), self.value(hidden)[:, 0]


def collect(env, agent: Agent, observation: np.ndarray) -> tuple[dict[str, torch.Tensor], np.ndarray, float]:
    """A rollout of HORIZON ticks: flat tensors, the observation after it, and the mean reward."""
    rows: dict[str, list[torch.Tensor]] = {k: [] for k in ("o", "a", "logp", "v", "v_next", "r", "done")}
    for _ in range(HORIZON):
        with torch.no_grad():
            policy, value = agent(torch.from_numpy(observation))
            action = policy.sample()
            after, reward, terminated, truncated, info = env.step(action.clamp(-1, 1).numpy())
            last = agent(torch.from_numpy(info["final_obs"]))[1]
        step = (torch.from_numpy(observation), action, policy.log_prob(action).sum(-1), value)
        ends = torch.from_numpy(terminated), torch.from_numpy(terminated | truncated)
        step += (torch.where(ends[0], 0.0, last), torch.from_numpy(reward).float(), ends[1].float())
        for column, item in zip(rows.values(), step, strict=True):
            column.append(item)
        observation = after
    return {k: torch.stack(v) for k, v in rows.items()}, observation, float(torch.stack(rows["r"]).mean())


def advantages(rows: dict[str, torch.Tensor]) -> torch.Tensor:
    """Generalised advantages (HORIZON, N)."""
    delta = rows["r"] + DISCOUNT * rows["v_next"] - rows["v"]
    advantage = torch.zeros_like(delta)
    after = torch.zeros(delta.shape[1])
    for t in reversed(range(HORIZON)):
        after = delta[t] + DISCOUNT * GAE_LAMBDA * (1.0 - rows["done"][t]) * after
        advantage[t] = after
    return advantage


def update(agent: Agent, optimiser: torch.optim.Optimizer, rows: dict[str, torch.Tensor]) -> None:
    """A few epochs of clipped policy gradient and value regression."""
    advantage = advantages(rows)
    returns = (advantage + rows["v"]).flatten()
    flat = {k: rows[k].flatten(0, 1) for k in ("o", "a", "logp")}
    advantage = ((advantage - advantage.mean()) / (advantage.std() + 1e-8)).flatten()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(advantage)).chunk(MINI_BATCHES):
            policy, value = agent(flat["o"][chosen])
            ratio = (policy.log_prob(flat["a"][chosen]).sum(-1) - flat["logp"][chosen]).exp()
            gain = torch.min(ratio * advantage[chosen], ratio.clamp(1 - CLIP, 1 + CLIP) * advantage[chosen])
            loss = -gain.mean() + 0.5 * (value - returns[chosen]).pow(2).mean() / returns.var().clamp(min=1.0)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), MAX_GRAD_NORM)
            optimiser.step()


def train(env_id: str, num_envs: int, steps: int, seed: int = 0) -> tuple[Agent, list[float]]:
    """The agent, and the mean reward of every rollout."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the physics has the cores
    env = gym.make_vec(env_id, num_envs=num_envs, random_first_age=True, **iker_envs.TRAINING)
    agent = Agent(env.single_observation_space.shape[0], env.single_action_space.shape[0])
    optimiser = torch.optim.Adam(agent.parameters(), LEARNING_RATE)
    observation, _ = env.reset(seed=seed)
    rewards = []
    for _ in range(max(1, steps // (num_envs * HORIZON))):
        rows, observation, reward = collect(env, agent, observation)
        update(agent, optimiser, rows)
        rewards.append(reward)
    env.close()
    return agent, rewards


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="IKER-ShoePush-v0")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    _, history = train(options.env, options.num_envs, options.steps)
    print("mean reward per tick, by rollout:", " ".join(f"{r:.2f}" for r in history))
