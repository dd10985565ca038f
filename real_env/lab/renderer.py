"""Pictures of the lab for its cameras: OpenGL where the machine has it (also in software), ray casting elsewhere.

    qpos  ->  Renderer.show  ->  Renderer.picture(camera)  ->  rgb (H, W, 3) uint8, depth (H, W) in metres, 0 = nothing

OpenGL takes some 20 ms for a picture of 640x480, rays a second: a scene in motion is then drawn with an eighth of the
pixels. Pictures of different machines differ in their last bits under OpenGL.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import mujoco
import numpy as np

from iker_envs.geometry import rotation_matrix
from iker_envs.physics.mujoco_model import GRIPPER_GROUP, TABLE_GROUP, VISUAL_GROUP
from iker_envs.pictures.camera import render
from iker_envs.pictures.shading import LIGHT_POSITION_M
from iker_envs.scene import Camera
from real_env.arm_model import HAND
from real_env.lab.world import Arrangement

FAR_M = 6.0  # beyond it a D435 sees nothing
NEAR_M = 0.10
_AMBIENT = 0.45
_DIFFUSE = 0.55
_LIGHT_DIRECTION = (0.0, 0.0, -1.0)
_COARSE = 8  # by which pictures of a moving scene are smaller each way, without OpenGL
KINDS = ("egl", "osmesa", "rays")  # in the order in which a lab tries them

Picture = tuple[np.ndarray, np.ndarray]


class Painter(Protocol):
    """Draws one camera's picture of a MuJoCo state."""

    name: str

    def paint(self, data: mujoco.MjData, camera: Camera, *, moving: bool) -> Picture: ...

    def close(self) -> None: ...


class Renderer:
    """The lab as its cameras see it."""

    def __init__(self, arrangement: Arrangement, kind: str) -> None:
        """`kind` is "rays", or the OpenGL that MUJOCO_GL named when the process began: the engine reads it once."""
        self._kind = kind
        self.painter: Painter
        self.take(arrangement)

    def take(self, arrangement: Arrangement) -> None:
        """Draw another arrangement from now on; it was made with `visuals`."""
        if hasattr(self, "painter"):
            self.painter.close()
        self._data = mujoco.MjData(arrangement.model)
        self.painter = _painter(arrangement, self._kind)
        self._moving = True
        mujoco.mj_kinematics(arrangement.model, self._data)

    def show(self, qpos: np.ndarray) -> bool:
        """Take another state and say whether anything has moved visibly; ValueError for another arrangement's."""
        if qpos.shape != self._data.qpos.shape:
            raise ValueError(f"a state has {len(self._data.qpos)} numbers, not {len(qpos)}")
        self._moving = bool(np.abs(qpos - self._data.qpos).max() > _VISIBLE)
        if self._moving:
            self._data.qpos[:] = qpos
            mujoco.mj_kinematics(self._data.model, self._data)
        return self._moving

    def hand_pose(self) -> np.ndarray:
        """The tool centre's pose (7,)."""
        hand = self._data.body(HAND)
        return np.concatenate([hand.xpos, hand.xquat])

    def picture(self, camera: Camera) -> Picture:
        """What a camera sees now."""
        rgb, depth_m = self.painter.paint(self._data, camera, moving=self._moving)
        depth_m = np.where((depth_m < NEAR_M) | (depth_m > FAR_M), 0.0, depth_m)
        return rgb, depth_m

    def close(self) -> None:
        self.painter.close()


_VISIBLE = 2e-4  # of a state: a fifth of a millimetre, a hundredth of a degree


def _painter(arrangement: Arrangement, kind: str) -> Painter:
    return _RayPainter(arrangement) if kind == "rays" else _GlPainter(arrangement.model, kind)


class _GlPainter:
    """`mujoco.Renderer` without a window."""

    def __init__(self, model: mujoco.MjModel, name: str) -> None:
        self.name = name
        model.vis.map.znear = NEAR_M / 4 / model.stat.extent
        model.vis.map.zfar = 4 * FAR_M / model.stat.extent
        model.vis.headlight.ambient[:] = _AMBIENT
        model.vis.headlight.diffuse[:] = _DIFFUSE
        model.vis.headlight.specular[:] = 0.0
        self._model = model
        self._by_size: dict[tuple[int, int], mujoco.Renderer] = {}
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[[TABLE_GROUP, GRIPPER_GROUP, VISUAL_GROUP]] = 1
        self._of(480, 640)

    def _of(self, height: int, width: int) -> mujoco.Renderer:
        size = height, width
        if size not in self._by_size:
            self._by_size[size] = mujoco.Renderer(self._model, height, width)
        return self._by_size[size]

    def paint(self, data: mujoco.MjData, camera: Camera, *, moving: bool) -> Picture:
        renderer = self._of(camera.height, camera.width)
        renderer.update_scene(data, scene_option=self._option)
        for eye in renderer.scene.camera:
            _aim(eye, camera)
        lamp = renderer.scene.lights[0]
        lamp.pos = LIGHT_POSITION_M
        lamp.dir = _LIGHT_DIRECTION
        rgb = renderer.render().copy()
        renderer.enable_depth_rendering()
        depth_m = renderer.render().copy()
        renderer.disable_depth_rendering()
        return rgb, depth_m

    def close(self) -> None:
        for renderer in self._by_size.values():
            renderer.close()
        self._by_size = {}


def _aim(eye: mujoco.MjvGLCamera, camera: Camera) -> None:
    """Put one of the scene's two OpenGL cameras (left and right eye) where a pinhole camera is."""
    axes = rotation_matrix(camera.pose_world[3:])
    eye.pos = camera.pose_world[:3]
    eye.forward = axes[:, 2]
    eye.up = -axes[:, 1]
    half = eye.frustum_near * np.tan(camera.fov_y_rad / 2)
    eye.frustum_center = 0.0
    eye.frustum_bottom = -half
    eye.frustum_top = half
    eye.frustum_width = half * camera.width / camera.height


class _RayPainter:
    """The project's own camera, pixel by pixel."""

    name = "rays"

    def __init__(self, arrangement: Arrangement) -> None:
        self._arrangement = arrangement

    def paint(self, data: mujoco.MjData, camera: Camera, *, moving: bool) -> Picture:
        coarse = _COARSE if moving else 1
        smaller = replace(camera, width=camera.width // coarse, height=camera.height // coarse)
        image = render(self._arrangement.model, data, self._arrangement.scene, smaller, shadows=False)
        if coarse == 1:
            return image.rgb, image.depth_m
        rgb, depth_m = (np.repeat(np.repeat(x, coarse, 0), coarse, 1) for x in (image.rgb, image.depth_m))
        return rgb, depth_m

    def close(self) -> None:
        """Rays hold nothing."""
