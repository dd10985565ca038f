"""Which learner a run uses.

make_learner(config)  ->  Learner: learn(scene, goal, ...)  ->  Learned(policy, rows)
"""

from __future__ import annotations

from iker_agent.config import RunConfig
from iker_agent.learning.forecast import ForecastSettings
from iker_agent.learning.learner import Learner
from iker_agent.learning.waypoint import WaypointLearner


def make_learner(config: RunConfig, copies: ForecastSettings | None = None) -> Learner:
    """The learner that `config.learner` names: `ppo` trains a policy, `waypoint` makes a fixed rule.

    `copies` says how a ready policy is tried before anything is trained.
    """
    if config.learner == "waypoint":
        return WaypointLearner()
    from iker_agent.learning.ppo import PPOLearner  # torch and skrl load only when something may be trained

    return PPOLearner(config.learn, config.randomisation, copies or ForecastSettings())
