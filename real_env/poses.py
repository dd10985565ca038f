"""Where the objects are, as far as a robot's environment knows: from its cameras, or from an emulated laboratory.

    PoseSource.begin()  ->  PoseSource.find(models)  ->  {object: pose (7,)}

`LabPoses` is the laboratory's truth, shown to a policy with an error that is drawn for each episode, as an estimator
would make it. `SeenPoses` asks an estimator about the newest pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from iker_envs.geometry import quaternion_from_rotvec, quaternion_multiply
from iker_envs.perception import Estimator
from iker_envs.scene import Scene, View
from real_env.config import LabConfig
from real_env.faults import Kind, RobotFault
from real_env.lab.client import LabError, LabOrders

Poses = dict[str, np.ndarray]
Look = Callable[[], View]


class PoseSource(Protocol):
    """Finds the movable objects of a scene."""

    has_truth: bool
    """Are the poses of `truth` the truth?"""

    def begin(self) -> None:
        """An episode begins."""

    def find(self, models: Scene) -> Poses:
        """Poses (7,) of the movable objects by name, with the errors that a policy lives with; RobotFault if none."""
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
        self._errors: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def begin(self) -> None:
        """Forget the errors; the next `find` draws others."""
        self._errors = {}

    def truth(self, models: Scene) -> Poses:
        """See `PoseSource`."""
        try:
            told = self._orders.order("truth")["objects"]
        except LabError as error:
            raise RobotFault(Kind.PERCEPTION, str(error)) from None
        if missing := [name for name in models.movable if name not in told]:
            known = ", ".join(told) or "none"
            raise RobotFault(Kind.PERCEPTION, f"the laboratory has no {missing[0]!r}, only: {known}")
        return {name: np.array(told[name]["pose"], dtype=float) for name in models.movable}

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
    """What an estimator makes of the newest pictures, which `look` gives."""

    has_truth = False

    def __init__(self, look: Look, estimator: Estimator) -> None:
        self._look = look
        self._estimator = estimator

    def begin(self) -> None:
        """Nothing is kept from one episode to the next."""

    def find(self, models: Scene) -> Poses:
        """See `PoseSource`."""
        try:
            found = self._estimator.estimate(self._look(), models)
        except ValueError as error:
            raise RobotFault(Kind.PERCEPTION, str(error)) from None
        return {name: np.array(estimate.pose) for name, estimate in found.items()}

    def truth(self, models: Scene) -> Poses:
        """The estimate: there is nothing better."""
        return self.find(models)


def standing(scene: Scene, found: Mapping[str, np.ndarray]) -> Scene:
    """A scene with its objects where they were found."""
    return scene.with_poses({name: pose for name, pose in found.items() if name in scene.movable})
