"""What happened to an object in a stage, from where everything was: no engine, no camera, one pure function.

Trace  ->  happened  ->  events, causes first

Nothing is named that did not happen: each kind has its own measure, and an object that reached its target has side
effects only. Limits are those of the strict measure (measure.py) where it has one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from iker_envs.events import By, Event, EventKind, Phase
from iker_envs.geometry import quaternion_rotate, rotation_angle
from iker_envs.judging.directions import centimetres, side_of, too_far, way
from iker_envs.judging.rows import Question, Rows
from iker_envs.judging.trace import Trace
from iker_envs.measure import STRICT_M, STRICT_OTHERS_M, STRICT_TILT_RAD, SUCCESS_M

_SLIPPED_M = 0.04  # so far from its place in the hand an object is not held any more (a held one slips by 2.5 cm)
_FELL_M = 0.02
_UPRIGHT_DEG = 30.0  # an object stood as wanted if it was tilted by less ...
_TIPPED_DEG = 45.0  # ... and was tipped over if by more now
_ROLLED = 0.5  # a body whose top points down by more rolled on: the top says little of the side to which it fell
_STRICT_DEG = float(np.rad2deg(STRICT_TILT_RAD))
_STILL_M = 0.01  # an object that moved less has not been moved
_STILL_DEG = 5.0
_PRESSED_N = 1.0
_NEAR_HAND_M = 0.01  # the hand touches what is so near to its box
_WALL_M = 0.01  # the hand is at the end of the workspace
_NEAREST_ROWS = 8  # in which the hand's centre is nearest to an object: its boxes are measured there only
_LATE_ROWS = 10  # the last second of acting
_PROGRESS_M = 0.01  # of an object that is still moving, in that second


def happened(trace: Trace) -> tuple[Event, ...]:
    """What happened in a stage, in the order of `EventKind`; empty if the object is at its target and nothing else is.

    At its target: within 3 cm (mean over the control keypoints) and 15 degrees of tilt and heading.
    """
    rows = Rows(trace)
    reached = (
        rows.error_m[-1] <= STRICT_M and rows.tilt_deg[-1] <= _STRICT_DEG and abs(rows.heading_deg[-1]) <= _STRICT_DEG
    )
    found = [] if reached else [event for cause in _CAUSES for event in rows.answer(cause)]
    found += list(_others(rows))
    order = list(EventKind)
    return tuple(sorted(found, key=lambda event: order.index(event.kind)))


# -- in the hand -----------------------------------------------------------------------------------------------------


def _grasp(rows: Rows) -> Iterator[Event]:
    trace = rows.trace
    if not trace.goal.grasp or trace.held:
        return
    if trace.grasp_problem:
        yield Event(EventKind.NOT_GRASPABLE, rows.name, detail=trace.grasp_problem)
        return
    moved = _offset(rows, 0, trace.begun)
    lifted = _lifted_instead(rows)
    yield Event(EventKind.GRASP_MISSED, rows.name, lifted, distance_m=_length(moved), direction=way(moved))


def _lifted_instead(rows: Rows) -> str:
    """What the fingers took in the place of the object: it is off the ground, and at the hand."""
    begun = rows.trace.begun
    for name in rows.trace.objects:
        rose = rows.body(name, begun).lowest_m - rows.body(name, 0).lowest_m
        if name != rows.name and rose > _FELL_M and rows.hand_gap_m(name, begun) <= _NEAR_HAND_M:
            return name
    return ""


def _taken(rows: Rows) -> Iterator[Event]:
    row = _taken_row(rows)
    if row is not None:
        moved = _offset(rows, row - 1, row)
        yield Event(EventKind.TAKEN_AWAY, rows.name, distance_m=_length(moved), direction=way(moved))


def _taken_row(rows: Rows) -> int | None:
    """The row that shows the object where somebody put it while the hand worked; None if nobody did."""
    return next((r for r, name in rows.trace.moved if name == rows.name and r <= rows.trace.released), None)


def _slip_row(rows: Rows) -> int | None:
    """The first row in which a held object had left its place in the hand, or turned out of it; None if it never did.

    An object that stands at its target is not lost by a hand that slides along it.
    """
    trace = rows.trace
    if not trace.held:
        return None
    taken = _taken_row(rows)
    last = trace.released if taken is None else taken - 1
    place = rows.in_hand_m[trace.begun]
    for row in range(trace.begun + 1, last + 1):
        away = float(np.linalg.norm(rows.in_hand_m[row] - place))
        there = rows.error_m[row] <= SUCCESS_M and rows.tilt_deg[row] <= _STRICT_DEG
        if away > _SLIPPED_M and not there:
            return row
    return None


def _slipped(rows: Rows) -> Iterator[Event]:
    row = _slip_row(rows)
    if row is None:
        return
    hand = rows.trace.hand_pose[:, :3]
    motion = hand[row] - hand[row - 1]
    speed = float(np.linalg.norm(motion))
    caught = rows.in_the_way(row - 1, motion / speed) if speed > 1e-3 else ""
    seconds = (row - rows.trace.begun) / 10.0
    words = "turned in" if _only_turned(rows, row) else "slipped out of"
    yield Event(EventKind.SLIPPED, rows.name, other=caught, detail=f"{words} the fingers after {seconds:.1f} s")


def _only_turned(rows: Rows, slip_row: int) -> bool:
    """Did an object that left its place in the hand turn about the fingers, which held it until they opened?"""
    away = rows.out_of_hand_m[slip_row : rows.trace.released + 1]
    return bool(np.nanmax(away) <= _SLIPPED_M)


def _dropped(rows: Rows) -> Iterator[Event]:
    trace = rows.trace
    if not trace.held or _taken_row(rows) is not None:
        return
    slip = _slip_row(rows)
    is_held = slip is None or _only_turned(rows, slip)
    left = trace.released if is_held or slip is None else slip - 1
    if rows.stood_on(left):
        return
    after = next((row for row, name in trace.moved if name == rows.name and row > left), rows.end + 1)
    fell = float(rows.lowest_m[left] - rows.lowest_m[after - 1])
    if fell > _FELL_M:
        phase = Phase.RELEASED if is_held else Phase.ACTING
        short = float(rows.error_m[left])
        late = f"time ran out {centimetres(short)} before the target"
        is_late = trace.out_of_time and is_held and short > STRICT_M
        yield Event(EventKind.DROPPED, rows.name, distance_m=fell, phase=phase, detail=late if is_late else "")


# -- falling and turning over ----------------------------------------------------------------------------------------


def _pushed_off(rows: Rows) -> Iterator[Event]:
    """Off its support: what it stood on, not in the hand, is higher than where it ended, and so is its target."""
    trace = rows.trace
    first = trace.begun
    if trace.held:
        slip = _slip_row(rows)
        first = trace.released if slip is None else slip
    if any(name == rows.name for _, name in trace.moved):
        return
    low = rows.lowest_m[-1] + _FELL_M
    if rows.lowest_m[first:].max() <= low or float(rows.lowest_at(rows.target)) <= low:
        return
    for row in range(rows.end, first - 1, -1):
        support = rows.stood_on(row) if rows.lowest_m[row] > low else ""
        if support:
            side = side_of(rows.pose[-1, :2], *_outline(rows, support, row))
            fell = float(rows.lowest_m[row] - rows.lowest_m[-1])
            phase = Phase.ACTING if row < trace.released else Phase.RELEASED
            yield Event(EventKind.PUSHED_OFF, rows.name, support, distance_m=fell, direction=side, phase=phase)
            return


def _outline(rows: Rows, name: str, row: int) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.transpose([rows.body(name, row).extent(axis) for axis in (0, 1)])
    return low, high


def _tipped(rows: Rows) -> Iterator[Event]:
    """It stood as wanted once, and lies now."""
    stood = np.flatnonzero(rows.tilt_deg <= _UPRIGHT_DEG)
    if rows.tilt_deg[-1] <= _TIPPED_DEG or not len(stood) or any(name == rows.name for _, name in rows.trace.moved):
        return
    row = int(stood[-1])
    phase = Phase.ACTING if row < rows.trace.released else Phase.RELEASED
    yield Event(
        EventKind.TIPPED_OVER,
        rows.name,
        angle_deg=float(rows.tilt_deg[-1]),
        direction=_fell_over(rows.pose[row], rows.pose[-1]),
        phase=phase,
    )


def _top(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where the side of a body that was up at pose `before` (7,) points at pose `after` (7,), a unit vector (3,)."""
    conjugate = before[3:] * [1.0, -1.0, -1.0, -1.0]
    return quaternion_rotate(after[3:], quaternion_rotate(conjugate, np.array([0.0, 0.0, 1.0])))


