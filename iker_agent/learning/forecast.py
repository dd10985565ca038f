"""What will happen? A stage is carried out in copies of the estimated scene before it is carried out in the world.

    scene, goal, policy, grasp  ->  foresee  ->  Forecast(num_copies, num_success, failure, sentence)

Success is what the loop counts as success, so a forecast and an outcome mean the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from iker_agent.learning.copies import Copies
from iker_agent.learning.policy import Policy
from iker_agent.learning.sequential import SequentialTest
from iker_envs.events import Event
from iker_envs.judging.sentences import sentence
from iker_envs.perception import PoseNoise
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Grasp, Scene

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
    because: str = ""  # what is known of the cause, a clause

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
        since = f", since {self.because}" if self.because else ""
        if self.num_success == self.num_copies or not self.failure:
            return f"in simulation {self.num_success} of {self.num_copies} copies succeed{since}"
        if self.num_success > self.num_copies / 2:
            copies = "1 copy" if self.num_failure == 1 else f"{self.num_failure} copies"
            return (
                f"in simulation {self.num_success} of {self.num_copies} copies succeed; in {copies} "
                f"{self.failure}{since}"
            )
        only = f"; {self.num_success or 'none'} succeed{'s' if self.num_success < 2 else ''}"
        return f"in simulation, in {self.num_failure} of {self.num_copies} copies, {self.failure}{only}{since}"

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
    copies: Copies | None = None,
) -> Forecast:
    """Carry a stage out in copies of an estimated scene, until it is clear whether enough of them succeed.

    `grasps`, for a goal that grasps, is the chosen grasp, base frame. With `of_policy` that test settles it instead of
    the settings' own, and copies in which the hand missed the object do not count. `copies` are `policy_copies` of the
    same stage, in which nothing is grasped twice; they stay open. ValueError if the stage cannot begin, PolicyFault if
    an action of the policy is no number.
    """
    if copies:
        return _foresee(copies, policy, settings, grasps, seed, of_policy)
    batch = min(_POLICY_BATCH if of_policy else _BATCH, (of_policy or settings.test).max_trials)
    copies = _copies(scene, goal, settings, batch)
    try:
        return _foresee(copies, policy, settings, grasps, seed, of_policy)
    finally:
        copies.close()


def policy_copies(scene: Scene, goal: Goal, settings: ForecastSettings, test: SequentialTest) -> Copies:
    """Copies in which several policies are tried by `foresee(..., of_policy=test)`; ValueError as there."""
    return _copies(scene, goal, settings, min(_POLICY_BATCH, test.max_trials))


def _copies(scene: Scene, goal: Goal, settings: ForecastSettings, count: int) -> Copies:
    return Copies(scene, goal, count, settings.noise, settings.randomisation, settings.episode_s)


def _foresee(
    copies: Copies,
    policy: Policy,
    settings: ForecastSettings,
    grasps: Sequence[Grasp],
    seed: int,
    of_policy: SequentialTest | None,
) -> Forecast:
    test = of_policy or settings.test
    batch = copies.num_copies
    num_copies = 0
    num_success = 0
    num_missed = 0
    failures: list[tuple[Event, ...]] = []
    while num_copies < test.max_trials:
        copies.begin_again(seed + num_copies, grasps)
        trial = copies.act(policy)
        good = trial.strict if settings.strict else trial.success
        num_copies += batch
        num_success += int(good.sum())
        num_missed += int((~trial.held).sum())
        told = [copies.happened(int(world)) for world in np.flatnonzero(~good)]
        failures += [events for events in told if events]
        num_tried = num_copies - (num_missed if of_policy else 0)
        if num_tried == 0 or test.verdict(num_success, num_tried) is not None:
            break
    return Forecast(num_copies, num_success, num_missed, *_most_frequent(failures))


def compare(
    scene: Scene, goals: Sequence[Goal], policy: Policy, settings: ForecastSettings, num_copies: int, seed: int = 0
) -> list[Forecast]:
    """The same stage with other goals of its object, pushes all of them: what happens in so many copies of each.

    The first goal says which objects stand in the way. ValueError if the stage cannot begin.
    """
    copies = _copies(scene, goals[0], settings, num_copies * len(goals))
    try:
        copies.begin(seed, goals=goals)
        trial = copies.act(policy)
    finally:
        copies.close()
    good = (trial.strict if settings.strict else trial.success).reshape(num_copies, len(goals)).sum(axis=0)
    return [Forecast(num_copies, int(count)) for count in good]


def _most_frequent(failures: Sequence[tuple[Event, ...]]) -> tuple[str, int]:
    """What happened most often, and how often: failures are alike when their first cause is of one kind.

    The sentence is that of the copy in the middle by distance, since distances differ from copy to copy.
    """
    groups: dict[tuple[str, ...], list[tuple[Event, ...]]] = {}
    for events in failures:
        first = events[0]
        groups.setdefault((first.kind, first.object, first.other), []).append(events)
    if not groups:
        return "", 0
    largest = max(groups.values(), key=len)
    ordered = sorted(largest, key=lambda events: events[0].distance_m)
    return sentence(ordered[len(ordered) // 2]), len(largest)
