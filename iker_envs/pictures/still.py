"""A scene as its cameras see it, without an environment around it: for checks and pictures of tasks.

Scene  ->  still_view  ->  View
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import mujoco

from iker_envs.physics.mujoco_model import build_model
from iker_envs.pictures.camera import render
from iker_envs.scene import Camera, Scene, View


def still_view(
    scene: Scene,
    size: tuple[int, int] | None = None,
    *,
    all_cameras: bool = False,
    cameras: Sequence[Camera] | None = None,
    shadows: bool = True,
) -> View:
    """The query camera's picture of the scene as it is described, or every camera's, the gripper out of sight.

    `size` is width and height in pixels, by default each camera's own; `cameras` are others than the scene's, of which
    the query camera's picture is taken too and comes first.
    """
    model = build_model(scene, visuals=True)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    width, height = size or (0, 0)
    own = [c for c in scene.cameras if all_cameras or c.name == scene.query_camera]
    own.sort(key=lambda c: c.name != scene.query_camera)
    every = {c.name: c for c in (*own, *(cameras or ()))}
    sized = {name: replace(c, width=width or c.width, height=height or c.height) for name, c in every.items()}
    poses = {o.name: o.pose for o in scene.objects if o.movable}
    taken = {name: render(model, data, scene, c, gripper=False, shadows=shadows) for name, c in sized.items()}
    return View(taken, scene.query_camera, poses)
