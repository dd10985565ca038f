"""Grasps of a user's or a scanned mesh: its surface as points, antipodal pairs, room inside its convex parts.

    ObjectModel (shape "mesh"), pose, approach directions  ->  mesh_candidates  ->  grasps, or why none

The surface that is seen decides where fingers hold; the convex parts that physics collides with must leave them room
too, so that a grasp means the same in simulation and on a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.spatial import ConvexHull

from iker_envs.geometry import pose_apply, quaternion_from_matrix, quaternion_rotate, rotation_matrix
from iker_envs.objects.mesh_file import file_stamp
from iker_envs.objects.own_mesh import mesh_look, mesh_parts
from iker_envs.planning.antipodal import (
    MAX_WIDTH_M,
    MIN_DEPTH_M,
    Candidates,
    Pairs,
    antipodal_pairs,
    place_tools,
    spread,
)
from iker_envs.planning.hand import (
    FINGER_HALF_SIZE_M,
    FINGERTIP_M,
    HAND_CENTRE_M,
    HAND_HALF_SIZE_M,
    MAX_OPENING_M,
)
from iker_envs.scene import Grasp, ObjectModel

_NUM_POINTS = 3000
_NUM_PAIRS = 160
_MOST = 40  # candidates that are looked at closely afterwards
_TOUCH_M = 0.0015  # fingers may stand so deep in a convex part, which is a little fatter than what it wraps
_SMOOTH_COSINE = 0.9  # faces that differ by less than about 25 degrees are one curved surface
_KEPT = 16
_WHITE = (1.0, 1.0, 1.0, 1.0)


def mesh_candidates(model: ObjectModel, pose: np.ndarray, directions: Sequence[np.ndarray]) -> tuple[list[Grasp], str]:
    """Grasps of a mesh object at a pose (7,), base frame, best first; else one clause with the measure that forbids it.

    `directions` are unit vectors (3,) that the tool may come along. The same mesh always gives the same grasps.
    """
    stamp = file_stamp(model.mesh)
    points, normals, area_m2 = _surface(model.mesh, model.mesh_scale, stamp)
    points = pose_apply(pose, points)
    normals = quaternion_rotate(np.asarray(pose)[3:], normals)
    deepest = max(float(np.ptp(points @ direction)) for direction in directions)
    if deepest < MIN_DEPTH_M:
        return [], f"it is only {1000 * deepest:.0f} mm deep, the fingers need {1000 * MIN_DEPTH_M:.0f} mm"
    pairs = antipodal_pairs(points, normals)
    if len(pairs.width_m) == 0:
        return [], narrowest(points, directions)
    chosen = np.random.default_rng(0).permutation(len(pairs.width_m))[:_NUM_PAIRS]
    pairs = Pairs(*(field[chosen] for field in pairs))
    tools = place_tools(points, normals, pairs, directions, area_m2=area_m2)
    if len(tools.score) == 0:
        return [], "its sides face along the approach, the fingers close across it"
    tools.why[_inside_parts(tools, model, np.asarray(pose, dtype=float), stamp)] = (
        "the fingers would enter the parts that it collides with"
    )
    best = spread(tools, _MOST)
    if len(best) == 0:
        return [], Counter(tools.why).most_common(1)[0][0]
    return as_grasps(tools, best), ""


def as_grasps(tools: Candidates, chosen: np.ndarray) -> list[Grasp]:
    """The chosen candidates as grasps."""
    return [
        Grasp(
            np.concatenate([tools.position[c], quaternion_from_matrix(tools.axes[c])]),
            float(tools.width_m[c]),
            float(tools.score[c]),
        )
        for c in chosen
    ]


def narrowest(points: np.ndarray, directions: Sequence[np.ndarray]) -> str:
    """Why points (K, 3) that hold no pair cannot be held: how narrow they are, seen along the approaches."""
    widths = []
    for direction in directions:
        across = np.linalg.svd(direction[None])[2][1:]  # two axes square to the approach
        outline = points @ across.T
        normals = ConvexHull(outline).equations[:, :2]  # an outline is narrowest across one of its edges
        widths.append(float(np.ptp(outline @ normals.T, axis=0).min()))
    if min(widths) > MAX_WIDTH_M:
        return f"its narrowest side is {1000 * min(widths):.0f} mm, the fingers hold {1000 * MAX_WIDTH_M:.0f} mm"
    return (
        f"it is {1000 * min(widths):.0f} mm wide at its narrowest, but no two of its sides face away from each other "
        f"at most {1000 * MAX_WIDTH_M:.0f} mm apart"
    )


@lru_cache(_KEPT)
def _surface(path: str, scale: float, stamp: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, float]:
    """Points and outward normals (K, 3) spread evenly over a mesh, body frame, and the area of one in square metres."""
    (look,) = mesh_look(path, scale, _WHITE)
    assert look.vertices_m is not None and look.faces is not None  # a mesh's look is a mesh
    corners = (look.vertices_m + np.array(look.position_m))[look.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) / 2
    rng = np.random.default_rng(0)
    places = (np.arange(_NUM_POINTS) + rng.random(_NUM_POINTS)) * (area.sum() / _NUM_POINTS)
    face = np.minimum(np.searchsorted(np.cumsum(area), places), len(area) - 1)
    u, v = rng.random((2, _NUM_POINTS, 1))
    flip = u + v > 1
    u = np.where(flip, 1 - u, u)
    v = np.where(flip, 1 - v, v)
    a, b, c = (corners[face, k] for k in range(3))
    flat = (cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-18))[face]
    of_vertex = _smooth_normals(look.vertices_m, look.faces, cross)
    normal = sum(w * _nearly(of_vertex[look.faces[face, k]], flat) for k, w in enumerate((1 - u - v, u, v)))
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return a + u * (b - a) + v * (c - a), normal, float(area.sum() / _NUM_POINTS)


def _nearly(normals: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Normals (K, 3), where near to those of the flat faces: on a sharp edge the mean is no surface's."""
    return np.where((np.einsum("ki,ki->k", normals, flat) > _SMOOTH_COSINE)[:, None], normals, flat)


