"""Conditions about more than two things: what lies between, what keeps apart from all others, how much room is left,
and whether everything stands as things can stand.

Moment, object names, numbers  ->  condition  ->  Finding;  CONDITIONS: these and those of conditions.py, by name
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iker_envs.judging.bodies import Body, distance, held_up, level_gap, outline_contains
from iker_envs.judging.conditions import CONDITIONS as _OF_TWO
from iker_envs.judging.conditions import CONTACT_M, INSIDE_M, TOUCH_M, Condition, Finding, Moment, inside, on
from iker_envs.judging.directions import centimetres as cm
from iker_envs.planning.collision import deepest_overlap

_CELL_M = 0.0025  # room is looked for on a grid so fine
_CUT_CELLS = 2  # of a free rectangle the grid may cut so many off, at its two edges


def between(moment: Moment, a: str, b: str, c: str, *, aside_m: float = 0.06) -> Finding:
    """The centre of `a` lies between those of `b` and `c` seen from above, at most `aside_m` beside their line."""
    place, one, other = (moment.body(name).pose[:2] for name in (a, b, c))
    line = other - one
    length = float(np.linalg.norm(line))
    along = float((place - one) @ line) / max(length, 1e-9)
    off = abs(float(line[0] * (place - one)[1] - line[1] * (place - one)[0])) / max(length, 1e-9)
    if not 0.0 < along < length:
        beyond, far = (b, -along) if along <= 0 else (c, along - length)
        return Finding(False, f"{a} is not between {b} and {c} (it is {cm(far)} beyond {beyond})")
    return Finding(off <= aside_m, f"{a} is {cm(off)} beside the line from {b} to {c}, wanted at most {cm(aside_m)}")


def apart(moment: Moment, a: str, *, gap_m: float = 0.0) -> Finding:
    """`a` touches no other movable object, or is at least `gap_m` away from each of them."""
    body = moment.body(a)
    others = [name for name in moment.now.movable if name != a]
    gaps = {name: distance(body, moment.body(name)) for name in others}
    if not gaps:
        return Finding(True, f"{a} is the only thing that can be moved")
    nearest = min(gaps, key=lambda name: gaps[name])
    gap = gaps[nearest]
    if gap_m > 0:
        return Finding(gap >= gap_m, f"{a} is {cm(max(gap, 0.0))} away from {nearest}, wanted at least {cm(gap_m)}")
    return Finding(gap >= TOUCH_M, f"{a} touches nothing" if gap >= TOUCH_M else f"{a} and {nearest} touch")


def room(moment: Moment, a: str, *, deep_m: float, wide_m: float) -> Finding:
    """On `a` a level rectangle is free, `deep_m` forward, `wide_m` to the left: nothing movable is in or above it."""
    base = moment.body(a)
    (x0, x1), (y0, y1) = base.extent(0), base.extent(1)
    grid = np.stack(np.meshgrid(np.arange(x0, x1, _CELL_M), np.arange(y0, y1, _CELL_M), indexing="ij"), axis=-1)
    grid = grid + _CELL_M / 2
    height = _heights(base, grid)
    level_m = float(np.median(height[np.isfinite(height)])) + 0.005
    free = outline_contains(base, grid) & (height <= level_m)  # a rim is higher
    for name in moment.now.movable:
        body = moment.body(name)
        if name != a and body.highest_m > level_m:
            free &= ~outline_contains(body, grid)
    widest = _widest_m(free, round(deep_m / _CELL_M) - _CUT_CELLS)
    return Finding(
        widest >= wide_m - _CUT_CELLS * _CELL_M - 1e-6,
        f"on {a} a place {cm(deep_m)} deep is free over a width of {cm(widest)}, wanted at least {cm(wide_m)}",
    )


def _heights(base: Body, grid: np.ndarray) -> np.ndarray:
    """Height in metres of a body's surface at the points (R, C, 2) of a grid (R, C); -inf beside it."""
    height = np.full(grid.shape[:2], -np.inf)
    for part in base.parts:
        over = outline_contains(part, grid)
        height[over] = np.maximum(height[over], part.highest_m)
    return height


def lies_in(moment: Moment, a: str, b: str, *, tolerance_m: float = 0.01) -> Finding:
    """`a` is within the bounds of `b` seen from above, and rests on it or on things that lie in it."""
    bounds = inside(moment, a, b, tolerance_m=tolerance_m)
    if not bounds.holds:
        return bounds
    held = _held(moment, a, b)
    return Finding(held, f"{a} lies in {b}" if held else f"{a} is above {b} but rests on nothing in it")


def all_rest(moment: Moment) -> Finding:
    """Everything that can be moved rests on something, and is in nothing else."""
    bodies = {obj.name: moment.body(obj.name) for obj in moment.now.objects}
    for name in moment.now.movable:
        body = bodies[name]
        others = {other: bodies[other] for other in bodies if other != name}
        if body.lowest_m < -CONTACT_M:
            return Finding(False, f"{name} is {cm(body.lowest_m)} below the table")
        solid = {other: it.boxes for other, it in others.items() if not _is_mesh(moment, name, other)}
        depth, whom = deepest_overlap(body.boxes, solid)
        if depth > INSIDE_M:
            return Finding(False, f"{name} is {cm(depth)} inside {whom}")
        if body.lowest_m > CONTACT_M and not any(held_up(body, other, CONTACT_M) for other in others.values()):
            return Finding(False, f"{name} rests on nothing (it is {cm(body.lowest_m)} above the table)")
    return Finding(True, "everything rests on something")


def _is_mesh(moment: Moment, *names: str) -> bool:
    """Is one of these a mesh? The boxes around its parts are larger than it, and hollows may be full of them."""
    return any(moment.now.object(name).model.shape == "mesh" for name in names)


def _held(moment: Moment, a: str, b: str) -> bool:
    """Does `a` rest on `b`, or on a movable thing that does?"""
    if on(moment, a, b).holds:
        return True
    body = moment.body(a)
    for name in moment.now.movable:
        other = moment.body(name)
        is_under = name != a and other.lowest_m < body.lowest_m - CONTACT_M and level_gap(body, other) == 0.0
        if is_under and abs(body.lowest_m - other.highest_m) <= CONTACT_M and _held(moment, name, b):
            return True
    return False


def _widest_m(free: np.ndarray, deep: int) -> float:
    """The greatest width in metres of a free rectangle of `deep` rows in a grid (R, C)."""
    best = 0
    for row in range(max(len(free) - deep + 1, 0)):
        run = 0
        for is_free in np.atleast_1d(free[row : row + deep].all(axis=0)):
            run = run + 1 if is_free else 0
            best = max(best, run)
    return best * _CELL_M


CONDITIONS: Mapping[str, Condition] = {**_OF_TWO, **{c.__name__: c for c in (between, apart, room, lies_in, all_rest)}}
