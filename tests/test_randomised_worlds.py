"""In an environment every randomised quantity changes what it names: nothing when off, more when scaled."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest

import iker_envs  # noqa: F401 (registers the environments)
from iker_envs.geometry import heading_angle, pose_compose, pose_inverse, quaternion_rotate
from iker_envs.optics import default_cameras
from iker_envs.randomisation import DEFAULT_RANGES, OPTIONAL_RANGES, QUANTITIES, Randomisation
from iker_envs.scene import Goal, ObjectModel, Scene, SceneObject, upright_pose

WORLDS = 12


SHOE = ObjectModel("shoe", "shoe", np.array([0.28, 0.10, 0.09]), 0.3)
SCENE = Scene(
    (SceneObject(SHOE, upright_pose([0.40, 0.15, 0.045])),),
    default_cameras(),
    np.array([[0.20, -0.45, 0.015], [0.70, 0.45, 0.45]]),
)


def measured(row: str, ranges: dict, *, grasp: bool = False) -> np.ndarray:
    """What a row should change, (worlds, ...), in environments that randomise nothing else."""
    goal = Goal("shoe", upright_pose([0.45, -0.15, 0.045]), grasp=grasp)
    env = gym.make_vec("IKER-Stage-v0", num_envs=WORLDS, scene=SCENE, goal=goal, randomisation=ranges, num_threads=2)
    env.reset(seed=3)
    try:
        return MEASURES[row](env)
    finally:
        env.close()


def _shoe(env) -> np.ndarray:
    return env.worlds.state.object_pose[:, 0]


def _seen(env) -> np.ndarray:
    observation, *_ = env.step(np.zeros((WORLDS, 6)))
    return np.concatenate([observation[:, 7:10] - _shoe(env)[:, :3], observation[:, 10:14] - _shoe(env)[:, 3:]], -1)


def _noise(env) -> np.ndarray:
    return np.diff([_seen(env)[:, :3] for _ in range(4)], axis=0).reshape(-1, 3)


def _hand_in_shoe(env) -> np.ndarray:
    return pose_compose(pose_inverse(_shoe(env)), env.worlds.state.gripper_pose)


def _lag(env) -> np.ndarray:
    """By how many ticks the observed shoe trails behind the true one while the hand pushes it."""
    true = []
    seen = []
    for _ in range(25):
        observation, *_ = env.step(np.tile([0.0, -1.0, 0, 0, 0, 0], (WORLDS, 1)))
        true.append(_shoe(env)[:, :3]), seen.append(observation[:, 7:10])
    error = [np.abs(np.array(seen)[3:] - np.array(true)[3 - k : 25 - k]).max(axis=(0, 2)) for k in range(3)]
    return np.argmin(error, axis=0)


def _hand_moves(env) -> np.ndarray:
    """Ticks until the hand has moved."""
    start = env.worlds.state.gripper_pose[:, 2]
    moved = []
    for _ in range(4):
        env.step(np.tile([0.0, 0, 1.0, 0, 0, 0], (WORLDS, 1)))
        moved.append(env.worlds.state.gripper_pose[:, 2] - start > 0.003)
    return 4 - np.sum(moved, axis=0)


def _field(name: str) -> Callable:
    def read(env) -> np.ndarray:
        sim = env.worlds.sim
        body = env.worlds.sim.model.body("shoe").id
        rows = sim.get_state()["fields"]
        geom = sim.model.body_geomadr[body]
        return {
            "friction": rows["geom_friction"][:, geom, 0],
            "mass": rows["body_mass"][:, body],
            "com_offset": rows["body_ipos"][:, body],
            "compliance": rows["geom_solref"][:, geom, 0],
            "restitution": rows["geom_solref"][:, geom, 1],
        }[name]

    return read


MEASURES: dict[str, Callable] = {
    **{name: _field(name) for name in ("friction", "mass", "com_offset", "compliance", "restitution")},
    "geometry_scale": lambda env: np.linalg.norm(
        env.worlds.episode.local_m[:, 0] - env.worlds.episode.local_m[:, 1], axis=-1
    ),
    "object_position": lambda env: _shoe(env)[:, :2],
    "object_yaw": lambda env: heading_angle(_shoe(env)[:, 3:], upright_pose([0, 0, 0])[3:]),
    "gripper_position": lambda env: env.worlds.state.gripper_pose[:, :3],
    "grasp_position": lambda env: _hand_in_shoe(env)[:, 0],
    "grasp_rotation": lambda env: quaternion_rotate(_hand_in_shoe(env)[:, 3:], np.array([0.0, 1, 0]))[:, 0],
    "observation_position": lambda env: _seen(env)[:, :3],
    "observation_rotation": lambda env: _seen(env)[:, 6],
    "observation_noise": _noise,
    "observation_latency": _lag,
    "action_latency": _hand_moves,
}
RANGES = {**DEFAULT_RANGES, **OPTIONAL_RANGES}


@pytest.mark.parametrize("row", QUANTITIES)
def test_a_row_changes_what_it_names_and_only_when_it_is_on(row):
    grasp = row.startswith("grasp_")
    spread = [
        np.std(measured(row, ranges, grasp=grasp), axis=0).max() for ranges in ({}, Randomisation({row: RANGES[row]}))
    ]
    assert spread[0] < (2e-4 if grasp else 1e-5), "it is off and still there"
    low, high = RANGES[row]
    unit = {"friction": 0.6, "mass": 0.3, "compliance": 0.02, "geometry_scale": 0.28, "grasp_rotation": 0.5}.get(
        row, 1.0
    )
    assert spread[1] > 0.12 * unit * (high - low)


@pytest.mark.parametrize("row", ["friction", "mass", "object_position", "observation_position"])
def test_a_scaled_row_changes_it_more(row):
    once, twice = (np.std(measured(row, Randomisation({row: RANGES[row]}).scaled(f)), axis=0).max() for f in (1.0, 2.0))
    assert twice / once == pytest.approx(2.0, rel=0.05)


def test_drawn_numbers_are_there_to_read():
    env = gym.make_vec("IKER-ShoePush-v0", num_envs=4)
    env.reset(seed=0)
    drawn = env.worlds.physics.drawn["mass"]
    assert drawn.shape == (4, len(env.worlds.sim.objects), 1) and np.ptp(drawn) > 0.05
    env.close()


def test_a_larger_shoe_stands_higher_and_its_target_with_it():
    goal = Goal("shoe", upright_pose([0.45, -0.15, 0.045]))
    ranges = {"geometry_scale": [0.8, 1.2]}
    env = gym.make_vec("IKER-Stage-v0", num_envs=WORLDS, scene=SCENE, goal=goal, randomisation=ranges)
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros((WORLDS, 6)))
    length = np.linalg.norm(env.worlds.episode.local_m[:, 0] - env.worlds.episode.local_m[:, 1], axis=-1)
    heights = 0.045 * length / 0.28
    assert len(np.unique(np.round(length, 6))) >= 4, "of 5 sizes"
    np.testing.assert_allclose(_shoe(env)[:, 2], heights, atol=0.001)
    np.testing.assert_allclose(env.worlds.episode.target_pose[:, 2], heights, atol=1e-9)
    env.close()
