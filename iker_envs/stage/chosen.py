"""Some worlds of a simulation, which the scripted motions move while the other ones wait.

Sim, worlds (M,)  ->  Chosen  ->  state and step of M worlds
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from iker_envs.sim import WorldState


class Motion(Protocol):
    """What a scripted motion needs of a simulation: a Sim, or some of its worlds."""

    @property
    def num_worlds(self) -> int:
        """N."""
        ...

    def state(self) -> WorldState:
        """As `Sim.state`."""
        ...

    def step(self, gripper_pose: np.ndarray, opening_m: np.ndarray, num_substeps: int) -> None:
        """As `Sim.step`."""
        ...


class Chosen:
    """The worlds (M,) of N. For the other ones no time passes where the engine can step some of its worlds.

    Elsewhere their hands, opened by `opening_m` (N,), hold still at `gripper_pose` (N, 7).
    """

    def __init__(self, sim: Motion, worlds: np.ndarray, gripper_pose: np.ndarray, opening_m: np.ndarray) -> None:
        self._sim = sim
        self._worlds = worlds
        self._gripper_pose = gripper_pose.copy()
        self._opening_m = opening_m.copy()
        if isinstance(sim, Chosen):  # some of some
            self._sim = sim._sim
            self._worlds = sim._worlds[worlds]
            self._gripper_pose = sim._gripper_pose.copy()
            self._gripper_pose[sim._worlds] = gripper_pose
            self._opening_m = sim._opening_m.copy()
            self._opening_m[sim._worlds] = opening_m
        self.num_worlds = len(self._worlds)

    def state(self) -> WorldState:
        """The present state of the worlds."""
        return WorldState(**{name: values[self._worlds] for name, values in vars(self._sim.state()).items()})

    def step(self, gripper_pose: np.ndarray, opening_m: np.ndarray, num_substeps: int) -> None:
        """Drive the hands of the worlds to poses (M, 7) and openings (M,)."""
        alone = getattr(self._sim, "step_worlds", None)
        if alone:
            alone(self._worlds, gripper_pose, opening_m, num_substeps)
            return
        self._gripper_pose[self._worlds] = gripper_pose
        self._opening_m[self._worlds] = opening_m
        self._sim.step(self._gripper_pose, self._opening_m, num_substeps)
