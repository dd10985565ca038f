"""The conditions that a task's success is made of: each one function of a scene, named as it is written in a task.

    Moment(scene now, scene when it began), object names, numbers  ->  condition  ->  Finding(holds, what was measured)

Directions are those of the robot's base: forward is +x, left is +y, up is +z. Lengths are metres, angles degrees. A
finding's text is one clause about what is so, whether the condition holds or not; a person or a model that reads it
knows what to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import pose_apply, pose_inverse, rotation_angle
from iker_envs.judging.bodies import (
    DIRECTIONS,
    SIDES,
    TABLE,
    TWO_SIDED,
    Body,
    body_of,
    contact_gap,
    level_gap,
    overhang,
    support_under,
)
from iker_envs.scene import Scene

CONTACT_M = 0.015  # estimated poses are some millimetres off: so far apart still rests on each other
TOUCH_M = 0.002  # boxes stand around shapes: so deep is no contact yet
NEAR_M = 0.03  # tolerance of places, that of the strict measure
ANGLE_DEG = 15.0  # tolerance of directions, that of the strict measure


@dataclass(frozen=True)
class Finding:
    """Does a condition hold, and what was measured, as one clause."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Moment:
    """The scene that is judged, and the one in which the instruction was given (None where nobody knows it)."""

    now: Scene
    start: Scene | None = None

    def body(self, name: str) -> Body:
        """An object where it is now."""
        return body_of(self.now, name)


Condition = Callable[..., Finding]


def on(moment: Moment, a: str, b: str, *, overhang_m: float | None = None) -> Finding:
    """`a` rests on `b` (an object, or the table), its centre above it, reaching at most `overhang_m` beyond it."""
    body = moment.body(a)
    if b in TABLE:
        return Finding(abs(body.lowest_m) <= CONTACT_M, f"{a} is {_cm(body.lowest_m)} above the table")
    base = moment.body(b)
    height = support_under(body, base, CONTACT_M)
    if height is None:
        return Finding(False, f"the centre of {a} is not above {b}")
    if body.lowest_m - height > CONTACT_M:
        return Finding(False, f"{a} is {_cm(body.lowest_m - height)} above {b}")
    beyond = overhang(body, base)
    if overhang_m is not None and beyond > overhang_m:
        return Finding(False, f"{a} reaches {_cm(beyond)} beyond {b}, more than {_cm(overhang_m)}")
    return Finding(True, f"{a} rests on {b}")


def inside(moment: Moment, a: str, b: str, *, tolerance_m: float = 0.01) -> Finding:
    """`a` is within the bounds of `b` seen from above, and not lower."""
    body = moment.body(a)
    base = moment.body(b)
    beyond = overhang(body, base)
    holds = beyond <= tolerance_m and body.lowest_m >= base.lowest_m - tolerance_m
    return Finding(holds, f"{a} reaches {_cm(beyond)} out of {b}" if beyond else f"{a} is within {b}")


def overhangs(moment: Moment, a: str, b: str, *, by_m: float, direction: str, tolerance_m: float = NEAR_M) -> Finding:
    """`a` rests on `b` and sticks out `by_m` beyond it in a direction."""
    axis, sign = _axis(direction)
    body = moment.body(a).extent(axis)
    base = moment.body(b).extent(axis)
    out = body[1] - base[1] if sign > 0 else base[0] - body[0]
    rests = on(moment, a, b)
    if not rests.holds:
        return rests
    return Finding(
        abs(out - by_m) <= tolerance_m, f"{a} sticks out {_cm(out)} beyond {b} ({direction}), not {_cm(by_m)}"
    )


def at(
    moment: Moment,
    a: str,
    b: str,
    *,
    forward_m: float | None = None,
    left_m: float | None = None,
    tolerance_m: float = NEAR_M,
) -> Finding:
    """The centre of `a` lies so far forward and left of the centre of `b`, in base axes; what is left out is free."""
    offset = moment.body(a).pose[:2] - moment.body(b).pose[:2]
    wanted = [(0, forward_m, "forward of", "nearer than"), (1, left_m, "left of", "right of")]
    asked = [(offset[i], value, plus, minus) for i, value, plus, minus in wanted if value is not None]
    if not asked:
        raise ValueError("at() needs forward_m or left_m, in metres")
    parts = [f"{_cm(abs(is_))} {plus if is_ >= 0 else minus} the centre of {b}" for is_, _, plus, minus in asked]
    error = float(np.linalg.norm([is_ - value for is_, value, _, _ in asked]))
    return Finding(
        error <= tolerance_m, f"the centre of {a} is {' and '.join(parts)}, {_cm(error)} from where it should be"
    )


