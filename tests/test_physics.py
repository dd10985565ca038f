"""Physics does what a physics book says: rest, sliding, falling, holding, slipping, accelerating."""

from __future__ import annotations

import itertools
from dataclasses import replace

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import iker_envs  # noqa: F401 (registers the environments)
from iker_envs.geometry import (
    IDENTITY_QUATERNION,
    body_axis,
    norm,
    quaternion_from_rotvec,
    quaternion_multiply,
    tilt_angle,
)
from iker_envs.optics import default_cameras
from iker_envs.physics.mujoco_sim import MujocoSim
from iker_envs.scene import HOME_GRIPPER_QUATERNION, ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.sim import WorldReset
from iker_envs.task import load_task

GRAVITY_M_S2 = 9.81
BOOK = ObjectModel("book", "box", np.array([0.24, 0.17, 0.03]), 0.6, friction=0.4)
SHOE = ObjectModel("shoe", "shoe", np.array([0.28, 0.10, 0.09]), 0.3)
WORKSPACE = np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]])


def scene_of(model: ObjectModel, height_m: float = 0.0) -> Scene:
    """One object, its underside at a height above the table."""
    pose = upright_pose([0.45, 0.0, model.size_m[2] / 2 + height_m])
    return Scene((SceneObject(model, pose),), default_cameras(), WORKSPACE)


def simulate(scene: Scene, num_worlds: int = 1) -> MujocoSim:
    """Worlds in which everything stands where the scene has it, the hand far away."""
    sim = MujocoSim(scene, num_worlds, num_threads=1)
    put(sim, np.array([[scene.object(name).pose for name in sim.objects]] * num_worlds))
    return sim


def put(sim: MujocoSim, poses: np.ndarray) -> None:
    closed = np.zeros(sim.num_worlds)
    sim.reset(np.arange(sim.num_worlds), WorldReset(far_away(sim), closed, poses, closed))


def far_away(sim: MujocoSim) -> np.ndarray:
    return np.tile([0.0, 0.0, 1.0, *HOME_GRIPPER_QUATERNION], (sim.num_worlds, 1))


def wait(sim: MujocoSim, seconds: float) -> None:
    sim.step(far_away(sim), np.zeros(sim.num_worlds), round(seconds / sim.substep_s))


def kick(sim: MujocoSim, velocity_m_s) -> None:
    """Give the first object a velocity (3,)."""
    state = sim.get_state()
    state["state"]["qvel"][:, :3] = velocity_m_s
    sim.set_state(state)


def energy(sim: MujocoSim) -> float:
    """Kinetic and potential energy of world 0's first object in joules."""
    state = sim.state()
    body = sim.model.body(sim.objects[0])
    twist = state.object_twist[0, 0]
    pose = state.object_pose[0, 0]
    axes = np.stack([body_axis(pose[3:], k) for k in range(3)], axis=-1)
    spin = axes.T @ twist[3:]
    inertia = sim.model.body_inertia[body.id]
    return float(
        0.5 * body.mass[0] * twist[:3] @ twist[:3] + 0.5 * inertia @ spin**2 + body.mass[0] * GRAVITY_M_S2 * pose[2]
    )


@pytest.mark.parametrize("task", ["shoe_rack", "shoe_push"])
def test_what_is_at_rest_stays_at_rest(task):
    sim = simulate(load_task(task).sample(None))
    wait(sim, 0.5)
    before = sim.state().object_pose
    wait(sim, 10.0)
    after = sim.state().object_pose
    assert np.abs(after[..., :3] - before[..., :3]).max() < 0.001
    assert tilt_angle(after[..., 3:], before[..., 3:]).max() < np.deg2rad(0.2)


@pytest.mark.parametrize("speed_m_s", [0.5, 0.8])
def test_a_sliding_book_is_stopped_by_friction(speed_m_s):
    sim = simulate(scene_of(BOOK))
    wait(sim, 0.2)
    start = sim.state().object_pose[0, 0, 0]
    kick(sim, [speed_m_s, 0, 0])
    wait(sim, 1.0)
    state = sim.state()
    expected = speed_m_s**2 / (2 * BOOK.friction * GRAVITY_M_S2)
    assert state.object_pose[0, 0, 0] - start == pytest.approx(expected, rel=0.15)
    assert np.abs(state.object_twist).max() < 0.01


