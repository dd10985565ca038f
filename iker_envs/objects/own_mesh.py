"""A user's mesh as an object: read, checked, and cut into convex parts for contact.

    path (.obj, .stl), metres per unit  ->  mesh_size_m, mesh_parts (collision and visual Geoms in the body frame)

Needs trimesh (extra `mesh`); with coacd installed a hollow or branching mesh is decomposed into at most 8 convex parts
(Wei et al. 2022, "Approximate Convex Decomposition for 3D Meshes with Collision-Aware Concavity"), else its convex
hull takes part in contact.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from iker_envs.objects.geom import Geom, Parts

MAX_PARTS = 8
MAX_SIZE_M = 1.0
MIN_SIZE_M = 0.005
_CONVEX = 0.97  # a mesh that fills so much of its hull is as good as convex
_CONCAVITY = 0.08  # coacd's threshold: coarse, a hand-sized cup becomes its wall in a handful of parts
_PIP = "python -m pip install 'iker[mesh]'"


@cache
def _load(path: str, scale: float) -> Any:
    """The mesh in metres with the centre of its bounding box at the origin; ValueError says what is wrong with it."""
    if find_spec("trimesh") is None:
        raise ValueError(f"the mesh {path!r} cannot be read without trimesh; {_PIP}")
    import trimesh

    try:
        mesh = trimesh.load(path, force="mesh")
    except Exception as error:  # whatever a broken file provokes in one of trimesh's many readers
        raise ValueError(f"the mesh {path!r} cannot be read: {' '.join(str(error).split())}") from None
    if len(mesh.faces) == 0:
        raise ValueError(f"the mesh {path!r} has no faces")
    mesh.merge_vertices()
    if not mesh.is_watertight:
        raise ValueError(f"the mesh {path!r} is not watertight: close its holes (every edge belongs to two faces)")
    mesh.apply_scale(scale)
    mesh.apply_translation(-mesh.bounds.mean(axis=0))
    size = mesh.extents
    if size.max() > MAX_SIZE_M or size.min() < MIN_SIZE_M:
        words = " x ".join(f"{100 * s:.3g}" for s in size)
        raise ValueError(f"the mesh {path!r} would be {words} cm large; mesh_scale is how many metres its unit is")
    return mesh


def mesh_size_m(path: str, scale: float) -> list[float]:
    """The bounding box (3,) in metres."""
    return [float(s) for s in _load(path, scale).extents]


@cache
def mesh_parts(path: str, scale: float) -> Parts:
    """Convex collision parts, each with the share of the mass that its volume has."""
    hulls = [_geom(hull.vertices, hull.faces, (0.6, 0.6, 0.6, 1.0)) for hull in _hulls(_load(path, scale))]
    volumes = np.array([_hull_volume(geom) for geom in hulls])
    return Parts(tuple(hulls), tuple(float(v) for v in volumes / volumes.sum()))


def mesh_look(path: str, scale: float, rgba: tuple[float, ...]) -> tuple[Geom, ...]:
    """The mesh itself in one colour."""
    mesh = _load(path, scale)
    return (_geom(mesh.vertices, mesh.faces, tuple(float(c) for c in rgba)),)


def _hulls(mesh: Any) -> list[Any]:
    hull = mesh.convex_hull
    if mesh.volume >= _CONVEX * hull.volume or find_spec("coacd") is None:
        return [hull]
    import coacd
    import trimesh

    coacd.set_log_level("error")
    shape = coacd.Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    pieces = coacd.run_coacd(shape, threshold=_CONCAVITY, max_convex_hull=MAX_PARTS, seed=0)
    return [trimesh.Trimesh(vertices, faces).convex_hull for vertices, faces in pieces]


def _geom(vertices: np.ndarray, faces: np.ndarray, rgba: tuple[float, ...]) -> Geom:
    """A mesh geom whose own origin is the centre of its bounding box, as `collision.object_boxes` expects."""
    low = np.min(vertices, axis=0)
    high = np.max(vertices, axis=0)
    centre = (low + high) / 2
    half = tuple(float(h) for h in (high - low) / 2)
    position = tuple(float(c) for c in centre)
    return Geom("mesh", half, position, rgba=rgba, vertices_m=np.asarray(vertices) - centre, faces=np.asarray(faces))


def _hull_volume(geom: Geom) -> float:
    corners = geom.vertices_m[geom.faces]
    return float(abs(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum()) / 6)