def _fell_over(before: np.ndarray, after: np.ndarray) -> str:
    """To which side a body fell over; by the way it went if it rolled on until its top points down."""
    top = _top(before, after)
    return way(after[:3] - before[:3] if top[2] < -_ROLLED else top)


# -- the way there ---------------------------------------------------------------------------------------------------


def _stopped(rows: Rows) -> Iterator[Event]:
    """Not touched, stopped by something, pressed on in vain, or out of time: what a push or a carry ran into."""
    trace = rows.trace
    lost = _taken_row(rows) is not None or _slip_row(rows) is not None or trace.held != trace.goal.grasp
    if lost or rows.answer(_tipped) or rows.answer(_pushed_off):
        return
    short = rows.target[:3] - rows.pose[trace.released, :3]
    flat = short * [1, 1, 0]
    short = flat if _length(flat) > STRICT_M else short
    still = not trace.held and _is_still(rows, trace.begun, trace.released)
    if still:
        nearest, row = _nearest_hand(rows)
        if np.isnan(nearest):  # nobody knows where the hand was
            return
        if not _pressed(rows, nearest, row):
            yield Event(EventKind.NOT_TOUCHED, rows.name, _hit_instead(rows), distance_m=max(nearest, 0.0))
            return
    distance = _length(short)
    if distance > STRICT_M:
        direction = short / distance
        if other := rows.in_the_way(trace.released, direction) or _wall(rows, direction):
            yield Event(EventKind.BLOCKED, rows.name, other, distance_m=distance, direction=way(short, level=False))
            return
    if still:
        yield Event(EventKind.NOT_MOVED, rows.name)
        return
    if not trace.out_of_time or rows.answer(_dropped):
        return
    before = max(trace.begun, trace.released - _LATE_ROWS)
    progress = rows.error_m[before] - rows.error_m[trace.released]
    if progress > _PROGRESS_M and rows.error_m[trace.released] > STRICT_M:
        yield Event(EventKind.OUT_OF_TIME, rows.name, distance_m=float(rows.error_m[trace.released]))


