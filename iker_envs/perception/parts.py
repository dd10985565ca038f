"""An angled level surface as the rectangles that it is made of, such as two bookends that meet in a corner.

Patch, HeightMap  ->  partitions  ->  ways to cut it that the map alone cannot tell apart

A corner may be cut along either of its arms, and the two cuts have nearly the same area. They differ in a notch of one
or two square centimetres at the corner: a ray that passes through it and meets something lower says that it is empty.
"""

from __future__ import annotations

import numpy as np

from iker_envs.perception.box_fit import Outline, axes_of, box_of
from iker_envs.perception.height_map import HeightMap, Patch

_LOWER_M = 0.012  # a cell so far below a surface is none of it
_ANGLED_SHARE = 0.2  # of a rectangle that is seen lower: it is no rectangle
_CUT_GAIN = 0.85  # of its area that the outlines of two parts have at most, to be worth a cut
_COVERED_ANGLED_SHARE = 0.03
_COVERED_CUT_GAIN = 0.97
_ALIKE = 1.3  # cuts whose parts cover up to so much more than the tightest are compared in the pictures
_SAME_SHARE = 0.05  # cuts that differ in fewer of the cells are one
_WAYS = 4
_LEAST_CELLS = 8
_BETWEEN_M = 1e-6  # a cut runs between cells
_TURNS_RAD = np.deg2rad(np.arange(-45, 45, 3.0))


def partitions(patch: Patch, heights: HeightMap, *, is_covered: bool = False) -> list[list[Patch]]:
    """Ways to see a patch as rectangles, the tightest first; one way alone if it is a rectangle.

    Of a patch that an object covers in part (`is_covered`) little may be seen that says it is none.
    """
    angled_share, gain = (_COVERED_ANGLED_SHARE, _COVERED_CUT_GAIN) if is_covered else (_ANGLED_SHARE, _CUT_GAIN)
    outline = box_of(heights.centres(patch.mask))
    inside = outline.holds_cells(heights)
    lower = inside & ~patch.mask & (heights.height_m < patch.height_m - _LOWER_M)
    if lower.sum() < angled_share * inside.sum():
        return [[patch]]
    ways = []
    for left in _cuts(heights.centres(patch.mask), outline, gain):
        sides = [_part(patch, side) for side in (left, ~left)]
        ways.append([piece for side in sides for piece in partitions(side, heights)[0]])
    return ways or [[patch]]


def _part(patch: Patch, chosen: np.ndarray) -> Patch:
    """Those of a patch's cells, in the order of its mask, that are chosen (K,)."""
    mask = np.zeros_like(patch.mask)
    mask[patch.mask] = chosen
    return Patch(mask, patch.height_m)


def _cuts(centres: np.ndarray, outline: Outline, gain: float) -> list[np.ndarray]:
    """Which of the cells (K, 2) lie left of a cut, for the best cuts that differ."""
    found = []
    for yaw in (outline.yaw_rad, *_TURNS_RAD):  # of an angle, two rectangles are the tightest
        local = centres @ axes_of(yaw)
        found += [cut for axis in (0, 1) if (cut := _tightest(local, axis))]
    found = sorted((cut for cut in found if cut[0] < gain * outline.area_m2), key=lambda cut: cut[0])
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
