"""Learning: policies that round-trip, refuse what they should, and get better."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch

from iker_agent.learning.agent import make_agent
from iker_agent.learning.evaluate import evaluate, wilson
from iker_agent.learning.forecast import Forecast
from iker_agent.learning.network import ActorCritic, NetworkPolicy, Normaliser
from iker_agent.learning.plain_network import feature_dim
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.ppo import PPOLearner
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.waypoint import WaypointLearner, WaypointPolicy
from iker_envs.spec import Spec
from iker_envs.task import load_task

RULE = "rule"  # the seed that stands for the waypoint rule, which has none


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
    policy = WaypointLearner().learn(*stage).policy
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


def test_returns_bootstrap_from_the_observation_that_ended_the_episode():
    """Two ticks, reward 1 each; the value is 10, but 0 right after a reset. Returns as worked out by hand."""
    spec = Spec()
    discount = 0.98
    decay = 0.95
    bound = spec.observation_bound()
    env = SimpleNamespace(
        num_envs=3,
        single_observation_space=gym.spaces.Box(-bound, bound),
        single_action_space=gym.spaces.Box(-1.0, 1.0, (spec.action_dim,)),
        worlds=SimpleNamespace(arrays=SimpleNamespace(on_host=True)),
    )
    config = PPOConfig(horizon=2, discount=discount, gae_lambda=decay, mini_batches=1, epochs=1)
    agent = make_agent(ActorCritic(feature_dim(spec), spec.action_dim), Normaliser(spec), env, config)
    agent._value_preprocessor = lambda x, **_: x
    network_says = agent.value.compute
    value = lambda inputs: 10.0 * (inputs["observations"][:, :1] > -0.5)  # noqa: E731 (gripper x is -1 after a reset)
    agent.value.compute = lambda inputs, role="": (value(inputs), {}) if role == "value" else network_says(inputs, role)
    here = torch.zeros(1, 38)
    reset = torch.cat([-torch.ones(1, 1), torch.zeros(1, 37)], dim=-1)
    first = here.repeat(3, 1)
    second = torch.cat([reset, here, reset])
    truncated = torch.tensor([[True], [False], [False]])
    terminated = torch.tensor([[False], [False], [True]])
    never = torch.zeros(3, 1, dtype=torch.bool)
    for now, after, cut, lost in ((first, second, truncated, terminated), (second, first, never, never)):
        with torch.no_grad():
            actions, _ = agent.act(now, None, timestep=0, timesteps=0)
        agent.record_transition(
            observations=now,
            states=None,
            actions=actions,
            rewards=torch.ones(3, 1),
            next_observations=after,
            next_states=None,
            terminated=lost,
            truncated=cut,
            infos={"final_obs": here.repeat(3, 1)},
            timestep=0,
            timesteps=0,
        )
        agent.post_interaction(timestep=0, timesteps=0)
    bootstrapped = 1.0 + discount * 10.0
    step = 1.0 + discount * 10.0 - 10.0
    returns = agent.memory.get_tensor_by_name("returns")[:, :, 0]
    assert returns[0].tolist() == pytest.approx([bootstrapped, 10.0 + step * (1.0 + discount * decay), 1.0])
    assert returns[1].tolist() == pytest.approx([bootstrapped] * 3)


def test_an_update_says_how_far_it_went(stage):
    rows = []
    PPOLearner(PPOConfig(num_envs=16, horizon=8, max_steps=16 * 8, budget_s=1e9, warm_start=False)).learn(
        *stage, report=rows.append
    )
    row = rows[0]
    assert row.kl > 0.0 and np.isfinite(row.explained_variance)
    assert row.entropy == pytest.approx(6 * (np.log(row.std) + 0.5 * np.log(2 * np.pi * np.e)), abs=0.01)


def test_the_same_seed_gives_the_same_first_updates(stage):
    weights = []
    for _ in range(2):
        config = PPOConfig(num_envs=16, horizon=8, max_steps=16 * 8 * 2, budget_s=1e9, warm_start=False)
        policy = PPOLearner(config).learn(*stage, seed=5).policy
        weights.append(policy.network.mean.weight.detach().clone())
    assert torch.equal(*weights)


def forecasts(monkeypatch, good_of) -> list[int]:
    """Ready policies succeed in so many of 64 copies, by what `good_of` makes of them; the seeds that were asked."""
    seeds = []

    def foresee(scene, goal, policy, settings, grasps, seed, *, of_policy, copies):
        seeds.append(seed)
        return Forecast(64, good_of(getattr(policy, "header", {"seed": RULE})))

    monkeypatch.setattr("iker_agent.learning.ppo.foresee", foresee)
    return seeds


def test_a_ready_policy_that_will_do_is_taken_without_training(stage, monkeypatch):
    forecasts(monkeypatch, lambda header: 64 if header.get("seed") != 3 else 20)
    poor = fresh_policy(Spec())
    rows = []
    learned = PPOLearner().learn(*stage, init=poor, report=rows.append)
    assert learned.policy.header["env_steps"] == 0 and learned.policy.header["good_enough"]
    assert (
        [(r.steps, r.eval_strict) for r in rows]
        == [(0, 20 / 64), (0, 1.0)]
        == [(r.steps, r.eval_strict) for r in learned.rows]
    )
    assert learned.forecast == Forecast(64, 64) and learned.policy.network is not poor.network


def test_training_starts_from_the_best_ready_policy(stage, monkeypatch):
    best = fresh_policy(Spec())
    forecasts(monkeypatch, lambda header: 40 if header.get("seed") == 3 else 5)
    config = PPOConfig(num_envs=8, horizon=4, max_steps=32, budget_s=1e9)
    learned = PPOLearner(config).learn(*stage, init=best)
    assert torch.equal(learned.policy.normaliser.mean, best.normaliser.mean)
    assert learned.policy.header["env_steps"] == 32 and learned.forecast is None
    assert len(learned.rows) == 4  # two networks and the rule were tried, then one update


def test_the_rule_is_taken_where_no_network_will_do(stage, monkeypatch):
    forecasts(monkeypatch, lambda header: 64 if header.get("seed") == RULE else 5)
    learned = PPOLearner().learn(*stage)
    assert isinstance(learned.policy, WaypointPolicy) and learned.forecast == Forecast(64, 64)


def test_the_rule_stays_where_a_training_ends_with_less(stage, monkeypatch):
    forecasts(monkeypatch, lambda header: 50 if header.get("seed") == RULE else 5)
    config = PPOConfig(num_envs=8, horizon=4, max_steps=32, budget_s=1e9)
    learned = PPOLearner(config).learn(*stage)
    assert isinstance(learned.policy, WaypointPolicy) and learned.forecast == Forecast(64, 50)
    assert learned.rows[-1].steps == 32


@pytest.mark.slow
def test_a_minute_of_ppo_beats_its_own_start_clearly(stage):
    scene, goal = stage
    start = evaluate(fresh_policy(Spec()), num_envs=64, scene=scene, goal=goal)
    policy = PPOLearner(PPOConfig(budget_s=60.0, warm_start=False)).learn(scene, goal, seed=0).policy
    after = evaluate(policy, num_envs=64, scene=scene, goal=goal, seed=1)
    assert after.interval[0] > start.interval[1] + 0.2, (start, after)
