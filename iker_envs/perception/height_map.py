"""Level surfaces in what several cameras see of a table: cameras put level, heights on a grid, patches of one height.

    [Shot]                  ->  levelled   ->  [Shot], each camera's error at the table
    points, table points    ->  height_map ->  HeightMap  ->  level_patches  ->  [Patch]

The table is z = 0 in the base frame and flat, so that every camera's picture says how far its calibration is off in
height and tilt; that much is mended before anything is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_dilation, label, maximum_filter, minimum_filter
from scipy.spatial.transform import Rotation

from iker_envs.perception.rigid import motion
from iker_envs.perception.shots import Region, Shot, is_smooth

CELL_M = 0.004
_TABLE_M = 0.025  # what is nearer to z = 0 may be the table
_MAX_OFF_M = 0.012  # a camera whose table is further off stands elsewhere than it is thought to
_FEWEST = 500  # pixels of table from which a camera is put level
_STEP_M = 0.006  # neighbouring cells of one surface differ by less
_LEAST_CELLS = 16
_LAYER_M = 0.008  # points of a cell so far below its highest ones belong to its top


@dataclass(frozen=True, eq=False)
class HeightMap:
    """Heights (X, Y) in metres of the highest thing in every cell, NaN where nothing was seen; `low` (2,) its corner.

    `hidden` (X, Y) are cells of which nothing is known because an object stood there.
    """

    low: np.ndarray
    height_m: np.ndarray
    hidden: np.ndarray

    def cells(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices (P,), (P,) of the cells under points (P, >= 2), clipped to the map."""
        index = np.floor((points[:, :2] - self.low) / CELL_M).astype(int)
        index = np.clip(index, 0, np.array(self.height_m.shape) - 1)
        return index[:, 0], index[:, 1]

    def centres(self, mask: np.ndarray) -> np.ndarray:
        """Centres (K, 2) of the cells of a mask (X, Y)."""
        return self.low + (np.argwhere(mask) + 0.5) * CELL_M


@dataclass(frozen=True, eq=False)
class Patch:
    """A level surface: mask (X, Y) of its cells and its height in metres."""

    mask: np.ndarray
    height_m: float


def levelled(shots: Sequence[Shot], region: Region) -> list[Shot]:
    """The shots with height and tilt of their cameras corrected so that the table is z = 0.

    ValueError names a camera that sees the table more than 12 mm off, or sees too little of it.
    """
    return [_levelled(shot, region) for shot in shots]


def _levelled(shot: Shot, region: Region) -> Shot:
    points = shot.points(is_smooth(shot.depth))
    inside = (points[:, :2] > region.low[:2]).all(axis=1) & (points[:, :2] < region.high[:2]).all(axis=1)
    points = points[inside]
    table = points[np.abs(points[:, 2]) < _TABLE_M]
    if len(table) < _FEWEST:
        raise ValueError(
            f"camera {shot.name} sees the table in {len(table)} of its pixels, {_FEWEST} are needed; turn it to the "
            "table, or calibrate it again"
        )
    centre = np.median(table, axis=0)
    plane = np.zeros(3)
    for within_m in (_TABLE_M, 0.010, 0.006):
        error = table[:, 2] - _plane(table, centre) @ plane
        near = table[np.abs(error - np.median(error)) < within_m]
        plane = np.linalg.lstsq(_plane(near, centre), near[:, 2], rcond=None)[0]
    if abs(plane[0]) > _MAX_OFF_M:
        raise ValueError(
            f"camera {shot.name} sees the table {1000 * plane[0]:+.0f} mm from where it is, of at most "
            f"{1000 * _MAX_OFF_M:.0f}; calibrate it again"
        )
    middle = np.array([*centre[:2], plane[0]])
    turn = Rotation.align_vectors([[0.0, 0.0, 1.0]], [[-plane[1], -plane[2], 1.0]])[0].as_matrix()
    correction = motion(turn, np.array([*centre[:2], 0.0]) - turn @ middle)
    return replace(shot, T=correction @ shot.T)


def _plane(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(points)), points[:, :2] - centre[:2]])


def height_map(points: np.ndarray, table: np.ndarray, region: Region) -> HeightMap:
    """Heights over a region from points (P, 3) of what stands there and points (T, 3) of the bare table."""
    shape = np.ceil((region.high[:2] - region.low[:2]) / CELL_M).astype(int)
    empty = HeightMap(np.array(region.low[:2]), np.full(shape, np.nan), np.zeros(shape, dtype=bool))
    height = np.full(shape, -np.inf)
    here = empty.cells(points)
    np.maximum.at(height, here, points[:, 2])
    top = points[:, 2] > height[here] - _LAYER_M
    total = np.zeros(shape)
    count = np.zeros(shape)
    np.add.at(total, tuple(axis[top] for axis in here), points[top, 2])
    np.add.at(count, tuple(axis[top] for axis in here), 1)
    mean = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    bare = np.zeros(shape, dtype=bool)
    bare[empty.cells(table)] = True
    return replace(empty, height_m=np.where(np.isnan(mean) & bare, 0.0, mean))


def level_patches(heights: HeightMap, lowest_m: float) -> list[Patch]:
    """Connected level surfaces higher than `lowest_m`, the largest first."""
    smooth = _median_of_nine(heights.height_m)
    known = np.isfinite(smooth)
    high = maximum_filter(np.where(known, smooth, -np.inf), 3)
    low = minimum_filter(np.where(known, smooth, np.inf), 3)
    flat = known & (high - low < _STEP_M) & (smooth > lowest_m)
    pieces, count = label(flat, np.ones((3, 3)))
    patches = []
    for index in range(1, count + 1):
        piece = pieces == index
        if piece.sum() >= _LEAST_CELLS:
            level = float(np.median(smooth[piece]))
            grown = binary_dilation(piece, iterations=3) & (np.abs(heights.height_m - level) < _STEP_M)
            patches.append(Patch(piece | grown, level))
    return sorted(patches, key=lambda patch: -int(patch.mask.sum()))


def _median_of_nine(height_m: np.ndarray) -> np.ndarray:
    """The median (X, Y) of each cell and its neighbours; NaN where fewer than 3 of them are known."""
    around = np.pad(height_m, 1, constant_values=np.nan)
    rows, columns = height_m.shape
    nine = np.stack([around[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], axis=-1)
    known = np.isfinite(nine).sum(axis=-1) >= 3
    median = np.full(height_m.shape, np.nan)
    median[known] = np.nanmedian(nine[known], axis=-1)
    return median


def points_of(shot: Shot, region: Region) -> np.ndarray:
    """Which pixels (H, W) of a shot lie in a region and not on an edge."""
    mask = is_smooth(shot.depth)
    mask[mask] = region.holds(shot.points(mask))
    return mask
