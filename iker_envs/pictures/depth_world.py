"""A simulated world seen by depth cameras: the stationary four and the query camera, noise included.

World, NoisyCameras  ->  DepthCameraWorld      the same world, but for what `view` gives

A world without this draws its own scene's cameras alone, so nobody pays for pictures that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iker_envs.optics import stationary_cameras
from iker_envs.pictures.sensor_noise import NoisyCameras
from iker_envs.pictures.still import still_view
from iker_envs.scene import Camera, View
from iker_envs.world import World


class DepthCameraWorld:
    """A world whose `view` comes from depth cameras; all else is the world's own.

    Args:
        world: one that knows the truth, as a simulation does; ValueError for any other, which has cameras of its own.
        sensor: what is wrong with the pictures; None leaves them exact.
        cameras: beside the query camera; None for the stationary four.
    """

    def __init__(
        self, world: World, sensor: NoisyCameras | None = None, cameras: Sequence[Camera] | None = None
    ) -> None:
        if not world.has_truth:
            raise ValueError("pictures are drawn of a simulated world alone; this one has cameras of its own")
        self._world = world
        self._sensor = sensor
        self._cameras = stationary_cameras() if cameras is None else tuple(cameras)

    def view(self) -> View:
        """What the query camera and the depth cameras see, the hand out of sight."""
        view = still_view(self._world.scene, cameras=self._cameras)
        return view if self._sensor is None else self._sensor.photograph(view)

    def __getattr__(self, name: str) -> Any:
        if name == "_world":  # not there yet: somebody copies or unpickles this
            raise AttributeError(name)
        return getattr(self._world, name)
