"""Milliseconds per image of the ray-casting camera, with and without shadows, on one core.

python benchmarks/camera.py  ->  a line per camera
"""

from __future__ import annotations

import time
from collections.abc import Callable

import mujoco
import numpy as np

from iker_envs.physics.mujoco_model import build_model
from iker_envs.pictures.camera import default_cameras, render
from iker_envs.scene import ObjectModel, Scene, SceneObject, upright_pose


def shoe_scene() -> Scene:
    """A rack with a carton on it and a pair of shoes in front."""
    left, right = (
        ObjectModel(f"{s}_shoe", "shoe", np.array([0.28, 0.10, 0.09]), 0.3, side=s) for s in ("left", "right")
    )
    objects = (
        SceneObject(ObjectModel("rack", "rack", np.array([0.28, 0.64, 0.10])), upright_pose([0.66, 0, 0.05]), False),
        SceneObject(ObjectModel("box", "box", np.array([0.28, 0.20, 0.11]), 0.6), upright_pose([0.66, 0, 0.155])),
        SceneObject(left, upright_pose([0.34, 0.16, 0.045])),
        SceneObject(right, upright_pose([0.34, -0.16, 0.045])),
    )
    return Scene(objects, default_cameras(), np.array([[0.2, -0.45, 0.02], [0.75, 0.45, 0.45]]))


def milliseconds(call: Callable[[], object], repeats: int = 10) -> float:
    """Median time of a call, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def main() -> None:
    scene = shoe_scene()
    model = build_model(scene, visuals=True)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    for camera in scene.cameras:
        plain, shaded = (
            milliseconds(lambda c=camera, s=s: render(model, data, scene, c, shadows=s)) for s in (False, True)
        )
        size = f"{camera.width}x{camera.height}"
        print(f"{camera.name:6} {size}  {plain:6.0f} ms  with shadows {shaded:6.0f} ms  ({shaded / plain:.2f}x)")


if __name__ == "__main__":
    main()
