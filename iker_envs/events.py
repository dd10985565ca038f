"""What can happen to an object while a hand works on it: the words that outcomes are told in.

Trace (judging/trace.py)  ->  Event(kind, object, other, numbers)  ->  a sentence (judging/sentences.py)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iker_envs.contract import Contract


class EventKind(StrEnum):
    """Kinds of events, in the order in which they explain a stage: causes first, then how far off, then the others."""

    NOT_GRASPABLE = "not_graspable"  # no grasp was found, so none was tried; `detail` says why
    GRASP_MISSED = "grasp_missed"  # the fingers closed and did not lift it; they took `other`
    TAKEN_AWAY = "taken_away"  # somebody moved it while the hand worked on it
    SLIPPED = "slipped"  # held at first, lost or turned while it was carried; `other` held it back
    DROPPED = "dropped"  # fell `distance_m` out of the hand; `detail` says so where time had run out
    PUSHED_OFF = "pushed_off"  # fell `distance_m` off `other`, over its side `direction`
    TIPPED_OVER = "tipped_over"  # turned over by `angle_deg` towards `direction`
    NOT_TOUCHED = "not_touched"  # the hand came no nearer than `distance_m`, stopped by `other`
    BLOCKED = "blocked"  # stopped against `other`, `distance_m` short of its target
    NOT_MOVED = "not_moved"  # the hand pressed on it, and it stayed where it was
    OUT_OF_TIME = "out_of_time"  # still moving towards its target, `distance_m` short of it
    LEANING = "leaning"  # left tilted by `angle_deg` towards `direction`, against `other` or (`detail`) over its side
    MOVED_AFTERWARDS = "moved_afterwards"  # by `distance_m` towards `direction`, after it was let go; `by` whom
    OFF_TARGET = "off_target"  # `distance_m` from its target; `direction` in words
    MOVED_OTHER = "moved_other"  # `other` was moved by `distance_m` towards `direction`


class Phase(StrEnum):
    """When something happened."""

    ACTING = "acting"  # while the hand worked
    RELEASED = "released"  # after it had let go


class By(StrEnum):
    """Who moved an object that moved after it was let go."""

    SOMEBODY = "somebody"
    ITSELF = "itself"


@dataclass(frozen=True, eq=False)
class Event(Contract):
    """One thing that happened in a stage; which fields mean something is said beside its kind.

    Directions are as the robot sees them: left is +y, right -y, away +x, near -x. `detail` is a clause of text.
    """

    kind: EventKind
    object: str
    other: str = ""
    distance_m: float = 0.0
    angle_deg: float = 0.0
    direction: str = ""
    phase: Phase | None = None
    by: By | None = None
    detail: str = ""
