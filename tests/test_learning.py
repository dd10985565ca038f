"""Learning: policies that round-trip, refuse what they should, and get better."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from iker_agent.learning.evaluate import evaluate, wilson
from iker_agent.learning.network import ActorCritic, NetworkPolicy, Normaliser, feature_dim
from iker_agent.learning.policy import load_policy
from iker_agent.learning.ppo import PPOLearner, _Training
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.spec import Spec
from iker_envs.task import load_task


@pytest.fixture(scope="module")
def stage():
    task = load_task("shoe_rack")
    scene = task.sample(None)
    return scene, task.goal(0, scene)


def fresh_policy(spec: Spec) -> NetworkPolicy:
    torch.manual_seed(0)
    network = ActorCritic(feature_dim(spec), spec.action_dim)
    torch.nn.init.normal_(network.mean.weight)
    return NetworkPolicy(network, Normaliser(spec), {"seed": 3})


@pytest.mark.parametrize("observation", ["keypoints", "pose"])
def test_a_network_policy_survives_its_file(tmp_path, observation):
    spec = Spec(observation=observation)
    policy = fresh_policy(spec)
    policy.normaliser(torch.rand(64, spec.observation_dim), train=True)
    policy.save(tmp_path / "policy.safetensors")
    again = load_policy(tmp_path / "policy.safetensors", spec)
    seen = np.random.default_rng(0).uniform(-1, 1, (5, spec.observation_dim)).astype(np.float32)
    assert np.array_equal(policy.act(seen), again.act(seen)) and again.header["seed"] == 3


def test_a_waypoint_policy_survives_its_file(tmp_path, stage):
    policy = WaypointLearner().learn(*stage)
    policy.save(tmp_path / "policy.safetensors")
    assert load_policy(tmp_path / "policy.safetensors", Spec()).parameters == policy.parameters


def test_policy_files_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "policy.safetensors"
    fresh_policy(Spec()).save(path)
    with pytest.raises(ValueError, match="was made for spec"):
        load_policy(path, Spec(position_step_m=0.02))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a readable policy file"):
        load_policy(path, Spec())
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, str(path))
    with pytest.raises(ValueError, match="no policy of this project"):
        load_policy(path, Spec())
    with pytest.raises(ValueError, match="does not exist"):
        load_policy(tmp_path / "none.safetensors", Spec())


def test_wilson_interval_against_a_table():
    low, high = wilson(95, 100)  # Newcombe 1998 gives the same form: 0.888 to 0.978
    assert (round(low, 3), round(high, 3)) == (0.888, 0.978)
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == pytest.approx(1.0)


def test_truncations_bootstrap_from_the_observation_that_ended_the_episode(stage):
    """Reward 1 per tick, value 10 everywhere but 0 after the reset: the stored reward must be 1 + 0.98 * 10."""
    config = PPOConfig(num_envs=4, horizon=2, budget_s=0.0)
    import gymnasium as gym

    scene, goal = stage
    env = gym.make_vec("IKER-Stage-v0", num_envs=4, scene=scene, goal=goal)
    agent = _Training(env, {}, config, None, 0, None).agent
    agent.value.compute = lambda inputs, role="": (
        torch.where(inputs["observations"][:, :1] > -4.0, 10.0, 0.0) if role == "value" else (torch.zeros(4, 6), {}),
        {},
    )
    agent._value_preprocessor = lambda x, **_: x
    agent._observation_preprocessor = lambda x, **_: x
    here, after_reset = torch.zeros(4, 38), torch.full((4, 38), -5.0)
    agent._current_log_prob, agent._current_values = torch.zeros(4, 1), torch.full((4, 1), 10.0)
    truncated = torch.tensor([[True], [False], [True], [False]])
    agent.record_transition(
        observations=here,
        states=None,
        actions=torch.zeros(4, 6),
        rewards=torch.ones(4, 1),
        next_observations=after_reset,
        next_states=None,
        terminated=torch.zeros(4, 1, dtype=torch.bool),
        truncated=truncated,
        infos={"final_obs": here},
        timestep=0,
        timesteps=0,
    )
    stored = agent.memory.get_tensor_by_name("rewards")[0, :, 0]
    assert stored.tolist() == pytest.approx([10.8, 1.0, 10.8, 1.0])
    assert torch.equal(agent._current_next_observations, after_reset)
    env.close()


def test_the_same_seed_gives_the_same_first_updates(stage):
    weights = []
    for _ in range(2):
        config = PPOConfig(num_envs=16, horizon=8, max_steps=16 * 8 * 2, budget_s=1e9)
        policy = PPOLearner(config).learn(*stage, seed=5)
        weights.append(policy.network.mean.weight.detach().clone())
    assert torch.equal(*weights)


@pytest.mark.slow
def test_a_minute_of_ppo_beats_its_own_start_clearly(stage):
    scene, goal = stage
    start = evaluate(fresh_policy(Spec()), num_envs=64, scene=scene, goal=goal)
    policy = PPOLearner(PPOConfig(budget_s=60.0)).learn(scene, goal, seed=0)
    after = evaluate(policy, num_envs=64, scene=scene, goal=goal, seed=1)
    assert after.interval[0] > start.interval[1] + 0.2, (start, after)