def beside(
    moment: Moment,
    a: str,
    b: str,
    *,
    gap_m: float | None = None,
    distance_m: float | None = None,
    side: str = "",
    own_side: str = "",
    tolerance_m: float = NEAR_M,
    max_gap_m: float = 0.10,
) -> Finding:
    """`a` stands beside `b` on the same level, not touching it.

    With `gap_m` so far between them, with `distance_m` so far between their centres, else at most `max_gap_m` apart.
    `side` is left, right, forward or robot as the robot sees it, `own_side` a side of `b` itself.
    """
    body = moment.body(a)
    base = moment.body(b)
    if abs(body.lowest_m - base.lowest_m) > 2 * CONTACT_M:
        return Finding(False, f"{a} stands {_cm(abs(body.lowest_m - base.lowest_m))} higher or lower than {b}")
    if contact_gap(body, base) < -TOUCH_M:
        return Finding(False, f"{a} and {b} touch")
    offset = body.pose[:3] - base.pose[:3]
    sides = [(np.array(DIRECTIONS[side]), side)] if side else []
    sides += [(base.side(own_side), f"{own_side} side")] if own_side else []
    for direction, words in sides:
        if _angle_deg(offset * [1, 1, 0], direction * [1, 1, 0]) > 45.0:
            return Finding(False, f"{a} is not at the {words} of {b}")
    gap = level_gap(body, base)
    apart = float(np.linalg.norm(offset[:2]))
    if distance_m is not None:
        holds = abs(apart - distance_m) <= tolerance_m
        return Finding(holds, f"the centres of {a} and {b} are {_cm(apart)} apart, not {_cm(distance_m)}")
    if gap_m is not None:
        return Finding(abs(gap - gap_m) <= tolerance_m, f"{_cm(gap)} remain between {a} and {b}, not {_cm(gap_m)}")
    return Finding(gap <= max_gap_m, f"{a} is {_cm(gap)} away from {b}, more than {_cm(max_gap_m)}")


def left_of(moment: Moment, a: str, b: str, *, by_m: float = 0.0) -> Finding:
    """The centre of `a` is further left than that of `b`, by more than `by_m`, as the robot sees it."""
    return _further(moment, a, b, 1, 1.0, by_m, "left")


def right_of(moment: Moment, a: str, b: str, *, by_m: float = 0.0) -> Finding:
    """The centre of `a` is further right than that of `b`, by more than `by_m`, as the robot sees it."""
    return _further(moment, a, b, 1, -1.0, by_m, "right")


def nearer(moment: Moment, a: str, b: str, *, by_m: float = 0.0) -> Finding:
    """The centre of `a` is nearer to the robot than that of `b`, by more than `by_m`."""
    return _further(moment, a, b, 0, -1.0, by_m, "towards the robot")


def farther(moment: Moment, a: str, b: str, *, by_m: float = 0.0) -> Finding:
    """The centre of `a` is farther from the robot than that of `b`, by more than `by_m`."""
    return _further(moment, a, b, 0, 1.0, by_m, "away from the robot")


def in_line(moment: Moment, a: str, b: str, *, edge: str, tolerance_m: float = 0.02) -> Finding:
    """The edges of `a` and `b` that lie furthest in a direction (forward, robot, left, right, up) are level.

    `edge` is such a direction, or a side of `b` (bottom, spine, fore_edge, toe ...), which may be turned.
    """
    base = moment.body(b)
    direction = np.array(DIRECTIONS[edge]) if edge in DIRECTIONS else base.side(edge)
    one = float((moment.body(a).corners @ direction).max())
    other = float((base.corners @ direction).max())
    off = abs(one - other)
    return Finding(off <= tolerance_m, f"the edges of {a} and {b} ({edge}) are {_cm(off)} out of line")


def parallel(moment: Moment, a: str, b: str, *, tolerance_deg: float = ANGLE_DEG, either_way: bool = False) -> Finding:
    """`a` and `b` head the same way, or with `either_way` along the same line."""
    angle = _angle_deg(moment.body(a).side("front"), moment.body(b).side("front"))
    off = min(angle, 180.0 - angle) if either_way else angle
    return Finding(off <= tolerance_deg, f"{a} and {b} head {off:.0f} degrees apart")


def upright(moment: Moment, a: str, *, tolerance_deg: float = ANGLE_DEG) -> Finding:
    """The vertical axis of `a` is vertical, its top up."""
    tilt = np.rad2deg(moment.body(a).tilt_rad)
    return Finding(tilt <= tolerance_deg, f"{a} is tilted by {tilt:.0f} degrees")


