"""What will happen? A stage is carried out in copies of the estimated scene before it is carried out in the world.

    scene, goal, policy, grasp  ->  foresee  ->  Forecast(num_copies, num_success, failure, sentence)

Success is what the loop counts as success, so a forecast and an outcome mean the same thing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from iker_agent.learning.copies import Copies, Trial
from iker_agent.learning.policy import Policy
from iker_agent.learning.sequential import SequentialTest
from iker_envs.measure import STRICT_OTHERS_M, STRICT_TILT_RAD
from iker_envs.perception import PoseNoise
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Grasp, Scene

_FALLEN_M = 0.05  # an object so far below both its start and its target has fallen
_BATCH = 16  # copies at a time: as many settle a clear case,
_POLICY_BATCH = 64  # and as many whether a policy is good enough


@dataclass(frozen=True)
class Forecast:
    """How a stage ended in copies; `failure` is what happened most often where it failed, a clause."""

    num_copies: int
    num_success: int
    num_missed: int = 0  # copies in which the hand missed the object: no fault of the policy
    failure: str = ""
    num_failure: int = 0

    @property
    def rate(self) -> float:
        """Share of the copies that succeeded."""
        return self.num_success / self.num_copies

    @property
    def policy_rate(self) -> float:
        """Share of success among the copies in which the policy had something to do; 0 if there is none."""
        return self.num_success / max(1, self.num_copies - self.num_missed)

    @property
    def sentence(self) -> str:
        """What happens in simulation, for the model and for the user alike; without a full stop."""
        if self.num_success == self.num_copies or not self.failure:
            return f"in simulation {self.num_success} of {self.num_copies} copies succeed"
        only = f"; {self.num_success} succeed" if self.num_success else "; none succeeds"
        return f"in simulation, in {self.num_failure} of {self.num_copies} copies, {self.failure}{only}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the sentence among them."""
        return {**asdict(self), "sentence": self.sentence}


@dataclass(frozen=True)
class ForecastSettings:
    """In which copies, and how many of them at most."""

    act_above: float = 0.5  # the rate that is asked for: copies are tried until it is clear whether it is reached
    max_copies: int = 64
    noise: PoseNoise = field(default_factory=PoseNoise)
    randomisation: Randomisation = field(default_factory=Randomisation)
    episode_s: float | None = None  # time limit of the policy
    strict: bool = True  # what counts: the strict limits, or the paper's measure

    @property
    def test(self) -> SequentialTest:
        """The test that settles whether to act."""
        return SequentialTest(self.act_above, self.max_copies, accept_wrongly=0.05)


def foresee(
    scene: Scene,
    goal: Goal,
    policy: Policy,
    settings: ForecastSettings,
    grasps: Sequence[Grasp] = (),
    seed: int = 0,
    *,
    of_policy: SequentialTest | None = None,
) -> Forecast:
    """Carry a stage out in copies of an estimated scene, until it is clear whether enough of them succeed.

    `grasps`, for a goal that grasps, is the chosen grasp, base frame. With `of_policy` that test settles it instead of
    the settings' own, and copies in which the hand missed the object do not count. ValueError if the stage cannot
    begin, PolicyFault if an action of the policy is no number.
    """
    test = of_policy or settings.test
    batch = min(_POLICY_BATCH if of_policy else _BATCH, test.max_trials)
    copies = Copies(scene, goal, batch, settings.noise, settings.randomisation, settings.episode_s)
    num_copies = 0
    num_success = 0
    num_missed = 0
    failures: Counter[str] = Counter()
    try:
        while num_copies < test.max_trials:
            copies.begin(seed + num_copies, grasps)
            trial = copies.act(policy)
            good = trial.strict if settings.strict else trial.success
            num_copies += batch
            num_success += int(good.sum())
            num_missed += int((~trial.held).sum())
            bad = map(int, np.flatnonzero(~good))
            failures.update(what_failed(trial, goal, copies.stage.sim.objects, world) for world in bad)
            num_tried = num_copies - (num_missed if of_policy else 0)
            if num_tried == 0 or test.verdict(num_success, num_tried) is not None:
                break
    finally:
        copies.close()
    (failure, count), *_ = failures.most_common(1) or [("", 0)]
    return Forecast(num_copies, num_success, num_missed, failure, count)


def what_failed(trial: Trial, goal: Goal, objects: Sequence[str], world: int) -> str:
    """What went wrong in one copy, a clause in the present tense."""
    name = goal.object
    errors = trial.errors
    end = trial.object_pose[world]
    start = trial.start_pose[world]
    index = list(objects).index(name)
    if not trial.held[world]:
        return f"the hand does not lift {name}"
    if end[index, 2] < min(start[index, 2], goal.target_pose[2]) - _FALLEN_M:
        return f"{name} falls down"
    if errors.tilt_rad[world] > STRICT_TILT_RAD:
        return f"{name} tips over"
    if goal.grasp and trial.lost[world]:
        return f"the hand drops {name}"
    if errors.others_m[world] > STRICT_OTHERS_M:
        moved = np.linalg.norm(end[:, :3] - start[:, :3], axis=-1)
        moved[index] = 0.0
        return f"{objects[int(np.argmax(moved))]} is pushed away"
    if errors.heading_rad[world] > STRICT_TILT_RAD and errors.goal_m[world] < 0.05:
        return f"{name} ends turned the wrong way"
    if np.linalg.norm(end[index, :3] - start[index, :3]) < 0.02:
        return f"{name} is hardly moved"
    return f"{name} does not get to its target"
