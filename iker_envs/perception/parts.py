"""An angled level surface as the rectangles that it is made of, such as two bookends that meet in a corner.

Patch, HeightMap        ->  partitions  ->  ways to cut it that the map alone cannot tell apart
Shots, masks, Outline   ->  Rays        ->  measured depths along the rays that pass the surface
[[Slab]], Rays          ->  best_seen   ->  those slabs of all ways that explain the depths best, their ends moved

A corner may be cut along either of its arms, and the two cuts have nearly the same area. They differ in a notch of one
or two square centimetres at the corner: a ray that passes through it and meets something lower says that it is empty.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_envs.perception.box_fit import Outline, Slab, axes_of, box_of
from iker_envs.perception.height_map import CELL_M, HeightMap, Patch
from iker_envs.perception.shots import Shot, box_depth, depth_std_m
from iker_envs.planning.collision import OrientedBox

_LOWER_M = 0.012  # a cell so far below a surface is none of it
_ANGLED_SHARE = 0.2  # of a rectangle that is seen lower: it is no rectangle
_CUT_GAIN = 0.85  # of its area that the outlines of two parts have at most, to be worth a cut
_ALIKE = 1.3  # cuts whose parts cover up to so much more than the tightest are compared in the pictures
_SAME_SHARE = 0.05  # cuts that differ in fewer of the cells are one
_WAYS = 4
_LEAST_CELLS = 8
_BETWEEN_M = 1e-6  # a cut runs between cells
_CORNERS = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
_TURNS_RAD = np.deg2rad(np.arange(-45, 45, 3.0))
_AROUND_M = 0.02  # rays that pass so near to a surface's outline
_MOST_RAYS = 16_000
_CLEAR = 3.0  # deviations beyond which a depth says no more
_MOST_SLABS = 10  # of all ways together
_SAME_SLAB_M = 0.003
_WORTH_M2 = 3e-4  # of surface that a further slab must explain
_TIE_M2 = 2e-5  # what is told apart by less of the surface is not told apart
_STEPS_M = (0.016, 0.008, 0.004, 0.002)


def partitions(patch: Patch, heights: HeightMap) -> list[list[Patch]]:
    """Ways to see a patch as rectangles, the tightest first; one way alone if it is a rectangle."""
    outline = box_of(heights.centres(patch.mask))
    inside = outline.holds_cells(heights)
    lower = inside & ~patch.mask & (heights.height_m < patch.height_m - _LOWER_M)
    if lower.sum() < _ANGLED_SHARE * inside.sum():
        return [[patch]]
    ways = []
    for left in _cuts(heights.centres(patch.mask), outline):
        sides = [_part(patch, side) for side in (left, ~left)]
        ways.append([piece for side in sides for piece in partitions(side, heights)[0]])
    return ways or [[patch]]


def _part(patch: Patch, chosen: np.ndarray) -> Patch:
    """Those of a patch's cells, in the order of its mask, that are chosen (K,)."""
    mask = np.zeros_like(patch.mask)
    mask[patch.mask] = chosen
    return Patch(mask, patch.height_m)


def _cuts(centres: np.ndarray, outline: Outline) -> list[np.ndarray]:
    """Which of the cells (K, 2) lie left of a cut, for the best cuts that differ."""
    found = []
    for yaw in (outline.yaw_rad, *_TURNS_RAD):  # of an angle, two rectangles are the tightest
        local = centres @ axes_of(yaw)
        found += [cut for axis in (0, 1) if (cut := _tightest(local, axis))]
    found = sorted((cut for cut in found if cut[0] < _CUT_GAIN * outline.area_m2), key=lambda cut: cut[0])
    different: list[np.ndarray] = []
    for area, left in found:
        shares = [np.mean(left != other) for other in different]
        is_new = all(_SAME_SHARE < share < 1 - _SAME_SHARE for share in shares)
        if is_new and area < _ALIKE * found[0][0] and len(different) < _WAYS:
            different.append(left)
    return different


def _tightest(local: np.ndarray, axis: int) -> tuple[float, np.ndarray] | None:
    """Area in square metres and left side (K,) of the best cut of cells (K, 2) across an axis, if there is one."""
    order = np.argsort(local[:, axis], kind="stable")
    along = local[order]
    count = len(along)
    firsts = _extent(along)[_LEAST_CELLS - 1 : count - _LEAST_CELLS].prod(axis=1)
    lasts = _extent(along[::-1])[::-1][_LEAST_CELLS : count - _LEAST_CELLS + 1].prod(axis=1)
    places = along[_LEAST_CELLS - 1 : count - _LEAST_CELLS + 1, axis]
    areas = np.where(np.diff(places) > _BETWEEN_M, firsts + lasts, np.inf)
    if not len(areas) or not np.isfinite(areas.min()):
        return None
    best = int(areas.argmin())
    return float(areas[best]), local[:, axis] < places[best] + _BETWEEN_M / 2


def _extent(points: np.ndarray) -> np.ndarray:
    """The size (K, 2) of the rectangle around the first 1, 2, ... K points (K, 2)."""
    return np.maximum.accumulate(points, axis=0) - np.minimum.accumulate(points, axis=0)


