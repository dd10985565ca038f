"""Measured depths as rays, and which slabs explain them: what is hidden from above is told from beside and below.

Shots, masks, volume  ->  Rays.through  ->  Rays
[Slab], Rays          ->  best_seen     ->  those slabs that explain the depths best
[Slab], Rays          ->  ends_moved    ->  each slab's ends moved along its length to where depths fit
Slab, unknown cells   ->  completed     ->  edges that run into what an object hides moved to where depths leave them
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_envs.perception.box_fit import Outline, Slab, box_of
from iker_envs.perception.height_map import CELL_M, HeightMap
from iker_envs.perception.shots import Shot, box_depth, depth_std_m
from iker_envs.planning.collision import OrientedBox

_CORNERS = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
_AROUND_M = 0.02  # rays that pass so near to a surface's outline
_MOST_RAYS = 16_000
_CLEAR = 3.0  # deviations beyond which a depth says no more
_MOST_SLABS = 12  # of which some are chosen
_MOST_MOVED = 6  # choices whose ends are moved before they are compared
_COVERED_SHARE = 0.5  # of a slab that lies in another one of its height: they are one
_SAME_SLAB_M = 0.003
_WORTH_M2 = 3e-4  # of surface that a further slab must explain
_TIE_M2 = 2e-5  # what is told apart by less of the surface is not told apart
_STEPS_M = (0.016, 0.008, 0.004, 0.002)
_TOUCHES_M = 0.008  # of heights: what overlaps by less stands on the other
_POSE_M = 0.004  # an object's pose may be wrong by
_SPOTS = np.stack(np.meshgrid(*2 * [np.linspace(-0.97, 0.97, 32)]), axis=-1).reshape(-1, 2)
_COARSE_M = 0.008
_FINE_M = 0.002
_FURTHEST_M = 0.32  # that an edge may lie under an object
_INWARD_M = 0.03
_ALONG = np.linspace(-0.9, 0.9, 15)
_BESIDE_M = 0.010  # outside an edge it is looked whether an object hides what is there
_HIDDEN_SHARE = 0.2  # of an edge
_PLATEAU_M2 = 6e-5  # of surface: places of an edge that differ by less fit as well
_UNDER_M = 0.004  # a board is what is seen so far below it
_BOARD_M = 0.02  # thickness of a board under which rays pass


@dataclass(frozen=True, eq=False)
class Rays:
    """Measured depths (R,) along rays (R, 3) of depth 1 in the base frame from eyes (R, 3); how many of them pass a
    square metre of the surface; outlines of objects that stand beside it, where it is not."""

    eyes: np.ndarray
    directions: np.ndarray
    depth_m: np.ndarray
    per_m2: float
    taken: tuple[Outline, ...] = ()

    @staticmethod
    def through(
        shots: Sequence[Shot],
        masks: Sequence[np.ndarray],
        outline: Outline,
        low_m: float,
        high_m: float,
        objects: Sequence[OrientedBox] = (),
    ) -> Rays:
        """Those of the masked pixels (H, W) whose rays pass what stands on the outline between two heights.

        `objects` are the boxes of what stands about.
        """
        axes = np.eye(3)
        axes[:2, :2] = outline.axes
        half = np.array([*(outline.half + _AROUND_M), (high_m - low_m) / 2])
        volume = OrientedBox(np.array([*outline.centre, (low_m + high_m) / 2]), axes, half)
        parts = []
        for shot, mask in zip(shots, masks, strict=True):
            rays = shot.rays()[mask] @ shot.T[:3, :3].T
            passes = box_depth(shot.eye, rays, [volume]) < box_depth(shot.eye, rays, [])
            eyes = np.tile(shot.eye, (int(passes.sum()), 1))
            parts.append(np.column_stack([eyes, rays[passes], shot.depth[mask][passes]]))
        every = np.concatenate(parts)
        every = every[:: 1 + len(every) // _MOST_RAYS]
        reach = (high_m - every[:, 2]) / np.minimum(every[:, 5], -1e-6)
        level = outline.holds(every[:, :2] + every[:, 3:5] * reach[:, None], _AROUND_M)
        area_m2 = float(4 * (outline.half + _AROUND_M).prod())
        return Rays(
            every[:, :3], every[:, 3:6], every[:, 6], max(int(level.sum()), 1) / area_m2, beside(objects, low_m, high_m)
        )

    def depth_of(self, slab: Slab) -> np.ndarray:
        """Depth (R,) at which rays meet the table or a slab."""
        axes = np.eye(3)
        axes[:2, :2] = slab.axes
        half = np.array([*slab.half, (slab.top_m - slab.bottom_m) / 2])
        centre = np.array([*slab.centre, (slab.top_m + slab.bottom_m) / 2])
        return box_depth(self.eyes, self.directions, [OrientedBox(centre, axes, half)])

    def below(self, lower: Sequence[Slab]) -> np.ndarray:
        """Depth (R,) at which rays meet the table or what is there already."""
        depths = [self.depth_of(self.thickened(slab)) for slab in lower]
        return np.min(depths, axis=0) if depths else np.full(len(self.depth_m), np.inf)

    def thickened(self, slab: Slab) -> Slab:
        """The slab down to the table, or as a board if rays pass under it."""
        board = replace(slab, bottom_m=max(slab.top_m - _BOARD_M, 0.0))
        solid = replace(slab, bottom_m=0.0)
        return min((solid, board), key=lambda s: self.misfit([self.depth_of(s)]))

    def depth_with_legs(self, slab: Slab) -> np.ndarray:
        """Depth (R,) at which rays meet the thickened slab, or as measured where that is under a board: what stands
        there are its legs or something else, and says nothing of the board."""
        slab = self.thickened(slab)
        points = self.eyes + self.directions * self.depth_m[:, None]
        is_under = slab.holds(points) & (points[:, 2] < slab.bottom_m - _UNDER_M)
        return np.where(is_under, np.minimum(self.depth_of(slab), self.depth_m), self.depth_of(slab))

    def misfit(self, depths: Sequence[np.ndarray]) -> float:
        """How far measured depths are from the least of some (R,): standard deviations, at most 3 each, summed."""
        expected = np.min(depths, axis=0)
        off = np.abs(expected - self.depth_m) / (2 * depth_std_m(self.depth_m))
        return float(np.minimum(off, _CLEAR).sum())

    def overlap(self, slab: Slab, others: Sequence[Slab]) -> float:
        """The misfit of the area that a slab shares with others of its height or with objects beside it."""
        return self.worth(sum(shared_m2(slab, other) for other in (*others, *self.taken)))

    def worth(self, area_m2: float) -> float:
        """The misfit of so much of the surface that is not where it is thought to be."""
        return _CLEAR * self.per_m2 * area_m2


def beside(objects: Sequence[OrientedBox], low_m: float, high_m: float) -> tuple[Outline, ...]:
    """Outlines of the boxes that reach between two heights, a little smaller: poses are wrong by so much."""
    found = []
    for box in objects:
        corners = box.corners()
        if corners[:, 2].min() < high_m - _TOUCHES_M and corners[:, 2].max() > low_m + _TOUCHES_M:
            outline = box_of(corners[:, :2], trim=0.0)
            found.append(replace(outline, half=np.maximum(outline.half - _POSE_M, CELL_M / 2)))
    return tuple(found)


def best_seen(
    candidates: Sequence[Slab], most: int, lower: Sequence[Slab], rays: Rays, *, move_ends: bool = False
) -> list[Slab]:
    """Of some slabs, at most `most` that explain the rays best, given the `lower` ones around them.

    None lies for the most part in another: what is seen under a board on legs would make its leg a slab of its own.
    With `move_ends` the best choices are compared once their ends are where the rays put them: a cut through cells
    leaves an end a centimetre short, which is more than the notch by which two cuts of a corner differ.
    Where the pictures do not decide, the slabs that are most alike: bookends come in pairs.
    """
    pool = _different(candidates)
    below = rays.below(lower)
    depths = [rays.depth_with_legs(slab) for slab in pool]
    choices = [picked for count in range(1, 1 + most) for picked in itertools.combinations(range(len(pool)), count)]
    shared = np.array([[0.0 if slab is o else _shared_cost(slab, o, rays) for o in pool] for slab in pool])
    own = [rays.worth(_WORTH_M2) + rays.overlap(slab, []) for slab in pool]
    costs = [
        rays.misfit([below, *(depths[k] for k in c)])
        + sum(own[k] for k in c)
        + sum(shared[j, k] for j, k in itertools.combinations(c, 2))
        for c in choices
    ]
    found = [[pool[k] for k in choices[i]] for i in np.argsort(costs, kind="stable")]
    costs.sort()
    if move_ends:
        found = [ends_moved(slabs, lower, rays) for slabs in found[:_MOST_MOVED]]
        costs = [_cost(slabs, below, rays) for slabs in found]
    most_cost = min(costs) + rays.worth(_PLATEAU_M2 if move_ends else _TIE_M2)
    possible = [slabs for slabs, cost in zip(found, costs, strict=True) if cost <= most_cost]
    return min(possible, key=_unlikeness_m)


def _cost(slabs: Sequence[Slab], below: np.ndarray, rays: Rays) -> float:
    """The misfit of some slabs and of what they share, and a price for each."""
    misfit = rays.misfit([below, *(rays.depth_with_legs(slab) for slab in slabs)])
    shared = sum(_shared_cost(slab, other, rays) for slab, other in itertools.combinations(slabs, 2))
    return misfit + shared + sum(rays.worth(_WORTH_M2) + rays.overlap(slab, []) for slab in slabs)


def _shared_cost(slab: Slab, other: Slab, rays: Rays) -> float:
    """The misfit of what two slabs share; without end if one lies for the most part in the other."""
    area_m2 = shared_m2(slab, other)
    return rays.worth(area_m2) if area_m2 < _COVERED_SHARE * min(slab.area_m2, other.area_m2) else np.inf


def shared_m2(slab: Outline, other: Outline) -> float:
    """The area in which two slabs overlap, which things of one height do not."""
    small, large = sorted((slab, other), key=lambda s: s.area_m2)
    spots = small.centre + (_SPOTS * small.half) @ small.axes.T
    return float(large.holds(spots).mean()) * small.area_m2


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


def merged(slabs: Sequence[Slab], lower: Sequence[Slab], rays: Rays) -> list[Slab]:
    """The slabs, two of them as one wherever one rectangle around both explains the rays as well."""
    found = list(slabs)
    below = rays.below(lower)
    while len(found) > 1:
        least = rays.misfit([below, *(rays.depth_with_legs(s) for s in found)]) + rays.worth(_WORTH_M2)
        tried = []
        for j, k in itertools.permutations(range(len(found)), 2):
            others = [slab for i, slab in enumerate(found) if i not in (j, k)]
            both = [*others, around(found[j], found[k])]
            cost = rays.misfit([below, *(rays.depth_with_legs(s) for s in both)])
            tried.append((cost + rays.overlap(both[-1], others), both))
        cost, both = min(tried, key=lambda pair: pair[0])
        if cost > least:
            break
        found = both
    return found


def around(slab: Slab, other: Slab) -> Slab:
    """The slab made so large that it holds another one."""
    ends = slab.local(np.concatenate([slab.corners(), other.corners()]))
    low, high = ends.min(axis=0), ends.max(axis=0)
    return replace(slab, centre=slab.centre + slab.axes @ ((low + high) / 2), half=(high - low) / 2)


def ends_moved(slabs: Sequence[Slab], lower: Sequence[Slab], rays: Rays) -> list[Slab]:
    """The slabs, the two ends of each moved along its length to where the rays fit best."""
    found = list(slabs)
    below = rays.below(lower)
    depths = [rays.depth_of(slab) for slab in found]
    least = rays.misfit([below, *depths])
    for step_m, k, end, way in itertools.product(_STEPS_M, range(len(found)), (-1, 1), (-1, 1)):
        moved = moved_edge(found[k], int(found[k].half.argmax()), end, way * step_m)
        others = [depth for j, depth in enumerate(depths) if j != k]
        depth = rays.depth_of(moved)
        rest = [slab for j, slab in enumerate(found) if j != k]
        overlap = rays.overlap(moved, rest) - rays.overlap(found[k], rest)
        cost = rays.misfit([below, *others, depth]) + max(overlap, 0.0)
        if cost < least - rays.worth(_TIE_M2) and moved.half.min() > CELL_M:
            found[k], depths[k], least = moved, depth, cost
    return found


def moved_edge(slab: Slab, axis: int, sign: int, by_m: float) -> Slab:
    """The slab made larger at the edge at one end (-1 or 1) of an axis."""
    along = np.zeros(2)
    along[axis] = by_m / 2
    return replace(slab, centre=slab.centre + slab.axes @ (sign * along), half=slab.half + along)


def hidden_edges(slab: Slab, hidden: np.ndarray, heights: HeightMap) -> list[tuple[int, int]]:
    """Those edges (axis, sign) of a slab beside which cells (X, Y) are hidden."""
    edges = itertools.product((0, 1), (-1, 1))
    return [(a, s) for a, s in edges if _hidden_share(slab, a, s, _BESIDE_M, hidden, heights) >= _HIDDEN_SHARE]


def _hidden_share(slab: Slab, axis: int, sign: int, beyond_m: float, hidden: np.ndarray, heights: HeightMap) -> float:
    """Of a line along an edge, so far beyond it, how much is hidden."""
    spots = np.empty((len(_ALONG), 2))
    spots[:, axis] = sign * (slab.half[axis] + beyond_m)
    spots[:, 1 - axis] = _ALONG * slab.half[1 - axis]
    return float(hidden[heights.cells(slab.centre + spots @ slab.axes.T)].mean())


def completed(
    slabs: Sequence[Slab], lower: Sequence[Slab], rays: Rays, hidden: np.ndarray, heights: HeightMap
) -> list[Slab]:
    """The slabs, edges that run into hidden cells (X, Y) moved to where the depths around the object leave them.

    Of places that fit alike the middle one: an edge of which nothing is seen is then as little wrong as it can be.
    """
    found = [rays.thickened(slab) for slab in slabs]
    below = rays.below(lower)
    unknown = hidden | np.isnan(heights.height_m)
    for _ in range(2):
        for k in range(len(found)):
            others = [slab for j, slab in enumerate(found) if j != k]
            nearest = np.min([below, *(rays.depth_of(slab) for slab in others)], axis=0)
            for axis, sign in hidden_edges(slabs[k], hidden, heights):
                furthest = _furthest_m(slabs[k], axis, sign, unknown, heights)
                start = slabs[k].half[axis] + sign * (slabs[k].centre - found[k].centre) @ found[k].axes[:, axis]
                base = moved_edge(found[k], axis, sign, float(start - found[k].half[axis]))
                found[k] = _best_edge(base, axis, sign, furthest, others, nearest, rays)
    return [replace(slab, bottom_m=0.0) for slab in found]


def _furthest_m(slab: Slab, axis: int, sign: int, unknown: np.ndarray, heights: HeightMap) -> float:
    for beyond_m in np.arange(_BESIDE_M, _FURTHEST_M, _COARSE_M):
        if _hidden_share(slab, axis, sign, beyond_m, unknown, heights) < _HIDDEN_SHARE:
            return float(beyond_m)
    return _FURTHEST_M


def _best_edge(
    slab: Slab, axis: int, sign: int, furthest_m: float, others: Sequence[Slab], around: np.ndarray, rays: Rays
) -> Slab:
    """The slab with one edge where the rays fit best, at most `furthest_m` further out."""

    def cost(by_m: float) -> float:
        moved = moved_edge(slab, axis, sign, by_m)
        return rays.misfit([around, rays.depth_of(moved)]) + rays.overlap(moved, others)

    inward = min(_INWARD_M, 2 * float(slab.half[axis]) - 2 * CELL_M)
    coarse = np.arange(-inward, furthest_m + _COARSE_M, _COARSE_M)
    costs = np.array([cost(by) for by in coarse])
    good = np.flatnonzero(costs < costs.min() + rays.worth(_PLATEAU_M2))
    best = int(costs.argmin())
    low, high = (_run_end(good, best, way) for way in (-1, 1))
    fine = np.arange(coarse[max(low - 1, 0)], coarse[min(high + 1, len(coarse) - 1)] + _FINE_M / 2, _FINE_M)
    costs = np.array([cost(by) for by in fine])
    good = np.flatnonzero(costs < costs.min() + rays.worth(_PLATEAU_M2))
    low, high = (_run_end(good, int(costs.argmin()), way) for way in (-1, 1))
    return moved_edge(slab, axis, sign, float(fine[low] + fine[high]) / 2)


def _run_end(good: np.ndarray, start: int, way: int) -> int:
    """The last of the indices in a row from one of them on."""
    known = set(good.tolist())
    while start + way in known:
        start += way
    return start
