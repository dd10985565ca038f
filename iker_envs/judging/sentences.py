"""Events in words: one sentence for a stage, its cause first, then how far off it ended, then what else was moved.

events  ->  sentence  ->  "left_shoe was stopped by right_shoe, 6 cm short; book was moved by 4 cm to the left"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iker_envs.events import By, Event, EventKind, Phase
from iker_envs.judging.directions import centimetres

_NEAR_M = 0.10  # an object that ended so near its target, and nothing else happened, only just missed it


def sentence(events: Sequence[Event]) -> str:
    """One sentence without full stop; empty if there are no events."""
    main, others = _split(events)
    effects = side_effects(events)
    if not main:
        name = next((e.object for e in others if e.kind is EventKind.MOVED_OTHER), "it")
        return f"{name} reached its target, but {effects}" if effects else ""
    return f"{_cause(main)}; {effects}" if effects else _cause(main)


def side_effects(events: Sequence[Event]) -> str:
    """What happened to other objects, as one clause; empty if nothing did."""
    return "; ".join(map(_effect, _split(events)[1]))


def is_near_miss(events: Sequence[Event]) -> bool:
    """Did the object end near its target, and is that all there is to say about it?"""
    main, _ = _split(events)
    return [e.kind for e in main] == [EventKind.OFF_TARGET] and main[0].distance_m <= _NEAR_M


def _split(events: Sequence[Event]) -> tuple[list[Event], list[Event]]:
    """What happened to the goal's object, and to others: the goal's object is the one that most kinds are about."""
    name = next((e.object for e in events if e.kind in (EventKind.OFF_TARGET, EventKind.MOVED_OTHER)), None)
    is_main = [e.object == name and e.kind is not EventKind.MOVED_OTHER for e in events]
    main = [e for e, mine in zip(events, is_main, strict=True) if mine]
    return main, [e for e, mine in zip(events, is_main, strict=True) if not mine]


def _cause(events: Sequence[Event]) -> str:
    found = {event.kind: event for event in reversed(events)}
    first = events[0]
    text = _TEXTS[first.kind](first, found)
    then = _then(first, found)
    return f"{text}; it {' and '.join(then)}" if then else text


def _then(first: Event, found: Found) -> list[str]:
    """What the sentence of the first event leaves out: how the object lies now, and where; predicates of "it"."""
    then = []
    if (tipped := found.get(EventKind.TIPPED_OVER)) and first.kind not in _WITH_TIPPING:
        then.append(f"tipped over {tipped.direction}")
    if (leaning := found.get(EventKind.LEANING)) and first is not leaning:
        then.append(_leans(leaning))
    if (off := found.get(EventKind.OFF_TARGET)) and first.kind in _WITH_DISTANCE:
        then.append(_ended("", off).lstrip())
    return then


def _effect(event: Event) -> str:
    if event.kind is EventKind.TIPPED_OVER:
        return f"{event.object} was tipped over {event.direction}"
    if event.kind is EventKind.PUSHED_OFF:
        return _pushed_off(event, {})
    if event.by is By.SOMEBODY:
        return f"somebody moved {event.other} by {_far(event)}"
    return f"{event.other} was moved by {_far(event)}"


def _ended(what: str, off: Event) -> str:
    target = "its target" if what else "the target"
    if off.direction:
        return f"{what} ended {centimetres(off.distance_m)} from {target} ({off.direction})"
    return f"{what} ended at {target}, turned over by {off.angle_deg:.0f} degrees"


Found = dict[EventKind, Event]


def _grasp_missed(event: Event, found: Found) -> str:
    if event.other:
        return f"the fingers took {event.other} in the place of {event.object}"
    if event.distance_m < 0.01:
        return f"the fingers closed on nothing: {event.object} was not lifted"
    tipped = found.get(EventKind.TIPPED_OVER)
    done = f"tipped over {tipped.direction}" if tipped else f"was moved by {_far(event)}"
    return f"the fingers did not hold {event.object}: it {done} and was not lifted"


def _slipped(event: Event, found: Found) -> str:
    held = f", held back by {event.other}" if event.other else ""
    fell = found.get(EventKind.DROPPED)
    off = found.get(EventKind.PUSHED_OFF)
    more = f" and fell {centimetres(fell.distance_m)}" if fell else f" and fell off {off.other}" if off else ""
    return f"{event.object} {event.detail}{held}{more}"


def _dropped(event: Event, _: Found) -> str:
    late = f"{event.detail}: " if event.detail else ""
    return f"{late}{event.object} was let go in the air and fell {centimetres(event.distance_m)}"


def _pushed_off(event: Event, found: Found) -> str:
    fell = f"fell {centimetres(event.distance_m)}"
    tipped = found.get(EventKind.TIPPED_OVER)
    later = event.phase is Phase.RELEASED
    if tipped is not None:
        return f"{event.object} tipped over the {event.direction} of {event.other}{_late(event)} and {fell}"
    return f"{event.object} {'fell' if later else 'was pushed'} off {event.other}{_late(event)}, over its " + (
        f"{event.direction}, and {fell}" if not later else event.direction
    )


def _not_touched(event: Event, _: Found) -> str:
    if event.other:
        return f"the hand pressed on {event.other} and did not reach {event.object}"
    near = f"; it came no nearer than {centimetres(event.distance_m)}" if event.distance_m > 0 else ""
    return f"the hand did not touch {event.object}{near}"


def _moved_afterwards(event: Event, _: Found) -> str:
    moved = f"by {_far(event)}"
    if event.by is By.SOMEBODY:
        return f"somebody moved {event.object} {moved} after the hand had let go of it"
    return f"{event.object} moved by itself {moved} after the hand had let go of it"


def _dropped(event: Event, found: Found) -> str:
    fell = f"was let go in the air and fell {centimetres(event.distance_m)}"
    if EventKind.OUT_OF_TIME in found:
        return f"time ran out before {event.object} was at its target: it {fell}"
    return f"{event.object} {fell}"


def _leans(event: Event) -> str:
    if event.detail:
        return f"hangs from {event.other} {event.detail}, tilted by {event.angle_deg:.0f} degrees"
    against = f" against {event.other}" if event.other else ""
    return f"leans {event.direction}{against}, tilted by {event.angle_deg:.0f} degrees"


def _far(event: Event) -> str:
    return f"{centimetres(event.distance_m)} {event.direction}"


def _late(event: Event) -> str:
    return " after the hand had let go of it" if event.phase is Phase.RELEASED else ""


_TEXTS: dict[EventKind, Callable[[Event, Found], str]] = {
    EventKind.NOT_GRASPABLE: lambda e, _: e.detail,
    EventKind.GRASP_MISSED: _grasp_missed,
    EventKind.TAKEN_AWAY: lambda e, _: f"somebody moved {e.object} by {_far(e)} while the hand worked on it",
    EventKind.SLIPPED: _slipped,
    EventKind.DROPPED: _dropped,
    EventKind.PUSHED_OFF: _pushed_off,
    EventKind.TIPPED_OVER: lambda e, _: f"{e.object} tipped over {e.direction}{_late(e)}",
    EventKind.NOT_TOUCHED: _not_touched,
    EventKind.BLOCKED: lambda e, _: f"{e.object} was stopped by {e.other}, {centimetres(e.distance_m)} short",
    EventKind.NOT_MOVED: lambda e, _: f"{e.object} did not move although the hand pressed on it",
    EventKind.OUT_OF_TIME: lambda e, _: (
        f"time ran out while {e.object} was still moving, {centimetres(e.distance_m)} short"
    ),
    EventKind.MOVED_AFTERWARDS: _moved_afterwards,
    EventKind.LEANING: lambda e, _: f"{e.object} {_leans(e)}",
    EventKind.OFF_TARGET: lambda e, _: _ended(e.object, e),
}
# Kinds whose sentence does not say where the object is now.
_WITH_DISTANCE = (
    EventKind.DROPPED,
    EventKind.MOVED_AFTERWARDS,
    EventKind.LEANING,
    EventKind.NOT_MOVED,
)
# Kinds whose sentence says that the object tipped over, or that have nothing to do with it.
_WITH_TIPPING = (EventKind.TIPPED_OVER, EventKind.PUSHED_OFF, EventKind.GRASP_MISSED, EventKind.NOT_GRASPABLE)
