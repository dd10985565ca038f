"""What a waypoint policy knows beside the observation: a few lengths of its scene.

scene, goal  ->  waypoint_parameters  ->  WaypointParameters
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_agent.learning.waypoint_way import STRAIGHT, carrying, half_height
from iker_envs.geometry import rotation_matrix
from iker_envs.planning.collision import highest_m, lowest_m, object_boxes
from iker_envs.planning.nearby import objects_near_motion
from iker_envs.planning.push import push_height
from iker_envs.scene import Goal, ObjectModel, Scene

_OVER_TOP_M = 0.07  # of the tool centre above the top of an object that the hand passes over
_OVER_TALL_M = 0.045  # the same for a tall one: higher up the arm does not reach as far
_TOPPLES = 1.2  # an object slides while friction x height of the push stays below so many of its half sizes
_LEAN_RAD = float(np.deg2rad(30.0))  # from 28 degrees on the fingers touch a tall object before the hand does
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
    first_axis: int = STRAIGHT  # of the base, along which a carried object goes first; -1: straight
    hang_m: float = 0.0  # from a carried object's centre down to its lowest keypoint, at most, where it stands


def waypoint_parameters(scene: Scene, goal: Goal) -> WaypointParameters:
    """The lengths that a WaypointPolicy needs, from the scene's geometry."""
    obj = scene.object(goal.object)
    push_m = push_height(object_boxes(obj.model, obj.pose)) - obj.pose[2]
    half_m = half_height(obj.model, obj.pose)
    way = carrying(scene, goal)
    leans = topples(obj.model, obj.pose, push_m + half_m)
    return WaypointParameters(
        grasp=goal.grasp,
        carry_height_m=way.height_m,
        push_height_m=float(LEANING_TCP_M - half_m if leans else push_m),
        over_height_m=float(half_m + (_OVER_TALL_M if leans else _OVER_TOP_M)),
        third_half_m=float(np.min(obj.model.size_m) / 2),
        lean_rad=min(_LEAN_RAD, float(scene.approach_cone_rad)) if leans else 0.0,
        around=leans and _is_free(scene, goal),
        first_axis=way.first_axis,
        hang_m=way.hang_m,
    )


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
