"""The `ppo` learner of the loop: a policy for one stage, trained in randomised copies of its scene.

    learn(scene, goal, init)  ->  candidates tried as they are  ->  Training  ->  Learned(NetworkPolicy, rows)

An earlier policy of the run, one that is shipped for the family of the stage, and the waypoint rule are tried before
anything is trained, in the copies in which the stage is rehearsed.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from iker_agent.learning.copies import Copies
from iker_agent.learning.evaluate import StrictCopies
from iker_agent.learning.forecast import Forecast, ForecastSettings, foresee, policy_copies
from iker_agent.learning.learner import Learned, Report
from iker_agent.learning.network import NetworkPolicy
from iker_agent.learning.policy import Policy
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.progress import TrainingRow
from iker_agent.learning.sequential import SequentialTest
from iker_agent.learning.shipped import shipped_for
from iker_agent.learning.training import Training, goal_header
from iker_agent.learning.training_worlds import arrays_for, make_worlds
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.planning.grasps import propose_grasps
from iker_envs.randomisation import as_randomisation
from iker_envs.scene import Goal, Grasp, Scene
from iker_envs.stage.grasp_bank import SharedStates

# For a policy that can do the task roughly: at the default 10 per metre, brushing against a neighbour to arrive sooner
# pays, and strict success falls to a half while the object is where it should be. From scratch it would only deter.
_WARM_REWARDS = {"others_cost": 40.0}


@dataclass(frozen=True)
class PPOLearner:
    """Trains a policy for one stage; `copies` says how the stage is carried out where a ready policy is tried."""

    config: PPOConfig = field(default_factory=PPOConfig)
    randomisation: object = None
    copies: ForecastSettings = field(default_factory=ForecastSettings)
    _grasped: dict[str, SharedStates] = field(default_factory=dict, repr=False, compare=False)  # by stage, the latest

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
        """Train until strict success is good enough or the budget ends; see `learner.Learner`.

        `init`, the shipped policy and the fixed rule are tried before anything is trained; an `init` that is no network
        is left out. The rule is also what there is where a training ends without a better policy.
        """
        torch.set_num_threads(1)  # two busy pools of threads on few cores slow each other down several times
        ready = [init, shipped_for(scene, goal)] if self.config.warm_start else [init]
        networks = [policy for policy in ready if isinstance(policy, NetworkPolicy)]
        tried = _Tried(self, scene, goal, _grasps(scene, goal, grasp), seed, report)
        try:
            return self._learn(tried, networks, scene, goal, seed, report)
        finally:
            tried.close()

    def _learn(
        self,
        tried: _Tried,
        networks: list[NetworkPolicy],
        scene: Scene,
        goal: Goal,
        seed: int,
        report: Report | None,
    ) -> Learned:
        for candidate in (*networks, *(_rule(scene, goal) if self.config.warm_start else ())):
            if tried.will_do(candidate):
                return tried.learned(candidate)
        rates = tried.rates[: len(networks)]
        start = networks[int(np.argmax(rates))] if networks else None
        training = self._train(scene, goal, start, seed, report)
        rows = (*tried.rows, *training.progress.rows)
        best = max(tried.rates[len(networks) :], default=0.0)
        if not training.good and best > 0.0 and best > tried.rate(training.policy):
            return Learned(tried.policies[-1], rows, tried.forecasts[len(networks)])
        return Learned(training.policy, rows)

    def _train(
        self, scene: Scene, goal: Goal, start: NetworkPolicy | None, seed: int, report: Report | None
    ) -> Training:
        """A training from a policy or from scratch, at its end."""
        config = self.config
        make = {"num_threads": config.num_threads, "sim": config.sim, "rewards": _WARM_REWARDS if start else {}}
        make |= {"scene": scene, "goal": goal, "randomisation": self.randomisation}
        make["grasp_bank"] = 1  # of every world, and each begins with those of all
        grasped = self._grasped_states(scene, goal)
        judge = StrictCopies(config.eval_envs, grasped=grasped, **make)
        env = make_worlds(config.num_envs, random_first_age=True, xp=arrays_for(config.sim), **make)
        env.worlds.grasps.shared = grasped
        try:
            training = Training(env, config, judge, seed=seed, report=report, start=start)
            training.run()
            return training
        finally:
            env.close()
            judge.close()

    def _grasped_states(self, scene: Scene, goal: Goal) -> SharedStates:
        """Those of the latest stage that was trained, where it is this one, else none yet."""
        parts = [scene.to_dict(), goal.to_dict(), as_randomisation(self.randomisation).to_dict()]
        stage = json.dumps(parts)
        if stage not in self._grasped:
            self._grasped.clear()
            self._grasped[stage] = SharedStates()
        return self._grasped[stage]


def _rule(scene: Scene, goal: Goal) -> tuple[Policy, ...]:
    """The fixed rule, where there is one for the goal: it costs nothing to see whether it will do."""
    try:
        return (WaypointLearner().learn(scene, goal).policy,)
    except ValueError:
        return ()


class _Tried:
    """Ready policies, tried as they are in copies of the scene: would one of them pass for a trained one?"""

    def __init__(
        self,
        learner: PPOLearner,
        scene: Scene,
        goal: Goal,
        grasps: tuple[Grasp, ...],
        seed: int,
        report: Report | None,
    ) -> None:
        config = learner.config
        self.test = SequentialTest(config.stop_success, config.max_eval_envs)
        self.header = {"seed": seed, "training": vars(config).copy(), "goal": goal_header(goal), "env_steps": 0}
        self.report = report
        self.rows: list[TrainingRow] = []
        self.rates: list[float] = []
        self._began_s = time.monotonic()
        settings = replace(learner.copies, strict=True)
        self.policies: list[Policy] = []
        self.forecasts: list[Forecast] = []
        self._copies: Copies | None = None  # made when the first policy is tried
        self._make_copies = lambda: policy_copies(scene, goal, settings, self.test)
        self._try = lambda policy, copies: foresee(
            scene, goal, policy, settings, grasps, seed, of_policy=self.test, copies=copies
        )

    def _foresee(self, policy: Policy) -> Forecast:
        self._copies = self._copies or self._make_copies()
        return self._try(policy, self._copies)

    def close(self) -> None:
        """Free the copies."""
        if self._copies:
            self._copies.close()

    def will_do(self, policy: Policy) -> bool:
        """Is it good enough as it is? Copies in which the hand missed the object are not held against it."""
        forecast = self._foresee(policy)
        self.policies.append(policy)
        self.forecasts.append(forecast)
        self.rates.append(forecast.policy_rate)
        row = replace(TrainingRow.unknown(), seconds=time.monotonic() - self._began_s, eval_strict=self.rates[-1])
        self.rows.append(row)
        if self.report:
            self.report(row)
        verdict = self.test.verdict(forecast.num_success, forecast.num_copies - forecast.num_missed)
        return self.rates[-1] >= self.test.target if verdict is None else verdict

    def rate(self, policy: Policy) -> float:
        """The success of a policy that was trained, in the same copies."""
        return self._foresee(policy).policy_rate

    def learned(self, policy: Policy) -> Learned:
        """What was learned when the policy tried last will do."""
        if isinstance(policy, NetworkPolicy):
            found = {"success_strict": self.rates[-1], "good_enough": True, "seconds": round(self.rows[-1].seconds, 1)}
            policy = NetworkPolicy(policy.network, policy.normaliser, {**self.header, **found})
        return Learned(policy, tuple(self.rows), self.forecasts[-1])


def _grasps(scene: Scene, goal: Goal, grasp: Grasp | None) -> tuple[Grasp, ...]:
    """The grasp that is given, else the best proposal, else none; ValueError if the object cannot be grasped."""
    if grasp is not None or not goal.grasp:
        return () if grasp is None else (grasp,)
    proposals = propose_grasps(scene, goal.object, goal.target_pose)
    if not proposals.grasps:
        raise ValueError(f"{goal.object} cannot be grasped: {proposals.reason}")
    return proposals.grasps[:1]
