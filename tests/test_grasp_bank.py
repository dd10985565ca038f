"""Grasp episodes begin with the object in the hand and everything else at rest."""

import gymnasium as gym
import numpy as np

import iker_envs  # noqa: F401 (registers the environments)

KNOCKED_OVER = 900  # a seed of world 0 whose first states have the book knocked against its neighbour


def books(seeds):
    """Reoriented books, all rows randomised, configuration 9, one world per seed: the environment and its first row."""
    env = gym.make_vec(
        "IKER-BookReorient-v0", num_envs=len(seeds), free="all", randomisation="all", autoreset_mode="disabled"
    )
    return env, env.reset(seed=seeds, options={"configuration": 9})[0]


def test_a_book_that_was_knocked_over_is_not_held():
    env = gym.make("IKER-BookReorient-v0").unwrapped
    observation, _ = env.reset(seed=116)  # the first try knocks it over
    assert env.worlds.grasped[0] and np.linalg.norm(observation[:3] - observation[7:10]) < 0.15


def test_nothing_moves_before_the_hand_does():
    env, _ = books([KNOCKED_OVER])
    start = env.worlds.state.object_pose
    assert env.worlds.grasped[0]
    for _ in range(10):
        env.step(np.zeros((1, 6)))
    assert np.linalg.norm((env.worlds.state.object_pose - start)[..., :3], axis=-1).max() < 0.01


def test_a_world_that_grasps_again_leaves_the_others_alone():
    together = books([KNOCKED_OVER, 3])[1]
    for row, seed in zip(together, (KNOCKED_OVER, 3), strict=True):
        np.testing.assert_array_equal(row, books([seed])[1][0])