def _is_still(rows: Rows, first: int, last: int) -> bool:
    turned = np.rad2deg(rotation_angle(rows.pose[first, 3:], rows.pose[last, 3:]))
    return _length(_offset(rows, first, last)) < _STILL_M and turned < _STILL_DEG


def _nearest_hand(rows: Rows) -> tuple[float, int]:
    """How near the hand came to the object while it worked, and in which row; NaN where nobody knows."""
    first = rows.trace.begun
    away = np.linalg.norm(rows.in_hand_m[first : rows.trace.released + 1], axis=-1)
    near = [first + int(i) for i in np.argsort(away)[:_NEAREST_ROWS] if np.isfinite(away[i])]
    gaps = {row: rows.hand_gap_m(rows.name, row) for row in near}
    if not gaps:
        return float("nan"), rows.trace.released
    row = min(gaps, key=lambda r: gaps[r])
    return gaps[row], row


def _pressed(rows: Rows, nearest_m: float, row: int) -> bool:
    """Did the hand press on the object? Without a measured force: was it near enough to do so?"""
    if not nearest_m <= _NEAR_HAND_M:
        return False
    around = rows.trace.contact_N[max(row - 1, rows.trace.begun) : rows.trace.released + 1]
    return bool(np.isnan(around).all() or np.nanmax(around) > _PRESSED_N)


def _hit_instead(rows: Rows) -> str:
    """What the hand pressed on in the place of the object; empty if it met nothing, or nobody knows."""
    acting = slice(rows.trace.begun, rows.trace.released + 1)
    force = rows.trace.contact_N[acting]
    if np.isnan(force).all() or np.nanmax(force) <= _PRESSED_N:
        return ""
    row = rows.trace.begun + int(np.nanargmax(force))
    gaps = {name: rows.hand_gap_m(name, row) for name in rows.others}
    near = [name for name, gap in gaps.items() if gap <= _NEAR_HAND_M]
    return min(near, key=lambda name: gaps[name], default="")


def _wall(rows: Rows, direction: np.ndarray) -> str:
    """Is the hand at the end of its workspace in a direction?"""
    hand = rows.trace.hand_pose[rows.trace.released, :3]
    low, high = np.asarray(rows.trace.scene.workspace_m)
    axis = int(np.argmax(np.abs(direction)))
    room = high[axis] - hand[axis] if direction[axis] > 0 else hand[axis] - low[axis]
    return "the end of the workspace" if room <= _WALL_M else ""


# -- afterwards ------------------------------------------------------------------------------------------------------


