"""Every reason for which the Isaac Gym worker is of no use, as a type and one sentence."""

from __future__ import annotations

from iker_envs.sim import SimulationError


class IsaacError(SimulationError):
    """The Isaac Gym worker cannot do what was asked; the sentence says what to do."""


class WorkerMissing(IsaacError):
    """There is no interpreter to run the worker with, or no isaacgym in it."""


class WorkerDied(IsaacError):
    """The worker ended while it was needed."""


class WorkerHangs(IsaacError):
    """The worker gave no answer in time and was ended."""


class WrongOrder(IsaacError):
    """The worker was asked for something that it can do only earlier or later."""


class WorkerFailed(IsaacError):
    """Isaac Gym raised an error in the worker."""
