"""A scene as its cameras see it, without an environment around it: for checks and pictures of tasks.

Scene  ->  still_view  ->  View
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco

from iker_envs.physics.mujoco_model import build_model
from iker_envs.pictures.camera import render
from iker_envs.scene import Camera, Scene, View


def still_view(scene: Scene, cameras: Sequence[Camera] | None = None, *, shadows: bool = True) -> View:
    """What cameras (None: the query camera alone) see of the scene as it is described, the gripper out of sight.

    The query camera comes first; `cameras` need not be the scene's own.
    """
    model = build_model(scene, visuals=True)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    query = next(c for c in scene.cameras if c.name == scene.query_camera)
    every = {c.name: c for c in (query, *(cameras or ()))}
    poses = {o.name: o.pose for o in scene.objects if o.movable}
    pictures = {name: render(model, data, scene, c, gripper=False, shadows=shadows) for name, c in every.items()}
    return View(pictures, scene.query_camera, poses)
