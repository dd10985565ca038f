"""How high the waypoint rule carries an object, and along which way.

    scene, goal  ->  carrying  ->  Carrying(height_m, first_axis, hang_m)

The way is straight where that clears what stands between, else first sideways or first outwards, whichever keeps off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from iker_envs.geometry import pose_apply
from iker_envs.planning.collision import highest_m, lowest_m, object_boxes
from iker_envs.planning.nearby import objects_near_motion
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, ObjectModel, Scene

STRAIGHT = -1
_ORDERS = (STRAIGHT, 1, 0)  # the axis of the base that comes first: none, y, x; best first
_CLEARANCE_M = 0.03  # between a carried object and what it passes over
_LEAST_CLEARANCE_M = 0.015  # the same where the arm does not reach that high
_BESIDE_M = (0.03, 0.02, 0.01, 0.0)  # what is nearer to the way is cleared too, as far as the arm reaches that high
_HOLD_DEPTH_M = 0.025  # the tool centre is so far below the top of an object that is held from above
_MAX_RISE_M = 0.4  # heights that are looked at above a target,
_HEIGHT_STEP_M = 0.01  # so far apart
_REACH_LEFT_M = 0.02  # of the arm, above a target: grasps are not quite upright


@dataclass(frozen=True)
class Carrying:
    """The height in metres of the object's centre, and the axis along which it goes first (-1: straight)."""

    height_m: float
    first_axis: int
    hang_m: float  # from the centre down to the lowest keypoint, at most, at start and target


def carrying(scene: Scene, goal: Goal) -> Carrying:
    """The first way that clears everything, of those that keep the farthest off; else the straight one."""
    obj = scene.object(goal.object)
    reached_m = _reached_height(scene, goal)
    below_m = max(half_height(obj.model, pose) for pose in (obj.pose, goal.target_pose))
    local = obj.model.control_keypoints_m()
    hang_m = max(float(p[2] - pose_apply(p, local)[:, 2].min()) for p in (obj.pose, np.asarray(goal.target_pose)))
    over_m = 0.0
    for beside_m in _BESIDE_M:
        for first_axis in _ORDERS:
            over_m = _over_m(scene, goal, first_axis, beside_m, below_m)
            if over_m + _LEAST_CLEARANCE_M <= reached_m:
                return Carrying(_clipped(reached_m, over_m), first_axis, hang_m)
    over_m = _over_m(scene, goal, STRAIGHT, 0.0, below_m)
    return Carrying(_clipped(reached_m, over_m), STRAIGHT, hang_m)


def half_height(model: ObjectModel, pose: np.ndarray) -> float:
    """From an object's centre at a pose (7,) down to its lowest point, metres."""
    return float(pose[2] - lowest_m(object_boxes(model, pose)))


def _clipped(reached_m: float, over_m: float) -> float:
    return float(np.clip(reached_m, over_m + _LEAST_CLEARANCE_M, over_m + _CLEARANCE_M))


def _over_m(scene: Scene, goal: Goal, first_axis: int, beside_m: float, below_m: float) -> float:
    """Height of the object's centre at which it just passes over all that is within `beside_m` of a way."""
    passed = {name for legs in _legs(scene, goal, first_axis) for name in objects_near_motion(*legs, beside_m)}
    boxes = [b for o in scene.objects if o.name in passed for b in object_boxes(o.model, o.pose)]
    highest = max(0.0, highest_m(boxes)) if boxes else 0.0
    return max(highest + below_m, float(goal.target_pose[2]))


def _legs(scene: Scene, goal: Goal, first_axis: int) -> list[tuple[Scene, Goal]]:
    """The straight parts of a way, each with the object at its beginning; it is turned on the first one."""
    if first_axis == STRAIGHT:
        return [(scene, goal)]
    corner = np.array(goal.target_pose)
    corner[1 - first_axis] = scene.object(goal.object).pose[1 - first_axis]
    return [(scene, replace(goal, target_pose=corner)), (scene.with_poses({goal.object: corner}), goal)]


def _reached_height(scene: Scene, goal: Goal) -> float:
    """The greatest height in metres of a carried object's centre at which the arm still reaches above its target.

    For a hand that holds it from above; at least the target's own height.
    """
    hold_m = half_height(scene.object(goal.object).model, goal.target_pose) - _HOLD_DEPTH_M
    heights = goal.target_pose[2] + np.arange(0.0, _MAX_RISE_M, _HEIGHT_STEP_M)
    hands = np.tile([*goal.target_pose[:2], 0.0, *HOME_GRIPPER_QUATERNION], (len(heights), 1))
    hands[:, 2] = heights + hold_m
    reached = (reach_margin(hands) > _REACH_LEFT_M) & (hands[:, 2] < scene.workspace_m[1][2])
    return float(heights[reached].max()) if reached.any() else np.inf