def facing(
    moment: Moment, a: str, face: str, direction: str, *, tolerance_deg: float = 20.0, left_deg: float = 0.0
) -> Finding:
    """A side of `a` (front, back, toe, heel, spine, fore_edge, cover, left, right, top, bottom) points in a direction.

    The direction is forward, robot, left, right, up or down, turned to the left by `left_deg` seen from above.
    """
    turn = np.deg2rad(left_deg)
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    angle = _angle_deg(moment.body(a).side(face), turned @ np.array(DIRECTIONS[direction]))
    off = min(angle, 180.0 - angle) if face in TWO_SIDED else angle
    words = f"{direction}, {left_deg:.0f} degrees to the left" if left_deg else direction
    return Finding(off <= tolerance_deg, f"the {face} of {a} points {off:.0f} degrees away from {words}")


def clear_of(moment: Moment, a: str, b: str, *, gap_m: float = 0.0) -> Finding:
    """`a` and `b` do not touch, or are at least `gap_m` apart."""
    gap = contact_gap(moment.body(a), moment.body(b))
    if gap_m > 0:
        return Finding(gap >= gap_m, f"{a} is {_cm(max(gap, 0.0))} away from {b}, less than {_cm(gap_m)}")
    return Finding(gap >= -TOUCH_M, f"{a} is free of {b}" if gap >= -TOUCH_M else f"{a} and {b} touch")


def touching(moment: Moment, a: str, b: str, *, tolerance_m: float = 0.005) -> Finding:
    """`a` and `b` touch, or all but touch."""
    gap = contact_gap(moment.body(a), moment.body(b))
    return Finding(gap <= tolerance_m, f"{a} is {_cm(max(gap, 0.0))} away from {b}")


def near(moment: Moment, a: str, b: str, *, within_m: float) -> Finding:
    """The outlines of `a` and `b` seen from above are at most `within_m` apart."""
    gap = level_gap(moment.body(a), moment.body(b))
    return Finding(gap <= within_m, f"{a} is {_cm(gap)} away from {b}, more than {_cm(within_m)}")


def unmoved(moment: Moment, a: str, *, tolerance_m: float = NEAR_M, tolerance_deg: float = ANGLE_DEG) -> Finding:
    """`a` is where it was when the instruction was given."""
    far, turned = _change(moment, a)
    holds = far <= tolerance_m and turned <= tolerance_deg
    return Finding(holds, f"{a} has moved by {_cm(far)} and turned by {turned:.0f} degrees")


def moved(moment: Moment, a: str, *, by_m: float = NEAR_M) -> Finding:
    """`a` is at least `by_m` from where it was when the instruction was given."""
    far, _ = _change(moment, a)
    return Finding(
        far >= by_m, f"{a} has moved by {_cm(far)}, less than {_cm(by_m)}" if far < by_m else f"{a} has moved"
    )


CONDITIONS: Mapping[str, Condition] = {
    condition.__name__: condition
    for condition in (
        on,
        inside,
        overhangs,
        at,
        beside,
        left_of,
        right_of,
        nearer,
        farther,
        in_line,
        parallel,
        upright,
        facing,
        clear_of,
        touching,
        near,
        unmoved,
        moved,
    )
}
# Arguments that are words of these lists; all other ones without a number are names of objects.
WORDS: Mapping[str, tuple[str, ...]] = {
    "side": tuple(DIRECTIONS),
    "own_side": tuple(SIDES),
    "face": tuple(SIDES),
    "direction": tuple(DIRECTIONS),
    "edge": (*DIRECTIONS, *SIDES),
}


def _further(moment: Moment, a: str, b: str, axis: int, sign: float, by_m: float, words: str) -> Finding:
    offset = sign * float(moment.body(a).pose[axis] - moment.body(b).pose[axis])
    return Finding(offset > by_m, f"{a} is {_cm(offset)} further {words} than {b}; wanted is more than {_cm(by_m)}")


def _change(moment: Moment, a: str) -> tuple[float, float]:
    """Metres and degrees by which an object has moved since the start."""
    if moment.start is None:
        raise ValueError(f"whether {a} has moved cannot be told: nobody knows where it was at the start")
    before = moment.start.object(a).pose
    after = moment.now.object(a).pose
    local = pose_apply(pose_inverse(before), np.asarray(after)[None, :3])[0]
    return float(np.linalg.norm(local)), float(np.rad2deg(rotation_angle(before[3:], after[3:])))


def _axis(direction: str) -> tuple[int, float]:
    """Index and sign of the base axis of one of `DIRECTIONS`."""
    vector = np.array(DIRECTIONS[direction])
    index = int(np.argmax(np.abs(vector)))
    return index, float(vector[index])


def _angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in degrees between two vectors (3,); 180 if one of them has no length."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.rad2deg(np.arccos(np.clip(a @ b / lengths, -1.0, 1.0)))) if lengths > 1e-9 else 180.0


def _cm(metres: float) -> str:
    return f"{100 * metres:.1f} cm"
