"""A Scene becomes a MuJoCo model: table, gripper, objects free or welded. Variants become models of one layout.

Geom groups: 0 table, 1 gripper, 2 visual geoms of objects, 3 collision geoms, 4 massive points of the gripper chain.
Collision bits: gripper parts meet everything but each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import mujoco
import numpy as np

from iker_envs.objects.geom import Geom
from iker_envs.objects.looks import visual_geoms
from iker_envs.objects.shapes import parts
from iker_envs.physics.mujoco_gripper import add_gripper
from iker_envs.scene import Scene, SceneObject
from iker_envs.sim import PictureData, Variant

TIMESTEP_S = 0.01
_IMPRATIO = 10.0  # friction ten times as stiff as contact normals: what is held hardly creeps out of the fingers
_TABLE_FRICTION = 0.6  # a movable object's own friction holds in its contacts; this is for the gripper
_OTHER_FRICTION = (0.005, 0.0001)  # torsion and rolling in metres, MuJoCo's defaults
_SPECK_M = 0.001  # size of a part that fills up a variant with fewer parts
_SPARE_DEPTH_M = 50.0  # below the table, where nothing comes
TABLE_GROUP = 0
GRIPPER_GROUP = 1
VISUAL_GROUP = 2
COLLISION_GROUP = 3
SPARE_GROUP = 5
_KINDS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}


def build_model(
    scene: Scene,
    free: Collection[str] | None = None,
    *,
    visuals: bool = False,
    add_robot: Callable[[mujoco.MjSpec], None] = add_gripper,
) -> mujoco.MjModel:
    """Compile a scene. `free` names the objects with a free joint (default: all movable ones), the rest is welded.

    Bodies carry the objects' names. `visuals` adds what the camera sees; physics does not need it. `add_robot` puts
    something else in the place of the floating gripper.
    """
    return build_variants([Variant(scene)], free, visuals=visuals, add_robot=add_robot)[0]


def build_variants(
    variants: Sequence[Variant],
    free: Collection[str] | None = None,
    *,
    visuals: bool = False,
    add_robot: Callable[[mujoco.MjSpec], None] = add_gripper,
) -> list[mujoco.MjModel]:
    """Compile variants of one scene into models of equal layout, so that a batch can hold all of them.

    Objects with fewer collision parts than in another variant are padded with specks inside them; every model holds
    the meshes of all.
    """
    names = [o.name for o in variants[0].scene.objects]
    slots = {name: _slots([_scaled_parts(v, name) for v in variants]) for name in names}
    models = [_compile(v, k, slots, free, visuals=visuals, add_robot=add_robot) for k, v in enumerate(variants)]
    if any(m.signature != models[0].signature for m in models):
        raise ValueError("the variants of a scene did not compile to one layout")
    return models


def show_world(data: PictureData, joints: Mapping[str, float], bodies: Mapping[str, np.ndarray], time_s: float) -> None:
    """Write one world into data of any model of the same scene.

    `joints` are positions in metres or radians, `bodies` poses (7,) by name: a body that is free in the model is moved
    through its joint, any other one in the model itself.
    """
    model = data.model
    data.time = time_s
    for name, position in joints.items():
        data.qpos[model.joint(name).qposadr[0]] = position
    for name, pose in bodies.items():
        body = model.body(name)
        if (joint := model.body_jntadr[body.id]) >= 0:
            address = model.jnt_qposadr[joint]
            data.qpos[address : address + 7] = pose
        else:
            body.pos = pose[:3]
            body.quat = pose[3:]


Slots = list[list[tuple[Geom, float]]]  # by variant: geoms of one object and their share of its mass


def _scaled_parts(variant: Variant, name: str) -> list[tuple[Geom, float]]:
    shape = parts(variant.scene.object(name).model)
    scale = variant.scale_of(name)
    if scale == 1.0:
        return list(zip(shape.collision, shape.mass_share, strict=True))
    return [(_scaled(g, scale), share) for g, share in zip(shape.collision, shape.mass_share, strict=True)]


def _scaled(geom: Geom, scale: float) -> Geom:
    return replace(
        geom,
        half_size_m=tuple(scale * h for h in geom.half_size_m),
        position_m=tuple(scale * p for p in geom.position_m),
        vertices_m=None if geom.vertices_m is None else scale * geom.vertices_m,
    )


def _slots(shapes: list[list[tuple[Geom, float]]]) -> Slots:
    """The same kinds of geoms in the same order for all variants of an object."""
    if all([g.kind for g, _ in shape] == [g.kind for g, _ in shapes[0]] for shape in shapes):
        return shapes
    slots: Slots = [[] for _ in shapes]
    for kind in _KINDS:
        count = max(sum(g.kind == kind for g, _ in shape) for shape in shapes)
        for slot, shape in zip(slots, shapes, strict=True):
            own = [(g, share) for g, share in shape if g.kind == kind]
            slot += own + [(_speck(kind, shape[0][0]), 0.0)] * (count - len(own))
    return slots


def _speck(kind: str, inside: Geom) -> Geom:
    """A geom too small to matter, in the middle of another one."""
    geom = Geom(kind, (_SPECK_M,) * 3, inside.position_m)
    if kind != "mesh":
        return geom
    vertices = _SPECK_M * np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return replace(geom, vertices_m=vertices, faces=np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]))


def _compile(
    variant: Variant,
    index: int,
    slots: dict[str, Slots],
    free: Collection[str] | None,
    *,
    visuals: bool,
    add_robot: Callable[[mujoco.MjSpec], None],
) -> mujoco.MjModel:
    scene = variant.scene
    free = scene.movable if free is None else free
    spec = mujoco.MjSpec()
    option = spec.option
    option.timestep = TIMESTEP_S
    option.impratio = _IMPRATIO
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE  # small models; 4.0.0's sparse factorisation has a bug
    if not visuals:  # the trees that sort out far pairs of geoms go with the nominal shapes and centres of mass
        option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[3, 3, 0.1],
        rgba=[0.72, 0.62, 0.5, 1],
        contype=2,
        conaffinity=3,
        friction=[_TABLE_FRICTION, *_OTHER_FRICTION],
        group=TABLE_GROUP,
    )
    for obj in scene.objects:
        body = _add_body(spec, obj, is_free=obj.movable and obj.name in free)
        for other, slot in enumerate(slots[obj.name]):
            _add_collision(spec, body, obj, slot, other, mine=other == index)
        if len(slots[obj.name]) > 1:
            _add_spares(spec, [mesh.name for mesh in spec.meshes if mesh.name.startswith(f"{obj.name}_")])
        for number, geom in enumerate(visual_geoms(obj.model) if visuals else ()):
            _add_visual(spec, body, obj.name, _scaled(geom, variant.scale_of(obj.name)), number)
    add_robot(spec)
    return spec.compile()


def _add_body(spec: mujoco.MjSpec, obj: SceneObject, *, is_free: bool):
    body = spec.worldbody.add_body(name=obj.name, pos=obj.pose[:3], quat=obj.pose[3:])
    body.simple = False  # the centre of mass may be moved per world
    if is_free:
        body.add_freejoint(name=obj.name)
    return body


def _add_collision(spec: mujoco.MjSpec, body, obj: SceneObject, slot, variant: int, *, mine: bool) -> None:
    """Add the collision geoms of an object in one variant, or only their meshes if the model is another variant's."""
    for number, (geom, share) in enumerate(slot):
        mesh = _add_mesh(spec, f"{obj.name}_{variant}_{number}", geom) if geom.kind == "mesh" else ""
        if mine:
            body.add_geom(
                **_geom_arguments(geom, mesh),
                mass=obj.model.mass_kg * share if obj.movable else 0.0,
                contype=2,
                conaffinity=3,
                condim=4,
                friction=[obj.model.friction, *_OTHER_FRICTION],
                priority=1 if obj.movable else 0,  # the object's friction holds against table and fingers
                group=COLLISION_GROUP,
            )


