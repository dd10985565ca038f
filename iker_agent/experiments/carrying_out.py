"""A goal is carried out without a robot: the object is put at its target, and physics settles the scene.

    Scene, Goal  ->  carry_out  ->  Carried(scene, Outcome), or Unsettled where nothing would rest

What a person would see afterwards: an object that was put over an edge falls, one that was put into another is pushed
out. Whether a hand could have done it, a run tells (`iker bench vlm --execute`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.measure import make_outcome, measure
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses, settle
from iker_envs.scene import Goal, Outcome, Scene

_REST_M = 0.002  # within half a second: slower is at rest
_MORE = 4  # half seconds that something may still fall or roll


class Unsettled(Exception):
    """The scene does not come to rest with the object at its target; the message says what moves."""


@dataclass(frozen=True, eq=False)
class Carried:
    """The scene afterwards, and how far from the goal it is."""

    scene: Scene
    outcome: Outcome


def carry_out(scene: Scene, goal: Goal) -> Carried:
    """Put the goal's object at its target and let everything settle."""
    try:
        after = scene_from_poses(scene, {goal.object: goal.target_pose}, max_move_m=np.inf)
        for _ in range(_MORE):
            before = after
            after = settle(before, max_move_m=np.inf)
            if _moved_m(before, after) < _REST_M:
                break
    except SceneNotAtRest as problem:
        raise Unsettled(f"with {goal.object} there nothing rests: {str(problem).split(' within ')[0]}") from None
    return Carried(after, _outcome(scene, after, goal))


def _moved_m(before: Scene, after: Scene) -> float:
    """How far the object moved that moved most."""
    return max(
        (float(np.linalg.norm(after.object(n).pose[:3] - before.object(n).pose[:3])) for n in before.movable),
        default=0.0,
    )


def _outcome(before: Scene, after: Scene, goal: Goal) -> Outcome:
    names = [o.name for o in before.objects]
    start, now = (np.array([[o.pose for o in scene.objects]]) for scene in (before, after))
    model = before.object(goal.object).model
    index = np.array([names.index(goal.object)])
    errors = measure(now, index, start, goal.target_pose[None], model.control_keypoints_m())
    return make_outcome(errors, 0, goal, model, {o.name: o.pose for o in after.objects})
