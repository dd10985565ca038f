"""How an episode begins: where the objects stand, what the goal is, where the hand waits or grasps.

    FixedStart (a scene and a goal)      \\
                                           ->  sample(rng, configuration)  ->  Start
    TaskStart (iker_envs.task, a YAML)   /

    push_start(scene, goal)   ->  tool-centre pose beside the object, free and reachable
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np

from iker_envs.geometry import pose_apply, quaternion_from_yaw, quaternion_multiply
from iker_envs.planning.collision import deepest_overlap, gripper_boxes, object_boxes, scene_boxes
from iker_envs.randomisation import Randomisation
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, ObjectModel, Scene
from iker_envs.spec import POSITION_BOUND_M

# Where a push begins, best first: so far from the object, so high above pushing height, so far round from straight
# behind it. From straight behind and 5 cm away, random actions end one BookPush in seven within the paper's 5 cm.
_STANDOFFS_M = (0.10, 0.07, 0.05)
_RISES_M = (0.06, 0.1, 0.03, 0.0)
_TURNS_RAD = np.deg2rad([40, -40, 20, -20, 0, 60, -60, 90, -90, 120, -120, 180])
_FINGER_BELOW_TOP_M = 0.058  # the hand, 6.5 cm behind the tool centre, then clears the top of the object
_BELOW_M = 0.05  # a target so far under the table, which is z = 0, is a mistake and no error of an estimate
_LOWEST_TCP_M = 0.018  # above what the object stands on
_DRAWS = 20  # how often a start pose is drawn before the object stays where it is
_OVERLAP_M = 0.001  # how much deeper than nominal a drawn start may be in other objects


@dataclass(frozen=True, eq=False)
class Start:
    """One episode's scene (objects where they begin) and goal."""

    scene: Scene
    goal: Goal


class StartSource(Protocol):
    """Where episodes come from."""

    scene: Scene  # the models and furniture of the first configuration
    num_configurations: int

    def sample(self, rng: np.random.Generator, configuration: int | None = None) -> Start:
        """Draw one episode; `configuration` picks one of several arrangements."""
        ...


@dataclass(frozen=True, eq=False)
class FixedStart:
    """Every episode begins with one scene and goal; the manipulated object's pose is randomised."""

    scene: Scene
    goal: Goal
    randomisation: Randomisation
    num_configurations: int = 1

    def sample(self, rng: np.random.Generator, configuration: int | None = None) -> Start:
        """The scene with `object_position` and `object_yaw` drawn; there is one configuration, 0.

        Drawn again while the object would stand deeper in another one; after 20 times it stays where it is.
        """
        if configuration not in (None, 0):
            raise ValueError(f"configuration {configuration} does not exist; a fixed scene has only 0")
        obj = self.scene.object(self.goal.object)
        others = scene_boxes(self.scene, skip=[obj.name])
        allowed = max(deepest_overlap(object_boxes(obj.model, obj.pose), others)[0], 0.0) + _OVERLAP_M
        for _ in range(_DRAWS):
            pose = self._draw_pose(obj.pose, rng)
            if deepest_overlap(object_boxes(obj.model, pose), others)[0] <= allowed:
                return Start(self.scene.with_poses({obj.name: pose}), self.goal)
        return Start(self.scene, self.goal)

    def _draw_pose(self, nominal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        pose = np.array(nominal)
        pose[:2] += self.randomisation.draw("object_position", rng)[0]
        yaw = self.randomisation.draw("object_yaw", rng)[0, 0]
        pose[3:] = quaternion_multiply(quaternion_from_yaw(np.array(yaw)), pose[3:])
        return pose


def check_target(goal: Goal, scene: Scene) -> None:
    """ValueError if a keypoint of the goal's object would end out of what can be observed, or under the table."""
    targets = pose_apply(goal.target_pose, scene.object(goal.object).model.control_keypoints_m())
    farthest = targets.flat[np.argmax(np.abs(targets))]
    lowest = float(targets[:, 2].min())
    what = f"the goal for {goal.object!r}, target_pose {np.round(goal.target_pose, 3).tolist()},"
    if lowest < -_BELOW_M:
        raise ValueError(f"{what} has a keypoint {-lowest:.2f} m below the table; give one with all above z = 0")
    if abs(farthest) > POSITION_BOUND_M:
        raise ValueError(
            f"{what} has a keypoint at {farthest:.2f} m; give one that keeps all within {POSITION_BOUND_M:.0f} m of "
            "the robot's base along each axis"
        )


def push_start(scene: Scene, goal: Goal) -> np.ndarray:
    """Tool-centre pose (7,), tool down, from which a push begins: to one side of behind the object, and above.

    Of the candidates around the object the first that is free of everything and within reach; ValueError if none is.
    """
    obj = scene.object(goal.object)
    boxes = object_boxes(obj.model, obj.pose)
    corners = np.concatenate([b.corners() for b in boxes])
    height = push_height(obj.model, obj.pose)
    others = scene_boxes(scene)
    for direction in _directions(obj, goal):
        reach = float(np.max((corners[:, :2] - obj.pose[:2]) @ direction))
        for rise, standoff in product(_RISES_M, _STANDOFFS_M):
            position = np.append(obj.pose[:2] + (reach + standoff) * direction, height + rise)
            pose = np.concatenate([position, HOME_GRIPPER_QUATERNION])
            inside = np.all(position >= scene.workspace_m[0]) and np.all(position <= scene.workspace_m[1])
            if inside and reach_margin(pose) > 0.01 and not deepest_overlap(gripper_boxes(pose, 0.0), others)[1]:
                return pose
    raise ValueError(f"the hand finds no free and reachable place beside {goal.object!r} to begin a push")


def push_height(model: ObjectModel, pose: np.ndarray) -> float:
    """Height in metres of the tool centre when it pushes an object at a pose (7,): the hand clears the object's top."""
    heights = np.concatenate([b.corners()[:, 2] for b in object_boxes(model, pose)])
    return float(max(heights.max() - _FINGER_BELOW_TOP_M, heights.min() + _LOWEST_TCP_M))


def _directions(obj, goal: Goal) -> list[np.ndarray]:
    """Horizontal unit vectors from the object, turned from the direction straight away from its target."""
    local = obj.model.control_keypoints_m()
    motion = (pose_apply(goal.target_pose, local) - pose_apply(obj.pose, local)).mean(axis=0)[:2]
    if np.linalg.norm(motion) < 0.01:  # a pure turn: push an end sideways
        motion = pose_apply(obj.pose, local)[2, :2] - obj.pose[:2]
    angle = np.arctan2(-motion[1], -motion[0])
    return [np.array([np.cos(angle + t), np.sin(angle + t)]) for t in _TURNS_RAD]
