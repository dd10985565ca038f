"""What a stage needs before it can act: a grasp, a policy, and a forecast that is good enough.

    scene, goal     ->  Preparer.prepare  ->  None, or a Refusal that says what happens in simulation
    Preparer.take   ->  Rehearsal

Below `run.act_above` nothing moves. A backend that can write another program is told so; the programs of one that
cannot are carried out with a note, since asking again would only give the same goal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from iker_agent.asking.goals import Refusal
from iker_agent.asking.placing import Placement
from iker_agent.learning.learner import Learned, Learner
from iker_agent.learning.policy import Policy, PolicyFault
from iker_agent.learning.progress import Report
from iker_agent.plan import Plan, forecast_settings
from iker_agent.records.record import StageRecord, save_policy_files, set_policy_aside
from iker_agent.records.run_folder import Folder
from iker_agent.rehearsal import Rehearsal, advice, rehearse
from iker_envs.scene import Goal, Grasp, Scene


class NoPolicy(Exception):
    """The learner makes no policy for a stage; the message says why."""


@dataclass
class Preparer:
    """Gets ready for one goal after another; `corrects` says whether who writes the programs can change them."""

    plan: Plan
    learner: Learner
    note: Callable[[str], None]
    report: Report
    corrects: bool = True
    policies: dict[bool, Policy] = field(default_factory=dict)  # the latest policy by grasp mode
    ready: Rehearsal | Exception = field(default_factory=lambda: NoPolicy("no goal was accepted"))

    def take(self) -> Rehearsal:
        """What will act on the goal that was prepared last; NoPolicy or PolicyFault says why nothing can."""
        if isinstance(self.ready, Exception):
            raise self.ready
        return self.ready

    def prepare(self, scene: Scene, goal: Goal, folder: Folder, record: StageRecord) -> Refusal | None:
        """Get ready to act on a goal; a Refusal if it would fail and the backend can still change its mind."""
        settings = forecast_settings(self.plan)
        seed = self.plan.config.seed
        began_s = time.monotonic() - record.learning_seconds

        def learn(grasp: Grasp | None) -> Learned:
            return self._learn(scene, goal, grasp, folder, record)

        try:
            self.ready = rehearse(scene, goal, learn, settings, seed, undaunted=not self.corrects)
        except PolicyFault as fault:  # the goal is not to blame
            self.ready = fault
            return None
        except ValueError as problem:
            self.ready = NoPolicy(str(problem))
            return Refusal(str(problem)) if self.corrects else None
        finally:
            record.deciding_seconds += time.monotonic() - began_s - record.learning_seconds
        record.forecast = self.ready.forecast
        if record.forecast is None:
            return None
        self.note(record.forecast.sentence)
        if record.forecast.rate >= settings.act_above:
            return None
        if self.corrects:
            set_policy_aside(folder)
            placement = Placement(scene, scene.object(goal.object), goal.grasp)

            def accepted(pose: np.ndarray) -> bool:
                return placement.fault(pose) is None

            return Refusal(advice(self.ready, scene, goal, settings, accepted, seed))
        record.notes = (f"{record.forecast.sentence}; carried out all the same, since the programs are written",)
        return None

    def _learn(self, scene: Scene, goal: Goal, grasp: Grasp | None, folder: Folder, record: StageRecord) -> Learned:
        """A policy for the goal, learned in copies of the scene; ValueError if the learner has none."""
        config = self.plan.config
        began_s = time.monotonic()
        try:
            learned = self.learner.learn(
                scene,
                goal,
                stage=record.number,
                init=self.policies.get(goal.grasp) if config.run.warm_start else None,
                seed=config.seed + record.number,
                report=self.report,
                grasp=grasp,
            )
        finally:
            record.learning_seconds += time.monotonic() - began_s
        record.env_steps += learned.rows[-1].steps if learned.rows else 0
        save_policy_files(folder, learned.policy, learned.rows)
        self.policies[goal.grasp] = learned.policy
        return learned