@dataclass(frozen=True, eq=False)
class Rays:
    """Measured depths (R,) along rays (R, 3) of depth 1 in the base frame from eyes (R, 3); how many of them pass a
    square metre of the surface."""

    eyes: np.ndarray
    directions: np.ndarray
    depth_m: np.ndarray
    per_m2: float

    @staticmethod
    def across(shots: Sequence[Shot], masks: Sequence[np.ndarray], outline: Outline, height_m: float) -> Rays:
        """Those of the masked pixels (H, W) whose rays pass the level `height_m` inside the outline or just beside."""
        parts = []
        for shot, mask in zip(shots, masks, strict=True):
            rays = shot.rays()[mask] @ shot.T[:3, :3].T
            falls = rays[:, 2] < -1e-3
            reach = np.where(falls, (height_m - shot.eye[2]) / np.where(falls, rays[:, 2], 1.0), 0.0)
            near = (reach > 0) & outline.holds(shot.eye + rays * reach[:, None], _AROUND_M)
            eyes = np.tile(shot.eye, (int(near.sum()), 1))
            parts.append(np.column_stack([eyes, rays[near], shot.depth[mask][near]]))
        every = np.concatenate(parts)
        every = every[:: 1 + len(every) // _MOST_RAYS]
        area_m2 = float(4 * (outline.half + _AROUND_M).prod())
        return Rays(every[:, :3], every[:, 3:6], every[:, 6], len(every) / area_m2)

    def depth_of(self, slab: Slab) -> np.ndarray:
        """Depth (R,) at which rays meet the table or a slab that reaches down to it."""
        axes = np.eye(3)
        axes[:2, :2] = slab.axes
        half = np.array([*slab.half, slab.top_m / 2])
        return box_depth(self.eyes, self.directions, [OrientedBox(np.array([*slab.centre, half[2]]), axes, half)])

    def misfit(self, depths: Sequence[np.ndarray]) -> float:
        """How far measured depths are from the least of some (R,): standard deviations, at most 3 each, summed."""
        expected = np.min(depths, axis=0)
        off = np.abs(expected - self.depth_m) / (2 * depth_std_m(self.depth_m))
        return float(np.minimum(off, _CLEAR).sum())


def best_seen(ways: Sequence[Sequence[Slab]], lower: Sequence[Slab], rays: Rays) -> list[Slab]:
    """Of all slabs of some ways to see a surface, those that explain the rays best, given the `lower` ones around it.

    Where the pictures do not decide, the slabs that are most alike: bookends come in pairs.
    """
    pool = _different([slab for way in ways for slab in way])
    below = [rays.depth_of(slab) for slab in lower] or [np.full(len(rays.depth_m), np.inf)]
    depths = [rays.depth_of(slab) for slab in pool]
    choices = [
        picked
        for count in range(1, 1 + max(len(way) for way in ways))
        for picked in itertools.combinations(range(len(pool)), count)
    ]
    worth = _CLEAR * rays.per_m2
    costs = [rays.misfit([*below, *(depths[k] for k in c)]) + worth * _WORTH_M2 * len(c) for c in choices]
    possible = [c for c, cost in zip(choices, costs, strict=True) if cost < min(costs) + worth * _TIE_M2]
    best = min(possible, key=lambda c: _unlikeness_m([pool[k] for k in c]))
    return _ends_moved([pool[k] for k in best], below, rays)


def _different(slabs: Sequence[Slab]) -> list[Slab]:
    """The slabs, each once, the largest first."""
    kept: list[Slab] = []
    for slab in sorted(slabs, key=lambda slab: -slab.area_m2):
        ends = slab.centre + _CORNERS * slab.half @ slab.axes.T
        if not any(np.abs(ends - o.centre - _CORNERS * o.half @ o.axes.T).max() < _SAME_SLAB_M for o in kept):
            kept.append(slab)
    return kept[:_MOST_SLABS]


def _unlikeness_m(slabs: Sequence[Slab]) -> float:
    lengths = [float(slab.half.max()) for slab in slabs]
    return max(lengths) - min(lengths)


def _ends_moved(slabs: Sequence[Slab], below: Sequence[np.ndarray], rays: Rays) -> list[Slab]:
    """The slabs, the two ends of each moved along its length to where the rays fit best."""
    found = list(slabs)
    depths = [rays.depth_of(slab) for slab in found]
    least = rays.misfit([*below, *depths])
    tie = _CLEAR * rays.per_m2 * _TIE_M2
    for step_m, k, end, way in itertools.product(_STEPS_M, range(len(found)), (-1, 1), (-1, 1)):
        moved = _lengthened(found[k], end, way * step_m)
        others = [depth for j, depth in enumerate(depths) if j != k]
        depth = rays.depth_of(moved)
        cost = rays.misfit([*below, *others, depth])
        if cost < least - tie and moved.half.min() > CELL_M:
            found[k], depths[k], least = moved, depth, cost
    return found


def _lengthened(slab: Slab, end: int, by_m: float) -> Slab:
    """The slab made longer at one end (-1 or 1) of its longer axis."""
    along = np.zeros(2)
    along[int(slab.half.argmax())] = by_m / 2
    return replace(slab, centre=slab.centre + slab.axes @ (end * along), half=slab.half + along)
