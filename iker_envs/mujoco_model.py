"""A Scene becomes a MuJoCo model: table, gripper, objects free or welded.

Geom groups: 0 table, 1 gripper, 2 visual geoms of objects, 3 collision geoms, 4 massive points of the gripper chain.
Collision bits: gripper parts meet everything but each other.
"""

from __future__ import annotations

from collections.abc import Collection

import mujoco
import numpy as np

from iker_envs.gripper import add_gripper
from iker_envs.looks import visual_geoms
from iker_envs.scene import Scene, SceneObject
from iker_envs.shapes import Geom, parts

TIMESTEP_S = 0.01
TABLE_GROUP, GRIPPER_GROUP, VISUAL_GROUP, COLLISION_GROUP = range(4)
_KINDS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}


def build_model(scene: Scene, free: Collection[str] | None = None, *, visuals: bool = False) -> mujoco.MjModel:
    """Compile a scene. `free` names the objects with a free joint (default: all movable ones), the rest is welded.

    Bodies carry the objects' names. `visuals` adds what the camera sees; physics does not need it.
    """
    free = scene.movable if free is None else free
    spec = mujoco.MjSpec()
    option = spec.option
    option.timestep, option.impratio = TIMESTEP_S, 10.0
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE  # small models; 4.0.0's sparse factorisation has a bug
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[3, 3, 0.1],
        rgba=[0.72, 0.62, 0.5, 1],
        contype=2,
        conaffinity=3,
        friction=[0.6, 0.005, 0.0001],
        group=TABLE_GROUP,
    )
    for obj in scene.objects:
        _add_object(spec, obj, is_free=obj.movable and obj.name in free, visuals=visuals)
    add_gripper(spec)
    return spec.compile()


def _add_object(spec: mujoco.MjSpec, obj: SceneObject, *, is_free: bool, visuals: bool) -> None:
    body = spec.worldbody.add_body(name=obj.name, pos=obj.pose[:3], quat=obj.pose[3:])
    body.simple = False  # the centre of mass may be moved per world
    if is_free:
        body.add_freejoint(name=obj.name)
    shape = parts(obj.model)
    for geom, share in zip(shape.collision, shape.mass_share, strict=True):
        body.add_geom(
            **_geom_arguments(spec, obj.name, geom),
            mass=obj.model.mass_kg * share if obj.movable else 0.0,
            contype=2,
            conaffinity=3,
            condim=4,
            friction=[obj.model.friction, 0.005, 0.0001],
            priority=1 if obj.movable else 0,  # the object's friction holds against table and fingers
            group=COLLISION_GROUP,
        )
    for geom in visual_geoms(obj.model) if visuals else ():
        body.add_geom(**_geom_arguments(spec, obj.name, geom), mass=0.0, contype=0, conaffinity=0, group=VISUAL_GROUP)


def _geom_arguments(spec: mujoco.MjSpec, name: str, geom: Geom) -> dict:
    arguments = {
        "type": _KINDS[geom.kind],
        "pos": geom.position_m,
        "quat": geom.quaternion,
        "rgba": geom.rgba,
    }
    if geom.kind != "mesh":
        return arguments | {"size": geom.half_size_m}
    mesh = spec.add_mesh(
        name=f"{name}_{len(spec.meshes)}",
        uservert=np.asarray(geom.vertices_m, dtype=np.float32).ravel(),
        userface=np.asarray(geom.faces, dtype=np.int32).ravel(),
    )
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # visual meshes need not be closed
    return arguments | {"meshname": mesh.name}
