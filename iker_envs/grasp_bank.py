"""A few physically grasped states for every world, so that an episode need not begin with three seconds of grasping.

worlds  ->  grasp in physics, several times, once  ->  pick(worlds)  ->  rows to reset to
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from iker_envs import subroutines
from iker_envs.arrangements import Arrangement
from iker_envs.sim import WorldReset

if TYPE_CHECKING:
    from iker_envs.stage import StageWorlds

_COLUMNS = ("gripper_pose", "opening_m", "object_pose", "opening_command_m", "furniture_pose")
States = dict[int | None, tuple[subroutines.GraspedStates, ...]]


class GraspBank:
    """Grasped states by configuration, `size` for every world."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._states: States = {}

    def forget(self) -> None:
        """Grasp anew when states are wanted again."""
        self._states = {}

    def pick(
        self, stage: StageWorlds, worlds: np.ndarray, configuration: int | None
    ) -> tuple[list[Arrangement], WorldReset, np.ndarray]:
        """For the worlds (M,): the starts that their states came from, the states, and whether the hand holds (M,)."""
        if configuration not in self._states:
            self._fill(stage, configuration, keep=len(worlds) < stage.num_worlds)
        bank = self._states[configuration]
        pairs = [(bank[_choose(bank, w, stage.rngs[w])], w) for w in worlds]
        columns = [np.array([getattr(entry.rows, name)[w] for entry, w in pairs]) for name in _COLUMNS]
        return [e.starts[w] for e, w in pairs], WorldReset(*columns), np.array([e.held[w] for e, w in pairs])

    def _fill(self, stage: StageWorlds, configuration: int | None, *, keep: bool) -> None:
        """Grasp in physics in all worlds; with `keep`, afterwards they are where they were."""
        before = stage.get_state() if keep else None
        stage.physics.draw(np.arange(stage.num_worlds), stage.rngs)
        states = tuple(subroutines.grasped_states(stage, configuration) for _ in range(self._size))
        if before is not None:
            stage.set_state(before)
        self._states[configuration] = states

    def get_state(self) -> States:
        """All states."""
        return dict(self._states)

    def set_state(self, state: States) -> None:
        """Go back to an earlier `get_state`."""
        self._states = dict(state)


def _choose(bank: Sequence[subroutines.GraspedStates], world: int, rng: np.random.Generator) -> int:
    """A random entry of the world's bank, one that holds the object if there is any."""
    good = [k for k, entry in enumerate(bank) if entry.held[world]]
    return int(rng.choice(good or range(len(bank))))