def test_a_dropped_shoe_lands_and_rests():
    sim = simulate(scene_of(SHOE, height_m=0.2))
    wait(sim, 2.0)
    state = sim.state()
    assert state.object_pose[0, 0, 2] == pytest.approx(0.045, abs=0.002)
    assert tilt_angle(state.object_pose[0, 0, 3:], np.array(IDENTITY_QUATERNION)) < np.deg2rad(1.0)
    assert np.abs(state.object_twist).max() < 0.005


def test_a_fall_takes_as_long_as_it_should():
    sim = simulate(scene_of(SHOE, height_m=0.3))
    wait(sim, 0.2)
    fallen = 0.345 - sim.state().object_pose[0, 0, 2]
    assert fallen == pytest.approx(0.5 * GRAVITY_M_S2 * 0.2**2, rel=0.06)  # steps of 10 ms


@pytest.mark.parametrize("damping_ratio", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("model", [BOOK, SHOE], ids=["book", "shoe"])
def test_energy_does_not_grow(model, damping_ratio):
    sim = simulate(scene_of(model, height_m=0.15))
    sim.randomize("restitution", np.arange(1), np.full((1, 1), damping_ratio))
    kick(sim, [0.3, 0.2, 0.0])
    begin = energy(sim)
    energies = []
    for _ in range(200):
        wait(sim, 0.01)
        energies.append(energy(sim))
    assert max(energies) <= 1.01 * begin, "contacts made energy"
    peaks = [max(energies[k : k + 40]) for k in range(0, 200, 40)]  # a contact's spring holds some for a moment
    assert all(later <= 1.01 * earlier + 0.001 for earlier, later in itertools.pairwise(peaks))
    assert energies[-1] < 0.55 * model.mass_kg * GRAVITY_M_S2 * (0.15 + model.size_m[2])


def test_twice_the_mass_is_half_the_acceleration():
    sim = simulate(scene_of(replace(BOOK, friction=0.0)), num_worlds=3)
    masses = np.array([0.3, 0.6, 1.2])
    sim.randomize("mass", np.arange(3), masses[:, None] / BOOK.mass_kg)
    body = sim.model.body("book").id
    force_N = 1.5
    sim._batch.bind("xfrc_applied").reshape(3, -1, 6)[:, body, 0] = force_N
    wait(sim, 0.2)
    speed = sim.state().object_twist[:, 0, 0]
    np.testing.assert_allclose(speed, force_N / masses * 0.2, rtol=0.05)


def carry(friction: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grasp 8 shoes and move the hands 0.5 m to the right: held at first, shift in the hand, and tilt of the shoe."""
    env = gym.make_vec(
        "IKER-ShoePlace-v0", num_envs=8, randomisation={"friction": [friction, friction]}, autoreset_mode="disabled"
    )
    env.reset(seed=0, options={"configuration": 0})
    stage = env.worlds
    held = stage.grasped.copy()
    start = stage.state
    for _ in range(20):
        stage.step(np.tile([0.0, -1.0, 0, 0, 0, 0], (8, 1)))  # what slips ends an episode
    end = stage.state
    moved = end.gripper_pose[:, 1] - start.gripper_pose[:, 1]
    np.testing.assert_allclose(moved, -0.5, atol=0.05)
    index = stage.sim.objects.index("left_shoe")
    shift = (end.object_pose[:, index, :3] - end.gripper_pose[:, :3]) - (
        start.object_pose[:, index, :3] - start.gripper_pose[:, :3]
    )
    tilt = tilt_angle(end.object_pose[:, index, 3:], np.array(IDENTITY_QUATERNION))
    env.close()
    return held, np.linalg.norm(shift, axis=-1), tilt


def test_a_held_shoe_stays_held_over_half_a_metre():
    held, shift, tilt = carry(1.0)
    assert held.all() and shift.max() < 0.01
    assert tilt.max() < np.deg2rad(5.0)


def test_a_shoe_without_friction_slips_out_of_the_hand():
    held, shift, _ = carry(0.01)
    assert not held.any() or shift.min() > 0.05


def hands_at(height_m: float, num_worlds: int) -> np.ndarray:
    """End-effector poses (N, 7), tool down, away from the object."""
    return np.tile([0.3, 0.35, height_m, *HOME_GRIPPER_QUATERNION], (num_worlds, 1))


def test_a_reset_forgets_what_pressed_on_the_hand():
    sim = simulate(scene_of(BOOK), 2)
    sim.reset(np.arange(2), WorldReset(hands_at(0.05, 2), np.zeros(2), None, np.zeros(2)))
    sim.step(hands_at(-0.05, 2), np.zeros(2), 100)
    pressed = sim.state()
    assert (pressed.contact_force[:, 2] > 10.0).all()
    closed = np.zeros(1)
    sim.reset(np.array([1]), WorldReset(hands_at(0.3, 1), closed, pressed.object_pose[[1]], closed))
    np.testing.assert_array_equal(sim.state().contact_force, [pressed.contact_force[0], np.zeros(3)])
    sim.close()


def test_the_poses_that_are_told_after_a_step_are_those_of_the_bodies():
    book = SceneObject(BOOK, upright_pose([0.3, 0.35, 0.015]))
    shoe = SceneObject(SHOE, upright_pose([0.6, 0, 0.045]))
    pair = Scene((book, shoe), default_cameras(), WORKSPACE)
    sim = MujocoSim(pair, 2, free=["book"], num_threads=1)
    poses = np.array([[o.pose for o in pair.objects]] * 2)
    sim.reset(np.arange(2), WorldReset(hands_at(0.2, 2), np.zeros(2), poses, np.zeros(2)))
    leaning = quaternion_multiply(quaternion_from_rotvec(np.array([0.3, -0.4, 0.9])), np.array(HOME_GRIPPER_QUATERNION))
    sim.step(np.tile([0.33, 0.36, -0.02, *leaning], (2, 1)), np.full(2, 0.02), 60)
    told = sim.state()
    assert (norm(told.contact_force) > 1.0).all()
    data = mujoco.MjData(sim.model)
    sim.mirror(1, data)
    mujoco.mj_kinematics(sim.model, data)
    for name, pose in {
        "hand": told.gripper_pose[1],
        "book": told.object_pose[1, 0],
        "shoe": told.object_pose[1, 1],
    }.items():
        body = data.body(name)
        np.testing.assert_allclose(pose[:3], body.xpos, atol=1e-12)
        assert abs(pose[3:] @ body.xquat) == pytest.approx(1.0, abs=1e-12)
    sim.close()


def test_a_quaternion_that_is_nearly_of_length_1_is_told_as_one_that_is():
    sim = simulate(scene_of(BOOK))
    pose = sim.state().object_pose
    put(sim, pose * [1, 1, 1, 1.009, 1.009, 1.009, 1.009])
    np.testing.assert_allclose(norm(sim.state().object_pose[..., 3:]), 1.0, atol=1e-12)
    sim.close()


def test_some_worlds_step_as_they_would_with_the_others_for_which_no_time_passes():
    alone, together = (simulate(scene_of(BOOK, 0.2), 3) for _ in range(2))
    before = alone.state().object_pose
    chosen = np.array([0, 2])
    alone.step_worlds(chosen, hands_at(0.3, 2), np.zeros(2), 10)
    together.step(hands_at(0.3, 3), np.zeros(3), 10)
    now = alone.state().object_pose
    np.testing.assert_array_equal(now[1], before[1])
    np.testing.assert_array_equal(now[chosen], together.state().object_pose[chosen])
    assert (now[chosen, 0, 2] < before[chosen, 0, 2] - 0.02).all()
    for worlds, poses in (([2, 0], hands_at(0.3, 2)), ([0, 3], hands_at(0.3, 2)), ([0, 2], hands_at(0.3, 3))):
        with pytest.raises(ValueError):
            alone.step_worlds(np.array(worlds), poses, np.zeros(2), 10)
    alone.close()
    together.close()
