"""Worlds of one batch hold different objects, each exactly as if it were alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
import yaml

import iker_envs  # noqa: F401 (registers the environments)
from iker_envs.objects.geom import Geom, Parts
from iker_envs.objects.shapes import SHAPES
from iker_envs.physics.mujoco_model import build_variants
from iker_envs.physics.mujoco_sim import MujocoSim
from iker_envs.randomisation import Randomisation, as_randomisation
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Scene
from iker_envs.sim import Variant, WorldReset
from iker_envs.stage.making import make_config, make_source
from iker_envs.stage.stage import Stage
from iker_envs.stage.variants import MAX_VARIANTS, _scales
from iker_envs.task import load_task, task_folders


def with_model(scene: Scene, name: str, **changes) -> Scene:
    """The scene with one object's model changed."""
    objects = (replace(o, model=replace(o.model, **changes)) if o.name == name else o for o in scene.objects)
    return replace(scene, objects=tuple(objects))


def wedge(model) -> Parts:
    """A convex mesh and a cylinder: kinds that no other shape here has."""
    x, y, z = model.size_m / 2
    vertices = np.array([[-x, -y, -z], [x, -y, -z], [x, y, -z], [-x, y, -z], [-x, -y, z], [-x, y, z]])
    faces = np.array([[0, 2, 1], [0, 3, 2], [0, 1, 4], [3, 5, 2], [1, 2, 5], [1, 5, 4], [0, 4, 5], [0, 5, 3]])
    mesh = Geom("mesh", (1.0, 1.0, 1.0), vertices_m=vertices, faces=faces)
    return Parts((mesh, Geom("cylinder", (0.02, 0.02, 0.0), (0.0, 0.0, -z + 0.02))), (0.8, 0.2))


@pytest.fixture
def variants(monkeypatch) -> list[Variant]:
    monkeypatch.setitem(SHAPES, "wedge", wedge)
    scene = load_task("shoe_rack").sample(None)
    slim = with_model(scene, "shoe_box", size_m=np.array([0.24, 0.17, 0.08]), mass_kg=1.0, friction=0.3)
    return [
        *(Variant(scene, "left_shoe", scale) for scale in (0.9, 1.0, 1.1)),
        Variant(with_model(scene, "left_shoe", shape="box", mass_kg=0.5)),
        Variant(with_model(slim, "left_shoe", shape="wedge")),
    ]


def stir(sim: MujocoSim, worlds: int, ticks: int = 25, observer=lambda: None) -> None:
    """Press the hand down on the left shoe and push it."""
    hand = np.tile([0.335, 0.17, 0.15, *HOME_GRIPPER_QUATERNION], (worlds, 1))
    for _ in range(ticks):
        hand[:, 0] += 0.004
        hand[:, 2] -= 0.005
        sim.step(hand, np.zeros(worlds), 10)
        observer()


def start(sim: MujocoSim, variants: list[Variant]) -> None:
    """World i holds variant i, a little above the ground."""
    worlds = np.arange(len(variants))
    sim.randomize("geometry", worlds, worlds)
    poses = np.array([[v.scene.object(n).pose for n in sim.objects] for v in variants])
    poses[..., 2] += 0.01
    furniture = np.array([[v.scene.object(n).pose for n in sim.furniture] for v in variants])
    hand = np.tile([0.335, 0.17, 0.15, *HOME_GRIPPER_QUATERNION], (len(variants), 1))
    closed = np.zeros(len(variants))
    sim.reset(worlds, WorldReset(hand, closed, poses, closed, furniture))


@pytest.mark.parametrize("free", [None, ("left_shoe",)], ids=["all free", "one free"])
def test_every_world_moves_as_its_own_model_does(variants, free):
    sim = MujocoSim(variants, len(variants), free, num_threads=2)
    worlds = len(variants)
    start(sim, variants)
    models = build_variants(variants, free)
    alone = [mujoco.MjData(m) for m in models]
    first = sim.get_state()["state"]
    for k, data in enumerate(alone):
        data.qpos[:] = first["qpos"][k]
        data.ctrl[:] = first["ctrl"][k]

    def compare() -> None:
        now = sim.get_state()["state"]
        for k, (model, data) in enumerate(zip(models, alone, strict=True)):
            told = data.ctrl.copy()
            for share in np.arange(1, 11) / 10:
                data.ctrl[:] = told + share * (now["ctrl"][k] - told)
                mujoco.mj_step(model, data)
            np.testing.assert_array_equal(now["qpos"][k], data.qpos, err_msg=f"variant {k}")

    if free is None:  # what is welded stands elsewhere than it was compiled, which the lone models cannot follow
        stir(sim, worlds, observer=compare)
    else:
        stir(sim, worlds)
    height = sim.state().object_pose[:, sim.objects.index("left_shoe"), 2]
    assert height[0] < height[1] < height[2] and not sim.state().unstable.any()


def test_a_world_may_take_another_variant(variants):
    sim = MujocoSim(variants, 1, num_threads=1)
    heights = []
    for k in (1, 2, 1):
        sim.randomize("geometry", np.array([0]), np.array([k]))
        poses = np.array([[variants[k].scene.object(n).pose for n in sim.objects]])
        closed = np.zeros(1)
        hand = np.array([[0.2, 0.0, 0.6, *HOME_GRIPPER_QUATERNION]])
        sim.reset(np.arange(1), WorldReset(hand, closed, poses, closed))
        sim.step(hand, closed, 100)
        heights.append(sim.state().object_pose[0, sim.objects.index("left_shoe"), 2])
    assert heights[0] == heights[2] and heights[1] > heights[0] + 0.003


