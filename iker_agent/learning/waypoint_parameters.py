"""What a waypoint policy knows beside the observation: a few lengths of its scene.

scene, goal  ->  waypoint_parameters  ->  WaypointParameters
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import rotation_matrix
from iker_envs.planning.collision import highest_m, lowest_m, object_boxes
from iker_envs.planning.nearby import objects_near_motion
from iker_envs.planning.push import push_height
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, ObjectModel, Scene

_CLEARANCE_M = 0.03  # between a carried object and what it passes over
_LEAST_CLEARANCE_M = 0.015  # the same where the arm does not reach that high
_OVER_TOP_M = 0.07  # of the tool centre above the top of an object that the hand passes over
_OVER_TALL_M = 0.045  # the same for a tall one: higher up the arm does not reach as far
_TOPPLES = 1.2  # an object slides while friction x height of the push stays below so many of its half sizes
_LEAN_RAD = float(np.deg2rad(30.0))  # from 28 degrees on the fingers touch a tall object before the hand does
_HOLD_DEPTH_M = 0.025  # the tool centre is so far below the top of an object that is held from above
_MAX_RISE_M = 0.4  # heights that are looked at above a target,
_HEIGHT_STEP_M = 0.01  # so far apart
_REACH_LEFT_M = 0.02  # of the arm, above a target: grasps are not quite upright
_AROUND_M = 0.25  # a hand that goes round an object needs so much room
_LEVEL_M = 0.01
LEANING_TCP_M = 0.021  # above what the object stands on: the lower edge of leaning fingers is 1.6 cm below


@dataclass(frozen=True)
class WaypointParameters:
    """Lengths in metres that the observation does not tell; heights are relative to the object's centre."""

    grasp: bool
    carry_height_m: float  # height of the object's centre at which it clears everything on the way
    push_height_m: float  # of the tool centre above the object's centre
    over_height_m: float  # of the tool centre above the object's centre when the hand passes over it
    third_half_m: float = 0.0  # half length of the object along the axis that has no control keypoints
    lean_rad: float = 0.0  # how far the hand leans back when it pushes, so that it stays clear of a tall object's top
    around: bool = False  # nothing stands around a tall object: the hand may go round it instead of over it


def waypoint_parameters(scene: Scene, goal: Goal) -> WaypointParameters:
    """The lengths that a WaypointPolicy needs, from the scene's geometry."""
    obj = scene.object(goal.object)
    push_m = push_height(object_boxes(obj.model, obj.pose)) - obj.pose[2]
    half_height = _half_height(obj.model, obj.pose)
    leans = topples(obj.model, obj.pose, push_m + half_height)
    return WaypointParameters(
        grasp=goal.grasp,
        carry_height_m=_carry_height(scene, goal),
        push_height_m=float(LEANING_TCP_M - half_height if leans else push_m),
        over_height_m=float(half_height + (_OVER_TALL_M if leans else _OVER_TOP_M)),
        third_half_m=float(np.min(obj.model.size_m) / 2),
        lean_rad=min(_LEAN_RAD, float(scene.approach_cone_rad)) if leans else 0.0,
        around=leans and _is_free(scene, goal),
    )


def _carry_height(scene: Scene, goal: Goal) -> float:
    """Height in metres of a carried object's centre that clears everything on the way and beside it.

    What only stands beside the way is not cleared where the arm does not reach that high.
    """
    model = scene.object(goal.object).model
    reached_m = _reached_height(scene, goal)
    below = max(_half_height(model, pose) for pose in (scene.object(goal.object).pose, goal.target_pose))
    over_m = 0.0
    for beside_m in (_CLEARANCE_M, 0.0):
        passed = objects_near_motion(scene, goal, margin_m=beside_m)
        boxes = [b for o in scene.objects if o.name in passed for b in object_boxes(o.model, o.pose)]
        highest = max(0.0, highest_m(boxes)) if boxes else 0.0
        over_m = max(highest + below, float(goal.target_pose[2]))
        if over_m + _LEAST_CLEARANCE_M <= reached_m:
            break
    return float(np.clip(reached_m, over_m + _LEAST_CLEARANCE_M, over_m + _CLEARANCE_M))


def _reached_height(scene: Scene, goal: Goal) -> float:
    """The greatest height in metres of a carried object's centre at which the arm still reaches above its target.

    For a hand that holds it from above; at least the target's own height.
    """
    hold_m = _half_height(scene.object(goal.object).model, goal.target_pose) - _HOLD_DEPTH_M
    heights = goal.target_pose[2] + np.arange(0.0, _MAX_RISE_M, _HEIGHT_STEP_M)
    hands = np.tile([*goal.target_pose[:2], 0.0, *HOME_GRIPPER_QUATERNION], (len(heights), 1))
    hands[:, 2] = heights + hold_m
    reached = (reach_margin(hands) > _REACH_LEFT_M) & (hands[:, 2] < scene.workspace_m[1][2])
    return float(heights[reached].max()) if reached.any() else np.inf


def _is_free(scene: Scene, goal: Goal) -> bool:
    """Does nothing stand around the object's way that is higher than what it stands on?"""
    obj = scene.object(goal.object)
    ground_m = lowest_m(object_boxes(obj.model, obj.pose)) + _LEVEL_M
    near = objects_near_motion(scene, goal, margin_m=_AROUND_M)
    return not any(highest_m(object_boxes(o.model, o.pose)) > ground_m for o in scene.objects if o.name in near)


def topples(model: ObjectModel, pose: np.ndarray, height_m: float) -> bool:
    """Would a push at a height above its support tip the object over rather than move it?"""
    vertical = np.argmax(np.abs(rotation_matrix(pose[3:])[2]))
    half_depth = np.delete(model.size_m, vertical).min() / 2
    return bool(model.friction * height_m > _TOPPLES * half_depth)


def _half_height(model: ObjectModel, pose: np.ndarray) -> float:
    """From an object's centre at a pose (7,) down to its lowest point, metres."""
    return float(pose[2] - lowest_m(object_boxes(model, pose)))
