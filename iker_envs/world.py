"""The one door to a world in which a robot acts: what the loop and evaluation use of it, simulated or made of metal.

    reset  ->  view  ->  reset(world="keep", goal=...)  ->  step x T  ->  finish  ->  Outcome

Poses are (x, y, z, qw, qx, qy, qz) in the robot base frame, metres. Where there is no truth (a laboratory, a robot),
`scene`, the success in `info` and the Outcome come from estimates of the objects' poses, and are documented as such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from iker_envs.scene import Outcome, Scene, View


@dataclass(frozen=True)
class Fault:
    """What stopped a robot in the middle of an episode, and what was done about it; simulations have none."""

    kind: str  # one of a fixed list, such as "collision" (real_env/faults.py)
    message: str  # one sentence: what happened, with the code or the number
    recovered: bool  # the arm is ready again, without anybody's help
    action: str  # what is left for a person to do; "" if nothing

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.message}; {self.action or 'the arm recovered by itself'}"


class WorldFault(RuntimeError):
    """A world cannot go on, and only the way out that the fault names helps."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class DrawnLater(Protocol):
    """What a World may have beside its own: pictures of the present that are drawn when there is time for them."""

    def render_later(self) -> Callable[[], np.ndarray] | None:
        """A function that draws what `render` shows now, or None; it can be pickled for another process."""
        ...


@runtime_checkable
class World(Protocol):
    """One world with a robot, movable objects and cameras; `iker_envs.env.StageEnv` is the simulated one.

    Every method raises ValueError with one sentence for what cannot be done, before anything has happened.
    """

    @property
    def template(self) -> Scene:
        """What the world is made of: object models, furniture where it stands, cameras, workspace.

        The poses of movable objects mean nothing; `view` is how to find them.
        """
        ...

    @property
    def scene(self) -> Scene:
        """The scene with the objects where they are now: simulation's truth, elsewhere the latest estimate."""
        ...

    @property
    def has_truth(self) -> bool:
        """Is `scene` the truth, as in a simulation, and not an estimate?"""
        ...

    def view(self) -> View:
        """What every camera sees, the hand out of sight: rgb (H, W, 3) uint8, depth (H, W) in metres, camera poses.

        Never in mid-episode: a robot has to drive the hand away first.
        """
        ...

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; returns the observation (D,) float32 of `iker_envs.spec` and `info`.

        `options`: "world" is "new" (objects are placed anew; on a robot, by a person) or "keep" (they stay where they
        are), "look" leaves the empty hand out of a new world, "configuration" says which arrangement it has; "goal" (a
        Goal or its dictionary) and "grasp" (a Grasp, its dictionary or None) say what to do in a world that is kept.
        """
        ...

    def render(self) -> np.ndarray | None:
        """A picture (H, W, 3) uint8 of the world as it is, for videos; None from a world that makes none."""
        ...

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One tick of 0.1 s under an action (6,) in [-1, 1]: observation (D,), reward, terminated, truncated, info.

        Terminated: the object is lost. Truncated: the time limit, or a robot that was stopped: then `info` has "fault",
        a Fault. `info` always has "is_success", "is_success_strict" and "goal_error_m".
        """
        ...

    def finish(self) -> Outcome:
        """Open the hand, retreat, wait until all is still and measure how the stage ended."""
        ...

    def move(self, name: str, pose: np.ndarray) -> None:
        """Put the object of this name at a pose (7,), at rest, as a person would; on a robot, ask a person to."""
        ...

    def close(self) -> None:
        """Free what the world holds."""
        ...
