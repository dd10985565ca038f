"""The door to physics: N copies of one scene, advanced together.

`Sim` is what an engine offers; `iker_envs.physics.engines.make_sim` makes one by its name. Poses and SI quantities go
in, fresh arrays come out, and nothing here names an engine. tests/test_sim_contract.py holds every engine to what is
said here.

An Array is what `Sim.xp` makes on `Sim.device`. N worlds, O objects in `Sim.objects` order, F pieces of furniture in
`Sim.furniture` order, M <= N chosen worlds. Poses are (x, y, z, qw, qx, qy, qz) in the robot base frame, metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, Protocol

from iker_envs.geometry import Array
from iker_envs.scene import Scene


@dataclass(frozen=True, eq=False)
class Variant:
    """A scene's object models, and by which factor one of them is larger than it should be.

    All variants of one simulation have the same objects by name and order; models, sizes and masses differ.
    """

    scene: Scene
    scaled: str = ""  # name of that object
    scale: float = 1.0

    def scale_of(self, name: str) -> float:
        """Factor of an object's size."""
        return self.scale if name == self.scaled else 1.0


@dataclass(frozen=True)
class WorldState:
    """What physics knows, now. Fresh arrays: safe to keep across `step` and `reset`."""

    gripper_pose: Array  # (N, 7) end-effector frame
    opening_m: Array  # (N,) distance between the fingers
    object_pose: Array  # (N, O, 7)
    object_twist: Array  # (N, O, 6) linear m/s, then angular rad/s, both in world axes
    contact_force: Array  # (N, 3) net contact force on the gripper in newtons, world axes, last substep
    unstable: Array  # (N,) bool: diverged since its last reset; the row means nothing


@dataclass(frozen=True)
class WorldReset:
    """Rows for M worlds; velocities of what is put somewhere start at zero."""

    gripper_pose: Array  # (M, 7)
    opening_m: Array  # (M,)
    object_pose: Array | None  # (M, O, 7); None leaves the objects as they are, in motion or at rest
    opening_command_m: Array  # (M,) less than `opening_m` when the fingers squeeze
    furniture_pose: Array | None = None  # (M, F, 7); None leaves it where it is


class PictureData(Protocol):
    """One world of the model that cameras draw: joint positions, time, and the model that they belong to."""

    model: Any
    qpos: Any
    time: float


class Ticks(Protocol):
    """The part of a simulation that every tick uses: a Sim, or a Sim's worlds on arrays of another library.

    Where arrays live on an accelerator, their shapes are checked and their numbers are not: a number that is not finite
    makes its world unstable. Nothing is waited for there.
    """

    xp: ModuleType
    """The array library of what goes in and comes out."""
    device: str
    """Where its arrays live."""

    def state(self) -> WorldState:
        """As `Sim.state`."""
        ...

    def step(self, gripper_pose: Array, opening_m: Array, num_substeps: int) -> None:
        """As `Sim.step`."""
        ...


class SimulationError(RuntimeError):
    """The engine cannot go on as it should: no room for contacts, no process; the message names the way out."""


class Sim(Protocol):
    """N worlds of one scene on one engine.

    Every method raises ValueError, in one sentence and before anything has changed, for arrays of another shape, for
    numbers that are not finite or cannot be, and for worlds that are not ascending int indices; after `close` every
    method but `close` does.
    """

    name: str
    """The engine's name, as `make_sim` knows it."""
    num_worlds: int
    """N."""
    objects: tuple[str, ...]
    """The O movable objects of the scene, in its order, free or welded."""
    furniture: tuple[str, ...]
    """The F objects that never move in an episode."""
    free: tuple[str, ...]
    """The objects with a body of their own; the other ones of `objects` are welded where a reset puts them."""
    variant: Array
    """Which variant of the objects each world holds, (N,) int; all 0 at first. `randomize("geometry", ...)` sets it."""
    xp: ModuleType
    """The array library of what goes in and comes out: array_api_compat.numpy or .torch."""
    device: str
    """Where its arrays live: "cpu" or "cuda:0"."""
    substep_s: float
    """The engine's time step in seconds."""
    randomizable: Mapping[str, Literal["startup", "reset"]]
    """What `randomize` takes here: "reset" before any reset of a world, "startup" only before its first one."""

    def state(self) -> WorldState:
        """The present state of all worlds."""
        ...

    def step(self, gripper_pose: Array, opening_m: Array, num_substeps: int) -> None:
        """Lead all hands to the commanded poses (N, 7) and openings (N,), in `num_substeps` of `substep_s`.

        What the joints are told goes in a line from the command before to this one, as the arm's set points do
        (`real_env/stream.py`); after a reset, from where the hand was put.
        """
        ...

    def reset(self, worlds: Array, to: WorldReset) -> None:
        """Put the worlds (M,) into the rows of `to`, which `state` shows at once; the other worlds do not notice."""
        ...

    def randomize(self, what: str, worlds: Array, values: Array) -> None:
        """Set a physical quantity of the worlds (M,), to take effect with their next reset.

        `what` is a physical quantity of `iker_envs.randomisation.QUANTITIES`. By its operation the values are factors
        on what the world's variant has, or are added to it: (M, O) of each object or (M,) of the world, with a last
        axis of its size where that is above 1. They hold until the next call; welded objects ignore them.

        "geometry" takes indices (M,) of the variants given at construction, after which all quantities are nominal.
        ValueError names what can be randomised.
        """
        ...

    def get_state(self) -> dict[str, Any]:
        """Everything that `set_state` needs to go on from here to the last bit; can be pickled."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Return all worlds to an earlier `get_state` of the same scene, variants and number of worlds."""
        ...

    def mirror(self, world: int, data: PictureData) -> None:
        """Copy one world into host data of the pictures' model of the same scene, for cameras and debugging.

        Joint positions and time are written, and in the model the poses of what has no joint there. Velocities and
        everything that follows from joint positions are not.
        """
        ...

    def close(self) -> None:
        """Free the engine's memory and threads. May be called again."""
        ...
