"""How good is a policy on a robot, or in an emulated laboratory? The same rates, from one episode after the other.

policy of each configuration, World, seed  ->  evaluate_in_world  ->  WorldEvaluation, whatever ends it
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from iker_agent.learning.evaluate import Evaluation, TaskEvaluation, summary
from iker_agent.learning.policy import Policy
from iker_agent.learning.seeds import seed_for
from iker_envs.world import World, WorldFault


@dataclass(frozen=True)
class WorldEvaluation:
    """The rates of the episodes that began, kind -> number of the faults that cut one short, and what ended it early.

    `stopped` is the fault that waits for a person, after which no further episode could begin.
    """

    result: TaskEvaluation
    faults: dict[str, int]
    stopped: WorldFault | None = None


def evaluate_in_world(
    world: World,
    policy_of: Callable[[int], Policy],
    configurations: Sequence[int],
    *,
    episodes: int = 1,
    seed: int = 0,
    report: Callable[[int, Evaluation], None] | None = None,
) -> WorldEvaluation:
    """`episodes` deterministic episodes in every configuration.

    An episode that a fault cut short has failed. WorldFault if the robot cannot begin the first one.
    """
    parts = {}
    every: list[tuple[float, ...]] = []
    faults: Counter[str] = Counter()
    stopped = None
    for index in configurations:
        policy = policy_of(index)
        rows: list[tuple[float, ...]] = []
        try:
            for k in range(episodes):
                rows.append(run_episode(world, policy, seed_for(seed, index, k), index, faults))
        except WorldFault as fault:
            if not (every or rows):
                raise
            stopped = fault
        if rows:
            parts[index] = summary(np.array(rows))
            every += rows
            if report:
                report(index, parts[index])
        if stopped:
            break
    return WorldEvaluation(TaskEvaluation(summary(np.array(every)), parts), dict(faults), stopped)


def run_episode(
    world: World, policy: Policy, seed: int, configuration: int, faults: Counter[str]
) -> tuple[float, float, float, float]:
    """One episode, `finish()` included: success, strict success, keypoint error in metres, and nan for forces.

    A policy that gives an action that is not finite has failed; that action is not carried out.
    """
    observation, _ = world.reset(seed=seed, options={"configuration": configuration})
    failed = False
    over = False
    while not over:
        action = policy.act(observation[None])[0].astype(np.float64)
        if not np.isfinite(action).all():
            failed = True
            break
        observation, _, lost, over, info = world.step(action)
        failed = lost
        over = over or lost
        if fault := info.get("fault"):
            faults[fault.kind] += 1
            failed = True
    outcome = world.finish()
    held = outcome.grasped and not failed
    return float(outcome.success and held), float(outcome.success_strict and held), outcome.goal_error_m, math.nan
