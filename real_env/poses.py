"""Where the objects are, as far as a robot's environment knows: from its cameras, or from an emulated laboratory.

    PoseSource.find(models)                      ->  {object: pose (7,)}     when an episode begins, and ends
    PoseSource.follow(scene, object), .track()   ->  {object: pose (7,)}     in every tick

`LabPoses` is the laboratory's truth, shown to a policy with an error that is drawn for each episode, as an estimator
would make it. `SeenPoses` asks an estimator about the newest pictures, and follows the goal's object with a tracker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from iker_envs.geometry import quaternion_from_rotvec, quaternion_multiply
from iker_envs.perception import EstimateRefused, Estimator
from iker_envs.perception.tracking import GripperPose, ModelTracker, Tracked
from iker_envs.planning.collision import object_boxes
from iker_envs.scene import Image, Scene, View
from real_env.config import LabConfig
from real_env.faults import Kind, RobotFault
from real_env.lab.client import LabError, LabOrders

Poses = dict[str, np.ndarray]
Look = Callable[[], View]
Glance = Callable[[], Mapping[str, Image]]  # as a look, quicker: the arm is still in the pictures


class PoseSource(Protocol):
    """Finds the movable objects of a scene."""

    has_truth: bool
    """Are the poses of `truth` the truth?"""

    latest: Poses
    """What is best known of the last look, without objects that were not found in it: to judge by, not to act by."""

    tracked: Tracked | None
    """The followed object in the newest tick, with its age and trust, also where it was lost; None before the first."""

    def begin(self) -> None:
        """An episode begins."""

    def find(self, models: Scene) -> Poses:
        """Poses (7,) of the movable objects by name, with the errors that a policy lives with; RobotFault if none."""
        ...

    def follow(self, scene: Scene, name: str) -> None:
        """From now on `track` follows this object; the others stand where they do in `scene`."""

    def track(self, hand: GripperPose) -> Poses:
        """The poses in this tick, the hand as given; RobotFault if the object that is followed is lost."""
        ...

    def truth(self, models: Scene) -> Poses:
        """The best that is known of them: the truth where there is one."""
        ...


class LabPoses:
    """The truth of an emulated laboratory, and truth with an error."""

    has_truth = True

    def __init__(self, orders: LabOrders, settings: LabConfig, rng: np.random.Generator) -> None:
        self._orders = orders
        self._position_m = settings.position_m
        self._rotation_rad = np.deg2rad(settings.rotation_deg)
        self._rng = rng
        self._models: Scene | None = None
        self._errors: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._followed = ""
        self.latest: Poses = {}
        self.tracked: Tracked | None = None

    def begin(self) -> None:
        """Forget the errors; the next `find` draws others."""
        self._errors = {}

    def follow(self, scene: Scene, name: str) -> None:
        """See `PoseSource`."""
        self._models = scene
        self._followed = name
        self.tracked = None

    def track(self, hand: GripperPose) -> Poses:
        """See `PoseSource`; the laboratory knows all of them."""
        assert self._models is not None
        found = self.find(self._models)
        self.tracked = Tracked(found[self._followed], 0.0, True)
        return found

    def truth(self, models: Scene) -> Poses:
        """See `PoseSource`."""
        try:
            told = self._orders.order("truth")["objects"]
        except LabError as error:
            raise RobotFault(Kind.PERCEPTION, str(error)) from None
        if missing := [name for name in models.movable if name not in told]:
            known = ", ".join(told) or "none"
            raise RobotFault(Kind.PERCEPTION, f"the laboratory has no {missing[0]!r}, only: {known}")
        self.latest = {name: np.array(told[name]["pose"], dtype=float) for name in models.movable}
        return dict(self.latest)

    def find(self, models: Scene) -> Poses:
        """See `PoseSource`."""
        return {name: self._wrong(name, pose) for name, pose in self.truth(models).items()}

    def _wrong(self, name: str, pose: np.ndarray) -> np.ndarray:
        if name not in self._errors:
            shift = self._rng.normal(0.0, self._position_m, 3)
            axis = self._rng.normal(size=3)
            angle = self._rng.normal(0.0, self._rotation_rad)
            self._errors[name] = shift, quaternion_from_rotvec(axis / np.linalg.norm(axis) * angle)
        shift, turn = self._errors[name]
        return np.concatenate([pose[:3] + shift, quaternion_multiply(turn, pose[3:])])


class SeenPoses:
    """What an estimator makes of the newest pictures, which `look` gives.

    An object that the hand hides keeps its last pose for `max_blind_s` seconds of the wall.
    """

    has_truth = False

    def __init__(self, look: Look, glance: Glance, estimator: Estimator, max_blind_s: float) -> None:
        self._look = look
        self._glance = glance
        self._tracker: ModelTracker | None = None
        self._followed = ""
        self._estimator = estimator
        self._max_blind_s = max_blind_s
        self._last: Poses = {}
        self._seen_s: dict[str, float] = {}
        self.latest: Poses = {}
        self.tracked: Tracked | None = None

    def begin(self) -> None:
        """Everything must be seen once more."""
        self._last = {}
        self._seen_s = {}

    def find(self, models: Scene) -> Poses:
        """See `PoseSource`."""
        try:
            found = self._estimator.estimate(self._look(), models)
            problem = ""
        except EstimateRefused as error:
            found = {name: estimate for name, estimate in error.estimates.items() if not estimate.why}
            problem = str(error)
        except ValueError as error:
            raise RobotFault(Kind.PERCEPTION, str(error)) from None
        now = time.monotonic()
        self.latest = {name: np.array(estimate.pose) for name, estimate in found.items()}
        for name, estimate in found.items():
            self._last[name] = np.array(estimate.pose)
            self._seen_s[name] = now
        for name in models.movable:
            if now - self._seen_s.get(name, -np.inf) > self._max_blind_s:
                raise RobotFault(Kind.PERCEPTION, problem or f"{name} was not found")
        return dict(self._last)

    def follow(self, scene: Scene, name: str) -> None:
        """See `PoseSource`."""
        followed = scene.object(name)
        furniture = [box for o in scene.objects if not o.movable for box in object_boxes(o.model, o.pose)]
        self._tracker = ModelTracker(followed.model, furniture, np.array(followed.pose))
        self._followed = name
        self.tracked = None
        self._last = {o.name: np.array(o.pose) for o in scene.objects if o.movable}

    def track(self, hand: GripperPose) -> Poses:
        """See `PoseSource`."""
        assert self._tracker is not None
        images = self._glance()
        tracked = self._tracker.update(images, hand)
        if self._tracker.is_lost:
            tracked = self._tracker.search(images, hand)
        self.tracked = tracked
        if not tracked.trusted and tracked.age_s > self._max_blind_s:
            raise RobotFault(Kind.PERCEPTION, f"{self._followed} was lost: {tracked.why}")
        self._last[self._followed] = np.array(tracked.pose)
        self.latest = {self._followed: np.array(tracked.pose)} if tracked.trusted else {}
        return dict(self._last)

    def truth(self, models: Scene) -> Poses:
        """The estimate: there is nothing better."""
        return self.find(models)


def standing(scene: Scene, found: Mapping[str, np.ndarray]) -> Scene:
    """A scene with its objects where they were found."""
    return scene.with_poses({name: pose for name, pose in found.items() if name in scene.movable})
