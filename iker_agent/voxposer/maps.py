"""Voxels over the workspace: regions become maps, what stands around becomes an obstacle.

Scene  ->  VoxelGrid          regions  ->  grid.map_of  ->  (100, 100, 100)
grid.obstacles(scene, without=...)  ->  (100, 100, 100) bool          value_at(regions, point)  ->  numbers

100 voxels an axis, as in VoxPoser (Huang et al. 2023, Sec. 4); indices are (x, y, z), points metres in the base frame.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from iker_agent.voxposer.movements import Region, Regions
from iker_envs.planning.collision import OrientedBox, object_boxes
from iker_envs.scene import Scene

NUM_VOXELS = 100
_MARGIN_M = 0.05  # of the grid around the workspace
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """A box of voxels: its lowest corner (3,) and the size of a voxel (3,), metres."""

    lower_m: np.ndarray
    voxel_m: np.ndarray

    @classmethod
    def over(cls, scene: Scene) -> VoxelGrid:
        """The grid over a scene's workspace, down to the table."""
        low, high = np.array(scene.workspace_m, dtype=float)
        low = np.array([*(low[:2] - _MARGIN_M), 0.0])
        return cls(low, (high + _MARGIN_M - low) / NUM_VOXELS)

    @property
    def upper_m(self) -> np.ndarray:
        """The highest corner (3,)."""
        return np.asarray(self.lower_m + NUM_VOXELS * self.voxel_m)

    def index(self, points: np.ndarray) -> np.ndarray:
        """Indices (..., 3) of the voxels of points (..., 3); points outside belong to the nearest voxel."""
        return np.clip(((points - self.lower_m) / self.voxel_m).astype(int), 0, NUM_VOXELS - 1)

    def centre(self, index: np.ndarray) -> np.ndarray:
        """Centres (..., 3) of voxels."""
        return np.asarray(self.lower_m + (np.asarray(index) + 0.5) * self.voxel_m)

    def holds(self, point: np.ndarray) -> bool:
        """Is a point inside the grid?"""
        return bool(np.all((point >= self.lower_m) & (point <= self.upper_m)))

    def map_of(self, regions: Regions, background: float = 0.0) -> np.ndarray:
        """The map of regions whose values are one number each."""
        values = np.full((NUM_VOXELS,) * 3, background)
        for region in regions:
            block, inside = self._voxels(region)
            values[block] = np.where(inside, region.value[0], values[block])
        return values

    def obstacles(self, scene: Scene, without: Collection[str] = ()) -> np.ndarray:
        """Which voxels hold a part of an object, those of some objects left out."""
        full = np.zeros((NUM_VOXELS,) * 3, dtype=bool)
        for obj in scene.objects:
            for box in object_boxes(obj.model, obj.pose) if obj.name not in without else ():
                corners = box.corners()
                block = self._block(corners.min(axis=0), corners.max(axis=0))
                full[block] |= _inside(box, self._centres(block), self.voxel_m)
        return full

    def _voxels(self, region: Region) -> tuple[tuple[slice, ...], np.ndarray]:
        """A block of voxels, and which of them are in a region: the voxel of a point or of a centre always is."""
        lower, upper = region.corners
        block = self._block(lower, upper)
        inside = region.holds(self._centres(block).reshape(-1, 3)).reshape([s.stop - s.start for s in block])
        if region.shape in ("point", "sphere"):
            middle = self.index(np.array(region.numbers[:3])) - [s.start for s in block]
            inside[tuple(middle)] = True
        return block, inside

    def _block(self, lower: np.ndarray, upper: np.ndarray) -> tuple[slice, ...]:
        """The block of voxels between two corners, at least one voxel."""
        bounds = np.clip([lower, upper], self.lower_m, self.upper_m)
        first, last = self.index(bounds)
        return tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))

    def _centres(self, block: tuple[slice, ...]) -> np.ndarray:
        axes = np.meshgrid(*[np.arange(s.start, s.stop) for s in block], indexing="ij")
        return self.centre(np.stack(axes, axis=-1))


def _inside(box: OrientedBox, points: np.ndarray, voxel_m: np.ndarray) -> np.ndarray:
    """Which points (..., 3) are in a box, half a voxel around it included."""
    return np.asarray(np.all(np.abs((points - box.centre) @ box.axes) <= box.half + voxel_m / 2, axis=-1))


def value_at(regions: Regions, point: np.ndarray, reach_m: float = 0.0) -> tuple[float, ...] | None:
    """The value of the last region that holds a point (3,), or lies within `reach_m` of it; None if none does."""
    for region in reversed(regions):
        lower, upper = region.corners
        if region.shape == "sphere":
            away_m = np.linalg.norm(point - np.array(region.numbers[:3])) - region.numbers[3]
        else:
            away_m = np.linalg.norm(np.maximum(np.maximum(lower - point, point - upper), 0.0))
        if away_m <= reach_m + _TINY:
            return region.value
    return None
