"""A policy acts in the world: one stage at 10 Hz, grasp first where the goal asks for it, then finish and measure.

env, policy, goal [, grasp]  ->  execute  ->  Rollout(outcome, frames)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import gymnasium as gym
import numpy as np

from iker_agent.learning.policy import Policy, PolicyFault
from iker_envs.scene import Goal, Grasp, Outcome

_FRAME_EVERY = 2  # ticks: 5 pictures a second


@dataclass(frozen=True, eq=False)
class Rollout:
    """How a stage ended, and pictures (H, W, 3) uint8 at `fps` if the environment renders."""

    outcome: Outcome
    frames: list[np.ndarray]
    fps: int


class Bystander(Protocol):
    """Someone who watches a stage, and may lay hands on the world."""

    def begin(self, goal: Goal) -> None:
        """A stage begins."""

    def tick(self, error_m: float) -> None:
        """A tick has passed; the keypoints are this far from their targets."""

    def released(self) -> bool:
        """The hand has let go; True if the world was touched."""


def execute(
    env: gym.Env,
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
    observation, _ = env.reset(options={"world": "keep", "goal": goal, "grasp": grasp})
    if bystander:
        bystander.begin(goal)
    frames = [env.render()] if video else []
    ended = False
    tick = 0
    while not ended:
        action = policy.act(observation[None])[0]
        if not np.isfinite(action).all():
            raise PolicyFault(f"the policy gave an action that is no number, {action.tolist()}, after {tick} ticks")
        observation, _, terminated, truncated, info = env.step(action)
        if bystander:
            bystander.tick(info["goal_error_m"])
        ended = terminated or truncated
        tick = tick + 1
        if video and tick % _FRAME_EVERY == 0:
            frames.append(env.render())
    outcome = env.unwrapped.finish()
    if bystander and bystander.released():
        outcome = env.unwrapped.finish()
    if video:
        frames += [env.render()] * 3
    return Rollout(outcome, frames, round(env.metadata["render_fps"] / _FRAME_EVERY))
