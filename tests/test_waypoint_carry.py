"""How the waypoint rule carries: on a way that keeps off what stands around, without pressing on what it comes to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from iker_agent.learning.copies import Copies
from iker_agent.learning.forecast import ForecastSettings
from iker_agent.learning.waypoint import WaypointLearner, WaypointPolicy
from iker_agent.learning.waypoint_parameters import WaypointParameters
from iker_agent.learning.waypoint_way import STRAIGHT, carrying
from iker_envs.geometry import norm, pose_apply
from iker_envs.optics import default_cameras
from iker_envs.physics.transfer import settle
from iker_envs.planning.grasps import propose_grasps
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.spec import Spec, decode_action, pack_observation
from iker_envs.task import load_task

WORKSPACE_M = np.array([[0.20, -0.45, 0.015], [0.75, 0.45, 0.45]])
THING = ObjectModel("thing", "box", np.array([0.24, 0.07, 0.06]), 0.3)
POST = ObjectModel("post", "box", np.array([0.10, 0.10, 0.40]), 1.0)  # higher than the arm lifts anything out there
START = (0.33, -0.18)
X, Y = 0, 1


def stage(target: tuple[float, float], *posts: tuple[float, float]) -> tuple[Scene, Goal]:
    """A long thing that is carried over the table, among posts at places (x, y)."""

    def on_table(model: ObjectModel, place: tuple[float, float]) -> np.ndarray:
        return upright_pose([*place, model.size_m[2] / 2])

    objects = [SceneObject(THING, on_table(THING, START))]
    for number, place in enumerate(posts):
        model = ObjectModel(f"post_{number}", POST.shape, POST.size_m, POST.mass_kg)
        objects.append(SceneObject(model, on_table(model, place)))
    scene = Scene(tuple(objects), default_cameras(), WORKSPACE_M)
    return scene, Goal("thing", on_table(THING, target), True)


# Where the target is, where posts stand, and along which axis the thing goes first.
WAYS = {
    "nothing stands there": ((0.60, 0.10), (), STRAIGHT),
    "a post beside the target is passed by going sideways first": ((0.60, 0.10), ((0.60, -0.08),), Y),
    "a post beside the start is passed by going outwards first": ((0.60, 0.10), ((0.35, 0.02),), X),
    "a post far away changes nothing": ((0.60, 0.10), ((0.35, 0.40),), STRAIGHT),
    "posts on every way": ((0.60, 0.10), ((0.60, -0.08), (0.35, 0.02), (0.47, -0.04)), STRAIGHT),
}


@pytest.mark.parametrize(("target", "posts", "first_axis"), WAYS.values(), ids=WAYS)
def test_a_way_is_straight_where_it_can_be_and_bends_where_something_stands(target, posts, first_axis):
    way = carrying(*stage(target, *posts))
    assert way.first_axis == first_axis


def observation(spec: Spec, pose: np.ndarray, target: np.ndarray, hand: np.ndarray) -> np.ndarray:
    local = THING.control_keypoints_m()[None]
    here, there = (pose_apply(p[None], local) for p in (pose, target))
    return pack_observation(spec, hand[None], pose[None], here, there, target[None])


def act(first_axis: int, position: list[float], droop_deg: float = 0.0) -> np.ndarray:
    """The step in metres (3,) that the rule takes with an object, its front end drooping, held at a place."""
    spec = Spec()
    droop = Rotation.from_euler("y", droop_deg, degrees=True).as_quat(scalar_first=True)
    pose = np.array([*position, *droop])
    hand = np.array([*position, *HOME_GRIPPER_QUATERNION])
    parameters = WaypointParameters(True, 0.20, 0.0, 0.1, first_axis=first_axis)
    policy = WaypointPolicy(parameters, spec)
    seen = observation(spec, pose, upright_pose([0.60, 0.10, 0.03]), hand)
    return spec.position_step_m * policy.act(seen)[0, :3]


@pytest.mark.parametrize("first_axis", [X, Y, STRAIGHT])
def test_the_axis_that_comes_first_is_finished_first(first_axis):
    moved = np.abs(act(first_axis, [0.35, -0.15, 0.20])[:2]) > 1e-6
    assert moved.tolist() == [first_axis != Y, first_axis != X]
    nearly = np.array([0.35, -0.15, 0.20])
    if first_axis != STRAIGHT:
        nearly[first_axis] = (0.60, 0.10)[first_axis]
        moved = np.abs(act(first_axis, nearly.tolist())[:2]) > 1e-3
        assert moved.tolist() == [first_axis == Y, first_axis == X]


@pytest.mark.parametrize("droop_deg", [4.0, 8.0])
def test_a_drooping_object_is_lifted_higher_and_set_down_no_deeper_than_it_touches(droop_deg):
    hangs_m = THING.size_m[0] / 2 * np.sin(np.deg2rad(droop_deg))
    assert act(STRAIGHT, [0.35, -0.15, 0.20])[2] == pytest.approx(0, abs=1e-6)
    assert act(STRAIGHT, [0.35, -0.15, 0.20], droop_deg)[2] > 0
    above = 0.03 + hangs_m
    assert act(STRAIGHT, [0.60, 0.10, above + 0.03], droop_deg)[2] < -0.005
    assert act(STRAIGHT, [0.60, 0.10, above], droop_deg)[2] == pytest.approx(0, abs=1e-6)
    assert act(STRAIGHT, [0.60, 0.10, above - 0.01], droop_deg)[2] > 0


@pytest.mark.parametrize("configuration", [3, 5])
def test_shoes_are_set_down_gently_beside_a_box_that_stays_where_it_is(configuration):
    task = load_task("shoe_rack")
    scene = settle(task.sample(np.random.default_rng(0), configuration))
    for number in (0, 1):  # the earlier stages as if they had ended at their goals
        goal = task.goal(number, scene, configuration)
        scene = scene.with_poses({goal.object: goal.target_pose})
    goal = task.goal(2, scene, configuration)
    grasps = propose_grasps(scene, goal.object, goal.target_pose).grasps[:1]
    policy = WaypointLearner().learn(scene, goal).policy
    settings = ForecastSettings()
    copies = Copies(scene, goal, 4, settings.noise, settings.randomisation)
    try:
        held = copies.begin(0, grasps)
        forces = []
        stage = copies.stage
        for _ in range(stage.config.max_steps):
            stage.step(policy.act(stage.observe()))
            forces.append(norm(stage.state.contact_force))
        errors = stage.finish()
    finally:
        copies.close()
    assert held.sum() >= 3 and errors.strict[held].sum() >= 3
    assert np.max(forces) < 25.0


@pytest.mark.parametrize("slipped_m", [0.0, 0.04, 0.08])
@pytest.mark.parametrize("x", [0.40, 0.52, 0.57])
def test_what_has_slipped_in_the_fingers_is_set_down_where_the_arm_cannot_lift_it_higher(x, slipped_m):
    """A thing near the end of the reach hangs so low in the hand that the hand would have to be too high."""
    spec = Spec()
    policy = WaypointPolicy(WaypointParameters(True, 0.30, 0.0, 0.1, hang_m=0.0), spec)
    target = upright_pose([0.59, -0.10, 0.20])
    pose = upright_pose([x, -0.05, 0.24])
    hand = np.array([*pose[:3], *HOME_GRIPPER_QUATERNION])
    hand[2] += 0.05 + slipped_m
    for _ in range(60):  # what is held moves with the hand
        action = policy.act(observation(spec, pose, target, hand))
        moved = decode_action(spec, action, hand[None], hand[None], WORKSPACE_M)[0]
        pose[:3] += moved[:3] - hand[:3]
        hand = moved
    assert norm(pose[:3] - target[:3]) < 0.01
