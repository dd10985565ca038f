"""Which grasp is the most robust? The proposed ones are tried in copies of the estimated scene before anything else.

    scene, goal, pose noise  ->  try_grasps  ->  TriedGrasps: the grasps, most robust first, and how often each held

A grasp is good in a copy when the hand lifts the object and moves nothing else by 2 cm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iker_agent.learning.copies import Copies
from iker_agent.learning.forecast import ForecastSettings
from iker_envs.geometry import rotation_angle
from iker_envs.measure import STRICT_OTHERS_M
from iker_envs.planning.grasps import grasp_in_object, propose_grasps
from iker_envs.scene import Goal, Grasp, Scene

_NUM_GRASPS = 5  # of the proposals, the best ones that differ
_NUM_COPIES = 12  # of each
_APART_M = 0.012  # grasps that differ by less, and by less than
_APART_RAD = 0.3  # this, are one grasp
_HOPELESS = 1 / 3  # share of the copies: below it a grasp is not worth a try
_CLEARLY = 0.25  # of the copies: grasps that differ by less are in the order of the proposals, which policies know


@dataclass(frozen=True)
class TriedGrasps:
    """Grasps in the base frame, most robust first, each with the share of its copies in which it was good.

    Those that are as good as each other stay in the order of the proposals.

    `hopeless` is one clause that says why not even the first one is worth a try; empty when it is.
    """

    grasps: tuple[Grasp, ...]
    rates: tuple[float, ...]
    hopeless: str = ""


def try_grasps(
    scene: Scene, goal: Goal, settings: ForecastSettings, seed: int = 0, tried: Sequence[np.ndarray] = ()
) -> TriedGrasps:
    """Try the proposed grasps of the goal's object but those that were `tried` in the world already.

    `tried` are tool-centre poses (7,) in the object's body frame. ValueError if there is no proposal.
    """
    proposals = propose_grasps(scene, goal.object, goal.target_pose)
    if not proposals.grasps:
        raise ValueError(f"{goal.object} cannot be grasped: {proposals.reason}")
    chosen = _diverse(proposals.grasps, scene.object(goal.object).pose, tried)
    copies = Copies(scene, goal, _NUM_COPIES * len(chosen), settings.noise, settings.randomisation)
    try:
        held = copies.begin(seed, chosen)
        alone = copies.disturbed_m <= STRICT_OTHERS_M
    finally:
        copies.close()
    good = (held & alone).reshape(_NUM_COPIES, len(chosen)).mean(axis=0)
    worse = np.floor((good.max() - good) / _CLEARLY)  # 0: as good as the best one, as far as so few copies tell
    order = np.lexsort((np.arange(len(chosen)), worse))
    hopeless = ""
    if good.max() < _HOPELESS:
        why = "the hand seldom lifts it" if held.mean() < _HOPELESS else "what stands beside it is pushed away"
        hopeless = (
            f"{goal.object} cannot be grasped well here: {why}, in simulation the best of {len(chosen)} grasps "
            f"succeeds in {round(_NUM_COPIES * good.max())} of {_NUM_COPIES} copies"
        )
    return TriedGrasps(tuple(chosen[i] for i in order), tuple(float(good[i]) for i in order), hopeless)


def _diverse(grasps: Sequence[Grasp], object_pose: np.ndarray, tried: Sequence[np.ndarray]) -> list[Grasp]:
    """The best few that differ from each other and from those tried; if there are no others, the best one again."""
    chosen: list[Grasp] = []
    known = list(tried)
    for grasp in grasps:
        local = grasp_in_object(grasp, object_pose)
        if len(chosen) < _NUM_GRASPS and not any(_alike(local, other) for other in known):
            chosen.append(grasp)
            known.append(local)
    return chosen or [grasps[0]]


def _alike(pose: np.ndarray, other: np.ndarray) -> bool:
    apart_m = float(np.linalg.norm(pose[:3] - other[:3]))
    return apart_m < _APART_M and bool(rotation_angle(pose[3:], other[3:]) < _APART_RAD)
