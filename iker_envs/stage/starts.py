"""How an episode begins: where the objects stand, what the goal is, where the hand waits or grasps.

    FixedStart (a scene and a goal)      \\
                                           ->  sample(rng, configuration)  ->  Start
    TaskStart (iker_envs.task, a YAML)   /

    push_start(scene, goal)   ->  tool-centre pose beside the object, free and reachable
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from iker_envs.geometry import quaternion_from_yaw, quaternion_multiply
from iker_envs.planning.collision import deepest_overlap, object_boxes, scene_boxes
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Scene
from iker_envs.task import Task

_DRAWS = 20  # how often a start pose is drawn before the object stays where it is
_OVERLAP_M = 0.001  # how much deeper than nominal a drawn start may be in other objects


@dataclass(frozen=True, eq=False)
class Start:
    """One episode's scene (objects where they begin) and goal."""

    scene: Scene
    goal: Goal


class StartSource(Protocol):
    """Where episodes come from."""

    @property
    def scene(self) -> Scene:
        """The models and furniture of the first configuration."""
        ...

    @property
    def num_configurations(self) -> int:
        """How many arrangements there are to pick from."""
        ...

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


@dataclass(frozen=True, eq=False)
class TaskStart:
    """Episodes of one stage of a task: start poses from its ranges, with the earlier stages done."""

    task: Task
    stage: int = 0

    @property
    def scene(self) -> Scene:
        """The first configuration's scene at the centre of its ranges."""
        return self.task.sample(None)

    @property
    def num_configurations(self) -> int:
        return len(self.task.configurations)

    def sample(self, rng: np.random.Generator | None, configuration: int | None = None) -> Start:
        """Draw start poses; a random configuration unless one is given. Without a generator: no ranges, the first."""
        if configuration is None and rng is not None:
            configuration = int(rng.integers(len(self.task.configurations)))
        scene = self.task.sample(rng, configuration)
        for earlier in range(self.stage):
            done = self.task.goal(earlier, scene, configuration)
            scene = scene.with_poses({done.object: done.target_pose})
        return Start(scene, self.task.goal(self.stage, scene, configuration))
