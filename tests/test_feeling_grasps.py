"""The simulated hand feels its way to a grasp, as the arm does: it does not press on what a finger meets."""

from __future__ import annotations

import numpy as np
import pytest

from iker_envs.geometry import norm
from iker_envs.optics import default_cameras
from iker_envs.physics.engines import make_sim
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.scene import HOME_GRIPPER_QUATERNION, ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.sim import WorldReset
from iker_envs.stage.subroutines import RETREAT_M, behind, pick_up, release_and_settle

WORKSPACE_M = np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]])
SUBSTEPS = 10
GENTLE_N = 25.0  # the object's weight included


def above_a_box(sim, beside_m: list[float]) -> np.ndarray:
    """Open hands (N,) stand behind the poses (N, 7) at which they close, `beside_m` (N,) beside a box's middle."""
    count = len(beside_m)
    tcp = np.tile([0.45, 0.0, 0.065, *HOME_GRIPPER_QUATERNION], (count, 1))
    tcp[:, 1] = beside_m
    opening = np.full(count, MAX_OPENING_M)
    sim.reset(np.arange(count), WorldReset(behind(tcp, RETREAT_M), opening, None, opening))
    return tcp


def box_scene(width_m: float) -> Scene:
    """A box as wide as that, 9 cm high."""
    model = ObjectModel("box", "box", np.array([0.10, width_m, 0.09]), 0.4)
    return Scene((SceneObject(model, upright_pose([0.45, 0.0, 0.045])),), default_cameras(), WORKSPACE_M)


def grasped(width_m: float, beside_m: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N hands come `beside_m` (N,) beside a box's middle, pick it up and let it go nearly where it stood.

    Which of them hold it, and the greatest force on each hand while it picks up, and while it lets go.
    """
    scene = box_scene(width_m)
    count = len(beside_m)
    sim = make_sim("threads", scene, count, num_threads=1)
    told: list[np.ndarray] = []
    step, step_worlds = sim.step, sim.step_worlds

    def watched(pose, opening, substeps):
        for _ in range(substeps):
            step(pose, opening, 1)
            told.append(norm(sim.state().contact_force))

    def watched_worlds(worlds, pose, opening, substeps):
        for _ in range(substeps):
            step_worlds(worlds, pose, opening, 1)
            told.append(norm(sim.state().contact_force))

    try:
        tcp = above_a_box(sim, beside_m)
        sim.step = watched
        sim.step_worlds = watched_worlds
        picked = pick_up(sim, SUBSTEPS, tcp, np.full(count, width_m), np.zeros(count, dtype=int))
        going = np.max(told, axis=0)
        told.clear()
        high = sim.state().gripper_pose
        for lowered_m in np.linspace(0.0, RETREAT_M - 0.01, 60):
            pose = high - np.array([0.0, 0, lowered_m, 0, 0, 0, 0])
            step(pose, picked.opening_command_m, SUBSTEPS // 5)
        release_and_settle(sim, SUBSTEPS, picked.opening_command_m, holds=True)
        return picked.held, going, np.max(told, axis=0)
    finally:
        sim.close()


def test_where_a_finger_meets_the_object_the_hand_comes_again_beside_it():
    held, going, letting_go = grasped(0.07, [0.0, 0.011, -0.011, 0.016])
    assert held.all()
    assert going.max() < GENTLE_N and letting_go.max() < GENTLE_N


def picked_up(beside_m: list[float], *, some_alone: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Which of N hands hold a box of 7 cm, and the poses (N, 7) of the box in them."""
    sim = make_sim("threads", box_scene(0.07), len(beside_m), num_threads=1)
    try:
        if not some_alone:
            sim.step_worlds = None  # as engines that step all worlds together
        tcp = above_a_box(sim, beside_m)
        picked = pick_up(sim, SUBSTEPS, tcp, np.full(len(tcp), 0.07), np.zeros(len(tcp), dtype=int))
        return picked.held, picked.state.object_pose[:, 0]
    finally:
        sim.close()


def test_no_hand_notices_what_the_hands_of_other_worlds_meet():
    beside_m = [0.0, 0.016, -0.011]
    held, together = picked_up(beside_m)
    assert held.all()
    np.testing.assert_array_equal(together, np.concatenate([picked_up([shift_m])[1] for shift_m in beside_m]))


def test_an_engine_that_steps_all_worlds_together_grasps_as_well():
    held, together = picked_up([0.0, 0.016, -0.011], some_alone=False)
    assert held.all()
    np.testing.assert_allclose(together, picked_up([0.0, 0.016, -0.011])[1], atol=1e-3)


@pytest.mark.parametrize("width_m", [0.12, 0.20])
def test_a_hand_that_is_stopped_does_not_press_on(width_m):
    held, going, _ = grasped(width_m, [0.0, 0.01])
    assert not held.any() and going.max() < GENTLE_N


@pytest.mark.parametrize("width_m", [0.012, 0.03, 0.06])
def test_a_thin_object_is_held_as_firmly_as_a_thick_one(width_m):
    model = ObjectModel("box", "box", np.array([0.14, width_m, 0.2]), 0.8, friction=0.3)
    scene = Scene((SceneObject(model, upright_pose([0.45, 0.0, 0.1])),), default_cameras(), WORKSPACE_M)
    sim = make_sim("threads", scene, 1, num_threads=1)
    try:
        tcp = np.array([[0.45, 0.0, 0.17, *HOME_GRIPPER_QUATERNION]])
        opening = np.full(1, MAX_OPENING_M)
        sim.reset(np.arange(1), WorldReset(behind(tcp, RETREAT_M), opening, None, opening))
        picked = pick_up(sim, SUBSTEPS, tcp, np.full(1, width_m), np.zeros(1, dtype=int))
        lifted_m = picked.state.object_pose[0, 0, 2] - 0.1
        assert picked.held.all() and lifted_m > RETREAT_M - 0.02
    finally:
        sim.close()