def _smooth_normals(vertices: np.ndarray, faces: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Normals (V, 3) of vertices, weighted by area: scans are bumpy."""
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], cross)
    return normals / np.maximum(np.linalg.norm(normals, axis=1), 1e-18)[:, None]


def _inside_parts(tools: Candidates, model: ObjectModel, pose: np.ndarray, stamp: tuple[int, ...]) -> np.ndarray:
    """Bool (C,): would an open finger or the palm stand in a convex part?"""
    planes = _part_planes(model.mesh, model.mesh_scale, stamp)
    local = _tool_points()
    world = tools.position[:, None] + np.einsum("cij,kj->cki", tools.axes, local)
    body = ((world - pose[:3]) @ rotation_matrix(pose[3:])).reshape(-1, 3)
    inside = np.zeros(len(body), dtype=bool)
    for part in planes:
        inside |= (body @ part[:, :3].T + part[:, 3] < -_TOUCH_M).all(axis=1)
    return np.asarray(inside.reshape(len(tools.score), -1).any(axis=1))


@lru_cache(_KEPT)
def _part_planes(path: str, scale: float, stamp: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Half spaces (Q, 4) of every convex part: normal and offset, below 0 inside."""
    planes = []
    for geom in mesh_parts(path, scale).collision:
        assert geom.vertices_m is not None
        hull = ConvexHull(geom.vertices_m + np.array(geom.position_m))
        planes.append(np.unique(np.round(hull.equations, 9), axis=0))
    return tuple(planes)


@lru_cache(1)
def _tool_points() -> np.ndarray:
    """Points (K, 3) in the open fingers and in the hand's face, tool frame."""
    half = np.array(FINGER_HALF_SIZE_M)
    grid = np.stack(np.meshgrid([-1, 0, 1], [-1, 1], np.linspace(-1, 1, 7), indexing="ij"), -1).reshape(-1, 3) * half
    fingers = [grid + np.array([0.0, s * (MAX_OPENING_M / 2 + half[1]), FINGERTIP_M - half[2]]) for s in (1.0, -1.0)]
    hand = np.array(HAND_HALF_SIZE_M)
    face = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 7), [1.0], indexing="ij"), -1).reshape(-1, 3)
    return np.concatenate([*fingers, face * hand + np.array(HAND_CENTRE_M)])
