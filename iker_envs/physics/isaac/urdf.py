"""The bodies of a compiled scene become URDF files and OBJ meshes, which Isaac Gym loads.

    MjModel, name of a body  ->  write_asset  ->  NAME.urdf, a convex OBJ for every mesh and ellipsoid

Masses, centres of mass and inertias are those that MuJoCo compiled, so both engines move the same things. URDF knows
boxes, spheres, cylinders and meshes: an ellipsoid becomes a convex mesh. Every link has a mass, for PhysX drops those
without; joints of one body become a chain of links.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

_FIXED_MASS_KG = 1.0  # of what never moves and weighs nothing in the scene
_FIXED_INERTIA_KG_M2 = 0.01
_UNLIMITED_M = 10.0  # of a slide without limits
_MAX_SPEED = 100.0  # m/s or rad/s: no limit in practice
_ELLIPSOID_POINTS = 96  # a hull of these lies within 2 % of the surface's half sizes
_JOINT_KINDS = {int(mujoco.mjtJoint.mjJNT_SLIDE): "prismatic", int(mujoco.mjtJoint.mjJNT_HINGE): "continuous"}


def write_asset(model: mujoco.MjModel, body: str, folder: Path, name: str) -> str:
    """Write a body of the world, with all that hangs on it, as folder/name.urdf; gives the file's name.

    What moves against the world by a free joint or not at all is one link with its own frame at its origin; what moves
    by slides and hinges hangs on a link `base`.
    """
    root = ElementTree.Element("robot", name=name)
    first = model.body(body).id
    is_chain = model.body_jntnum[first] > 0 and int(model.jnt_type[model.body_jntadr[first]]) in _JOINT_KINDS
    if is_chain:
        _add_link(root, model, None, "base", folder, name)
    for index in _subtree(model, first):
        link = model.body(index).name
        _add_link(root, model, index, link, folder, name)
        parent = model.body_parentid[index]
        if parent:
            _add_joint(root, model, index, model.body(parent).name)
        elif is_chain:
            _add_joint(root, model, index, "base")
    file = folder / f"{name}.urdf"
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    return file.name


def mass_properties(model: mujoco.MjModel, body: str) -> tuple[float, list[float]]:
    """Mass in kg and centre of mass (3,) in body axes of a body."""
    index = model.body(body).id
    return float(model.body_mass[index]), model.body_ipos[index].tolist()


def lowest_m(model: mujoco.MjModel, body: str) -> float:
    """How far a body's colliding parts reach below its origin, in metres, in its upright pose."""
    points = [
        _corners(model, geom) @ _rotation(model.geom_quat[geom]).as_matrix().T + model.geom_pos[geom]
        for geom in _colliding(model, model.body(body).id)
    ]
    return float(-np.concatenate(points)[:, 2].min())


def _subtree(model: mujoco.MjModel, first: int) -> Iterator[int]:
    """A body and all bodies below it, parents first."""
    inside = {first}
    yield first
    for index in range(first + 1, model.nbody):
        if model.body_parentid[index] in inside:
            inside.add(index)
            yield index


def _colliding(model: mujoco.MjModel, body: int) -> list[int]:
    collides = (model.geom_contype > 0) | (model.geom_conaffinity > 0)
    return np.flatnonzero((model.geom_bodyid == body) & collides).tolist()


def _rotation(quaternion: np.ndarray) -> Rotation:
    return Rotation.from_quat(quaternion, scalar_first=True)


def _numbers(values) -> str:
    return " ".join(f"{float(v):.9g}" for v in values)


def _add_origin(element: ElementTree.Element, position, quaternion) -> None:
    """Fixed roll, pitch and yaw about the parent's axes, as URDF has them."""
    angles = _rotation(np.asarray(quaternion)).as_euler("xyz")
    ElementTree.SubElement(element, "origin", xyz=_numbers(position), rpy=_numbers(angles))


