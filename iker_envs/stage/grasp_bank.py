"""Physically grasped states of every world: made by grasping in physics, kept so that episodes may begin with them.

worlds (M,)  ->  missing ones grasp, all at once  ->  a state of each  ->  as_reset  ->  Sim.reset
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import pose_compose
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.randomisation import Randomisation
from iker_envs.sim import Sim, WorldReset
from iker_envs.stage.arrangements import Arrangement, Arrangements, weighted
from iker_envs.stage.chosen import Chosen
from iker_envs.stage.parameters import Physics
from iker_envs.stage.subroutines import RETREAT_M, at_rest, behind, pick_up, with_grasp_error

_TRIES = 3  # how often a world grasps anew before it makes do with a state that is not good


@dataclass(frozen=True, eq=False)
class GraspedState:
    """One world after the hand has picked up the goal's object, or tried to; O objects."""

    start: Arrangement  # where it stood before
    gripper_pose: np.ndarray  # (7,)
    opening_m: float
    object_pose: np.ndarray  # (O, 7)
    opening_command_m: float
    held: bool  # the hand holds the object
    still: bool  # nothing else moves


def as_reset(states: Sequence[GraspedState]) -> WorldReset:
    """What puts M worlds into their states."""
    return WorldReset(
        gripper_pose=np.array([s.gripper_pose for s in states]),
        opening_m=np.array([s.opening_m for s in states]),
        object_pose=np.array([s.object_pose for s in states]),
        opening_command_m=np.array([s.opening_command_m for s in states]),
        furniture_pose=np.array([s.start.furniture_pose for s in states]),
    )


@dataclass(frozen=True, eq=False)
class WorldBank:
    """One world's grasped states, and the physical parameters that they were made with (row -> (O, size))."""

    states: tuple[GraspedState, ...]
    drawn: dict[str, np.ndarray]

    @property
    def good(self) -> list[GraspedState]:
        """The states that hold the object while nothing else moves."""
        return [state for state in self.states if state.held and state.still]

    def choose(self, rng: np.random.Generator, weights: np.ndarray | None = None) -> GraspedState:
        """A random good state, else one that holds the object, else any; by weights (C,) of their configurations."""
        candidates = self.good or [state for state in self.states if state.held] or self.states
        if weights is None:
            return candidates[rng.choice(len(candidates))]
        return candidates[weighted(rng, weights[[state.start.configuration for state in candidates]])]


class SharedStates:
    """Grasped states that several simulations of one stage begin with: the same source and randomisation."""

    def __init__(self) -> None:
        self._there: dict[int | None, list[tuple[WorldBank, GraspedState]]] = {}

    def add(self, configuration: int | None, banks: Sequence[WorldBank]) -> None:
        """The good states of some worlds, or all of them where none is good."""
        good = [(bank, state) for bank in banks for state in bank.good]
        every = [(bank, state) for bank in banks for state in bank.states]
        self._there[configuration] = good or every

    def of(self, configuration: int | None) -> list[tuple[WorldBank, GraspedState]]:
        """The states, each beside the bank that it is of."""
        return self._there.get(configuration, [])

    def choose(
        self, configuration: int | None, rngs: Sequence[np.random.Generator], weights: np.ndarray | None
    ) -> list[tuple[WorldBank, GraspedState]]:
        """One state for each of M generators, by weights (C,) of their configurations where there are any."""
        there = self.of(configuration)
        if weights is None:
            return [there[rng.integers(len(there))] for rng in rngs]
        mine = weights[[state.start.configuration for _, state in there]]
        return [there[weighted(rng, mine)] for rng in rngs]


