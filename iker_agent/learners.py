"""Which learner a run uses: from the configuration to one function that all stages call.

make_learner(config)  ->  learner(scene, goal, init, seed, report)  ->  (policy, rows of the training diary)
"""

from __future__ import annotations

from collections.abc import Callable

from iker_agent.config import RunConfig
from iker_agent.learning.policy import Policy
from iker_agent.learning.progress import Row
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.scene import Goal, Scene

Learner = Callable[[Scene, Goal, Policy | None, int, Callable[[Row], None] | None], tuple[Policy, list[Row]]]


def make_learner(config: RunConfig) -> Learner:
    """`ppo` trains, `waypoint` needs no training and leaves no rows."""
    if config.learner == "waypoint":
        return lambda scene, goal, init, seed, report: (WaypointLearner().learn(scene, goal), [])
    return lambda *arguments: _train(config, *arguments)


def _train(config: RunConfig, scene: Scene, goal: Goal, init, seed: int, report) -> tuple[Policy, list[Row]]:
    from iker_agent.learning.ppo import PPOLearner  # torch and skrl load only when something is trained

    rows: list[Row] = []

    def keep(row: Row) -> None:
        rows.append(row)
        if report:
            report(row)

    learner = PPOLearner(config.learn, config.randomisation)
    return learner.learn(scene, goal, init, seed, keep), rows