@pytest.fixture
def mixed_task(tmp_path) -> str:
    """ShoePlace's scene as a push, with another object, another rack and another rack position by configuration."""
    data = yaml.safe_load((task_folders()[0] / "shoe_push.yaml").read_text())
    data["configurations"] = [
        {},
        {"objects": {"left_shoe": {"model": "shoe_box"}}},
        {"objects": {"right_shoe": {"position_m": [0.50, -0.15, 0.0], "movable": True}}},
    ]
    data["objects"]["rack"] = {"model": "low_rack", "position_m": [0.85, 0.0, 0.0], "movable": False}
    data["configurations"][2]["objects"]["rack"] = {"position_m": [0.90, 0.05, 0.0]}
    path = tmp_path / "mixed.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


def test_configurations_with_different_objects_share_a_vector_environment(mixed_task):
    env = gym.make_vec("IKER-Stage-v0", num_envs=12, task=mixed_task, num_threads=2)
    observation, _ = env.reset(seed=0)
    stage = env.worlds
    assert set(stage.episode.configuration) == {0, 1, 2}
    lengths = np.linalg.norm(stage.episode.local_m[:, 0] - stage.episode.local_m[:, 1], axis=-1)
    np.testing.assert_allclose(lengths, 0.28)
    widths = np.linalg.norm(stage.episode.local_m[:, 2] - stage.episode.local_m[:, 3], axis=-1)
    np.testing.assert_allclose(widths, np.where(stage.episode.configuration == 1, 0.20, 0.10))
    seen = np.linalg.norm(observation[:, 20:23] - observation[:, 23:26], axis=-1)
    np.testing.assert_allclose(seen, widths, atol=1e-5)
    rack = np.array([stage.scene_now(w).object("rack").pose[0] for w in range(12)])
    np.testing.assert_allclose(rack, np.where(stage.episode.configuration == 2, 0.90, 0.85))
    for _ in range(5):
        env.step(np.zeros((12, 6)))
    height = stage.state.object_pose[:, stage.sim.objects.index("left_shoe"), 2]
    np.testing.assert_allclose(height, np.where(stage.episode.configuration == 1, 0.055, 0.045), atol=0.001)
    env.close()


def test_each_configuration_is_the_same_alone_and_among_others(mixed_task):
    actions = np.random.default_rng(0).uniform(-1, 1, (8, 6))
    many = gym.make_vec("IKER-Stage-v0", num_envs=6, task=mixed_task)
    together = [many.reset(seed=20)[0], *(many.step(np.tile(a, (6, 1)))[0] for a in actions)]
    for world in range(6):
        alone = gym.make("IKER-Stage-v0", task=mixed_task)
        rows = [alone.reset(seed=20 + world)[0], *(alone.step(a)[0] for a in actions)]
        np.testing.assert_array_equal(rows, np.array(together)[:, world])
        alone.close()
    many.close()


def test_sizes_and_configurations_share_the_variants(mixed_task):
    ranges = as_randomisation({"geometry_scale": [0.9, 1.1]})
    _, source, _ = make_source(mixed_task, None, None, ranges)
    stage = Stage(source, 2, make_config(source), ranges)
    assert len(stage.variants.items) == 10 <= MAX_VARIANTS, "2 sets of objects, 5 sizes"
    assert stage.variants.pick(1, 1.06) == 8 and stage.variants.items[8].scale == pytest.approx(1.05)
    stage.close()


@pytest.mark.parametrize(
    ("num_sets", "limits", "sizes"),
    [
        (1, (0.9, 1.1), [0.9, 0.95, 1.0, 1.05, 1.1]),
        (10, (0.8, 1.1), [0.8, 1.0, 1.1]),
        (10, (0.8, 0.9), [0.8, 0.85, 0.9]),
        (3, (0.9, 0.9), [0.9]),
    ],
)
def test_the_nominal_size_is_among_the_sizes(num_sets, limits, sizes):
    assert _scales(Randomisation({"geometry_scale": limits}), num_sets) == pytest.approx(sizes)


def test_too_many_sets_of_objects_for_sizes_are_told():
    with pytest.raises(ValueError, match="11 different sets of objects; at most 10"):
        _scales(Randomisation.all(), 11)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objects": {"right_shoe": {"movable": False}}}, "have the same objects"),
        ({"stages": "grasp"}, "all grasp or all push"),
    ],
)
def test_configurations_that_cannot_share_worlds_are_told(mixed_task, tmp_path, change, words):
    data = yaml.safe_load(Path(mixed_task).read_text())
    if change.get("stages"):
        stage = data["stages"][0]
        change = {"stages": [{**stage, "goal": {**stage["goal"], "grasp": True}}]}
    data["configurations"] = [{}, change]
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ValueError, match=words) as caught:
        gym.make_vec("IKER-Stage-v0", num_envs=2, task=str(path))
    assert "\n" not in str(caught.value)
