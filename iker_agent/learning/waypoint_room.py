"""Can the hand get behind what it is to push? Where it cannot, that is said before anything moves.

    scene, goal, parameters  ->  no_room  ->  a clause: why not, and what can be done instead; empty where it can

A side has to be pushed if the object goes 2 cm or more square to it. The hand touches it from behind, before or after
the other side has been pushed, within reach; a hand that leans back there, behind something tall, hits nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from iker_agent.learning.waypoint_parameters import WaypointParameters
from iker_agent.learning.waypoint_push import Outline, outline
from iker_agent.learning.waypoint_tall import REACH_M, leaning_hand, touch_m
from iker_envs.geometry import pose_apply
from iker_envs.judging.directions import way
from iker_envs.planning.collision import deepest_overlap, gripper_boxes, scene_boxes
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.hand import FINGER_HALF_SIZE_M
from iker_envs.reach import reach_margin, reach_range_m
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Scene
from iker_envs.spec import ObservedKeypoints

_WORTH_M = 0.02  # a side that has less to go need not be pushed: the object ends near enough
_TOUCH_M = 0.01  # so deep a leaning hand may seem to be in something else


def no_room(scene: Scene, goal: Goal, parameters: WaypointParameters) -> str:
    """Which side of the goal's object the hand cannot get behind, why, and the way out; empty where there is none."""
    if goal.grasp:
        return ""
    obj = scene.object(goal.object)
    turned = np.concatenate([obj.pose[:3], goal.target_pose[3:]])  # it may be turned before it is moved
    told = [_fault(scene, goal, parameters, pose) for pose in (obj.pose, turned)]
    if not all(told):
        return ""
    grasps = propose_grasps(scene, goal.object, goal.target_pose).grasps
    return f"{told[0]}; grasp it instead" if grasps else told[0]


def _fault(scene: Scene, goal: Goal, parameters: WaypointParameters, pose: np.ndarray) -> str:
    """What is wrong with the object at a pose (7,), a clause; empty if nothing is."""
    obj = scene.object(goal.object)
    local = obj.model.control_keypoints_m()
    here, there = (pose_apply(p, local)[None] for p in (pose, goal.target_pose))
    hand = np.array([[0.0, 0.0, 0.0, *HOME_GRIPPER_QUATERNION]])
    shape = outline(ObservedKeypoints(hand, pose[None], here, there, None), parameters.third_half_m)
    left_m = shape.axes[0] @ (goal.target_pose - pose)[:2]
    others = scene_boxes(scene, skip=[goal.object])
    for face in np.flatnonzero(np.abs(left_m) > _WORTH_M):
        direction = np.append(np.sign(left_m[face]) * shape.axes[0, face], 0.0)
        behind = f"the hand cannot get behind {goal.object} to push it {way(direction)}"
        hands = list(_hands(shape, int(face), left_m, parameters, float(pose[2])))
        reached = [pose for pose in hands if float(reach_margin(pose)) > REACH_M]
        if not reached:
            far_m = reach_range_m(hands[0])[1]
            leaning = ", leaning back as it has to behind a tall thing," if parameters.lean_rad else ""
            place = f"it would be {np.hypot(*hands[0][:2]):.2f} m from the arm's base"
            return f"{behind}: there{leaning} {place}, and the arm reaches {far_m:.2f} m"
        if parameters.lean_rad:
            depth, whom = min(deepest_overlap(gripper_boxes(pose, 0.0), others) for pose in reached)
            if depth > _TOUCH_M:
                return f"{behind}: leaning back there as it has to behind a tall thing, it would hit {whom}"
    return ""


def _hands(
    shape: Outline, face: int, left_m: np.ndarray, parameters: WaypointParameters, centre_z_m: float
) -> Iterator[np.ndarray]:
    """Poses (7,) of a hand that touches a face: with the object as it is, and where the other face has brought it."""
    axes = shape.axes[0]
    normal = axes[face] * (-1.0 if left_m[face] < 0 else 1.0)
    lean_rad = parameters.lean_rad
    touch = touch_m(lean_rad) if lean_rad else FINGER_HALF_SIZE_M[0]
    height = np.array([centre_z_m + parameters.push_height_m])
    for centre in (shape.centre[0], shape.centre[0] + left_m[1 - face] * axes[1 - face]):
        place = centre - (shape.half[0, face] + touch) * normal
        yield leaning_hand(place[None], normal[None], height, lean_rad, np.array(HOME_GRIPPER_QUATERNION))[0]
