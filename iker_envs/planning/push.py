"""Where a push begins: beside the object, free and reachable.

push_start(scene, goal)   ->  tool-centre pose beside the object
push_height(boxes)        ->  height of the tool centre when it pushes
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from iker_envs.geometry import pose_apply
from iker_envs.planning.collision import (
    OrientedBox,
    deepest_overlap,
    gripper_boxes,
    highest_m,
    lowest_m,
    object_boxes,
    scene_boxes,
)
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Scene, SceneObject

# Where a push begins, best first: so far from the object, so high above pushing height, so far round from straight
# behind it. From straight behind and 5 cm away, random actions end one BookPush in seven within the paper's 5 cm.
_STANDOFFS_M = (0.10, 0.07, 0.05)
_RISES_M = (0.06, 0.1, 0.03, 0.0)
_TURNS_RAD = np.deg2rad([40, -40, 20, -20, 0, 60, -60, 90, -90, 120, -120, 180])
_FINGER_BELOW_TOP_M = 0.058  # the hand, 6.5 cm behind the tool centre, then clears the top of the object
_LOWEST_TCP_M = 0.018  # above what the object stands on
_REACH_LEFT_M = 0.01  # how far from the end of its reach the arm begins
_PURE_TURN_M = 0.01  # a goal nearer than this to the object turns it in its place


def push_start(scene: Scene, goal: Goal) -> np.ndarray:
    """Tool-centre pose (7,), tool down, from which a push begins: beside the object, above pushing height.

    Candidates stand around the object, the best ones turned by 40 degrees from straight behind it. The first that is
    inside the workspace, within reach and free of everything is taken; ValueError if none is.
    """
    obj = scene.object(goal.object)
    boxes = object_boxes(obj.model, obj.pose)
    corners = np.concatenate([b.corners() for b in boxes])
    height = push_height(boxes)
    others = scene_boxes(scene)
    for direction in _directions(obj, goal):
        reach = float(np.max((corners[:, :2] - obj.pose[:2]) @ direction))
        for rise, standoff in product(_RISES_M, _STANDOFFS_M):
            position = np.append(obj.pose[:2] + (reach + standoff) * direction, height + rise)
            pose = np.concatenate([position, HOME_GRIPPER_QUATERNION])
            inside = np.all(position >= scene.workspace_m[0]) and np.all(position <= scene.workspace_m[1])
            if (
                inside
                and reach_margin(pose) > _REACH_LEFT_M
                and not deepest_overlap(gripper_boxes(pose, 0.0), others)[1]
            ):
                return pose
    raise ValueError(f"the hand finds no free and reachable place beside {goal.object!r} to begin a push")


def push_height(boxes: Sequence[OrientedBox]) -> float:
    """Height in metres of the tool centre when it pushes an object of these boxes: the hand clears the object's top."""
    return max(highest_m(boxes) - _FINGER_BELOW_TOP_M, lowest_m(boxes) + _LOWEST_TCP_M)


def _directions(obj: SceneObject, goal: Goal) -> list[np.ndarray]:
    """Horizontal unit vectors from the object, turned from the direction straight away from its target."""
    local = obj.model.control_keypoints_m()
    motion = (pose_apply(goal.target_pose, local) - pose_apply(obj.pose, local)).mean(axis=0)[:2]
    if np.linalg.norm(motion) < _PURE_TURN_M:  # push an end sideways
        motion = pose_apply(obj.pose, local)[2, :2] - obj.pose[:2]
    angle = np.arctan2(-motion[1], -motion[0])
    return [np.array([np.cos(angle + t), np.sin(angle + t)]) for t in _TURNS_RAD]
