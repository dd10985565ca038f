"""Other libraries work with the environments: their own checks, and every script of examples/ for a moment."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env

import iker_envs

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PUSH = "IKER-ShoePush-v0"


def example(name: str) -> ModuleType:
    """A script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("env_id", iker_envs.TASKS)
def test_stable_baselines3s_check_passes_without_a_warning(env_id):
    env = gym.make(env_id, episode_s=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


def test_ppo_in_a_single_file():
    agent, rewards = example("ppo_single_file").train(PUSH, num_envs=8, steps=8 * 16 * 3)
    assert len(rewards) == 3 and np.isfinite(rewards).all()
    assert all(p.isfinite().all() for p in agent.parameters())


def test_stable_baselines3():
    module = example("stable_baselines3_ppo")
    agent = module.train(PUSH, num_envs=8, steps=8 * 64)
    assert agent.num_timesteps == 512 and len(agent.ep_info_buffer) == 0
    adapter = module.VectorEnvAdapter(gym.make_vec(PUSH, num_envs=3, episode_s=0.2))
    adapter.seed(5)
    first = adapter.reset()
    adapter.step(np.zeros((3, 6)))
    observation, reward, done, infos = adapter.step(np.zeros((3, 6)))
    assert done.all() and reward.shape == (3,) and observation.shape == first.shape
    assert all(i["TimeLimit.truncated"] and i["terminal_observation"].shape == (38,) for i in infos)
    adapter.seed(5)
    np.testing.assert_array_equal(adapter.reset(), first)
    adapter.close()


def test_skrl():
    rewards = example("skrl_ppo").train(PUSH, num_envs=8, steps=8 * 33)
    assert len(rewards) == 33 and np.isfinite(rewards).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchrl():
    data = example("torchrl_rollout").roll_out(PUSH, num_envs=4, steps=4 * 7, episode_s=0.3)
    assert data.shape == (4, 7) and data["next", "done"].sum() == 8, "two episodes end in every world"
    assert data["next", "truncated"][:, 2].all() and data["next", "reward"].isfinite().all()
    jump = (data["observation"][:, 3, 7:9] - data["next", "observation"][:, 2, 7:9]).abs().amax(-1)
    assert (jump > 1e-4).all(), "the next episode has another start"
