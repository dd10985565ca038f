"""A user's mesh as an object: in metres, with convex parts for contact.

    path (.obj, .stl), metres per unit  ->  mesh_size_m, mesh_parts (collision Geoms), mesh_look (visual Geoms)

Geoms are in the body frame, whose origin is the centre of the bounding box. With coacd installed a hollow or branching
mesh is decomposed into at most 8 convex parts, else its convex hull takes part in contact. What was read is kept until
the file changes. Needs trimesh (extra `mesh`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from iker_envs.objects.decomposition import convex_parts, is_available
from iker_envs.objects.geom import GREY, Geom, Parts
from iker_envs.objects.mesh_file import file_stamp, read_mesh
from iker_envs.objects.triangles import Mesh

MAX_SIZE_M = 1.0
MIN_SIZE_M = 0.005
_CONVEX = 0.97  # a mesh that fills so much of its hull is as good as convex
_KEPT_FILES = 64
_MILLIMETRES = 0.001


def mesh_size_m(path: str, scale: float) -> list[float]:
    """The bounding box (3,) in metres; ValueError says what is wrong with the mesh."""
    vertices, _ = _scaled(path, scale, file_stamp(path))
    return [float(s) for s in np.ptp(vertices, axis=0)]


def mesh_parts(path: str, scale: float) -> Parts:
    """Convex collision parts, each with the share of the mass that its volume has; ValueError as `mesh_size_m`."""
    found = _parts(path, scale, file_stamp(path))
    if isinstance(found, str):
        raise ValueError(found)
    return found


def mesh_look(path: str, scale: float, rgba: tuple[float, ...]) -> tuple[Geom, ...]:
    """The mesh itself in one colour."""
    return (_geom(_scaled(path, scale, file_stamp(path)), tuple(float(c) for c in rgba)),)


@lru_cache(_KEPT_FILES)
def _file(path: str, stamp: tuple[int, ...]) -> Mesh:
    return read_mesh(path)


@lru_cache(_KEPT_FILES)
def _scaled(path: str, scale: float, stamp: tuple[int, ...]) -> Mesh:
    """The mesh in metres with the centre of its bounding box at the origin."""
    vertices, faces = _file(path, stamp)
    low = vertices.min(axis=0)
    high = vertices.max(axis=0)
    _check_size(path, (high - low) * scale, scale)
    return (vertices - (low + high) / 2) * scale, faces


def _check_size(path: str, size_m: np.ndarray, scale: float) -> None:
    """ValueError unless a hand may have to do with something so large (3,)."""
    if size_m.max() <= MAX_SIZE_M and size_m.min() >= MIN_SIZE_M:
        return
    words = " x ".join(f"{100 * s:.3g}" for s in size_m)
    smaller = size_m * _MILLIMETRES
    fits = scale == 1.0 and smaller.max() <= MAX_SIZE_M and smaller.min() >= MIN_SIZE_M
    hint = f", {_MILLIMETRES} for millimetres" if fits else ""
    raise ValueError(
        f"the mesh {path!r} would be {words} cm large; mesh_scale is how many metres its unit is{hint}, and a side is "
        f"between {100 * MIN_SIZE_M:g} and {100 * MAX_SIZE_M:g} cm"
    )


@lru_cache(_KEPT_FILES)
def _parts(path: str, scale: float, stamp: tuple[int, ...]) -> Parts | str:
    """The parts, or why there are none: a decomposition that took a minute in vain is not tried again."""
    mesh = _scaled(path, scale, stamp)
    hulls = [_convex_hull(mesh)]
    if _volume(mesh) < _CONVEX * _volume(hulls[0]) and is_available():
        try:
            hulls = [_convex_hull(part) for part in convex_parts(mesh, f"the mesh {path!r}")]
        except ValueError as error:
            return str(error)
    volumes = np.array([_volume(part) for part in hulls])
    return Parts(tuple(_geom(part, GREY) for part in hulls), tuple(float(v) for v in volumes / volumes.sum()))


def _convex_hull(mesh: Mesh) -> Mesh:
    import trimesh

    hull = trimesh.Trimesh(*mesh, process=False).convex_hull
    return np.array(hull.vertices), np.array(hull.faces)


def _volume(hull: Mesh) -> float:
    """Volume of a mesh that is wound alike."""
    vertices, faces = hull
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6)


def _geom(mesh: Mesh, rgba: tuple[float, ...]) -> Geom:
    """A mesh geom whose own origin is the centre of its bounding box, as `collision.object_boxes` expects."""
    vertices, faces = mesh
    low = vertices.min(axis=0)
    high = vertices.max(axis=0)
    centre = (low + high) / 2
    half = tuple(float(h) for h in (high - low) / 2)
    return Geom("mesh", half, tuple(float(c) for c in centre), rgba=rgba, vertices_m=vertices - centre, faces=faces)
