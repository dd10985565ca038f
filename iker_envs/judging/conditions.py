"""The conditions that a task's success is made of: each one function of a scene, named as it is written in a task.

    Moment(scene now, scene when it began), object names, numbers  ->  condition  ->  Finding(holds, what was measured)

Directions are those of the robot's base: forward is +x, left is +y, up is +z. Lengths are metres, angles degrees. A
finding's text is one clause about what is so, whether the condition holds or not; a person or a model that reads it
knows what to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    distance,
    level_gap,
    overhang,
    support_under,
)
from iker_envs.judging.directions import centimetres as cm
from iker_envs.judging.directions import too_far
from iker_envs.scene import Scene

CONTACT_M = 0.015  # estimated poses are some millimetres off: so far apart still rests on each other
TOUCH_M = 0.001  # so near is in touch: what was pushed together is not a hair apart
INSIDE_M = 0.01  # a target may be so deep in something else (asking/placing.py); the rest is physics' to settle
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
    _bodies: dict[str, Body] = field(default_factory=dict, repr=False, compare=False)

    def body(self, name: str) -> Body:
        """An object where it is now."""
        if name not in self._bodies:
            self._bodies[name] = body_of(self.now, name)
        return self._bodies[name]


Condition = Callable[..., Finding]


def on(moment: Moment, a: str, b: str, *, overhang_m: float | None = None) -> Finding:
    """`a` rests on `b` (an object, or the table), its centre above it, reaching at most `overhang_m` beyond it."""
    body = moment.body(a)
    if b in TABLE:
        is_low = abs(body.lowest_m) <= CONTACT_M
        thin = _thin_under(moment, body) if is_low else ""
        rests = is_low and not thin
        where = f"it is on {thin}" if thin else f"it is {cm(body.lowest_m)} above it"
        return Finding(rests, f"{a} is on the {b}" if rests else f"{a} is not on the {b} ({where})")
    base = moment.body(b)
    height = support_under(body, base, CONTACT_M)
    if height is None:
        return Finding(False, f"{a} is not on {b} ({_whereabouts(moment, body, base)})")
    if body.lowest_m - height > CONTACT_M:
        return Finding(False, f"{a} is not on {b} (it is {cm(body.lowest_m - height)} above it)")
    beyond = overhang(body, base)
    if overhang_m is not None and beyond > overhang_m:
        return Finding(False, f"{a} reaches {cm(beyond)} beyond {b}, wanted at most {cm(overhang_m)}")
    return Finding(True, f"{a} rests on {b}")


def inside(moment: Moment, a: str, b: str, *, tolerance_m: float = 0.01) -> Finding:
    """`a` is within the bounds of `b` seen from above, and not lower."""
    body = moment.body(a)
    base = moment.body(b)
    beyond = overhang(body, base)
    holds = beyond <= tolerance_m and body.lowest_m >= base.lowest_m - tolerance_m
    if body.lowest_m < base.lowest_m - tolerance_m:
        return Finding(False, f"{a} is not in {b} (it is {cm(base.lowest_m - body.lowest_m)} lower)")
    return Finding(holds, f"{a} reaches {cm(beyond)} out of {b}" if beyond else f"{a} is within {b}")


def overhangs(moment: Moment, a: str, b: str, *, by_m: float, direction: str, tolerance_m: float = NEAR_M) -> Finding:
    """`a` rests on `b` and sticks out `by_m` beyond it in a direction, and hardly to either side of that."""
    axis, sign = _axis(direction)
    body, base = moment.body(a), moment.body(b)
    out = sign * (body.extent(axis)[int(sign > 0)] - base.extent(axis)[int(sign > 0)])
    rests = on(moment, a, b)
    if not rests.holds:
        return rests
    one, other = body.extent(1 - axis), base.extent(1 - axis)
    aside = max(other[0] - one[0], one[1] - other[1])
    if axis < 2 and aside > NEAR_M:
        return Finding(False, f"{a} sticks out {cm(aside)} beyond a side of {b}, wanted at most {cm(NEAR_M)} there")
    return Finding(
        abs(out - by_m) <= tolerance_m,
        f"{a} sticks out {cm(out)} beyond {b} ({direction}), wanted {_range(by_m, tolerance_m)}",
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
    axes = [(0, forward_m, "farther than", "nearer than"), (1, left_m, "left of", "right of")]
    asked = [(offset[i], value, plus, minus) for i, value, plus, minus in axes if value is not None]
    if not asked:
        raise ValueError("at() needs forward_m or left_m, in metres")
    parts = [f"{cm(abs(is_))} {plus if is_ >= 0 else minus}" for is_, _, plus, minus in asked]
    wanted = [f"{cm(abs(value))} {plus if value >= 0 else minus}" for _, value, plus, minus in asked]
    error = float(np.linalg.norm([is_ - value for is_, value, _, _ in asked]))
    return Finding(
        error <= tolerance_m,
        f"the centre of {a} is {' and '.join(parts)} the centre of {b}, wanted {' and '.join(wanted)} it, "
        f"within {cm(tolerance_m)}",
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
    may_touch: bool = False,
) -> Finding:
    """`a` stands beside `b` on the same level, not touching it unless it `may_touch`.

    With `gap_m` so far between them, with `distance_m` so far between their centres, else at most `max_gap_m` apart.
    `side` is left, right, forward or robot as the robot sees it, `own_side` a side of `b` itself.
    """
    body = moment.body(a)
    base = moment.body(b)
    if abs(body.lowest_m - base.lowest_m) > 2 * CONTACT_M:
        word = "higher" if body.lowest_m > base.lowest_m else "lower"
        return Finding(False, f"{a} stands {cm(abs(body.lowest_m - base.lowest_m))} {word} than {b}, wanted as high")
    if contact_gap(body, base) < (-INSIDE_M if may_touch else TOUCH_M):
        return Finding(False, f"{a} and {b} touch")
    offset = body.pose[:3] - base.pose[:3]
    sides = [(np.array(DIRECTIONS[side]), side)] if side else []
    sides += [(base.side(own_side), f"{own_side} side")] if own_side else []
    for direction, words in sides:
        if _angle_deg(offset * [1, 1, 0], direction * [1, 1, 0]) > 45.0:
            return Finding(False, f"{a} is not at the {words} of {b} (it is {_bearing(offset)})")
    gap = level_gap(body, base)
    apart = float(np.linalg.norm(offset[:2]))
    if distance_m is not None:
        holds = abs(apart - distance_m) <= tolerance_m
        wanted = _range(distance_m, tolerance_m)
        return Finding(holds, f"the centres of {a} and {b} are {cm(apart)} apart, wanted {wanted}")
    is_ = f"the gap between {a} and {b} is {cm(gap)}"
    if gap_m is not None:
        return Finding(abs(gap - gap_m) <= tolerance_m, f"{is_}, wanted {_range(gap_m, tolerance_m)}")
    return Finding(gap <= max_gap_m, f"{is_}, wanted at most {cm(max_gap_m)}")


def left_of(moment: Moment, a: str, b: str, *, by_m: float = 0.0) -> Finding:
    """The centre of `a` is further left than that of `b`, by more than `by_m`, as the robot sees it."""
    return _further(moment, a, b, 1, 1.0, by_m, "left of", "right of")


def right_of(moment: Moment, a: str, b: str, *, by_m: float = 0.0) -> Finding:
    """The centre of `a` is further right than that of `b`, by more than `by_m`, as the robot sees it."""
    return _further(moment, a, b, 1, -1.0, by_m, "right of", "left of")


def nearer(moment: Moment, a: str, b: str, *, by_m: float = 0.0) -> Finding:
    """The centre of `a` is nearer to the robot than that of `b`, by more than `by_m`."""
    return _further(moment, a, b, 0, -1.0, by_m, "nearer than", "farther than")


def farther(moment: Moment, a: str, b: str, *, by_m: float = 0.0) -> Finding:
    """The centre of `a` is farther from the robot than that of `b`, by more than `by_m`."""
    return _further(moment, a, b, 0, 1.0, by_m, "farther than", "nearer than")


def in_line(moment: Moment, a: str, b: str, *, edge: str, tolerance_m: float = 0.02) -> Finding:
    """The edges of `a` and `b` that lie furthest in a direction (forward, robot, left, right, up) are level.

    `edge` is such a direction, or a side of `b` (bottom, spine, fore_edge, toe ...), which may be turned.
    """
    base = moment.body(b)
    direction = np.array(DIRECTIONS[edge]) if edge in DIRECTIONS else base.side(edge)
    one = float((moment.body(a).corners @ direction).max())
    other = float((base.corners @ direction).max())
    off = abs(one - other)
    return Finding(
        off <= tolerance_m,
        f"the edges of {a} and {b} ({edge}) are {cm(off)} out of line, wanted at most {cm(tolerance_m)}",
    )


def parallel(moment: Moment, a: str, b: str, *, tolerance_deg: float = ANGLE_DEG, either_way: bool = False) -> Finding:
    """`a` and `b` head the same way, or with `either_way` along the same line."""
    angle = _angle_deg(moment.body(a).side("front"), moment.body(b).side("front"))
    off = min(angle, 180.0 - angle) if either_way else angle
    return Finding(
        off <= tolerance_deg, f"{a} and {b} head {off:.0f} degrees apart, wanted at most {tolerance_deg:.0f}"
    )


def upright(moment: Moment, a: str, *, tolerance_deg: float = ANGLE_DEG) -> Finding:
    """The vertical axis of `a` is vertical, its top up."""
    tilt = np.rad2deg(moment.body(a).tilt_rad)
    return Finding(tilt <= tolerance_deg, f"{a} is tilted by {tilt:.0f} degrees, wanted at most {tolerance_deg:.0f}")


def facing(
    moment: Moment, a: str, face: str, direction: str, *, tolerance_deg: float = 20.0, left_deg: float = 0.0
) -> Finding:
    """A side of `a` (front, toe, fore_edge, handle, back, heel, spine, label, cover, left, top ...) points somewhere.

    The direction is forward, robot, left, right, up or down, turned to the left by `left_deg` seen from above.
    """
    turn = np.deg2rad(left_deg)
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    angle = _angle_deg(moment.body(a).side(face), turned @ np.array(DIRECTIONS[direction]))
    off = min(angle, 180.0 - angle) if face in TWO_SIDED else angle
    words = f"{direction}, {left_deg:.0f} degrees to the left" if left_deg else direction
    return Finding(
        off <= tolerance_deg,
        f"the {face} of {a} points {off:.0f} degrees away from {words}, wanted at most {tolerance_deg:.0f}",
    )


def clear_of(moment: Moment, a: str, b: str, *, gap_m: float = 0.0) -> Finding:
    """`a` and `b` do not touch, or are at least `gap_m` apart."""
    gap = distance(moment.body(a), moment.body(b))
    if gap_m > 0:
        return Finding(gap >= gap_m, f"{a} is {cm(max(gap, 0.0))} away from {b}, wanted at least {cm(gap_m)}")
    return Finding(gap >= TOUCH_M, f"{a} is free of {b}" if gap >= TOUCH_M else f"{a} and {b} touch")


def touching(moment: Moment, a: str, b: str, *, tolerance_m: float = 0.005) -> Finding:
    """`a` and `b` touch, or all but touch."""
    gap = distance(moment.body(a), moment.body(b))
    return Finding(gap <= tolerance_m, f"{a} is {cm(max(gap, 0.0))} away from {b}, wanted in touch")


def near(moment: Moment, a: str, b: str, *, within_m: float) -> Finding:
    """The outlines of `a` and `b` seen from above are at most `within_m` apart."""
    gap = level_gap(moment.body(a), moment.body(b))
    return Finding(gap <= within_m, f"{a} is {cm(gap)} away from {b}, wanted at most {cm(within_m)}")


def unmoved(moment: Moment, a: str, *, tolerance_m: float = NEAR_M, tolerance_deg: float = ANGLE_DEG) -> Finding:
    """`a` is where it was when the instruction was given."""
    far, turned = _change(moment, a)
    holds = far <= tolerance_m and turned <= tolerance_deg
    return Finding(
        holds,
        f"{a} has moved by {cm(far)} and turned by {turned:.0f} degrees, wanted at most {cm(tolerance_m)} and "
        f"{tolerance_deg:.0f} degrees",
    )


def moved(moment: Moment, a: str, *, by_m: float = NEAR_M) -> Finding:
    """`a` is at least `by_m` from where it was when the instruction was given."""
    far, _ = _change(moment, a)
    return Finding(
        far >= by_m,
        f"{a} has moved by {cm(far)}, wanted at least {cm(by_m)}" if far < by_m else f"{a} has moved",
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


def _thin_under(moment: Moment, body: Body) -> str:
    """What is under a body and too thin for its height to tell it from the table, a tray's floor; or empty."""
    for obj in moment.now.objects:
        if obj.name == body.name:
            continue
        top = support_under(body, moment.body(obj.name), CONTACT_M)
        if top is not None and body.lowest_m - top <= CONTACT_M:
            return obj.name
    return ""


