"""The foreground of all cameras as one cloud of points with normals and colours.

[Shot], [mask]  ->  fuse  ->  Cloud        points, colours  ->  Field (distance to and colour of the nearest point)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from iker_envs.perception.shots import Shot, depth_std_m, is_smooth

_CELL_M = 0.004
_FEWEST_IN_CELL = 1
_FEWEST_AROUND = 5  # points within three cells: fewer are flying pixels
_NEIGHBOURS = 14  # of which a normal is made
_FIELD_CELL_M = 0.008
_FIELD_PAD_M = 0.05
_OUTSIDE_M = 0.1  # what a field says beyond its edge


@dataclass(frozen=True, eq=False)
class Cloud:
    """P points (P, 3) of surfaces in the base frame, unit normals towards the cameras (P, 3), colours (P, 3)."""

    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def part(self, index: np.ndarray) -> Cloud:
        """The points of an index or a mask."""
        return Cloud(self.points[index], self.normals[index], self.colours[index])

    def thinned(self, count: int) -> Cloud:
        """At most `count` of the points, always the same ones."""
        if len(self) <= count:
            return self
        return self.part(np.random.default_rng(0).permutation(len(self))[:count])


def fuse(shots: Sequence[Shot], masks: Sequence[np.ndarray], cell_m: float = _CELL_M) -> Cloud:
    """The masked pixels (H, W) of all shots, averaged in small cells, precise depths counting more; loners dropped."""
    points, values, weights = [np.empty((0, 3))], [np.empty((0, 6))], [np.empty(0)]
    for shot, mask in zip(shots, masks, strict=True):
        kept = mask & is_smooth(shot.depth)
        points.append(shot.points(kept))
        values.append(np.column_stack([shot.rgb[kept], np.tile(shot.eye, (kept.sum(), 1))]))
        weights.append(depth_std_m(shot.depth[kept]) ** -2.0)
    return _surface(np.concatenate(points), np.concatenate(values), np.concatenate(weights), cell_m)


def _surface(points, values, weights, cell_m: float) -> Cloud:
    """Points averaged in cells; values (P, 6) are a point's colour and the place that it was seen from."""
    if not len(points):
        return Cloud(points, points, points)
    cell = np.floor(points / cell_m).astype(np.int64)
    cell -= cell.min(axis=0)
    key = (cell[:, 0] << 42) + (cell[:, 1] << 21) + cell[:, 2]
    _, group = np.unique(key, return_inverse=True)
    total = np.bincount(group, weights)

    def mean(columns: np.ndarray) -> np.ndarray:
        return np.column_stack([np.bincount(group, weights * c) for c in columns.T]) / total[:, None]

    points, values = mean(points), mean(values)
    around = cKDTree(points).query_ball_point(points, 3 * cell_m, return_length=True)
    kept = (around > _FEWEST_AROUND) & (np.bincount(group) >= _FEWEST_IN_CELL)
    points, values = points[kept], values[kept]
    return Cloud(points, surface_normals(points, values[:, 3:]), values[:, :3])


def surface_normals(points: np.ndarray, eyes: np.ndarray, neighbours: int = _NEIGHBOURS) -> np.ndarray:
    """Unit normals (P, 3) of the planes through each point's neighbours, towards where it was seen from (P, 3)."""
    if len(points) < 3:
        return np.tile([0.0, 0.0, 1.0], (len(points), 1))
    _, index = cKDTree(points).query(points, min(neighbours, len(points)))
    around = points[index] - points[index].mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("pki,pkj->pij", around, around))
    normals = axes[:, :, 0]
    return normals * np.where(np.einsum("pi,pi->p", normals, eyes - points) < 0, -1.0, 1.0)[:, None]


class Field:
    """For any place: the distance to the nearest point of a cloud, and that point's colour. Cells of 8 mm."""

    def __init__(self, points: np.ndarray, colours: np.ndarray) -> None:
        self._low = points.min(axis=0) - _FIELD_PAD_M
        self._count = np.ceil((points.max(axis=0) + _FIELD_PAD_M - self._low) / _FIELD_CELL_M).astype(int) + 1
        cell = tuple(((points - self._low) / _FIELD_CELL_M).astype(int).T)
        is_free = np.ones(self._count, dtype=bool)
        is_free[cell] = False
        painted = np.zeros((*self._count, 3), dtype=np.float32)
        painted[cell] = colours
        distance, nearest = distance_transform_edt(is_free, sampling=_FIELD_CELL_M, return_indices=True)
        self._distance = distance.astype(np.float32).ravel()
        self._colour = painted[tuple(nearest)].reshape(-1, 3)

    def __call__(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances (...,) and flat cell indices (...,) of places (..., 3); `colours` takes the latter."""
        cell = ((places - self._low) * (1 / _FIELD_CELL_M)).astype(np.int32)
        is_inside = ((cell >= 0) & (cell < self._count)).all(axis=-1)
        cell = np.clip(cell, 0, self._count - 1)
        index = (cell[..., 0] * self._count[1] + cell[..., 1]) * self._count[2] + cell[..., 2]
        return np.where(is_inside, self._distance[index], np.float32(_OUTSIDE_M)), index

    def colours(self, index: np.ndarray) -> np.ndarray:
        """Colours (..., 3) by flat cell indices."""
        return self._colour[index]
