"""From one pose for every object to findings: rivals decided, contact made, everything measured that trust needs.

Sight, {name: matrix}, last  ->  compare  ->  {name: Finding}
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from iker_envs.perception.cloud import Cloud
from iker_envs.perception.registration import distances, plane_residual_m, register, shift_m
from iker_envs.perception.rigid import pose_of
from iker_envs.perception.rivals import are_twins, best_turn, mirror_lead_m, usual_turn
from iker_envs.perception.scoring import agreement, look_difference
from iker_envs.perception.sight import Sight
from iker_envs.perception.starts import distance_between
from iker_envs.perception.support import hovers, on_its_support
from iker_envs.perception.trust import Finding, Leads
from iker_envs.planning.collision import object_boxes

_CONTACT_COUNTS = 0.05  # of the depth score: what stands on something does so exactly
_NO_TOSS_UP = 0.5  # standard errors, below which twins stay where they were found
_AROUND_M = 0.035  # further from the object's surface, points are another thing's
_FEWEST_POINTS = 200  # from one camera
_SHIFT_POINTS = 600
_SAME_M = 0.05  # a pose nearer to the last one than this shows the same thing


def compare(sight: Sight, matrices: Mapping[str, np.ndarray], last: Mapping[str, np.ndarray]) -> dict[str, Finding]:
    """The final poses and how far they lead; `last` has the poses (4, 4) of an earlier look."""
    found = dict(matrices)
    leads = {name: Leads() for name in found}
    parts = sight.parts(found)
    for name, model in sight.models.items():
        turned = best_turn(model, found[name], parts[name], sight.shots)
        found[name] = usual_turn(model, turned.matrix, last.get(name, np.eye(4)))
        leads[name] = replace(leads[name], turn=turned.lead)
    _decide_pairs(sight, found, parts, leads)
    _decide_twins(sight, found, leads)
    parts = sight.parts(found)
    hovering = _rest(sight, found)
    apart = {name: _furthest_camera(sight, name, found) for name in found}
    return {
        name: Finding(
            found[name],
            agreement(model, found[name][None], sight.shots),
            plane_residual_m(model, parts[name], found[name]),
            look_difference(model, found[name], sight.shots).mean,
            leads[name],
            name in last and float(distance_between(model, found[name], last[name])) < _SAME_M,
            *apart[name],
            hovers=name in hovering,
        )
        for name, model in sight.models.items()
    }


def _decide_pairs(
    sight: Sight, found: dict[str, np.ndarray], parts: Mapping[str, Cloud], leads: dict[str, Leads]
) -> None:
    """How much better each left or right shoe fits than its mirror image; a pair taken for each other is exchanged."""
    sides = {n: sight.scene.object(n).model.side for n in sight.models if sight.scene.object(n).model.side}
    lead_m = {n: mirror_lead_m(sight.models[n], found[n], parts[n]) for n in sides}
    for one, other in itertools.permutations(sides, 2):
        is_pair = (sides[one], sides[other]) == ("left", "right") and are_twins(sight.models[one], sight.models[other])
        if not is_pair or max(lead_m[one], lead_m[other]) > 0:
            continue
        places = {one: found[other], other: found[one]}
        pieces = {one: parts[other], other: parts[one]}
        for name, place in places.items():
            found[name] = register(sight.models[name], pieces[name], place[None], reach_m=(0.012, 0.006))[0]
            lead_m[name] = mirror_lead_m(sight.models[name], found[name], pieces[name])
    for name, lead in lead_m.items():
        leads[name] = replace(leads[name], mirror_m=lead)


def _decide_twins(sight: Sight, found: dict[str, np.ndarray], leads: dict[str, Leads]) -> None:
    """By how much objects of one size are not each other, by colours; those taken for each other are exchanged."""
    for one, other in itertools.combinations(sight.models, 2):
        same_side = sight.scene.object(one).model.side == sight.scene.object(other).model.side  # else shape tells
        if not same_side or not are_twins(sight.models[one], sight.models[other]):
            continue
        lead = _exchange_lead(sight, found, one, other)
        if lead < -_NO_TOSS_UP:
            found[one], found[other] = found[other], found[one]
        for name, twin in ((one, other), (other, one)):
            if abs(lead) < leads[name].twin:
                leads[name] = replace(leads[name], twin=abs(lead), twin_name=twin)


def _exchange_lead(sight: Sight, found: Mapping[str, np.ndarray], one: str, other: str) -> float:
    """How much better, in standard errors, the colours of two objects agree than after an exchange."""

    def looks(place_of: Mapping[str, str]):
        return [look_difference(sight.models[n], found[m], sight.shots) for n, m in place_of.items()]

    straight, exchanged = looks({one: one, other: other}), looks({one: other, other: one})
    error = max(float(np.sqrt(sum(d.error**2 for d in (*straight, *exchanged)))), 1e-6)
    return (sum(d.mean for d in exchanged) - sum(d.mean for d in straight)) / error


def _rest(sight: Sight, found: dict[str, np.ndarray]) -> set[str]:
    """Put every object onto what is under it, the lowest first, unless the pictures speak against it; the names of
    those that have nothing under them."""
    boxes = sight.furniture
    for name in sorted(found, key=lambda n: float(found[n][2, 3])):
        model = sight.scene.object(name).model
        poses = np.stack([found[name], on_its_support(found[name], model, boxes)])
        scores = agreement(sight.models[name], poses, sight.shots).depth_score()
        found[name] = poses[int(scores[1] > scores[0] - _CONTACT_COUNTS)]
        boxes[name] = object_boxes(model, pose_of(found[name]))
    models = {name: sight.scene.object(name).model for name in found}
    others = {name: {n: b for n, b in boxes.items() if n != name} for name in found}
    return {name for name, matrix in found.items() if hovers(matrix, models[name], others[name])}


def _furthest_camera(sight: Sight, name: str, found: Mapping[str, np.ndarray]) -> tuple[float, str]:
    """How far from its pose (4, 4) the points of one camera alone put an object, and which camera that is.

    Points that are nearer to another object are that one's.
    """
    furthest = (0.0, "")
    for shot, cloud in zip(sight.shots, sight.by_camera, strict=True):
        if not len(cloud):
            continue
        apart = {n: distances(sight.models[n], cloud.points, m)[0] for n, m in found.items()}
        nearest = np.min(list(apart.values()), axis=0)
        own = cloud.part((apart[name] < _AROUND_M) & (apart[name] <= nearest))
        if len(own) >= _FEWEST_POINTS:
            shift = shift_m(sight.models[name], own.thinned(_SHIFT_POINTS), found[name])
            furthest = max(furthest, (float(np.linalg.norm(shift)), shot.name))
    return furthest
