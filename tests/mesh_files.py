"""Small meshes for tests, as files and as what they should become."""

import numpy as np
import pytest
import trimesh

from iker_envs.objects.own_mesh import mesh_size_m
from iker_envs.optics import default_cameras
from iker_envs.physics.mujoco_model import build_model
from iker_envs.scene import ObjectModel, Scene, SceneObject, upright_pose

BOX = trimesh.creation.box((0.06, 0.04, 0.05))
TUBE = trimesh.creation.annulus(r_min=0.04, r_max=0.05, height=0.08, sections=8)
VOLUME = 0.06 * 0.04 * 0.05


def obj(vertices, faces) -> str:
    """Text of an .obj file."""
    return "".join(f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in vertices) + "".join(
        f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in faces
    )


def refusal(path: str) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(ValueError) as caught:
        mesh_size_m(path, 1.0)
    sentence = str(caught.value)
    assert "\n" not in sentence and path in sentence and len(sentence) < 400 + len(path)
    return sentence.replace(path, "")


def model_of(path: str, scale: float = 1.0) -> ObjectModel:
    return ObjectModel("thing", "mesh", np.array(mesh_size_m(path, scale)), 0.2, mesh=path, mesh_scale=scale)


def compiled(path: str):
    """The physics and the pictures of an object of this mesh."""
    scene = Scene(
        (SceneObject(model_of(path), upright_pose([0.4, 0, 0.1])),), default_cameras(), np.array([[0.2] * 3, [0.7] * 3])
    )
    return build_model(scene, visuals=True)


def enclosed(mesh) -> float:
    """The volume of a mesh that is closed and wound outwards."""
    shape = trimesh.Trimesh(*mesh, process=False)
    assert shape.is_watertight and shape.is_winding_consistent
    return shape.volume
