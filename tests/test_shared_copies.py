"""What is made once for a stage and used again: a trunk's pass, copies, grasped states; and whose turn it is."""

import numpy as np
import pytest
import torch

import iker_envs
from iker_agent.learning.agent import make_agent
from iker_agent.learning.copies import Copies
from iker_agent.learning.curriculum import Curriculum
from iker_agent.learning.network import ActorCritic, Normaliser
from iker_agent.learning.plain_network import feature_dim
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.training_worlds import make_worlds
from iker_envs.perception import PoseNoise
from iker_envs.planning.grasps import propose_grasps
from iker_envs.randomisation import Randomisation
from iker_envs.stage.grasp_bank import SharedStates
from iker_envs.task import load_task


@pytest.fixture(scope="module")
def worlds():
    env = make_worlds(4, task="shoe_push")
    env.reset(seed=0)
    yield env
    env.close()


def agent_of(env):
    torch.manual_seed(0)
    spec = env.worlds.config.spec
    network = ActorCritic(feature_dim(spec), spec.action_dim)
    return make_agent(network, Normaliser(spec), env, PPOConfig(num_envs=env.num_envs, mini_batches=1))


def loss(agent, value_inputs, inputs):
    actions = torch.zeros(len(inputs["observations"]), 6)
    outputs = agent.policy.act({**inputs, "taken_actions": actions}, role="policy")[1]
    value = agent.value.act(value_inputs, role="value")[0]
    return outputs["log_prob"].mean() + (value**2).mean()


def gradients(agent, total):
    agent.optimizer.zero_grad()
    total.backward()
    return [p.grad.clone() for p in agent.policy.network.parameters()]


def test_a_shared_pass_of_the_trunk_gives_the_gradient_of_two(worlds):
    agent = agent_of(worlds)
    x = torch.randn(8, feature_dim(worlds.worlds.config.spec), generator=torch.Generator().manual_seed(1))
    passes = []
    agent.policy.network.trunk.register_forward_hook(lambda *_: passes.append(1))
    shared = gradients(agent, loss(agent, {"observations": x}, {"observations": x}))
    assert len(passes) == 1
    apart = gradients(agent, loss(agent, {"observations": x.clone()}, {"observations": x}))
    assert len(passes) == 3
    for one, other in zip(shared, apart, strict=True):
        torch.testing.assert_close(one, other)


def test_values_after_the_weights_have_changed_are_those_of_the_new_weights(worlds):
    agent = agent_of(worlds)
    x = {"observations": torch.ones(2, feature_dim(worlds.worlds.config.spec))}
    agent.policy.act(x, role="policy")
    before = agent.value.act(x, role="value")[0]
    with torch.no_grad():
        agent.policy.network.trunk[0].weight.mul_(2.0)
    assert not torch.equal(agent.value.act(x, role="value")[0], before)


def test_only_an_episode_that_was_cut_is_worth_what_follows(worlds):
    agent = agent_of(worlds)
    observation = torch.from_numpy(worlds.worlds.observe())
    actions, _ = agent.act(observation, None, timestep=0, timesteps=0)
    final = observation + 0.1
    cut = torch.tensor([[False], [True], [False], [True]])
    rewards = torch.ones(4, 1)
    agent.record_transition(
        observations=observation,
        states=None,
        actions=actions,
        rewards=rewards,
        next_observations=observation,
        next_states=None,
        terminated=torch.zeros(4, 1, dtype=torch.bool),
        truncated=cut,
        infos={"final_obs": final},
        timestep=0,
        timesteps=0,
    )
    with torch.no_grad():
        features = agent._observation_preprocessor(final)
        values = agent.value_normaliser(agent.policy.network.value(agent.policy.network.trunk(features)), inverse=True)
    torch.testing.assert_close(agent.memory.get_tensor_by_name("rewards")[0], 1.0 + 0.98 * values * cut)


def stage_of(name):
    task = load_task(name)
    scene = task.sample(np.random.default_rng(0), 1)
    return scene, task.goal(0, scene, 1)


def test_copies_begin_again_where_they_began_before():
    scene, goal = stage_of("shoe_place")
    grasps = propose_grasps(scene, goal.object, goal.target_pose).grasps[:1]
    copies = Copies(scene, goal, 3, PoseNoise(), Randomisation())
    held = copies.begin_again(5, grasps)
    seen = copies.stage.observe()
    for _ in range(3):
        copies.stage.step(np.full((3, 6), 0.5))
    moved = copies.stage.observe()
    copies.stage.sim.step = None  # nothing is grasped again
    assert np.array_equal(copies.begin_again(5, grasps), held)
    assert np.array_equal(copies.stage.observe(), seen)
    del copies.stage.sim.step
    for _ in range(3):
        copies.stage.step(np.full((3, 6), 0.5))
    assert np.array_equal(copies.stage.observe(), moved)
    copies.close()


def test_a_copy_is_the_same_whatever_the_copies_beside_it():
    scene, goal = stage_of("book_push")
    seen = []
    for count in (1, 3):
        copies = Copies(scene, goal, count, PoseNoise(), Randomisation())
        copies.begin(0)
        seen.append(copies.stage.observe()[0])
        copies.close()
    assert np.array_equal(*seen)


def test_simulations_of_one_stage_share_the_states_that_one_of_them_grasped():
    scene, goal = stage_of("shoe_place")
    shared = SharedStates()
    first = make_worlds(4, scene=scene, goal=goal, grasp_bank=1)
    first.worlds.grasps.shared = shared
    first.reset(seed=0)
    first.close()
    states = [state for _, state in shared.of(None)]
    assert len(states) >= 3
    second = make_worlds(6, scene=scene, goal=goal, grasp_bank=1)
    second.worlds.grasps.shared = shared
    second.worlds.sim.step = None  # nothing is grasped
    second.reset(seed=9)
    assert second.worlds.grasped.all()
    known = np.array([state.gripper_pose for state in states])
    for pose in second.worlds.state.gripper_pose:
        assert np.abs(known - pose).max(axis=-1).min() < 1e-9
    del second.worlds.sim.step
    for _ in range(5):
        _, _, lost, *_ = second.step(np.zeros((6, 6)))
        assert not lost.any()
    second.close()


@pytest.mark.parametrize("task", ["shoe_push", "shoe_place"])
def test_a_configuration_that_fails_comes_more_often_and_none_is_forgotten(task):
    env = make_worlds(6, **{**iker_envs.TRAINING, "start_bank": 8, "grasp_bank": 2}, task=task)
    env.worlds.grasps.shared = SharedStates()
    env.reset(seed=0)
    curriculum = Curriculum(env.worlds)
    everything = np.arange(10)
    for _ in range(300):
        curriculum.see(everything, everything != 7, everything != 7)
    assert curriculum.weights[7] > 0.4
    assert np.delete(curriculum.weights, 7).min() > 0.04
    seen = np.zeros(10)
    for _ in range(40):
        env.worlds.reset(np.arange(6))
        np.add.at(seen, env.worlds.episode.configuration, 1)
    others = np.delete(seen, 7)
    assert seen[7] > 2 * np.median(others[others > 0])
    env.close()


def test_one_configuration_changes_nothing():
    scene, goal = stage_of("shoe_push")
    env = make_worlds(2, scene=scene, goal=goal)
    curriculum = Curriculum(env.worlds)
    curriculum.see(np.zeros(300, dtype=int), np.ones(300, dtype=bool), np.zeros(300, dtype=bool))
    assert env.worlds.arrangements.weights is None and curriculum.worst < 0.01
    env.close()
