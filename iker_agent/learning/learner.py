"""What a learner is to everyone else: from a scene and a goal to a policy, and the log of how it was learned.

    learn(scene, goal)  ->  Learned(policy, rows)

`PPOLearner` (ppo.py) trains, `WaypointLearner` (waypoint.py) makes a fixed rule; the loop does not tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from iker_agent.learning.forecast import Forecast
from iker_agent.learning.policy import Policy
from iker_agent.learning.progress import Report, TrainingRow
from iker_envs.scene import Goal, Grasp, Scene


@dataclass(frozen=True)
class Learned:
    """A policy, and the rows of the training log that led to it: none if nothing had to be trained."""

    policy: Policy
    rows: tuple[TrainingRow, ...] = ()
    forecast: Forecast | None = None  # how the whole stage ended in copies, where the learner has seen that already
    doubt: str = ""  # why the policy will hardly do it, a clause; it is told where copies show that it does not


class Learner(Protocol):
    """Makes a policy for one stage of a task."""

    def learn(
        self,
        scene: Scene,
        goal: Goal,
        *,
        stage: int = 1,
        init: Policy | None = None,
        seed: int = 0,
        report: Report | None = None,
        grasp: Grasp | None = None,
    ) -> Learned:
        """The policy for `goal`, learned in copies of `scene`.

        `stage` is the number of the stage in its run, counted from 1; `init` an earlier policy of the run that may be
        a good start; `seed` fixes everything random; `report` is called with every row of the training log when it is
        written; `grasp` is how the hand will hold the object, base frame, the best proposal if None. ValueError says
        why the learner cannot make a policy for this goal.
        """
        ...
