"""Where a push begins: beside the object, free and reachable.

push_start(scene, goal)                  ->  tool-centre pose beside the object
PushStarts(scenes, name).at(poses, ...)  ->  the same in many worlds at once
push_height(boxes)                       ->  height of the tool centre when it pushes
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from iker_envs.geometry import norm, pose_apply
from iker_envs.planning.collision import OrientedBox, highest_m, lowest_m
from iker_envs.planning.many import Boxes, Shapes, deepest_m, hands_at
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Scene

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
    poses = np.array([[o.pose for o in scene.objects]])
    return PushStarts([scene], goal.object).at(np.zeros(1, dtype=int), poses, np.array(goal.target_pose)[None])[0]


class PushStarts:
    """Where pushes of one object begin, in many worlds at once, each of which holds one of some scenes.

    The scenes have the same workspace and the same objects by name and order; models differ.
    """

    def __init__(self, scenes: Sequence[Scene], name: str) -> None:
        self._name = name
        self._index = [o.name for o in scenes[0].objects].index(name)
        self._shapes = Shapes.of(scenes)
        self._own = self._shapes.owner == self._index
        self._keypoints_m = np.array([scene.object(name).model.control_keypoints_m() for scene in scenes])
        self._workspace_m = scenes[0].workspace_m

    def at(self, scene: np.ndarray, poses: np.ndarray, target_pose: np.ndarray) -> np.ndarray:
        """As `push_start`, (M, 7), for M worlds with objects of scenes (M,) at poses (M, O, 7); targets are (M, 7)."""
        hands, found = self.find(scene, poses, target_pose)
        if not found.all():
            raise ValueError(f"the hand finds no free and reachable place beside {self._name!r} to begin a push")
        return hands

    def find(self, scene: np.ndarray, poses: np.ndarray, target_pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `at`, and in which of the worlds there is such a place, (M,) bool; the other hands mean nothing."""
        boxes = self._shapes.at(scene, poses)
        corners = boxes.only(self._own).corners()
        lowest = corners[..., 2].min(axis=1)
        height = np.maximum(corners[..., 2].max(axis=1) - _FINGER_BELOW_TOP_M, lowest + _LOWEST_TCP_M)
        place = poses[:, self._index, :2]
        outline = corners[..., :2] - place[:, None]
        angle = _away_rad(poses[:, self._index], target_pose, self._keypoints_m[scene])
        hands = np.zeros((len(poses), 7))
        left = np.arange(len(poses))  # worlds that have no hand yet
        for turn, rise, standoff in product(_TURNS_RAD, _RISES_M, _STANDOFFS_M):
            direction = np.stack([np.cos(angle[left] + turn), np.sin(angle[left] + turn)], axis=-1)
            reach = np.sum(outline[left] * direction[:, None], axis=-1).max(axis=1)
            hand = np.empty((len(left), 7))
            hand[:, :2] = place[left] + (reach + standoff)[:, None] * direction
            hand[:, 2] = height[left] + rise
            hand[:, 3:] = HOME_GRIPPER_QUATERNION
            fits = self._fits(hand, boxes.of(left))
            hands[left[fits]] = hand[fits]
            left = left[~fits]
            if not len(left):
                break
        found = np.ones(len(poses), dtype=bool)
        found[left] = False
        return hands, found

    def _fits(self, hand: np.ndarray, boxes: Boxes) -> np.ndarray:
        """Which hands (M, 7) are inside the workspace, within reach and free of the boxes."""
        low, high = self._workspace_m
        fits = np.all((hand[:, :3] >= low) & (hand[:, :3] <= high), axis=-1) & (reach_margin(hand) > _REACH_LEFT_M)
        fits[fits] = deepest_m(hands_at(hand[fits], 0.0), boxes.of(fits)) <= 0.0
        return fits


def _away_rad(pose: np.ndarray, target_pose: np.ndarray, keypoints_m: np.ndarray) -> np.ndarray:
    """Angles (M,) of the directions from objects straight away from their targets; of a turn in place, from an end.

    `keypoints_m` (M, 4, 3) are the objects' control keypoints in their body frames.
    """
    points = pose_apply(pose, keypoints_m)
    motion = (pose_apply(target_pose, keypoints_m) - points).mean(axis=1)[:, :2]
    turns = norm(motion) < _PURE_TURN_M
    motion = np.where(turns[:, None], points[:, 2, :2] - pose[:, :2], motion)
    return np.arctan2(-motion[:, 1], -motion[:, 0])


def push_height(boxes: Sequence[OrientedBox]) -> float:
    """Height in metres of the tool centre when it pushes an object of these boxes: the hand clears the object's top."""
    return max(highest_m(boxes) - _FINGER_BELOW_TOP_M, lowest_m(boxes) + _LOWEST_TCP_M)
