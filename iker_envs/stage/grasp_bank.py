"""A few physically grasped states for every world, so that an episode need not begin with three seconds of grasping.

worlds  ->  grasp in physics, several times, once  ->  pick(worlds)  ->  rows to reset to
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from iker_envs.sim import WorldReset
from iker_envs.stage import subroutines
from iker_envs.stage.arrangements import Arrangement

if TYPE_CHECKING:
    from iker_envs.stage.worlds import StageWorlds

_TRIES = 3  # banks that a world fills until one has a state to begin with
_COLUMNS = ("gripper_pose", "opening_m", "object_pose", "opening_command_m", "furniture_pose")


@dataclass(frozen=True, eq=False)
class WorldBank:
    """One world's grasped states, and the physical parameters they were made with (row -> (O, size))."""

    rows: tuple[dict[str, np.ndarray], ...]
    starts: tuple[Arrangement, ...]
    held: tuple[bool, ...]
    still: tuple[bool, ...]  # nothing else moves in the state
    drawn: dict[str, np.ndarray]

    @property
    def good(self) -> list[int]:
        """The states that hold the object while nothing else moves."""
        return [k for k, flags in enumerate(zip(self.held, self.still, strict=True)) if all(flags)]

    def choose(self, rng: np.random.Generator) -> int:
        """A random good state, else one that holds the object, else any."""
        held = [k for k, held in enumerate(self.held) if held]
        return int(rng.choice(self.good or held or range(len(self.held))))


class GraspBank:
    """Grasped states by world and configuration, `size` of each."""

    def __init__(self, size: int, num_worlds: int) -> None:
        self._size = size
        self._bank: list[dict[int | None, WorldBank]] = [{} for _ in range(num_worlds)]

    def forget(self, worlds: np.ndarray) -> None:
        """Grasp anew when states of the worlds (M,) are wanted again."""
        for world in worlds:
            self._bank[world] = {}

    def pick(
        self, stage: StageWorlds, worlds: np.ndarray, configuration: int | None
    ) -> tuple[list[Arrangement], WorldReset, np.ndarray]:
        """For the worlds (M,): the starts that their states came from, the states, and whether the hand holds (M,)."""
        missing = [w for w in worlds if configuration not in self._bank[w]]
        for _ in range(_TRIES):
            if missing:
                self._fill(stage, configuration, np.array(missing))
            missing = [w for w in missing if not self._bank[w][configuration].good]
        banks = [self._bank[w][configuration] for w in worlds]
        chosen = [(bank, bank.choose(stage.rngs[w])) for bank, w in zip(banks, worlds, strict=True)]
        for bank, w in zip(banks, worlds, strict=True):
            stage.physics.take(w, bank.drawn)
        rows = WorldReset(*(np.array([bank.rows[k][name] for bank, k in chosen]) for name in _COLUMNS))
        return [bank.starts[k] for bank, k in chosen], rows, np.array([bank.held[k] for bank, k in chosen])

    def _fill(self, stage: StageWorlds, configuration: int | None, worlds: np.ndarray) -> None:
        """Grasp in physics in all worlds, for the chosen ones (M,); afterwards the others are where they were."""
        before = stage.get_state() if len(worlds) < stage.num_worlds else None
        stage.physics.draw(np.arange(stage.num_worlds), stage.rngs)
        states = [subroutines.grasped_states(stage, configuration) for _ in range(self._size)]
        drawn = stage.physics.get_state()
        if before is not None:
            after = stage.get_state()
            for name in ("rngs", "arrangements"):  # the chosen worlds have drawn, whatever stands beside them
                for w in worlds:
                    before[name][w] = after[name][w]
            stage.set_state(before)
        for w in worlds:
            rows = tuple({name: getattr(s.rows, name)[w] for name in _COLUMNS} for s in states)
            held, still = (tuple(bool(getattr(s, name)[w]) for s in states) for name in ("held", "still"))
            of_world = {name: values[w] for name, values in drawn.items()}
            bank = WorldBank(rows, tuple(s.starts[w] for s in states), held, still, of_world)
            self._bank[w] = {**self._bank[w], configuration: bank}

    def get_state(self) -> list[dict[int | None, WorldBank]]:
        """All states."""
        return [dict(banks) for banks in self._bank]

    def set_state(self, state: list[dict[int | None, WorldBank]]) -> None:
        """Go back to an earlier `get_state`."""
        self._bank = [dict(banks) for banks in state]
