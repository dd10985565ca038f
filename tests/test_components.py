"""Formulas on components give what those on whole arrays give, and what a tick computes once is what was asked for."""

import gymnasium as gym
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import iker_envs
from iker_envs import components as c
from iker_envs import geometry as g
from iker_envs.measure import measure


@pytest.fixture
def turns(rng):
    """Quaternions (50, 4), some of them hardly a rotation, others half a turn."""
    angle = np.concatenate([np.zeros(1), np.full(1, 1e-12), np.full(3, np.pi), rng.uniform(0, np.pi, 45)])
    axis = rng.normal(size=(50, 3))
    axis /= np.linalg.norm(axis, axis=-1)[:, None]
    return np.roll(Rotation.from_rotvec(axis * angle[:, None]).as_quat(), 1, axis=-1)


def test_a_vector_comes_back_from_its_components(rng):
    v = rng.normal(size=(5, 3, 4))
    np.testing.assert_array_equal(c.stacked(c.columns(v)), v)


def test_components_broadcast_whichever_way_they_lie_in_memory(turns, rng):
    points = rng.normal(size=(50, 8, 3))
    poses = np.concatenate([rng.normal(size=(50, 3)), turns], axis=-1)
    expected = poses[:, None, :3] + np.stack(
        [Rotation.from_quat(np.roll(q, -1)).apply(p) for q, p in zip(turns, points, strict=True)]
    )
    for order in "CF":
        laid = (np.array(values, order=order) for values in (poses[:, None, :], points))
        mapped = c.stacked(c.transform(*map(c.columns, laid)))
        np.testing.assert_allclose(mapped, expected, atol=1e-12)
        np.testing.assert_array_equal(mapped, g.pose_apply(poses, points))


def test_tilt_and_heading_are_those_against_no_rotation_at_all(turns):
    upright = np.tile(g.IDENTITY_QUATERNION, (50, 1))
    np.testing.assert_array_equal(c.tilt_angle(c.columns(turns)), g.tilt_angle(turns, upright))
    np.testing.assert_array_equal(c.heading_angle(c.columns(turns)), g.heading_angle(turns, upright))


def test_clipping_keeps_what_is_not_a_number():
    np.testing.assert_array_equal(c.clipped(np.array([-3.0, 0.5, 3.0, np.nan]), -1.0, 1.0), [-1.0, 0.5, 1.0, np.nan])


@pytest.fixture(params=[("IKER-ShoePush-v0", "keypoints"), ("IKER-BookReorient-v0", "pose")], ids=["push", "grasp"])
def env(request, rng):
    """Worlds of a task in the middle of their episodes, everything randomised."""
    env_id, observation = request.param
    env = gym.make_vec(env_id, num_envs=4, num_threads=1, observation=observation, randomisation="all")
    env.reset(seed=3)
    for _ in range(4):
        env.step(rng.uniform(-1, 1, (4, 6)))
    yield env
    env.close()


def test_chosen_worlds_are_observed_and_measured_as_all_are(env):
    chosen = np.array([0, 2])
    np.testing.assert_array_equal(env.worlds.observe(chosen), env.worlds.observe()[chosen])
    everywhere = env.worlds.errors()
    for name, values in vars(env.worlds.errors(chosen)).items():
        np.testing.assert_array_equal(values, getattr(everywhere, name)[chosen])


def test_a_tick_measures_what_measure_finds_in_its_state(env, rng):
    worlds = env.worlds
    _, _, errors = worlds.step(rng.uniform(-1, 1, (4, 6)))
    episode = worlds.episode
    found = measure(
        worlds.state.object_pose, episode.object_index, episode.start_pose, episode.target_pose, episode.local_m
    )
    for name, values in vars(found).items():
        np.testing.assert_allclose(getattr(errors, name), values, atol=1e-12)
    assert (errors.goal_m > 0).all()


def test_the_reward_goes_by_the_nearest_of_centre_and_keypoints(env, rng):
    worlds = env.worlds
    rows, _, _ = worlds.step(rng.uniform(-1, 1, (4, 6)))
    pose = worlds.state.object_pose[np.arange(4), worlds.episode.object_index]
    points = np.concatenate([pose[:, None, :3], g.pose_apply(pose, worlds.episode.local_m)], axis=1)
    away_m = np.linalg.norm(points - worlds.state.gripper_pose[:, None, :3], axis=-1).min(axis=-1)
    rewards = worlds.config.rewards
    expected = rewards.weights["distance"] / (1.0 + (away_m / rewards.length_scale_m) ** 2)
    np.testing.assert_allclose(rows["distance"], expected, atol=1e-12)


def test_a_world_that_begins_anew_is_seen_at_its_start_and_the_others_where_they_are(rng):
    env = gym.make_vec("IKER-ShoePush-v0", num_envs=3, num_threads=1, **iker_envs.TRAINING)
    env.reset(seed=3)
    env.worlds.episode.step_count[:] = [0, env.worlds.config.max_steps - 1, 0]
    observation, _, _, truncated, info = env.step(rng.uniform(-1, 1, (3, 6)))
    assert truncated.tolist() == [False, True, False]
    np.testing.assert_array_equal(observation, env.worlds.observe())
    np.testing.assert_array_equal(info["final_obs"][[0, 2]], observation[[0, 2]])
    assert not np.array_equal(info["final_obs"][1], observation[1])
    env.close()
