"""An object followed from tick to tick: pushed by a hand in view, carried unseen, moved when nobody looked, gone."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
from rgbd_scenes import LEFT, scene_of, seen, shoe

import iker_envs  # noqa: F401 (registers the ids)
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.geometry import pose_apply, pose_compose
from iker_envs.optics import stationary_cameras
from iker_envs.perception.sight import furniture_boxes
from iker_envs.perception.tracking import GripperPose, ModelTracker, Tracked
from iker_envs.pictures.depth_world import DepthCameraWorld
from iker_envs.pictures.sensor_noise import NoisyCameras, SensorNoise
from iker_envs.planning.collision import object_boxes
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Image, ObjectModel
from iker_envs.spec import unpack_observation

SHOE = scene_of(shoe("left_shoe", "left", LEFT))
MODEL = SHOE.object("left_shoe").model
TICKS = 20


def keypoint_error_m(model: ObjectModel, tracked: Tracked, truth: np.ndarray) -> float:
    points = model.control_keypoints_m()
    return float(np.linalg.norm(pose_apply(tracked.pose, points) - pose_apply(truth, points), axis=1).mean())


def blind(images: dict[str, Image]) -> dict[str, Image]:
    return {name: replace(image, depth_m=np.zeros_like(image.depth_m)) for name, image in images.items()}


def test_a_shoe_is_followed_while_a_hand_pushes_it():
    env = gym.make("IKER-ShoePush-v0", randomisation="off").unwrapped
    env.reset(seed=0, options={"configuration": 0, "look": True})
    scene = env.scene
    goal = env.task.goal(0, scene, 0)
    policy = WaypointLearner().learn(scene, goal).policy
    observation, _ = env.reset(options={"world": "keep", "goal": goal})
    model, start = scene.object(goal.object).model, scene.object(goal.object).pose
    others = [object_boxes(o.model, o.pose) for o in scene.objects if o.movable and o.name != goal.object]
    boxes = [box for group in (*furniture_boxes(scene).values(), *others) for box in group]
    tracker = ModelTracker(model, boxes, start)
    sensor = NoisyCameras(SensorNoise(frames=1), seed=2)
    errors = []
    for tick in range(TICKS):
        observation, *_ = env.step(policy.act(observation[None])[0])
        if tick % 2:  # every second tick is enough to see it move, and half the pictures
            now = env.scene
            images = {c.name: env._image(now, c, gripper=True) for c in stationary_cameras(320, 240)}
            tracked = tracker.update(sensor.pictures(images), GripperPose(observation[:7].astype(float)))
            assert tracked.trusted and tracked.age_s == 0 and not tracked.why
            errors.append(keypoint_error_m(model, tracked, now.object(goal.object).pose))
    assert np.linalg.norm(env.scene.object(goal.object).pose[:3] - start[:3]) > 0.02, "it was pushed"
    assert np.percentile(errors, 95) < 0.010 and np.median(errors) < 0.006
    env.close()


def test_what_the_hand_holds_moves_with_it_unseen_for_a_second():
    hand = np.concatenate([LEFT[:3] + np.array([0, 0, 0.06]), HOME_GRIPPER_QUATERNION])
    tracker = ModelTracker(MODEL, (), LEFT)
    images = seen(SHOE).cameras
    assert tracker.update(images, GripperPose(hand, 0.06, holds=True)).trusted
    start = tracker.update(images, GripperPose(hand, 0.06, holds=True)).pose
    for tick in range(1, 13):
        moved = hand + np.array([0.01 * tick, 0, 0.02 * tick, 0, 0, 0, 0])
        tracked = tracker.update(blind(images), GripperPose(moved, 0.06, holds=True))
        np.testing.assert_allclose(tracked.pose[:3], start[:3] + (moved - hand)[:3], atol=1e-9)
        assert np.isclose(tracked.age_s, 0.1 * tick)
        assert tracked.trusted == (tick <= 10) and bool(tracked.why) == (tick > 10)


def test_a_shoe_that_moved_unseen_is_not_trusted_until_a_search_finds_it():
    tracker = ModelTracker(MODEL, (), LEFT)
    assert tracker.update(seen(SHOE).cameras).trusted
    away = pose_compose(np.array([0.0, -0.055, 0, 1, 0, 0, 0]), LEFT)
    images = seen(SHOE.with_poses({"left_shoe": away})).cameras
    for tick in range(1, 4):
        tracked = tracker.update(images)
        wrong = keypoint_error_m(MODEL, tracked, away) > 0.02
        assert not (tracked.trusted and wrong)
        if wrong:
            assert tracked.why and tracked.age_s > 0 and tracker.is_lost == (tick >= 3)
    if tracker.is_lost:
        found = tracker.search(images)
        assert found.trusted and keypoint_error_m(MODEL, found, away) < 0.01 and not tracker.is_lost


def test_a_shoe_that_is_gone_is_lost_and_not_found():
    tracker = ModelTracker(MODEL, (), LEFT)
    images = seen(scene_of()).cameras
    for tick in range(1, 4):
        tracked = tracker.update(images)
        assert not tracked.trusted and np.isclose(tracked.age_s, 0.1 * tick)
        np.testing.assert_allclose(tracked.pose, LEFT, atol=1e-9)
    assert tracker.is_lost
    gone = tracker.search(images)
    assert not gone.trusted and gone.why == "the object is not near where it was last seen"


def test_a_policy_in_simulation_may_see_its_object_in_pictures_alone():
    env = gym.make("IKER-ShoePush-v0", randomisation="off").unwrapped
    world = DepthCameraWorld(env, NoisyCameras(SensorNoise(frames=1), seed=2), track=True)
    _, info = world.reset(seed=0, options={"configuration": 0, "look": True})
    assert "pose_age_s" not in info, "nobody acts: nothing is followed"
    goal = env.task.goal(0, world.scene, 0)
    policy = WaypointLearner().learn(world.scene, goal).policy
    observation, info = world.reset(options={"world": "keep", "goal": goal})
    for _ in range(6):
        assert info["pose_age_s"] == 0.0 and info["pose_trusted"]
        seen = unpack_observation(env.worlds.config.spec, observation[None])
        truth = world.scene.object(goal.object).pose
        off_m = np.linalg.norm(seen.object_pose[0, :3] - truth[:3])
        assert 1e-6 < off_m < 0.01, "an estimate, and a good one"
        points = pose_apply(truth, MODEL.control_keypoints_m())
        assert np.linalg.norm(seen.keypoints_m[0] - points, axis=1).max() < 0.015
        observation, _, _, _, info = world.step(policy.act(observation[None])[0])
    shown = world._tracked
    world._tracked = lambda: Tracked(shown().pose, 0.3, False, "hidden")
    _, _, _, _, info = world.step(np.zeros(6))
    assert info["pose_age_s"] == 0.3 and info["pose_trusted"] is False
    world.close()
