"""Keeps what N worlds did in their present episodes, tick by tick, so that it can be said afterwards what happened.

    start (before the grasp)  ->  begin  ->  see x T  ->  release  ->  see x S  ->  trace(world)

A row is the WorldState that physics gave anyway: recording costs a reference a tick. Worlds that are to be told apart
afterwards begin together; what was kept of earlier episodes is forgotten when all of them begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from iker_envs.geometry import norm
from iker_envs.judging.trace import Trace
from iker_envs.scene import Goal, Scene
from iker_envs.sim import WorldState


@dataclass(eq=False)
class Recorder:
    """The rows of N worlds, and at which of them their episodes began and the hands let go."""

    num_worlds: int
    rows: list[WorldState] = field(default_factory=list)
    first: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))  # (N,) row before the hand did anything
    begun: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))  # (N,) row in which the policy began
    released: int | None = None  # the row in which the policies ended; None while they act
    moved: list[tuple[int, int, str]] = field(default_factory=list)  # row, world, object that somebody moved
    grasp_problem: str = ""  # why no grasp was tried
    _waiting: bool = False  # `start` was called, and no episode has begun yet

    def start(self, state: WorldState) -> None:
        """The hands are about to go to work, perhaps to grasp; their episodes begin later."""
        self._forget(state)
        self._waiting = True

    def begin(self, worlds: np.ndarray, state: WorldState) -> None:
        """The policies of the worlds (M,) begin."""
        if self._waiting:
            self.rows.append(state)
            self.begun[:] = 1
            self._waiting = False
            return
        if len(worlds) == self.num_worlds or not self.rows:
            self._forget(state)
            return
        self.see(state)
        self.first[worlds] = self.begun[worlds] = len(self.rows) - 1

    def _forget(self, state: WorldState) -> None:
        self.rows = [state]
        self.first = np.zeros(self.num_worlds, dtype=int)
        self.begun = np.zeros(self.num_worlds, dtype=int)
        self.released = None
        self.moved = []
        self.grasp_problem = ""

    def act(self, state: WorldState) -> None:
        """A tick of the policies has passed."""
        self.released = None
        self.see(state)

    def see(self, state: WorldState) -> None:
        """A tick has passed."""
        self.rows.append(state)

    def release(self) -> None:
        """The policies have ended; a second call changes nothing."""
        if self.released is None:
            self.released = len(self.rows) - 1

    def note_move(self, world: int, name: str, state: WorldState) -> None:
        """Somebody has put an object of a world elsewhere; `state` shows it."""
        self.see(state)
        self.moved.append((len(self.rows) - 1, world, name))

    def trace(
        self, world: int, scene: Scene, goal: Goal, objects: tuple[str, ...], *, held: bool, out_of_time: bool
    ) -> Trace:
        """What one world did in its present episode, up to now; `held`: the object was in the hand when it began."""
        first = int(self.first[world])
        rows = self.rows[first:]
        released = len(self.rows) - 1 if self.released is None else self.released
        return Trace(
            scene=scene,
            goal=goal,
            objects=objects,
            object_pose=np.stack([row.object_pose[world] for row in rows]),
            hand_pose=np.stack([row.gripper_pose[world] for row in rows]),
            contact_N=norm(np.stack([row.contact_force[world] for row in rows])),
            begun=int(self.begun[world]) - first,
            released=released - first,
            out_of_time=out_of_time,
            held=held,
            grasp_problem=self.grasp_problem,
            moved=tuple((row - first, name) for row, w, name in self.moved if w == world and row >= first),
        )

    def copy(self) -> Recorder:
        """The same, to be kept; rows are shared, since nothing writes into them."""
        return replace(
            self, rows=list(self.rows), first=self.first.copy(), begun=self.begun.copy(), moved=list(self.moved)
        )
