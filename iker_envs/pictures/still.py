"""A scene as its cameras see it, without an environment around it: for checks and pictures of tasks.

Scene  ->  still_view  ->  View
"""

from __future__ import annotations

from dataclasses import replace

import mujoco

from iker_envs.physics.mujoco_model import build_model
from iker_envs.pictures.camera import render
from iker_envs.scene import Scene, View


def still_view(scene: Scene, size: tuple[int, int] | None = None, *, all_cameras: bool = False) -> View:
    """The query camera's picture of the scene as it is described, or every camera's, the gripper out of sight.

    `size` is width and height in pixels, by default each camera's own.
    """
    model = build_model(scene, visuals=True)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    width, height = size or (0, 0)
    cameras = [replace(c, width=width or c.width, height=height or c.height) for c in scene.cameras]
    cameras = [c for c in cameras if all_cameras or c.name == scene.query_camera]
    poses = {o.name: o.pose for o in scene.objects if o.movable}
    taken = {camera.name: render(model, data, scene, camera, gripper=False) for camera in cameras}
    return View(taken, scene.query_camera, poses)
