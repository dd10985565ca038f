"""What cameras can see of an object: points of its outer surface, found by rays from 26 directions.

    ObjectModel  ->  surface_model  ->  SurfaceModel (points, normals, colours, from where each is seen)

The look's geoms become triangles; of each direction's bundle of parallel rays the first hits are kept, so that nothing
inside counts, and each point knows the directions that see it: a shoe's own collar does not speak against it. A grid
gives the nearest point of any place near the object. No physics engine; models are kept by their content.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy.spatial import cKDTree

from iker_envs.geometry import rotation_matrix
from iker_envs.objects.geom import Geom
from iker_envs.objects.looks import visual_geoms
from iker_envs.objects.triangles import grid_mesh
from iker_envs.scene import ObjectModel

_RAY_SPACING_M = 0.0025
_POINT_SPACING_M = 0.004
_CELL_M = 0.004  # of the grid of nearest points
_LEAF = 32  # points of a leaf of the tree that fills the grid: twice as fast as with 10, SciPy's own
_PAD_M = 0.045  # around the object: as far as registration looks
_ROUND = 24  # facets around a cylinder or an ellipsoid
_SAMPLE = 600  # points that stand for all where a pose is scored

DIRECTIONS = np.array([d for d in itertools.product((-1.0, 0.0, 1.0), repeat=3) if any(d)])
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
DIRECTIONS.setflags(write=False)

_BOX_CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
_BOX_FACES = np.array(  # counter-clockwise from outside
    [
        *((0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)),
        *((2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)),
    ]
)


@dataclass(frozen=True, eq=False)
class SurfaceModel:
    """P points of a surface in the body frame, float32 metres: points and outward normals (P, 3), colours (P, 3) in
    [0, 1], seen_from (P, 26) by which of `DIRECTIONS`."""

    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    seen_from: np.ndarray

    @cached_property
    def centre(self) -> np.ndarray:
        """Centre (3,) of the bounding box."""
        return (self.points.max(axis=0) + self.points.min(axis=0)).astype(float) / 2

    @cached_property
    def size_m(self) -> np.ndarray:
        """The bounding box (3,)."""
        return np.ptp(self.points, axis=0).astype(float)

    @cached_property
    def diameter_m(self) -> float:
        """Diagonal of the bounding box."""
        return float(np.linalg.norm(self.size_m))

    @cached_property
    def extremities(self) -> np.ndarray:
        """The ends (6, 3) of the bounding box's axes: how far two poses are apart is measured at these."""
        ends = np.diag(self.size_m / 2)
        return np.concatenate([ends, -ends]) + self.centre

    @cached_property
    def sample(self) -> np.ndarray:
        """Indices of some points that stand for all, in random order."""
        return np.random.default_rng(0).permutation(len(self.points))[:_SAMPLE]

    @cached_property
    def _grid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lowest corner (3,), cells per side (3,) and the nearest point of each cell's centre."""
        low = (self.points.min(axis=0) - _PAD_M).astype(np.float32)
        count = np.ceil((self.points.max(axis=0) + _PAD_M - low) / _CELL_M).astype(int) + 1
        ticks = [start + (np.arange(n) + 0.5) * _CELL_M for start, n in zip(low, count, strict=True)]
        centres = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3)
        tree = cKDTree(self.points, leafsize=_LEAF)
        return low, count, tree.query(centres)[1].astype(np.int32)

    def nearest(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For places (..., 3) in the body frame: index of the nearest point, and whether the place is near at all."""
        low, count, index = self._grid
        cell = ((places - low) * np.float32(1 / _CELL_M)).astype(np.int32)
        is_near = ((cell >= 0) & (cell < count)).all(axis=-1)
        cell = np.clip(cell, 0, count - 1)
        return index[(cell[..., 0] * count[1] + cell[..., 1]) * count[2] + cell[..., 2]], is_near

    def mirrored(self) -> SurfaceModel:
        """Its mirror image, left and right exchanged: what a shoe of the other side looks like."""
        flip = np.array([1, -1, 1], dtype=np.float32)
        images = np.array([int(np.argmax(DIRECTIONS @ (d * flip))) for d in DIRECTIONS])
        return replace(
            self, points=self.points * flip, normals=self.normals * flip, seen_from=self.seen_from[:, images]
        )


def surface_model(model: ObjectModel) -> SurfaceModel:
    """The visible surface of a model; made once for every shape, size and colour (0.3 to 1 s)."""
    return _made(
        model.shape,
        tuple(model.size_m.tolist()),
        model.mass_kg > 0,
        model.side,
        tuple(model.rgba.tolist()),
        model.mesh,
        model.mesh_scale,
    )


@lru_cache(maxsize=64)
def _made(shape, size, is_movable, side, rgba, mesh, mesh_scale) -> SurfaceModel:
    mass = 1.0 if is_movable else 0.0
    model = ObjectModel("object", shape, np.array(size), mass, 0.6, side, np.array(rgba), "", mesh, mesh_scale)
    triangles, colours, is_closed = _triangles(visual_geoms(model))
    hits = [_first_hits(triangles, is_closed, direction) for direction in DIRECTIONS]
    points, normals, owner = (np.concatenate(parts) for parts in zip(*hits, strict=True))
    from_where = np.repeat(np.arange(len(DIRECTIONS)), [len(h[0]) for h in hits])
    return _thinned(points, normals, colours[owner], from_where)


def _thinned(points, normals, colours, from_where) -> SurfaceModel:
    """One of the points in each cell, drawn at random (a mean would lie off the surface)."""
    order = np.random.default_rng(0).permutation(len(points))
    cell = np.floor(points[order] / _POINT_SPACING_M).astype(np.int64) + 2**20
    key = (cell[:, 0] << 42) + (cell[:, 1] << 21) + cell[:, 2]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    seen_from = np.zeros((len(first), len(DIRECTIONS)), dtype=bool)
    seen_from[group, from_where[order]] = True
    kept = order[first]
    points, normals, colours = (a[kept].astype(np.float32) for a in (points, normals, colours))
    return SurfaceModel(points, normals, colours, seen_from)


def triangles_of(geoms: tuple[Geom, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Corners (T, 3, 3) in the body frame and colours (T, 3) in [0, 1] of the triangles that geoms show."""
    corners, colours, _ = _triangles(geoms)
    return corners, colours


def _triangles(geoms: tuple[Geom, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners (T, 3, 3) in the body frame, colours (T, 3), and which belong to a solid whose back is never seen."""
    corners, colours, closed = [], [], []
    for geom in geoms:
        vertices, faces = _mesh_of(geom)
        moved = vertices @ rotation_matrix(np.asarray(geom.quaternion, dtype=float)).T + np.asarray(geom.position_m)
        corners.append(moved[faces])
        of_faces = np.tile(geom.rgba[:3], (len(faces), 1)) if geom.colours is None else geom.colours[faces].mean(axis=1)
        colours.append(of_faces)
        closed.append(np.full(len(faces), geom.kind != "mesh"))
    return np.concatenate(corners), np.concatenate(colours), np.concatenate(closed)


def _mesh_of(geom: Geom) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) in the geom's frame and faces (F, 3)."""
    half = np.asarray(geom.half_size_m, dtype=float)
    if geom.kind == "mesh":
        assert geom.vertices_m is not None and geom.faces is not None, "a mesh geom carries its mesh"
        return geom.vertices_m, geom.faces
    if geom.kind == "box":
        return _BOX_CORNERS * half, _BOX_FACES
    around = 2 * np.pi * np.arange(_ROUND) / _ROUND
    circle = np.column_stack([np.cos(around), np.sin(around)])
    if geom.kind == "cylinder":  # radius, half length
        radius, length = half[0], half[1]
        rings = [(0.0, -length), (radius, -length), (radius, length), (0.0, length)]
    else:  # an ellipsoid, as a squeezed ball
        rings = [(np.cos(a), np.sin(a)) for a in np.linspace(-np.pi / 2, np.pi / 2, _ROUND // 2 + 1)]
    grid = np.array([np.column_stack([r * circle, np.full(_ROUND, z)]) for r, z in rings])
    vertices, faces = grid_mesh(grid, closed=True)
    return (vertices * half if geom.kind == "ellipsoid" else vertices), faces[:, ::-1]


def _first_hits(triangles: np.ndarray, is_closed: np.ndarray, towards: np.ndarray):
    """What parallel rays against the direction `towards` (3,) meet first: points, normals (P, 3), triangle (P,)."""
    across = np.cross(towards, [0.3, 0.5, 0.8])
    across /= np.linalg.norm(across)
    axes = np.column_stack([across, np.cross(towards, across), towards])
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    length = np.linalg.norm(normal, axis=1)
    facing = normal @ towards / np.maximum(length, 1e-12)
    kept = np.flatnonzero((length > 1e-12) & np.where(is_closed, facing > 1e-3, np.abs(facing) > 1e-3))
    seen = triangles[kept] @ axes
    owner, ray = _covered(seen[..., :2])
    height = _heights(seen[owner], ray)
    cell = np.round(ray / _RAY_SPACING_M).astype(np.int64)
    cell -= cell.min(axis=0)
    index = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    highest = np.full(int(index.max()) + 1, -np.inf)
    np.maximum.at(highest, index, height)
    first = height >= highest[index] - 1e-9
    owner = kept[owner[first]]
    outward = normal[owner] / length[owner, None] * np.sign(facing[owner])[:, None]
    return np.column_stack([ray[first], height[first]]) @ axes.T, outward, owner


def _covered(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rays of a square grid that pass through plane triangles (T, 3, 2): triangle (N,) and place (N, 2)."""
    low = np.ceil(corners.min(axis=1) / _RAY_SPACING_M).astype(np.int64)
    high = np.floor(corners.max(axis=1) / _RAY_SPACING_M).astype(np.int64)
    span = np.maximum(high - low + 1, 0)
    count = span[:, 0] * span[:, 1]
    owner = np.repeat(np.arange(len(corners)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    columns = span[owner, 1]
    place = (low[owner] + np.column_stack([number // columns, number % columns])) * _RAY_SPACING_M
    weights = _barycentric(corners[owner], place)
    inside = (weights >= -1e-9).all(axis=1)
    return owner[inside], place[inside]


def _barycentric(corners: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Barycentric coordinates (N, 3) of places (N, 2) in triangles (N, 3, 2)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, place - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    area = np.where(np.abs(area) < 1e-15, np.inf, area)
    second = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
    third = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
    return np.column_stack([1 - second - third, second, third])


def _heights(corners: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Third coordinate (N,) of triangles (N, 3, 3) above places (N, 2)."""
    return np.einsum("nk,nk->n", _barycentric(corners[..., :2], place), corners[..., 2])
