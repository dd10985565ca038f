"""One level patch of a cloud becomes an upright box: outline, edges, what is below it.

cells or points (K, 2)     ->  box_of    ->  Outline, the tightest rectangle
Cloud, HeightMap, Patch    ->  fit_slab  ->  Slab: edges moved to the side faces, top height
slabs, Cloud, table        ->  rest_on   ->  slabs with a bottom: table, another slab, or open on legs
Slab, Cloud                ->  legs_under
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import label
from scipy.spatial import ConvexHull

from iker_envs.perception.cloud import Cloud
from iker_envs.perception.height_map import CELL_M, HeightMap, Patch

_NEAR_TOP_M = 0.008
_OF_TOP_M = 0.003  # of the median: heights further off are a side face's
_TRIM = 0.5  # percent of points beyond each edge of an outline: flying pixels
_ON_A_LINE_M = 1e-4  # points that lie nearer to a line have no outline: they are taken for so large
_DIAGONALS = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
_SIDE_M = 0.015  # a side face is so near to the outline's edge
_SIDE_COSINE = 0.75
_SIDE_FEWEST = 40
_UPRIGHT = 0.4  # of a normal's height, at most: it is a side face's
_AGREED = 0.5  # length of the mean of directions (1: all are one)
_LOST_M = 0.0015  # where no side face is seen: edges lose a pixel, cells are averages
_BELOW_TOP_M = 0.004
_DEEP_M = 0.10  # below the top, what looks like a side may be something else's
_RISE_M = 0.01  # of what stands on something else
_STEP_M = 0.002  # of heights at which a side's cover is looked at
_WINDOW_M = 0.003
_BIN_M = 0.010  # along a side
_SEEN_BELOW_M = 0.02  # so far inside the outline, what is seen is under the board and not beside it
_FEW_BELOW = 40
_THIN_M = 0.010  # of a board, where nothing better is known
_LEG_M = 0.12  # wider things under a board are no legs
_LEG_FEWEST = 12
_LEG_LEAST_M = 0.010


@dataclass(frozen=True, eq=False)
class Outline:
    """An upright rectangle: centre (2,), half sizes (2,) along its own axes, heading within 45 degrees."""

    centre: np.ndarray
    half: np.ndarray
    yaw_rad: float

    @property
    def axes(self) -> np.ndarray:
        """Its axes (2, 2) as columns."""
        return axes_of(self.yaw_rad)

    @property
    def area_m2(self) -> float:
        return float(4 * self.half.prod())

    def corners(self) -> np.ndarray:
        """Its corners (4, 2), in order."""
        return np.asarray(self.centre + _DIAGONALS * self.half @ self.axes.T)

    def local(self, points: np.ndarray) -> np.ndarray:
        """Points (P, >= 2) in its own frame (P, 2)."""
        return np.asarray((points[:, :2] - self.centre) @ self.axes)

    def holds(self, points: np.ndarray, margin_m: float = 0.0) -> np.ndarray:
        """Which points (P, >= 2) lie inside it, made wider by a margin."""
        return np.asarray((np.abs(self.local(points)) < self.half + margin_m).all(axis=1))

    def holds_cells(self, heights: HeightMap) -> np.ndarray:
        """Which cells (X, Y) of a map lie inside it."""
        every = np.ones(heights.height_m.shape, dtype=bool)
        return self.holds(heights.centres(every)).reshape(every.shape)


@dataclass(frozen=True, eq=False)
class Slab(Outline):
    """An outline between two heights; `is_open` when the table is seen under it."""

    top_m: float
    bottom_m: float = 0.0
    is_open: bool = False


def box_of(points: np.ndarray, trim: float = _TRIM, yaw_rad: float | None = None) -> Outline:
    """The tightest rectangle of points (K, 2): one side runs along their hull (Freeman and Shapira 1975).

    Of the points, `trim` percent beyond each edge do not count. `yaw_rad` is its heading where that is known.
    """
    if yaw_rad is not None:
        ends = np.percentile(points @ axes_of(yaw_rad), [trim, 100 - trim], axis=0)
        return Outline(axes_of(yaw_rad) @ ends.mean(axis=0), (ends[1] - ends[0]) / 2, yaw_rad)
    if np.linalg.matrix_rank(points - points[0], tol=_ON_A_LINE_M) < 2:  # such as a single row of cells
        points = np.concatenate([points + way * _ON_A_LINE_M for way in _DIAGONALS])
    hull = ConvexHull(points)
    normals = hull.equations[:, :2]
    yaws = np.unique(np.round(np.mod(np.arctan2(normals[:, 1], normals[:, 0]), np.pi / 2), 4))
    yaws = np.unique(np.concatenate([yaws, np.deg2rad(np.arange(0, 90, 1.0))]))
    outer = points[hull.vertices]
    areas = [float(np.ptp(outer @ axes_of(yaw), axis=0).prod()) for yaw in yaws]
    best = [yaws[i] for i in np.argsort(areas)[:8]]
    low_high = [np.percentile(points @ axes_of(yaw), [trim, 100 - trim], axis=0) for yaw in best]
    sizes = [float((ends[1] - ends[0]).prod()) for ends in low_high]
    k = int(np.argmin(sizes))
    yaw = float(best[k])
    ends = low_high[k]
    if yaw > np.pi / 4:  # the same rectangle, its axes exchanged
        yaw -= np.pi / 2
        ends = np.percentile(points @ axes_of(yaw), [trim, 100 - trim], axis=0)
    return Outline(axes_of(yaw) @ ends.mean(axis=0), (ends[1] - ends[0]) / 2, yaw)


def axes_of(yaw_rad: float) -> np.ndarray:
    """The axes (2, 2), as columns, of a rectangle of this heading."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[c, -s], [s, c]])


