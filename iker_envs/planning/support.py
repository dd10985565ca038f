"""How far an object can be pushed before what it stands on ends.

scene, goal  ->  support_limit  ->  SupportLimit(support, position), or None where the whole way is supported
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iker_envs.planning.collision import OrientedBox, lowest_m, object_boxes, scene_boxes
from iker_envs.scene import Goal, Scene

_TABLE_M = 0.015  # an object whose lowest point is below this stands on the table, which has no edge here
_LEVEL_M = 0.015  # tops that differ by less carry an object together
_MARGIN_M = 0.015  # of the object's centre inside the edge: centres of mass are that uncertain
_STEP_M = 0.005  # of the way that is looked at


@dataclass(frozen=True)
class SupportLimit:
    """The last place on the straight way to the target where the object's centre is well supported, base frame."""

    support: str
    position_m: tuple[float, float]  # x, y of the object's centre
    short_m: float  # from there to the target


def support_limit(scene: Scene, goal: Goal) -> SupportLimit | None:
    """Where an object that is pushed straight to its target would begin to tip over an edge; None if nowhere."""
    obj = scene.object(goal.object)
    bottom = lowest_m(object_boxes(obj.model, obj.pose))
    if bottom < _TABLE_M:
        return None
    boxes = [(name, box) for name, group in scene_boxes(scene, skip=[obj.name]).items() for box in group]
    level = [(name, box) for name, box in boxes if abs(_top_m(box) - bottom) < _LEVEL_M]
    start = np.array(obj.pose[:2])
    target = np.array(goal.target_pose[:2])
    way = np.linspace(start, target, max(2, round(float(np.linalg.norm(target - start)) / _STEP_M) + 1))
    carried = [_carriers(place, level) for place in way]
    if not carried[0] or all(carried):
        return None
    last = next(k for k, names in enumerate(carried) if not names) - 1
    x, y = way[last]
    return SupportLimit(carried[last][0], (float(x), float(y)), float(np.linalg.norm(target - way[last])))


def _carriers(place: np.ndarray, level: Sequence[tuple[str, OrientedBox]]) -> list[str]:
    """Names of the boxes that carry an object's centre at a place (2,), all of its margin included."""
    around = place + _MARGIN_M * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    under = [[name for name, box in level if _is_over(point, box)] for point in around]
    return under[0] if all(under) else []


def _top_m(box: OrientedBox) -> float:
    return float(box.corners()[:, 2].max())


def _is_over(point: np.ndarray, box: OrientedBox) -> bool:
    """Is a point (2,) above a box's footprint?"""
    inside = np.array([*point, box.centre[2]])
    return bool(np.all(np.abs(box.axes.T @ (inside - box.centre)) <= box.half))
