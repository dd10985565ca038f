"""What is about to act is rehearsed in copies of the scene: which grasp, which policy, and what comes of them.

    scene, goal, a learner  ->  rehearse  ->  Rehearsal(policy, grasps, forecast)
    a forecast, the goal    ->  advice    ->  the sentence that a model is told when its goal would fail

The order is that of cost: grasps are tried before anything is learned, the whole stage once there is a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from iker_agent.learning.forecast import Forecast, ForecastSettings, foresee
from iker_agent.learning.grasp_trial import try_grasps
from iker_agent.learning.learner import Learned
from iker_agent.learning.policy import Policy
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.support import support_limit
from iker_envs.scene import Goal, Grasp, Scene

_NUM_GRASPS = 3  # that a policy is rehearsed with, as long as it fails with those before


class Hopeless(ValueError):
    """It is clear before anything is learned that the stage would fail; the message says why."""


@dataclass(frozen=True)
class Rehearsal:
    """What will act: the policy, the grasps in the order in which to try them (none in a push), what to expect."""

    policy: Policy
    grasps: tuple[Grasp, ...]
    forecast: Forecast | None = None  # None where nothing is asked of it


def rehearse(
    scene: Scene,
    goal: Goal,
    learn: Callable[[Grasp | None], Learned],
    settings: ForecastSettings,
    seed: int = 0,
    *,
    undaunted: bool = False,
) -> Rehearsal:
    """Choose a grasp, learn a policy, and see in copies what will come of them.

    Hopeless, before anything is learned, if no grasp is worth a try, unless `undaunted`. ValueError says why the stage
    cannot be carried out at all, PolicyFault that an action of the policy is no number. With `settings.act_above` of 0
    nothing is tried.
    """
    grasps = choose_grasps(scene, goal, settings, seed, undaunted=undaunted) if goal.grasp else ()
    learned = learn(grasps[0] if grasps else None)
    policy = learned.policy
    if not settings.act_above:
        return Rehearsal(policy, grasps)
    if learned.forecast is not None and learned.forecast.rate >= settings.act_above:
        return Rehearsal(policy, grasps, learned.forecast)
    found: list[Forecast] = []
    shares: list[tuple[Grasp, ...]] = [(grasp,) for grasp in grasps[:_NUM_GRASPS]]
    for chosen in shares or [()]:
        found.append(foresee(scene, goal, policy, settings, chosen, seed))
        if found[-1].rate >= settings.act_above:
            break
    best = max(range(len(found)), key=lambda k: found[k].rate)
    return Rehearsal(policy, (*grasps[best : best + 1], *grasps[:best], *grasps[best + 1 :]), found[best])


def choose_grasps(
    scene: Scene,
    goal: Goal,
    settings: ForecastSettings,
    seed: int = 0,
    tried: Sequence[np.ndarray] = (),
    *,
    undaunted: bool = False,
) -> tuple[Grasp, ...]:
    """Grasps of the goal's object, base frame, most robust first, without those that were `tried` in the world.

    `tried` are tool-centre poses (7,) in the object's frame. ValueError if there is none, Hopeless if none is worth a
    try, unless `undaunted`. With `settings.act_above` of 0 the order is that of the proposals.
    """
    if not settings.act_above:
        proposals = propose_grasps(scene, goal.object, goal.target_pose)
        if not proposals.grasps:
            raise ValueError(f"{goal.object} cannot be grasped: {proposals.reason}")
        return proposals.grasps[len(tried) % len(proposals.grasps) :]
    found = try_grasps(scene, goal, settings, seed, tried)
    if found.hopeless and not undaunted:
        raise Hopeless(found.hopeless)
    return found.grasps


def advice(forecast: Forecast, scene: Scene, goal: Goal) -> str:
    """What happens in simulation, and what would be better where that is known; one sentence without a full stop."""
    limit = None if goal.grasp else support_limit(scene, goal)
    if limit is None:
        return forecast.sentence
    x, y = limit.position_m
    return (
        f"{forecast.sentence}; the centre of {goal.object} would pass the edge of {limit.support} "
        f"{100 * limit.short_m:.0f} cm before this target, and can go as far as x {x:.2f}, y {y:.2f}"
    )