def _add_link(
    root: ElementTree.Element, model: mujoco.MjModel, body: int | None, link: str, folder: Path, asset: str
) -> None:
    element = ElementTree.SubElement(root, "link", name=link)
    mass = 0.0 if body is None else float(model.body_mass[body])
    tensor = np.eye(3) * _FIXED_INERTIA_KG_M2
    centre = np.zeros(3)
    if body is not None and mass > 0:
        axes = _rotation(model.body_iquat[body]).as_matrix()
        tensor = axes @ np.diag(model.body_inertia[body]) @ axes.T
        centre = model.body_ipos[body]
    inertial = ElementTree.SubElement(element, "inertial")
    _add_origin(inertial, centre, [1, 0, 0, 0])
    ElementTree.SubElement(inertial, "mass", value=f"{mass or _FIXED_MASS_KG:.9g}")
    entries = {f"i{'xyz'[i]}{'xyz'[j]}": f"{tensor[i, j]:.9g}" for i in range(3) for j in range(i, 3)}
    ElementTree.SubElement(inertial, "inertia", entries)
    for number, geom in enumerate(_colliding(model, body) if body is not None else ()):
        for use in ("visual", "collision"):
            part = ElementTree.SubElement(element, use)
            _add_origin(part, model.geom_pos[geom], model.geom_quat[geom])
            shape = ElementTree.SubElement(part, "geometry")
            _add_shape(shape, model, geom, folder / f"{asset}_{link}_{number}.obj")


def _add_shape(shape: ElementTree.Element, model: mujoco.MjModel, geom: int, mesh: Path) -> None:
    kind = mujoco.mjtGeom(model.geom_type[geom])
    size = model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        ElementTree.SubElement(shape, "box", size=_numbers(2 * size))
    elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        ElementTree.SubElement(shape, "sphere", radius=_numbers(size[:1]))
    elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        ElementTree.SubElement(shape, "cylinder", radius=_numbers(size[:1]), length=_numbers(2 * size[1:2]))
    else:
        _write_hull(_corners(model, geom), mesh)
        ElementTree.SubElement(shape, "mesh", filename=mesh.name)


def _corners(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Points (P, 3) in a geom's own axes whose hull is the geom, for round ones nearly."""
    kind = mujoco.mjtGeom(model.geom_type[geom])
    size = model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start = model.mesh_vertadr[mesh]
        return np.array(model.mesh_vert[start : start + model.mesh_vertnum[mesh]], dtype=float)
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return _sphere_points(_ELLIPSOID_POINTS) * size
    half = {
        mujoco.mjtGeom.mjGEOM_BOX: size,
        mujoco.mjtGeom.mjGEOM_SPHERE: size[[0, 0, 0]],
        mujoco.mjtGeom.mjGEOM_CYLINDER: size[[0, 0, 1]],
    }[kind]
    return np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half


def _sphere_points(count: int) -> np.ndarray:
    """Points (count + 6, 3) spread over the unit sphere by the golden angle, and the ends of its axes."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    ring = np.sqrt(1 - z**2)
    return np.concatenate([np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=-1), np.eye(3), -np.eye(3)])


def _write_hull(points: np.ndarray, file: Path) -> None:
    """The convex hull of points (P, 3) as an OBJ whose faces look outwards."""
    hull = ConvexHull(points)
    order = {int(v): k + 1 for k, v in enumerate(hull.vertices)}
    lines = [f"v {_numbers(points[v])}" for v in hull.vertices]
    for face, normal in zip(hull.simplices, hull.equations[:, :3], strict=True):
        a, b, c = points[face]
        turned = face if np.dot(np.cross(b - a, c - a), normal) > 0 else face[::-1]
        lines.append("f " + " ".join(str(order[int(v)]) for v in turned))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _add_joint(root: ElementTree.Element, model: mujoco.MjModel, body: int, parent: str) -> None:
    """How a body hangs on its parent: by its one slide or hinge, named as there, or fast."""
    name = model.body(body).name
    kind = "fixed"
    joint = None
    if model.body_jntnum[body]:
        joint = model.body_jntadr[body]
        kind = _JOINT_KINDS[int(model.jnt_type[joint])]
        name = model.joint(joint).name
    element = ElementTree.SubElement(root, "joint", name=name if joint is not None else f"{name}_mount", type=kind)
    _add_origin(element, model.body_pos[body], model.body_quat[body])
    ElementTree.SubElement(element, "parent", link=parent)
    ElementTree.SubElement(element, "child", link=model.body(body).name)
    if joint is None:
        return
    ElementTree.SubElement(element, "axis", xyz=_numbers(model.jnt_axis[joint]))
    low, high = model.jnt_range[joint] if model.jnt_limited[joint] else (-_UNLIMITED_M, _UNLIMITED_M)
    effort = model.actuator(model.joint(joint).name).forcerange[1]
    limits = {"lower": low, "upper": high} if kind == "prismatic" else {}
    limits |= {"effort": effort, "velocity": _MAX_SPEED}
    ElementTree.SubElement(element, "limit", {key: f"{value:.9g}" for key, value in limits.items()})