class GraspBank:
    """Grasped states by world and configuration, `size` of each; with size 0 every pick grasps anew.

    With `shared` set, every world picks among the states of all worlds that are there, and grasps only where there are
    none; then what world i begins with depends on the worlds beside it.
    """

    def __init__(
        self,
        size: int,
        sim: Sim,
        substeps: int,
        physics: Physics,
        arrangements: Arrangements,
        randomisation: Randomisation,
    ) -> None:
        self._size = size
        self._sim = sim
        self._substeps = substeps
        self._physics = physics
        self._arrangements = arrangements
        self._randomisation = randomisation
        self._banks: list[dict[int | None, WorldBank]] = [{} for _ in range(sim.num_worlds)]
        self.shared: SharedStates | None = None
        self.weights: np.ndarray | None = None  # (C,) by configuration, as in `Arrangements`

    def forget(self, worlds: np.ndarray) -> None:
        """Grasp anew when states of the worlds (M,) are wanted again."""
        for world in worlds:
            self._banks[world] = {}

    def pick(
        self, worlds: np.ndarray, configuration: int | None, rngs: Sequence[np.random.Generator]
    ) -> list[GraspedState]:
        """A state for each of the worlds (M,), whose physical parameters are drawn to fit; N generators.

        The simulated worlds (M,) are left in any state, to be reset; the other ones are where they were.
        """
        if self._size == 0:
            self.forget(worlds)
        if self.shared is not None:
            if not self.shared.of(configuration):
                self._complete(worlds, configuration, rngs)
                self.shared.add(configuration, [self._banks[w][configuration] for w in worlds])
            chosen = self.shared.choose(configuration, [rngs[w] for w in worlds], self.weights)
        else:
            self._complete(worlds, configuration, rngs)
            banks = [self._banks[w][configuration] for w in worlds]
            chosen = [(bank, bank.choose(rngs[w], self.weights)) for w, bank in zip(worlds, banks, strict=True)]
        for w, (bank, _) in zip(worlds, chosen, strict=True):
            self._physics.take(w, bank.drawn)
        return [state for _, state in chosen]

    def _complete(self, worlds: np.ndarray, configuration: int | None, rngs: Sequence[np.random.Generator]) -> None:
        """Grasp where worlds (M,) have no states yet."""
        missing = [w for w in worlds if configuration not in self._banks[w]]
        for _ in range(_TRIES):
            if missing:
                self._fill(np.array(missing), configuration, rngs)
            missing = [w for w in missing if not self._banks[w][configuration].good]

    def _fill(self, worlds: np.ndarray, configuration: int | None, rngs: Sequence[np.random.Generator]) -> None:
        """Grasp in physics until each of the worlds (M,) has its states."""
        together = len(worlds) < self._sim.num_worlds and not getattr(self._sim, "step_worlds", None)
        before = self._sim.get_state() if together else None  # physics can only step all worlds together
        self._physics.draw(worlds, rngs)
        rounds = [self._grasp(worlds, configuration, rngs) for _ in range(max(1, self._size))]
        for w, states in zip(worlds, zip(*rounds, strict=True), strict=True):
            drawn = {name: values[w].copy() for name, values in self._physics.drawn.items()}
            self._banks[w] = {**self._banks[w], configuration: WorldBank(states, drawn)}
        if before is not None:
            self._sim.set_state(before)

    def _grasp(
        self, worlds: np.ndarray, configuration: int | None, rngs: Sequence[np.random.Generator]
    ) -> list[GraspedState]:
        """Draw a start for each of the worlds (M,), grasp there, and return where that left things."""
        sim = self._sim
        # the source's own goals, since one that is given may change while the states are kept
        starts = self._arrangements.draw(worlds.tolist(), rngs, configuration, [None] * len(worlds))
        self._physics.apply(worlds, np.array([s.variant for s in starts]))
        poses = np.array([s.object_pose for s in starts])
        index = np.array([sim.objects.index(s.goal.object) for s in starts])
        local, widths = (np.array(column) for column in zip(*map(self._arrangements.grasp, starts), strict=True))
        nominal = pose_compose(poses[np.arange(len(worlds)), index], local)
        tcp = np.array(
            [with_grasp_error(pose, self._randomisation, rngs[w]) for pose, w in zip(nominal, worlds, strict=True)]
        )
        furniture = np.array([s.furniture_pose for s in starts])
        opening = np.full(len(worlds), MAX_OPENING_M)
        sim.reset(worlds, WorldReset(behind(tcp, RETREAT_M), opening, poses, opening, furniture))
        return self._pick_up(worlds, starts, tcp, widths, index)

    def _pick_up(
        self, worlds: np.ndarray, starts: list[Arrangement], tcp: np.ndarray, widths: np.ndarray, index: np.ndarray
    ) -> list[GraspedState]:
        """Grasp at poses (M, 7) in the worlds (M,); in the other ones the hand stays where it is."""
        sim = self._sim
        hands = sim.state().gripper_pose
        moved = Chosen(sim, worlds, hands, np.zeros(sim.num_worlds)) if len(worlds) < sim.num_worlds else sim
        picked = pick_up(moved, self._substeps, tcp, widths, index)
        still = at_rest(picked.state, besides=index)
        return [
            GraspedState(
                start=start,
                gripper_pose=picked.state.gripper_pose[k].copy(),
                opening_m=picked.state.opening_m[k],
                object_pose=picked.state.object_pose[k].copy(),
                opening_command_m=picked.opening_command_m[k],
                held=bool(picked.held[k]),
                still=bool(still[k]),
            )
            for k, start in enumerate(starts)
        ]

    def get_state(self) -> list[dict[int | None, WorldBank]]:
        """All states."""
        return [dict(banks) for banks in self._banks]

    def set_state(self, state: list[dict[int | None, WorldBank]]) -> None:
        """Go back to an earlier `get_state`."""
        self._banks = [dict(banks) for banks in state]