def _afterwards(rows: Rows) -> Iterator[Event]:
    trace = rows.trace
    hands = [row for row, name in trace.moved if name == rows.name and row > trace.released]
    if hands:
        moved = _offset(rows, hands[0] - 1, hands[-1])
        yield Event(
            EventKind.MOVED_AFTERWARDS,
            rows.name,
            distance_m=_length(moved),
            direction=way(moved, level=False),
            phase=Phase.RELEASED,
            by=By.SOMEBODY,
        )
        return
    fell = rows.answer(_dropped) or rows.answer(_pushed_off) or rows.answer(_tipped)
    is_lost = _taken_row(rows) is not None or _slip_row(rows) is not None
    if fell or is_lost or rows.answer(_leaning):
        return
    moved = _offset(rows, trace.released, rows.end)
    if _length(moved) > STRICT_OTHERS_M:
        yield Event(
            EventKind.MOVED_AFTERWARDS,
            rows.name,
            distance_m=_length(moved),
            direction=way(moved, level=False),
            phase=Phase.RELEASED,
            by=By.ITSELF,
        )


def _leaning(rows: Rows) -> Iterator[Event]:
    tilt = float(rows.tilt_deg[-1])
    if not _STRICT_DEG < tilt <= _TIPPED_DEG or _is_still(rows, 0, rows.end):
        return
    support = rows.support(rows.end)
    against = [name for name in rows.touching(rows.end) if name != support]
    other = next(iter(against), "")
    over = ""
    if other:
        low, high = _outline(rows, other, rows.end)
        base = rows.body(other, rows.end)
        is_beside = bool(((rows.pose[-1, :2] < low) | (rows.pose[-1, :2] > high)).any())
        stood = any(rows.stood_on(row) == other for row in (0, rows.trace.begun, rows.trace.released))
        if is_beside and stood and rows.pose[-1, 2] > base.extent(2)[0]:
            over = f"over its {side_of(rows.pose[-1, :2], low, high)}"
    direction = way(quaternion_rotate(rows.remaining[-1], np.array([0.0, 0.0, 1.0])))
    yield Event(EventKind.LEANING, rows.name, other, angle_deg=tilt, direction=direction, detail=over)


def _off_target(rows: Rows) -> Iterator[Event]:
    tilt = float(rows.tilt_deg[-1])
    stands = tilt <= _TIPPED_DEG  # the heading of a thing that lies on its side means little
    told = rows.answer(_leaning) or rows.answer(_tipped)
    words = too_far(
        rows.pose[-1, :3] - rows.target[:3],
        float(rows.heading_deg[-1]) if stands else 0.0,
        0.0 if told else tilt,
    )
    turned = float(np.rad2deg(rotation_angle(rows.pose[-1, 3:], rows.target[3:])))
    yield Event(EventKind.OFF_TARGET, rows.name, distance_m=float(rows.error_m[-1]), angle_deg=turned, direction=words)


def _others(rows: Rows) -> Iterator[Event]:
    """What else was moved by more than 2 cm, pushed off, or turned over; by somebody, where that is known."""
    trace = rows.trace
    by_somebody = {name for _, name in trace.moved}
    for index, name in enumerate(trace.objects):
        if name == rows.name:
            continue
        first = rows.poses[0, index]
        last = rows.poses[-1, index]
        moved = last[:3] - first[:3]
        turned = float(np.rad2deg(np.arccos(np.clip(_top(first, last)[2], -1.0, 1.0))))
        if name in by_somebody:
            if _length(moved) > STRICT_OTHERS_M:
                yield _moved_other(rows, name, moved, By.SOMEBODY)
            continue
        support = rows.support(0, name)
        fell = rows.body(name, 0).lowest_m - rows.body(name, rows.end).lowest_m
        if fell > _FELL_M and support:
            side = side_of(last[:2], *_outline(rows, support, 0))
            yield Event(EventKind.PUSHED_OFF, name, support, distance_m=fell, direction=side)
        elif turned > _TIPPED_DEG:
            yield Event(EventKind.TIPPED_OVER, name, angle_deg=turned, direction=_fell_over(first, last))
        elif _length(moved) > STRICT_OTHERS_M:
            yield _moved_other(rows, name, moved)


def _moved_other(rows: Rows, name: str, moved: np.ndarray, by: By | None = None) -> Event:
    return Event(EventKind.MOVED_OTHER, rows.name, name, distance_m=_length(moved), direction=way(moved), by=by)


def _offset(rows: Rows, first: int, last: int) -> np.ndarray:
    """How far the object moved from one row to another (3,)."""
    return rows.pose[last, :3] - rows.pose[first, :3]


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


_CAUSES: tuple[Question, ...] = (
    _grasp,
    _taken,
    _slipped,
    _dropped,
    _pushed_off,
    _tipped,
    _stopped,
    _leaning,
    _afterwards,
    _off_target,
)
