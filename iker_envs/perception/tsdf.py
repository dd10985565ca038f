"""Depth pictures from known places become a solid: a truncated signed distance field on a grid.

    bounds  ->  Tsdf;  integrate(depth, rgb, K, T_world_cam) x n  ->  solid()  ->  Solid (distances, colours)

Weighted running means of the distance along the camera's rays (Curless and Levoy 1996). What no picture saw through
counts as inside, so that the solid closes over what no camera saw; below the floor everything is outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, label, maximum_filter

from iker_envs.perception.shots import is_smooth

_NEAR_M = 0.10  # nearer than any depth camera measures
_REFERENCE_M = 0.5  # depths count by their precision, which falls with distance squared
_FEWEST_FREE = 2  # pictures that saw through a cell, before it is called empty
_COLOUR_SHARE = 0.75  # of the truncation, within which a picture's colour is the surface's
_SKIRT_M = 0.005
_FAR_SIDE_M = 0.01
_LEAST_WEIGHT = 0.5
_NOT_ZERO_M = 1e-5  # a distance of 0 is on neither side


@dataclass(frozen=True, eq=False)
class Solid:
    """Distances (X, Y, Z) in metres, below 0 inside, colours (X, Y, Z, 3), the lowest corner (3,) and the cell size."""

    distance_m: np.ndarray
    colours: np.ndarray
    low: np.ndarray
    cell_m: float


class Tsdf:
    """A grid between two corners (3,), filled picture by picture."""

    def __init__(self, low: np.ndarray, high: np.ndarray, cell_m: float = 0.0025, truncation_m: float = 0.006) -> None:
        self.low = np.asarray(low, dtype=np.float32)
        self.cell_m = cell_m
        self._truncation = np.float32(truncation_m)
        self.shape = tuple(int(n) for n in np.ceil((np.asarray(high) - low) / cell_m).astype(int) + 1)
        count = int(np.prod(self.shape))
        self._distance = np.zeros(count, np.float32)
        self._weight = np.zeros(count, np.float32)
        self._colour = np.zeros((count, 3), np.float32)
        self._colour_weight = np.zeros(count, np.float32)
        self._free = np.zeros(count, np.uint16)
        axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in self.shape), indexing="ij")
        self._places = np.stack([a.ravel() for a in axes], axis=1) * np.float32(cell_m) + self.low

    def integrate(self, depth_m: np.ndarray, rgb: np.ndarray, K: np.ndarray, T: np.ndarray) -> None:
        """One picture: depth (H, W) in metres (0: none), rgb (H, W, 3), K (3, 3), camera to world T (4, 4).

        At an edge in the picture a depth says nothing of a surface, but the farther one says what is empty before it.
        """
        depth_m = np.asarray(depth_m, dtype=np.float32)
        surface_m = np.where(is_smooth(depth_m), depth_m, np.float32(0))
        farthest = np.where(depth_m >= maximum_filter(depth_m, 3) - _FAR_SIDE_M, depth_m, np.float32(0))
        rotation = T[:3, :3].astype(np.float32)
        in_camera = (self._places - T[:3, 3].astype(np.float32)) @ rotation
        z = np.maximum(in_camera[:, 2], 1e-3)
        column = np.floor(in_camera[:, 0] / z * K[0, 0] + K[0, 2]).astype(int)
        row = np.floor(in_camera[:, 1] / z * K[1, 1] + K[1, 2]).astype(int)
        height, width = depth_m.shape
        seen = (in_camera[:, 2] > _NEAR_M) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        index = np.flatnonzero(seen)
        self._free[index[farthest[row[index], column[index]] - z[index] > self._truncation]] += 1
        depth = surface_m[row[index], column[index]]
        index = index[depth > 0]
        depth = depth[depth > 0]
        distance = depth - z[index]
        near = distance > -self._truncation
        self._average(index[near], np.minimum(distance[near], self._truncation), depth[near], rgb, row, column)

    def _average(self, index, distance, depth, rgb, row, column) -> None:
        weight = (_REFERENCE_M / depth) ** 2
        total = self._weight[index] + weight
        self._distance[index] = (self._distance[index] * self._weight[index] + distance * weight) / total
        on = np.abs(distance) < _COLOUR_SHARE * self._truncation
        at = index[on]
        self._colour_weight[at] += weight[on]
        share = (weight[on] / self._colour_weight[at])[:, None]
        self._colour[at] += (rgb[row[at], column[at]] - self._colour[at]) * share
        self._weight[index] = total

    def solid(self, floor_m: float = 0.0) -> Solid:
        """The largest connected body above the floor, without bubbles in it; ValueError if there is none.

        Close to the floor the noise of the floor would be a skirt around the body; there the body goes straight down.
        """
        empty = self._free >= _FEWEST_FREE
        outside = np.float32(self._truncation)
        field = np.where(self._weight >= _LEAST_WEIGHT, self._distance, np.where(empty, outside, -outside))
        field = field.reshape(self.shape)
        z = self.low[2] + np.arange(self.shape[2], dtype=np.float32) * np.float32(self.cell_m)
        first = int(np.searchsorted(z, floor_m + _SKIRT_M))
        rim = field[:, :, first] < 0
        inside_rim = binary_fill_holes(rim) & ~rim  # as a cup's floor is: there what was seen counts
        field[:, :, :first] = np.where(inside_rim[..., None], field[:, :, :first], field[:, :, first : first + 1])
        field = np.maximum(field, (floor_m - z)[None, None])
        for axis in range(3):
            edge = np.swapaxes(field, 0, axis)
            edge[0] = outside
            edge[-1] = outside
        pieces, count = label(field < 0)
        if count == 0:
            raise ValueError("the pictures show nothing on the board")
        largest = int(np.argmax(np.bincount(pieces.ravel())[1:])) + 1
        field = np.where((field < 0) & (pieces != largest), outside, field)
        around, _ = label(field >= 0)
        field = np.where((field >= 0) & (around != around[0, 0, 0]), -outside / 2, field)
        field = np.where(np.abs(field) < _NOT_ZERO_M, np.float32(_NOT_ZERO_M), field)
        return Solid(field, self._colour.reshape(*self.shape, 3), np.array(self.low, dtype=float), self.cell_m)
