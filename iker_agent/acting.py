"""A stage is carried out in the world; a missed grasp is tried again at once, from a fresh look.

    Rehearsal, goal  ->  Actor.act  ->  Rollout, and what happened on the way in a sentence each

Nothing is learned anew for another grasp: the policy goes on from whatever the hand holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from iker_agent.execute import Bystander, Frame, Rollout, execute
from iker_agent.plan import Plan, forecast_settings
from iker_agent.records.run_folder import Folder
from iker_agent.rehearsal import Rehearsal, choose_grasps
from iker_agent.seeing.look import look
from iker_envs.perception import Estimator
from iker_envs.planning.grasps import grasp_in_object
from iker_envs.scene import Goal, Grasp, Scene
from iker_envs.world import World


@dataclass(frozen=True)
class Actor:
    """Acts in a world as a plan's settings say; `note` is told of every grasp that was missed."""

    plan: Plan
    world: World
    estimator: Estimator
    bystander: Bystander
    note: Callable[[str], None]

    def act(self, ready: Rehearsal, goal: Goal, seen: Scene, folder: Folder) -> tuple[Rollout, list[str]]:
        """Carry a stage out from the scene that was seen; later looks leave their files in folders of their own."""
        run = self.plan.config.run
        grasps = ready.grasps
        tried: list[np.ndarray] = []  # grasps that missed, in the object's frame
        events: list[str] = []
        frames: list[Frame] = []
        while True:
            grasp = grasps[0] if grasps else None
            rollout = execute(self.world, ready.policy, goal, grasp, video=run.video, bystander=self.bystander)
            frames += rollout.frames
            if grasp is None or rollout.outcome.grasped or len(tried) == run.regrasps:
                return replace(rollout, frames=frames), events
            tried.append(grasp_in_object(grasp, seen.object(goal.object).pose))
            events.append(f"the hand missed {goal.object}; it looks again and tries another grasp")
            self.note(events[-1])
            try:
                seen, grasps = self._look_again(goal, tried, folder)
            except ValueError as problem:
                events.append(f"no other grasp was tried: {problem}")
                self.note(events[-1])
                return replace(rollout, frames=frames), events

    def _look_again(self, goal: Goal, tried: list[np.ndarray], folder: Folder) -> tuple[Scene, tuple[Grasp, ...]]:
        """The scene of a fresh look, and the grasps there that were not tried; ValueError if none is left."""
        place = Folder(folder.path / f"look_{len(tried) + 1}")
        scene = look(self.world, self.estimator, place, self.plan.config.run.contract).scene
        seed = self.plan.config.seed + len(tried)
        return scene, choose_grasps(scene, goal, forecast_settings(self.plan), seed, tried, undaunted=True)
