"""Pictures that are drawn later: what a camera would see now is kept as a few numbers until somebody wants to see it.

    Painter(model, scene, camera).sketch(data)  ->  Sketch      Sketch()  ->  rgb (H, W, 3) uint8

Keeping a moment costs microseconds, drawing it a few tenths of a second. Sketches of one painter that are pickled
together share its model, so that another process can draw them.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from iker_envs.pictures.camera import render
from iker_envs.scene import Camera, Scene


class Painter:
    """Draws moments of one world from one camera, with a model of its own."""

    def __init__(self, model: mujoco.MjModel, scene: Scene, camera: Camera) -> None:
        self._model = copy(model)
        self._data = mujoco.MjData(self._model)
        self._scene = scene
        self._camera = camera

    def __reduce__(self) -> tuple[Any, ...]:
        return Painter, (self._model, self._scene, self._camera)

    def sketch(self, data: mujoco.MjData) -> Sketch:
        """Keep the moment that data of the painter's model show, wherever they have moved furniture to."""
        model = data.model
        return Sketch(self, data.time, data.qpos.copy(), model.body_pos.copy(), model.body_quat.copy())

    def draw(self, moment: Sketch) -> np.ndarray:
        """The picture (H, W, 3) uint8 of a moment, gripper included."""
        self._data.time = moment.time_s
        self._data.qpos[:] = moment.qpos
        self._model.body_pos[:] = moment.body_pos
        self._model.body_quat[:] = moment.body_quat
        mujoco.mj_kinematics(self._model, self._data)
        return np.array(render(self._model, self._data, self._scene, self._camera, gripper=True).rgb)


@dataclass(frozen=True, eq=False)
class Sketch:
    """A moment of a world; calling it draws the picture."""

    painter: Painter
    time_s: float
    qpos: np.ndarray
    body_pos: np.ndarray
    body_quat: np.ndarray

    def __call__(self) -> np.ndarray:
        """The picture (H, W, 3) uint8."""
        return self.painter.draw(self)