def _further(moment: Moment, a: str, b: str, axis: int, sign: float, by_m: float, words: str, opposite: str) -> Finding:
    offset = sign * float(moment.body(a).pose[axis] - moment.body(b).pose[axis])
    is_ = f"{cm(offset)} {words}" if offset >= 0 else f"{cm(offset)} {opposite}"
    wanted = f"more than {cm(by_m)} {words}" if by_m else words
    return Finding(offset > by_m, f"{a} is {is_} {b}, wanted {wanted} it")


def _whereabouts(moment: Moment, body: Body, base: Body) -> str:
    """Where a body is that is not on another one: on what it rests, and how far its centre is beside the other."""
    low, high = base.corners.min(axis=0), base.corners.max(axis=0)
    off = body.pose[:3] - np.clip(body.pose[:3], low, high)
    words = too_far(off * [1, 1, 0])
    under = [TABLE[0]] if abs(body.lowest_m) <= CONTACT_M else []
    for obj in moment.now.objects:
        if obj.name in (body.name, base.name):
            continue
        top = support_under(body, moment.body(obj.name), CONTACT_M)
        under += [obj.name] if top is not None and body.lowest_m - top <= CONTACT_M else []
    rests = f"it is on {'the ' if under[-1] in TABLE else ''}{under[-1]}" if under else "it rests on nothing level"
    return f"{rests}, {words}" if words else rests


def _bearing(offset: np.ndarray) -> str:
    """On which side of something an offset (3,) from it points, as the robot sees it."""
    axis = int(np.argmax(np.abs(offset[:2])))
    return (("farther away", "nearer"), ("to its left", "to its right"))[axis][0 if offset[axis] > 0 else 1]


def _range(value_m: float, tolerance_m: float) -> str:
    return f"{100 * max(value_m - tolerance_m, 0.0):.0f} to {100 * (value_m + tolerance_m):.0f} cm"


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
