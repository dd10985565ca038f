"""The `ppo` learner of the loop: a policy for one stage, trained in randomised copies of its scene.

    learn(scene, goal, init)  ->  candidates tried as they are  ->  Training  ->  Learned(NetworkPolicy, rows)

An earlier policy of the run, or one that is shipped for the family of the stage, is tried before anything is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from iker_agent.learning.evaluate import strict_success
from iker_agent.learning.learner import Learned, Report
from iker_agent.learning.network import NetworkPolicy
from iker_agent.learning.policy import Policy
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.shipped import shipped_for
from iker_agent.learning.training import Judge, Training
from iker_agent.learning.training_worlds import make_worlds
from iker_envs.scene import Goal, Scene

# For a policy that can do the task roughly: at the default 10 per metre, brushing against a neighbour to arrive sooner
# pays, and strict success falls to a half while the object is where it should be. From scratch it would only deter.
_WARM_REWARDS = {"others_cost": 40.0}


@dataclass(frozen=True)
class PPOLearner:
    """Trains a policy for one stage."""

    config: PPOConfig = field(default_factory=PPOConfig)
    randomisation: object = None

    def learn(
        self,
        scene: Scene,
        goal: Goal,
        *,
        stage: int = 1,
        init: Policy | None = None,
        seed: int = 0,
        report: Report | None = None,
    ) -> Learned:
        """Train until strict success is good enough or the budget ends; see `learner.Learner`.

        `init` and the shipped policy are tried before anything is trained. An `init` that is no network is left out.
        """
        torch.set_num_threads(1)  # two busy pools of threads on few cores slow each other down several times
        kwargs = {"scene": scene, "goal": goal, "randomisation": self.randomisation}
        ready = [init, shipped_for(scene, goal)] if self.config.warm_start else [init]
        candidates = [policy for policy in ready if isinstance(policy, NetworkPolicy)]
        make = {"num_threads": self.config.num_threads, "rewards": _WARM_REWARDS if candidates else {}, **kwargs}
        env = make_worlds(self.config.num_envs, random_first_age=True, **make)
        try:
            judge = fresh_copies(self.config.eval_envs, make)
            training = Training(env, self.config, judge, seed=seed, report=report, candidates=candidates)
            policy = training.run()
            return Learned(policy, tuple(training.progress.rows))
        finally:
            env.close()


def fresh_copies(num_envs: int, make: dict[str, Any]) -> Judge:
    """Judges a policy by its deterministic strict success in each of `num_envs` fresh copies of an environment."""
    return lambda policy, seed: strict_success(policy, num_envs=num_envs, seed=seed, **make)
