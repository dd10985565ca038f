"""Keeps where hand and objects were in the present episode, row by row, so that it can be said what happened.

    start (before the grasp)  ->  see  ->  begin  ->  see x T  ->  release  ->  see x S, end  ->  trace

As iker_envs/stage/recorder.py, for one world and from what is known of it: an object that was not found in a row is NaN
there, and nobody measures the force on the hand. Rows of a tick say how old the pose of the object that is followed is,
and whether it was trusted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iker_envs.judging.trace import Trace
from iker_envs.perception.tracking import Tracked
from iker_envs.scene import Goal, Scene

_UNKNOWN = np.full(7, np.nan)


class Recorder:
    """The rows of one episode; `start` forgets those of the one before."""

    def __init__(self) -> None:
        self._objects: tuple[str, ...] = ()
        self._poses: list[np.ndarray] = []  # (O, 7) each
        self._hands: list[np.ndarray] = []  # (7,) each
        self._ages_s: list[float] = []
        self._trusted: list[bool] = []
        self._begun = 0
        self._released: int | None = None  # None while the policy acts
        self._moved: list[tuple[int, str]] = []
        self.grasp_problem = ""  # why no grasp was tried

    def start(self, objects: tuple[str, ...], found: Mapping[str, np.ndarray], hand: np.ndarray) -> None:
        """The hand, at a pose (7,), is about to go to work; all `objects` were found at poses (7,)."""
        self._objects = objects
        self._poses, self._hands, self._moved = [], [], []
        self._ages_s, self._trusted = [], []
        self._begun, self._released = 0, None
        self.grasp_problem = ""
        self.see(found, hand)

    def see(
        self, found: Mapping[str, np.ndarray], hand: np.ndarray | None = None, tracked: Tracked | None = None
    ) -> None:
        """A row: objects at poses (7,), those that are not there are unknown; the hand at a pose (7,), if known.

        `tracked` is the object that is followed in a tick; without it the row is of a look, found at this moment.
        """
        self._poses.append(np.array([found.get(name, _UNKNOWN) for name in self._objects]))
        self._hands.append(_UNKNOWN if hand is None else np.array(hand))
        self._ages_s.append(0.0 if tracked is None else tracked.age_s)
        self._trusted.append(tracked is None or tracked.trusted)

    def begin(self) -> None:
        """The policy begins in the newest row."""
        self._begun = len(self._poses) - 1

    def release(self) -> None:
        """The policy has ended in the newest row; a second call changes nothing."""
        if self._released is None:
            self._released = len(self._poses) - 1

    def note_move(self, name: str) -> None:
        """Somebody has put an object elsewhere; the next row shows it."""
        self._moved.append((len(self._poses), name))

    def trace(self, scene: Scene, goal: Goal, *, held: bool, out_of_time: bool) -> Trace:
        """The episode up to now; `held`: the object was in the hand when the policy began."""
        last = len(self._poses) - 1
        return Trace(
            scene=scene,
            goal=goal,
            objects=self._objects,
            object_pose=np.array(self._poses),
            hand_pose=np.array(self._hands),
            contact_N=np.full(last + 1, np.nan),
            begun=self._begun,
            released=last if self._released is None else self._released,
            out_of_time=out_of_time,
            held=held,
            grasp_problem=self.grasp_problem,
            moved=tuple((row, name) for row, name in self._moved if row <= last),
            pose_age_s=np.array(self._ages_s),
            pose_trusted=np.array(self._trusted),
        )
