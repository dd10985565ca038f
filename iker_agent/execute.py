"""A policy acts in the world: one stage at 10 Hz, grasp first where the goal asks for it, then finish and measure.

world, policy, goal [, grasp]  ->  execute  ->  Rollout(outcome, frames)

A world that can draw its pictures later leaves them undrawn: acting waits for no picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from iker_agent.learning.policy import Policy, PolicyFault
from iker_envs.scene import Goal, Grasp, Outcome
from iker_envs.spec import Spec
from iker_envs.world import Fault, World

_TICKS_PER_FRAME = 2
_FPS = round(Spec.control_hz / _TICKS_PER_FRAME)
_LAST_FRAMES = 3  # the end is shown for a moment before the video begins again

Frame = np.ndarray | Callable[[], np.ndarray]  # a picture (H, W, 3) uint8, or what draws it


@dataclass(frozen=True, eq=False)
class Rollout:
    """How a stage ended, and its pictures at `fps`, drawn or not yet, if a video was asked for.

    `lost` is True if the policy was stopped because the object was dropped, tipped over or fell; `fault` is what
    stopped the robot, None if nothing did.
    """

    outcome: Outcome
    lost: bool
    frames: list[Frame]
    fps: int = _FPS
    fault: Fault | None = None


class Bystander(Protocol):
    """Someone who watches a stage, and may lay hands on the world."""

    def begin(self, goal: Goal) -> None:
        """A stage begins."""

    def tick(self, error_m: float) -> None:
        """A tick of the policy has passed; the keypoints are this far from their targets."""

    def released(self) -> bool:
        """The hand has let go; True if the world was touched."""


def execute(
    world: World,
    policy: Policy,
    goal: Goal,
    grasp: Grasp | None = None,
    *,
    video: bool = False,
    bystander: Bystander | None = None,
) -> Rollout:
    """Run one stage from the world as it stands. The policy is deterministic; `finish()` is called at the end.

    PolicyFault if the policy gives an action that is not finite: it is not carried out.
    """
    observation, _ = world.reset(options={"world": "keep", "goal": goal, "grasp": grasp})
    if bystander:
        bystander.begin(goal)
    frames = _Frames(world if video else None)
    frames.take()
    tick = 0
    lost = False
    out_of_time = False
    fault: Fault | None = None
    while not (lost or out_of_time):
        action = policy.act(observation[None])[0]
        if not np.isfinite(action).all():
            raise PolicyFault(f"the policy gave an action that is no number, {action.tolist()}, after {tick} ticks")
        observation, _, lost, out_of_time, info = world.step(action)
        fault = info.get("fault")
        if bystander:
            bystander.tick(info["goal_error_m"])
        tick += 1
        if tick % _TICKS_PER_FRAME == 0:
            frames.take()
    outcome = world.finish()
    if bystander and bystander.released():
        outcome = world.finish()
    frames.take(_LAST_FRAMES)
    return Rollout(outcome, lost, frames.taken, fault=fault)


class _Frames:
    """Collects the pictures of a stage; without a world it collects none."""

    def __init__(self, world: World | None) -> None:
        self._world = world
        self._later: Callable[[], Frame | None] | None = getattr(world, "render_later", None)  # of a DrawnLater
        self.taken: list[Frame] = []

    def take(self, count: int = 1) -> None:
        """Add the world's present picture, `count` times."""
        if self._world is None:
            return
        picture = self._later() if self._later else self._world.render()
        if picture is not None:
            self.taken += [picture] * count
