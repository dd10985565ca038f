"""A simulated world seen by depth cameras: the stationary four and the query camera, noise included.

World, NoisyCameras  ->  DepthCameraWorld      the same world, but for `view` and, followed, what a policy observes

A world without this draws its own scene's cameras alone, so nobody pays for pictures that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from iker_envs.geometry import pose_apply
from iker_envs.optics import stationary_cameras
from iker_envs.perception.sight import furniture_boxes
from iker_envs.perception.tracking import GripperPose, ModelTracker, Tracked
from iker_envs.pictures.sensor_noise import NoisyCameras
from iker_envs.pictures.still import still_view
from iker_envs.planning.collision import object_boxes
from iker_envs.scene import Camera, View
from iker_envs.spec import pack_observation, unpack_observation
from iker_envs.world import World

_TICK_SIZE = (320, 240)  # of the pictures of a tick, as a robot's computer has time for


class DepthCameraWorld:
    """A world whose `view` comes from depth cameras; all else is the world's own.

    Args:
        world: one that knows the truth, as a simulation does; ValueError for any other, which has cameras of its own.
        sensor: what is wrong with the pictures; None leaves them exact.
        cameras: beside the query camera; None for the stationary four.
        track: while a policy acts, the goal's object is followed in pictures at 10 Hz from where it stands at the
            beginning: observations hold that pose, and `info` its "pose_age_s" and "pose_trusted". It costs the
            drawing of four pictures a tick.
    """

    def __init__(
        self,
        world: World,
        sensor: NoisyCameras | None = None,
        cameras: Sequence[Camera] | None = None,
        *,
        track: bool = False,
    ) -> None:
        if not world.has_truth:
            raise ValueError("pictures are drawn of a simulated world alone; this one has cameras of its own")
        self._world: Any = world
        self._sensor = sensor
        self._cameras = stationary_cameras() if cameras is None else tuple(cameras)
        self._track = track
        self._tracker: ModelTracker | None = None

    def view(self) -> View:
        """What the query camera and the depth cameras see, the hand out of sight."""
        view = still_view(self._world.scene, cameras=self._cameras)
        return view if self._sensor is None else self._sensor.photograph(view)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See `World`; from here on the goal's object is followed, if it is at all."""
        observation, info = self._world.reset(seed=seed, options=options)
        self._tracker = None
        if not self._track or (options or {}).get("look", False):
            return observation, info
        scene, goal = self._world.scene, self._world.goal
        boxes = [box for group in furniture_boxes(scene).values() for box in group]
        for obj in scene.objects:
            if obj.movable and obj.name != goal.object:
                boxes += object_boxes(obj.model, obj.pose)
        followed = scene.object(goal.object)
        self._tracker = ModelTracker(followed.model, boxes, np.array(followed.pose))
        return self._followed(observation, info)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """See `World`."""
        observation, reward, lost, truncated, info = self._world.step(action)
        if self._tracker is not None:
            observation, info = self._followed(observation, info)
        return observation, reward, lost, truncated, info

    def _followed(self, observation: np.ndarray, info: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """The observation (D,) with the object where pictures show it, and what `info` says of that."""
        tracked = self._tracked()
        spec = self._world.worlds.config.spec
        model = self._world.scene.object(self._world.goal.object).model
        pose = tracked.pose[None]
        keypoints_m = pose_apply(pose, model.control_keypoints_m()[None])
        told: Any = unpack_observation(spec, np.asarray(observation, dtype=float)[None])
        packed = pack_observation(spec, told.gripper_pose, pose, keypoints_m, told.targets_m, told.target_pose)
        bound = spec.observation_bound()
        return np.clip(packed, -bound, bound)[0], {**info, **tracked.info()}

    def _tracked(self) -> Tracked:
        assert self._tracker is not None
        width, height = _TICK_SIZE
        images = self._world.glance([replace(c, width=width, height=height) for c in stationary_cameras()])
        images = images if self._sensor is None else self._sensor.pictures(images)
        stage = self._world.worlds
        holds = self._world.goal.grasp and bool(stage.grasped[0])
        hand = GripperPose(np.array(stage.state.gripper_pose[0]), float(stage.state.opening_m[0]), holds)
        tracked = self._tracker.update(images, hand)
        return self._tracker.search(images, hand) if self._tracker.is_lost else tracked

    def __getattr__(self, name: str) -> Any:
        if name == "_world":  # not there yet: somebody copies or unpickles this
            raise AttributeError(name)
        return getattr(self._world, name)
