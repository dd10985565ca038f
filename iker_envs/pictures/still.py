"""A scene as its cameras see it, without an environment around it: for checks and pictures of tasks.

Scene  ->  still_view  ->  View
"""

from __future__ import annotations

import mujoco

from iker_envs.physics.mujoco_model import build_model
from iker_envs.pictures.camera import render
from iker_envs.scene import Scene, View


def still_view(scene: Scene) -> View:
    """The query camera's picture of the scene as it is described, the gripper out of sight."""
    model = build_model(scene, visuals=True)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    camera = next(c for c in scene.cameras if c.name == scene.query_camera)
    poses = {o.name: o.pose for o in scene.objects if o.movable}
    return View({camera.name: render(model, data, scene, camera, gripper=False)}, scene.query_camera, poses)