def fit_slab(
    cloud: Cloud, heights: HeightMap, patch: Patch, lower: Sequence[Slab] = (), yaw_rad: float | None = None
) -> Slab:
    """The patch as a slab whose bottom is not known yet; of `lower` slabs it may stand on one."""
    on = patch.mask[heights.cells(cloud.points)] & (np.abs(cloud.points[:, 2] - patch.height_m) < _NEAR_TOP_M)
    top = cloud.points[on]
    outline = box_of(top[:, :2] if len(top) else heights.centres(patch.mask), yaw_rad=yaw_rad)
    inner = np.abs(outline.local(top)) < np.maximum(outline.half - 2 * CELL_M, 0.3 * outline.half)
    inside = top[inner.all(axis=1)]
    height = _level_m(inside[:, 2]) if len(inside) else patch.height_m
    floor = max((s.top_m for s in lower if _carries(s, outline, height)), default=0.0)
    for _ in range(2):
        outline = _with_sides(outline, cloud, height, floor)
    return Slab(outline.centre, outline.half, outline.yaw_rad, height)


def side_heading(outline: Outline, cloud: Cloud, floor_m: float, top_m: float) -> float | None:
    """The heading within 45 degrees that the side faces around an outline have, if they agree on one.

    What is seen of a top that lies half under an object has any outline; its side faces stand as they are. Headings
    that are alike after a quarter turn are averaged as angles of four times their size (Mardia 1972).
    """
    z = cloud.points[:, 2]
    near = outline.holds(cloud.points, _SIDE_M) & (z < top_m - _BELOW_TOP_M)
    near &= (z > max(floor_m + _BELOW_TOP_M, top_m - _DEEP_M)) & (np.abs(cloud.normals[:, 2]) < _UPRIGHT)
    if near.sum() < _SIDE_FEWEST:
        return None
    mean = np.exp(4j * np.arctan2(cloud.normals[near, 1], cloud.normals[near, 0])).mean()
    return float(np.angle(mean) / 4) if abs(mean) > _AGREED else None


def _level_m(heights_m: np.ndarray) -> float:
    """Where most heights (K,) lie: of a narrow top some points belong to its side faces."""
    middle = float(np.median(heights_m))
    return float(np.mean(heights_m[np.abs(heights_m - middle) < _OF_TOP_M]))


def _carries(slab: Slab, outline: Outline, top_m: float) -> bool:
    """May what has this outline and height stand on a slab?"""
    return bool(slab.holds(outline.centre[None])[0]) and slab.top_m < top_m - _RISE_M


def _sides(outline: Outline, cloud: Cloud, top_m: float, floor_m: float):
    """(axis, sign, positions across, positions along) of the points that belong to each of the four side faces."""
    local = outline.local(cloud.points)
    normal = cloud.normals[:, :2] @ outline.axes
    below = (cloud.points[:, 2] < top_m - _BELOW_TOP_M) & (
        cloud.points[:, 2] > max(floor_m + _BELOW_TOP_M, top_m - _DEEP_M)
    )
    for axis in (0, 1):
        within = below & (np.abs(local[:, 1 - axis]) < outline.half[1 - axis])
        for sign in (-1, 1):
            near = within & (np.abs(local[:, axis] - sign * outline.half[axis]) < _SIDE_M)
            near &= sign * normal[:, axis] > _SIDE_COSINE
            yield axis, sign, local[near, axis], local[near, 1 - axis]


