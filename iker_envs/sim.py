"""The one door to physics: N copies of one scene, advanced together.

`Sim` is what an engine must offer. Poses and SI quantities go in, fresh arrays come out; nothing here names an engine.
An Array is what `Sim.xp` makes on `Sim.device`. N worlds, O objects in `Sim.objects` order, M <= N chosen worlds.
Poses are (x, y, z, qw, qx, qy, qz) in the robot base frame, metres.
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
    """A scene's object models, and by which factor one of them is larger than it should be."""

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
    contact_force: Array  # (N, 3) net contact force on the gripper in newtons, last substep
    unstable: Array  # (N,) bool: diverged since its last reset; the row means nothing


@dataclass(frozen=True)
class WorldReset:
    """Rows for M worlds; velocities of what is put somewhere start at zero."""

    gripper_pose: Array  # (M, 7)
    opening_m: Array  # (M,)
    object_pose: Array | None  # (M, O, 7); None leaves the objects as they are, in motion or at rest
    opening_command_m: Array  # (M,) less than `opening_m` when the fingers squeeze
    furniture_pose: Array | None = None  # (M, F, 7) in `Sim.furniture` order; None leaves it where it is


class Sim(Protocol):
    """N worlds of one scene on one engine."""

    num_worlds: int
    objects: tuple[str, ...]
    furniture: tuple[str, ...]  # what never moves in an episode: F names
    free: tuple[str, ...]  # the objects with a body of their own; the others are welded where a reset puts them
    xp: ModuleType
    device: str
    substep_s: float
    randomizable: Mapping[str, Literal["startup", "reset"]]  # what `randomize` takes here, and how late

    def state(self) -> WorldState:
        """The present state of all worlds."""
        ...

    def step(self, gripper_pose: Array, opening_m: Array, num_substeps: int) -> None:
        """Hold the commanded poses (N, 7) and openings (N,) for `num_substeps`."""
        ...

    def reset(self, worlds: Array, to: WorldReset) -> None:
        """Put the worlds with these ascending int indices (M,) into `to`; the others do not notice."""
        ...

    def randomize(self, what: str, worlds: Array, values: Array) -> None:
        """Set a physical quantity in SI before a reset of the worlds (M,).

        Per object: friction (M, O), mass (M, O), com_offset (M, O, 3), restitution (M, O, damping ratio of contacts),
        compliance (M, O, their time constant in s). Per world: geometry (M,), index of a variant given at construction.
        """
        ...

    def get_state(self) -> dict[str, Any]:
        """Everything that `set_state` needs to go on from here to the last bit."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Return all worlds to an earlier `get_state` of the same scene and number of worlds."""
        ...

    def mirror(self, world: int, data: Any) -> None:
        """Copy one world into the host data of the pictures' model of the same scene, for cameras and debugging."""
        ...

    def close(self) -> None:
        """Free the engine's memory."""
        ...