def _add_spares(spec: mujoco.MjSpec, meshes: list[str]) -> None:
    """Add a geom of every mesh far below the table.

    MuJoCo computes convex hulls for the meshes of geoms that can collide, and all models need those of all variants.
    """
    for mesh in meshes:
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=mesh,
            pos=[0, 0, -_SPARE_DEPTH_M],
            contype=2,
            conaffinity=3,
            group=SPARE_GROUP,
        )


def _add_visual(spec: mujoco.MjSpec, body, name: str, geom: Geom, number: int) -> None:
    mesh = _add_mesh(spec, f"{name}_visual_{number}", geom) if geom.kind == "mesh" else ""
    body.add_geom(**_geom_arguments(geom, mesh), mass=0.0, contype=0, conaffinity=0, group=VISUAL_GROUP)


def _geom_arguments(geom: Geom, mesh: str) -> dict:
    arguments = {
        "type": _KINDS[geom.kind],
        "pos": geom.position_m,
        "quat": geom.quaternion,
        "rgba": geom.rgba,
    }
    return arguments | ({"meshname": mesh} if mesh else {"size": geom.half_size_m})


def _add_mesh(spec: mujoco.MjSpec, name: str, geom: Geom) -> str:
    mesh = spec.add_mesh(
        name=name,
        uservert=np.asarray(geom.vertices_m, dtype=np.float32).ravel(),
        userface=np.asarray(geom.faces, dtype=np.int32).ravel(),
    )
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # visual meshes need not be closed
    return name