def _with_sides(outline: Outline, cloud: Cloud, top_m: float, floor_m: float) -> Outline:
    """The outline turned and its edges moved to where its side faces are seen."""
    edge = np.array([-outline.half, outline.half]) + np.array([[-_LOST_M], [_LOST_M]])
    slopes = []
    weights = []
    for axis, sign, across, along in _sides(outline, cloud, top_m, floor_m):
        if len(across) < _SIDE_FEWEST:
            continue
        middle = np.median(across)
        kept = np.abs(across - middle) < _SIDE_M / 2
        across, along = across[kept], along[kept]
        edge[(sign + 1) // 2, axis] = np.median(across)
        spread = float(((along - along.mean()) ** 2).sum())
        if np.ptp(along) > 0.08:
            slope = float(((along - along.mean()) * (across - across.mean())).sum() / spread)
            slopes.append(-slope if axis == 0 else slope)
            weights.append(spread)
    yaw = outline.yaw_rad + (float(np.average(slopes, weights=weights)) if slopes else 0.0)
    half = (edge[1] - edge[0]) / 2
    return Outline(outline.centre + outline.axes @ edge.mean(axis=0), np.maximum(half, CELL_M), yaw)


def rest_on(slabs: Sequence[Slab], cloud: Cloud, table: np.ndarray) -> list[Slab]:
    """The slabs, largest first, each down to what it stands on, or open where the table is seen under it."""
    standing: list[Slab] = []
    for slab in slabs:
        below = [s for s in standing if _carries(s, slab, slab.top_m)]
        if below:
            standing.append(replace(slab, bottom_m=max(s.top_m for s in below)))
            continue
        inner = replace(slab, half=np.maximum(slab.half - _SEEN_BELOW_M, 0.0))
        is_open = int(inner.holds(table).sum()) > _FEW_BELOW
        bottom = _underside_m(slab, cloud) if is_open else 0.0
        standing.append(replace(slab, bottom_m=bottom, is_open=is_open))
    return standing


def _underside_m(slab: Slab, cloud: Cloud) -> float:
    """How far down the side faces of a board reach: to where they cover half of what they cover higher up."""
    covers = []
    levels = np.arange(slab.top_m - _BELOW_TOP_M, 0.008, -_STEP_M)
    local = slab.local(cloud.points)
    for axis in (0, 1):
        length = 2 * slab.half[1 - axis]
        for sign in (-1, 1):
            near = np.abs(local[:, axis] - sign * slab.half[axis]) < _SIDE_M / 2
            near &= np.abs(local[:, 1 - axis]) < slab.half[1 - axis]
            z = cloud.points[near, 2]
            bins = np.floor(local[near, 1 - axis] / _BIN_M)
            cover = [len(np.unique(bins[np.abs(z - level) < _WINDOW_M])) * _BIN_M / length for level in levels]
            if length > 0.1 and cover and max(cover[:4]) > 0.4:
                covers.append(np.array(cover))
    if not covers:
        return max(slab.top_m - _THIN_M, 0.0)
    cover = np.mean(covers, axis=0)
    under = np.flatnonzero(cover < 0.5 * cover[:4].max())
    return float(levels[under[0]]) + _WINDOW_M if len(under) else max(slab.top_m - _THIN_M, 0.0)


def legs_under(slab: Slab, cloud: Cloud) -> list[Slab]:
    """Upright boxes from the table to the underside of an open slab, where something is seen standing there."""
    z = cloud.points[:, 2]
    under = cloud.points[slab.holds(cloud.points, 0.01) & (z < slab.bottom_m - 0.006) & (z > 0.012)]
    if len(under) < _LEG_FEWEST:
        return []
    local = slab.local(under)
    cell = np.floor((local - local.min(axis=0)) / 0.012).astype(int)
    grid = np.zeros(cell.max(axis=0) + 1, dtype=bool)
    grid[tuple(cell.T)] = True
    pieces, count = label(grid, np.ones((3, 3)))
    piece = pieces[tuple(cell.T)]
    legs = []
    for index in range(1, count + 1):
        mine = piece == index
        low, high = np.percentile(local[mine], [3, 97], axis=0)
        tall = np.ptp(under[mine, 2]) > 0.4 * slab.bottom_m
        if mine.sum() >= _LEG_FEWEST and tall and (high - low).max() < _LEG_M:
            half = np.maximum((high - low) / 2, _LEG_LEAST_M / 2)
            centre = slab.centre + slab.axes @ ((low + high) / 2)
            legs.append(Slab(centre, half, slab.yaw_rad, slab.bottom_m))
    return legs
