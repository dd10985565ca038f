"""What is about to act is rehearsed in copies of the scene: which grasp, which policy, and what comes of them.

    scene, goal, a learner  ->  rehearse  ->  Rehearsal(policy, grasps, forecast)
    a forecast, the goal    ->  advice    ->  the sentence that a model is told when its goal would fail

The order is that of cost: grasps are tried before anything is learned, the whole stage once there is a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_agent.learning.forecast import Forecast, ForecastSettings, compare, foresee
from iker_agent.learning.grasp_trial import try_grasps
from iker_agent.learning.learner import Learned
from iker_agent.learning.policy import Policy
from iker_envs.geometry import rotation_angle
from iker_envs.planning.collision import deepest_overlap, lowest_m, object_boxes, scene_boxes, support_height
from iker_envs.planning.grasps import ObjectGrasps, axis_name, propose_grasps
from iker_envs.planning.support import SupportLimit, support_limit
from iker_envs.scene import Goal, Grasp, Scene

_NUM_GRASPS = 3  # that a policy is rehearsed with, as long as it fails with those before
_SHARES = (1.0, 0.9, 0.8, 0.6, 0.4)  # of a push that fails: shorter ones that may succeed
_LEAST_PUSH_M = 0.03
_FEW_COPIES = 4  # of each shorter push
_SURE = 0.75  # share of them that must succeed before it is recommended
_BESIDE_M = (0.03, 0.06)  # from the target of a grasp that fails: other targets that may succeed,
_AXES = (np.array([1.0, 0, 0]), np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, -1.0, 0]))
_FEW_BESIDE = 8  # copies of each,
_STEP_M = 0.01  # on the same surface
_SAME_RAD = 0.05
_METRES_PER_RAD = 0.1


Accepted = Callable[[np.ndarray], bool]


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
    if found[best].rate < settings.act_above:
        found[best] = replace(found[best], because=learned.doubt)
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


def advice(
    ready: Rehearsal, scene: Scene, goal: Goal, settings: ForecastSettings, accepted: Accepted, seed: int = 0
) -> str:
    """What happens in simulation, and what would be better where copies show it; one sentence without a full stop.

    `accepted` says whether a target pose (7,) of the goal's object would pass the checks of goals: no other is named.
    """
    told = ready.forecast.sentence if ready.forecast else ""
    if goal.grasp:
        beside = _target_beside(ready, scene, goal, settings, accepted, seed)
        return f"{told}; with the target {beside} it succeeds" if beside else told
    limit = support_limit(scene, goal)
    if limit is not None:
        told += (
            f"; the centre of {goal.object} would pass the edge of {limit.support} {100 * limit.short_m:.0f} cm before "
            f"this target, at x {limit.position_m[0]:.2f}, y {limit.position_m[1]:.2f}"
        )
    better = _nearer_goal(ready.policy, scene, goal, limit, settings, accepted, seed)
    if better is None:
        return f"{told}; no shorter push that way succeeds either"
    x, y, _ = better.target_pose[:3]
    turned = "" if rotation_angle(better.target_pose[3:], goal.target_pose[3:]) < _SAME_RAD else ", not turned"
    return f"{told}; a push of its centre to x {x:.2f}, y {y:.2f}{turned} succeeds instead"


def _nearer_goal(
    policy: Policy,
    scene: Scene,
    goal: Goal,
    limit: SupportLimit | None,
    settings: ForecastSettings,
    accepted: Accepted,
    seed: int,
) -> Goal | None:
    """Of some pushes that go less far than the goal, the one nearest to it that succeeds in most copies."""
    start = scene.object(goal.object).pose
    target = np.array(goal.target_pose)
    end = target[:2] if limit is None else np.array(limit.position_m)
    ways = (end - start[:2], np.array([end[0] - start[0], 0.0]), np.array([0.0, end[1] - start[1]]))
    turned = rotation_angle(target[3:], start[3:]) > _SAME_RAD
    goals = []
    for orientation in (target[3:], start[3:]) if turned else (target[3:],):
        for way in ways:
            for share in _SHARES:
                pose = np.concatenate([start[:2] + share * way, target[2:3], orientation])
                if np.linalg.norm(share * way) > _LEAST_PUSH_M and accepted(pose):
                    goals.append(replace(goal, target_pose=pose, raw_targets_m={}))
    if not goals:
        return None
    found = compare(scene, goals, policy, settings, _FEW_COPIES, seed)
    good = [g for g, forecast in zip(goals, found, strict=True) if forecast.rate >= max(settings.act_above, _SURE)]
    return min(good, key=lambda g: _apart(g, goal), default=None)


def _target_beside(
    ready: Rehearsal, scene: Scene, goal: Goal, settings: ForecastSettings, accepted: Accepted, seed: int
) -> str:
    """The nearest of some targets beside a grasp's own at which it succeeds in most copies: "3.0 cm towards +y".

    They are looked at from the nearest ones on, those away from the nearest other object first. Empty if none succeeds.
    """
    few = replace(settings, max_copies=_FEW_BESIDE)
    grasps = ObjectGrasps(scene, goal.object)
    others = scene_boxes(scene, skip=[goal.object])
    target = np.array(goal.target_pose)
    model = scene.object(goal.object).model
    bottom = lowest_m(object_boxes(model, target))
    ground_m = support_height(others, target, bottom + _STEP_M)
    away = target[:2] - min(_places(scene, goal), key=lambda place: float(np.linalg.norm(target[:2] - place)))
    axes = sorted(_AXES, key=lambda axis: -float(axis[:2] @ away))
    for length, axis in ((length, axis) for length in _BESIDE_M for axis in axes):
        pose = np.concatenate([target[:3] + length * axis, target[3:]])
        is_level = abs(support_height(others, pose, bottom + _STEP_M) - ground_m) < _STEP_M
        is_free = deepest_overlap(object_boxes(model, pose), others)[0] <= 0.0
        chosen = grasps.at(pose).grasps[:1] if is_level and is_free and accepted(pose) else ()
        if not chosen:
            continue
        moved = replace(goal, target_pose=pose, raw_targets_m={})
        if foresee(scene, moved, ready.policy, few, chosen, seed).rate >= max(settings.act_above, _SURE):
            return f"{100 * length:.1f} cm towards {axis_name(axis)}"
    return ""


def _places(scene: Scene, goal: Goal) -> list[np.ndarray]:
    """Where the other objects that move are (2,), the goal's own among them if there are no others."""
    names = [name for name in scene.movable if name != goal.object] or [goal.object]
    return [np.asarray(scene.object(name).pose[:2]) for name in names]


def _apart(goal: Goal, other: Goal) -> float:
    """How far two goals are from each other, a radian like so many metres."""
    apart_m = float(np.linalg.norm(goal.target_pose[:2] - other.target_pose[:2]))
    return apart_m + _METRES_PER_RAD * float(rotation_angle(goal.target_pose[3:], other.target_pose[3:]))
