"""Small noisy pictures for tests of perception: rendered once in a session, 320 x 240, five cameras."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from iker_envs.optics import stationary_cameras
from iker_envs.pictures.sensor_noise import NoisyCameras, SensorNoise
from iker_envs.pictures.still import still_view
from iker_envs.scene import ObjectModel, Scene, SceneObject, View, upright_pose

SIZE = (320, 240)
LEFT = upright_pose([0.36, 0.17, 0.045], 0.2)
RIGHT = upright_pose([0.35, -0.17, 0.045], -0.1)


def shoe(name: str, side: str, pose: np.ndarray, rgba: Sequence[float] = (0.78, 0.20, 0.16, 1.0)) -> SceneObject:
    """A sneaker."""
    return SceneObject(
        ObjectModel(name, "shoe", np.array([0.28, 0.10, 0.09]), 0.3, side=side, rgba=np.array(rgba)), pose
    )


def block(name: str, size_m: Sequence[float], pose: np.ndarray, *, movable: bool = True) -> SceneObject:
    """A carton, or a board that does not move."""
    return SceneObject(ObjectModel(name, "box", np.array(size_m), 0.5 if movable else 0.0), pose, movable)


def scene_of(*objects: SceneObject) -> Scene:
    """A small scene of these objects, its query camera small too."""
    front = stationary_cameras(*SIZE)[0]
    query = replace(front, name="front", pose_world=np.array(_query().pose_world), fov_y_rad=_query().fov_y_rad)
    return Scene(objects, (query,), np.array([[0.20, -0.45, 0.015], [0.75, 0.45, 0.45]]))


def _query():
    from iker_envs.optics import default_cameras

    return default_cameras()[0]


def pair() -> Scene:
    """A left and a right shoe on the table."""
    return scene_of(shoe("left_shoe", "left", LEFT), shoe("right_shoe", "right", RIGHT))


def with_objects(scene: Scene, *objects: SceneObject) -> Scene:
    """The scene with more objects."""
    return replace(scene, objects=(*scene.objects, *objects))


def without(scene: Scene, name: str) -> Scene:
    """The scene without one object."""
    return replace(scene, objects=tuple(o for o in scene.objects if o.name != name))


def seen(scene: Scene, seed: int = 0) -> View:
    """What the four stationary cameras and the query camera show of the scene, with noise."""
    exact = _rendered(json.dumps(scene.to_dict()))
    return NoisyCameras(SensorNoise(frames=3), seed).photograph(exact)


@lru_cache(maxsize=64)
def _rendered(scene: str) -> View:
    return still_view(Scene.from_dict(json.loads(scene)), cameras=stationary_cameras(*SIZE), shadows=False)


def fingerprint(view: View) -> str:
    """Equal for equal pictures alone."""
    content = b"".join(i.rgb.tobytes() + i.depth_m.tobytes() for i in view.cameras.values())
    return hashlib.sha256(content).hexdigest()
