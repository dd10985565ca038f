"""What an object stands on: heights that a search considers, and contact that an estimate makes exact.

Scene (furniture)  ->  levels      matrix, model, other boxes  ->  on_its_support  ->  matrix;  hovers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from iker_envs.perception.rigid import pose_of, turned_about
from iker_envs.planning.collision import OrientedBox, deepest_overlap, highest_m, lowest_m, object_boxes, support_height
from iker_envs.scene import ObjectModel

_NARROW_M = 0.04  # nothing stands on a top that is narrower
_CONTACT_M = 0.010  # an estimate so near its support stands on it
_HOVERS_M = 0.012  # with nothing so near below it, an object is held, or lies on something unknown
_LEVEL_RAD = np.deg2rad(6.0)  # a side that is so nearly level is level
_UNDER_M = 0.02  # how far into its support an estimate may reach


def levels(boxes: Iterable[OrientedBox]) -> list[float]:
    """Heights in metres of the tops on which something can stand, the table's 0 first."""
    heights = {0.0}
    for box in boxes:
        upright = int(np.abs(box.axes[2]).argmax())
        if min(np.delete(box.half, upright)) > _NARROW_M / 2:
            heights.add(round(highest_m([box]), 2))
    return sorted(heights)


def on_its_support(matrix: np.ndarray, model: ObjectModel, others: Mapping[str, Sequence[OrientedBox]]) -> np.ndarray:
    """The pose (4, 4) with the nearly level side made level and put onto what is below; unchanged if it hovers."""
    level = _levelled(matrix)
    pose = pose_of(level)
    bottom = lowest_m(object_boxes(model, pose))
    gap = bottom - support_height(others, pose[:2], bottom + _UNDER_M)
    if abs(gap) > _CONTACT_M:
        return matrix
    level[2, 3] -= gap
    return level


def hovers(matrix: np.ndarray, model: ObjectModel, others: Mapping[str, Sequence[OrientedBox]]) -> bool:
    """Is there nothing under the object at the pose (4, 4), neither the table nor one of the others?"""
    lowered = pose_of(matrix)
    lowered[2] -= _HOVERS_M
    boxes = object_boxes(model, lowered)
    return lowest_m(boxes) > 0 and float(deepest_overlap(boxes, others)[0]) <= 0


def _levelled(matrix: np.ndarray) -> np.ndarray:
    """The pose turned about its own origin so that its most upright body axis is upright, if that is a small turn."""
    axis = int(np.abs(matrix[2, :3]).argmax())
    upright = matrix[:3, axis] * np.sign(matrix[2, axis])
    turn = np.cross(upright, [0.0, 0.0, 1.0])
    angle = float(np.arcsin(np.clip(np.linalg.norm(turn), 0.0, 1.0)))
    if angle > _LEVEL_RAD:
        return matrix.copy()
    rotvec = turn / max(float(np.linalg.norm(turn)), 1e-12) * angle
    return turned_about(matrix[:3, 3], rotvec, np.zeros(3)) @ matrix
