"""One push after the other moves an object along its path, as VoxPoser's model-predictive control does.

object, path  ->  next_push  ->  Waypoints of one push, None when the object is there

The model is VoxPoser's: an object moves by as much as it is pushed, and does not turn. Of the pushes of at most 9 cm,
the one that brings the centre nearest to the path ahead is known in closed form; the original samples 10,000 of them.
"""

from __future__ import annotations

import numpy as np

from iker_agent.voxposer.acts import Push
from iker_agent.voxposer.follower import Waypoint
from iker_envs.geometry import rotation_matrix
from iker_envs.planning.collision import object_boxes
from iker_envs.planning.hand import FINGER_HALF_SIZE_M
from iker_envs.planning.push import push_height
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Scene, SceneObject

MAX_PUSH_M = 0.09
DONE_M = 0.01  # an object so near to the end of its path is there
_BEHIND_M = 0.05  # of the contact, where the hand comes down; the original backs off 8 cm
_ABOVE_M = 0.06  # of pushing height, until then
_PUSH_STEP_M = 0.012  # a tick while it pushes
_EXACT_M = 0.004
_TINY = 1e-9


def next_push(scene: Scene, act: Push) -> list[Waypoint] | None:
    """Tool-centre waypoints of the next push, tool down; None if the object is at the end of its path."""
    obj = scene.object(act.object)
    centre = np.array(obj.pose[:2])
    ahead = _ahead(centre, act.path_m[:, :2])
    way = ahead - centre
    length = float(np.linalg.norm(way))
    if length <= DONE_M:
        return None
    direction = way / length
    contact = centre - (_half_extent(obj, direction) + FINGER_HALF_SIZE_M[0]) * direction
    low = push_height(object_boxes(obj.model, obj.pose))
    behind = contact - _BEHIND_M * direction
    end = contact + length * direction

    def pose(place: np.ndarray, height: float) -> np.ndarray:
        return np.array([*place, height, *HOME_GRIPPER_QUATERNION])

    return [
        Waypoint(pose(behind, low + _ABOVE_M)),
        Waypoint(pose(behind, low), reached_m=0.01),
        Waypoint(pose(end, low), step_m=_PUSH_STEP_M, reached_m=_EXACT_M),
        Waypoint(pose(end - _BEHIND_M * direction, low)),
        Waypoint(pose(end - _BEHIND_M * direction, low + _ABOVE_M)),
    ]


def _ahead(centre: np.ndarray, path: np.ndarray) -> np.ndarray:
    """The point (2,) that the centre (2,) is pushed to next: the farthest one of the path that one push reaches."""
    nearest = int(np.argmin(np.linalg.norm(path - centre, axis=1)))
    left = path[nearest:]
    away_m = np.linalg.norm(left - centre, axis=1)
    within = np.flatnonzero(away_m <= MAX_PUSH_M)
    if len(within):
        return np.asarray(left[within[-1]])
    return np.asarray(centre + MAX_PUSH_M * (left[0] - centre) / away_m[0])


def _half_extent(obj: SceneObject, direction: np.ndarray) -> float:
    """From an object's centre to the side of its box that is met along -direction (2,), metres."""
    axes = rotation_matrix(obj.pose[3:])
    level = np.argsort(np.abs(axes[2]))[:2]  # the two most horizontal axes of the body
    along = np.abs(direction @ axes[:2, level])
    return float(np.min(obj.model.size_m[level] / 2 / np.maximum(along, _TINY)))
