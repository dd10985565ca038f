"""Every task on sim=isaac (on the double of isaacgym): worlds apart, exchange of objects, the GPU's rules."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from isaac_double import use_double
from sim_worlds import BESIDE, BOX, ON_TABLE, everyone, rows, scene_of, started, wait

import iker_envs
from iker_envs.physics.engines import make_sim
from iker_envs.physics.isaac.client import IsaacSim
from iker_envs.scene import upright_pose
from iker_envs.sim import Variant


def isaac(scene, count: int, *arguments, **options) -> IsaacSim:
    sim = make_sim("isaac", scene, count, *arguments, num_threads=1, **options)
    assert isinstance(sim, IsaacSim)
    return sim


@pytest.mark.parametrize("id_", iker_envs.TASKS)
def test_every_task_makes_steps_resets_and_randomises(monkeypatch, id_):
    use_double(monkeypatch, spacing_m=None)
    options = {**iker_envs.TRAINING, "grasp_bank": 1, "start_bank": 8}
    env = gym.make_vec(id_, num_envs=3, sim="isaac", num_threads=1, randomisation="on", **options)
    observation, _ = env.reset(seed=0)
    worlds = env.unwrapped.worlds
    assert worlds.sim.name == "isaac"
    assert all(np.ptp(worlds.physics.drawn[name]) > 0 for name in worlds.sim.randomizable if name != "geometry")
    first = worlds.sim.variant.copy()
    env.action_space.seed(0)
    for _ in range(3):
        gentle = 0.3 * env.action_space.sample()  # so that nothing slips out of a hand
        observation, reward, terminated, truncated, _ = env.step(gentle)
    assert np.isfinite(observation).all() and np.isfinite(reward).all() and not truncated.any()
    assert not worlds.sim.state().unstable.any() and not terminated.any()
    seen = [first]
    for seed in range(1, 4):
        env.reset(seed=seed)
        env.step(np.zeros_like(env.action_space.sample()))
        seen.append(worlds.sim.variant.copy())
    assert len(worlds.variants.items) == 1 or np.ptp(seen, axis=0).any(), "worlds get other objects"
    env.close()


def test_the_same_task_looks_alike_on_both_engines(monkeypatch):
    use_double(monkeypatch)
    observations = []
    for sim in ("threads", "isaac:device=cpu"):
        env = gym.make_vec("IKER-ShoePush-v0", num_envs=2, sim=sim, num_threads=1, randomisation="off")
        observation, _ = env.reset(seed=3)
        step, *_ = env.step(np.zeros_like(env.action_space.sample()))
        observations.append((observation, step))
        env.close()
    np.testing.assert_allclose(observations[0], observations[1], atol=5e-4)


# -- worlds apart, and objects exchanged -------------------------------------------------------------------------------


def test_rows_are_in_the_worlds_own_frames_however_far_apart_they_stand(monkeypatch):
    """Float32 at 30 m is exact to 2e-6 m, and reset rows come back as they were given."""
    use_double(monkeypatch, spacing_m=None)
    sim = isaac(scene_of(), 9)
    poses = np.array([[upright_pose([0.45, 0.02 * k, 0.3], 0.3 * k)] for k in range(9)])
    sim.reset(everyone(sim), rows(sim, object_pose=poses))
    np.testing.assert_array_equal(sim.state().object_pose, poses)
    sim.step(np.tile(BESIDE, (9, 1)), np.zeros(9), 1)
    state = sim.state()
    fallen = sim.substep_s**2 * 9.81
    np.testing.assert_allclose(state.object_pose[:, 0, :2], poses[:, 0, :2], atol=5e-6)
    np.testing.assert_allclose(state.object_pose[:, 0, 2], 0.3 - fallen, atol=5e-6)
    np.testing.assert_allclose(np.abs((state.object_pose[:, 0, 3:] * poses[:, 0, 3:]).sum(axis=-1)), 1.0, atol=1e-6)
    sim.reset(np.array([4]), rows(sim, 1, pose=ON_TABLE))
    later = wait(sim, 0.02)
    assert later.object_pose[4, 0, 2] == pytest.approx(ON_TABLE[2], abs=0.002)
    assert (np.delete(later.object_pose[:, 0, 2], 4) > 0.29).all()
    sim.close()


def test_a_world_holds_one_form_of_an_object_and_the_others_are_out_of_the_way(monkeypatch):
    use_double(monkeypatch)
    sizes = (1.0, 1.3, 0.7)
    sim = isaac([Variant(scene_of(), "box", size) for size in sizes], 3)
    heights = []
    for shift in range(4):
        sim.randomize("geometry", everyone(sim), (np.arange(3) + shift) % 3)
        started(sim)
        sim.reset(everyone(sim), rows(sim, pose=upright_pose([0.45, 0.0, 0.12])))
        heights.append(wait(sim, 0.5).object_pose[:, 0, 2])
    expected = [[0.055 * sizes[(world + shift) % 3] for world in range(3)] for shift in range(4)]
    np.testing.assert_allclose(heights, expected, atol=0.001)
    sim.close()


def test_an_object_that_spins_tells_the_velocity_of_its_origin(monkeypatch):
    """Isaac Gym's rows have the centre of mass's; a saved state is what both sides can be asked for."""
    use_double(monkeypatch)
    sim = isaac(scene_of(), 1)
    offset = np.array([[[0.02, 0.0, 0.0]]])
    sim.randomize("com_offset", everyone(sim), offset)
    started(sim, pose=upright_pose([0.45, 0.0, 0.5]))
    state = sim.get_state()
    state["state"]["root"][0, 0, 10:] = [0.0, 0.0, 3.0]
    sim.set_state(state)
    np.testing.assert_allclose(sim.state().object_twist[0, 0], [0, -0.06, 0, 0, 0, 3.0], atol=1e-9)
    before = sim.state().object_pose[0, 0]
    sim.step(np.tile(BESIDE, (1, 1)), np.zeros(1), 1)
    moved = (sim.state().object_pose[0, 0, :2] - before[:2]) / sim.substep_s
    np.testing.assert_allclose(moved, [0.0, -0.06], atol=0.002)
    sim.close()


# -- the GPU's rules ---------------------------------------------------------------------------------------------------


@pytest.fixture
def on_gpu(monkeypatch):
    """The pipeline with tensors on a device; the double keeps them in host memory."""
    use_double(monkeypatch, device="cuda:0")


def test_on_the_gpu_masses_are_drawn_before_the_first_step(on_gpu):
    sim = isaac([Variant(scene_of()), Variant(scene_of(), "box", 1.2)], 2)
    assert {name for name, when in sim.randomizable.items() if when == "startup"} == {"mass", "com_offset"}
    sim.randomize("mass", everyone(sim), np.array([[0.5], [2.0]]))
    sim.randomize("friction", everyone(sim), np.array([[1.5], [0.5]]))
    started(sim)
    sim.randomize("mass", everyone(sim), np.array([[1.5], [2.0]]))  # nothing has been stepped yet
    wait(sim, 0.05)
    saved = sim.get_state()
    for what, values in {"mass": np.ones((2, 1)), "com_offset": np.zeros((2, 1, 3))}.items():
        with pytest.raises(ValueError) as caught:
            sim.randomize(what, everyone(sim), values)
        assert str(caught.value).startswith(f"'{what}' is fixed at the first step of a simulation on the GPU")
    sim.randomize("friction", everyone(sim), np.full((2, 1), 0.7))
    sim.randomize("geometry", everyone(sim), np.array([1, 0]))
    np.testing.assert_array_equal(sim.get_state()["quantity"]["mass"], [[1.5], [2.0]])
    wait(started(sim), 0.05)
    sim.set_state(saved)
    other = isaac([Variant(scene_of()), Variant(scene_of(), "box", 1.2)], 2)
    wait(started(other), 0.05)
    with pytest.raises(ValueError, match="'mass' is fixed at the first step"):
        other.set_state(saved)
    sim.close()
    other.close()


@pytest.mark.parametrize("id_", ["IKER-BookPush-v0", "IKER-ShoePlace-v0"])  # the latter steps while it is reset
def test_an_environment_on_the_gpu_draws_masses_once(on_gpu, id_):
    env = gym.make_vec(id_, num_envs=2, sim="isaac", num_threads=1, randomisation="on", autoreset_mode="disabled")
    masses = []
    for seed in range(2):
        env.reset(seed=seed)
        env.step(np.zeros_like(env.action_space.sample()))
        masses.append(env.unwrapped.worlds.physics.drawn["mass"].copy())
    env.reset(options={"reset_mask": np.array([False, True])})
    np.testing.assert_array_equal(*masses)
    env.close()


@pytest.mark.slow
def test_real_tensors_take_the_same_way(on_gpu, monkeypatch):
    """Slow: torch takes seconds to load in the worker."""
    monkeypatch.setenv("FAKE_ISAACGYM_TORCH", "1")
    sim = started(isaac(scene_of(), 2), pose=upright_pose([0.45, 0, 0.3]))
    sim.reset(np.array([1]), rows(sim, 1))
    assert wait(sim, 0.1).object_pose[:, 0, 2] == pytest.approx([0.2509, 0.055], abs=0.003)
    sim.close()


# -- friction ----------------------------------------------------------------------------------------------------------


def test_friction_below_what_a_mean_can_reach_is_the_lowest_there_is(monkeypatch):
    use_double(monkeypatch)
    sim = isaac(scene_of(), 1)
    for factor, shape in {1.0: 0.7, 2.0: 1.7, 0.5: 0.2, 0.1: 0.0}.items():
        sim.randomize("friction", everyone(sim), np.array([[factor]]))
        assert sim._sent["material"][0, 0, 0] == pytest.approx(shape), f"{BOX.friction} * {factor}"
    sim.close()
