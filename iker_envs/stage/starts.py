"""How an episode begins: where the objects stand, and what the goal is.

    FixedStart (a scene and a goal)      \\
                                           ->  sample(rng, configuration)  ->  Start
    TaskStart (iker_envs.task, a YAML)   /

    draw_starts(source, rngs, configurations)  ->  Starts: the same for many worlds at once, as arrays
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from iker_envs.geometry import pose_compose, quaternion_from_yaw, quaternion_multiply
from iker_envs.planning.many import Shapes, deepest_m
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Scene
from iker_envs.task import StartTable, Task

_DRAWS = 20  # how often a start pose is drawn before the object stays where it is
_MOVED = {"object_position": 1, "object_yaw": 1}  # what is drawn of the object's pose
_OVERLAP_M = 0.001  # how much deeper than nominal a drawn start may be in other objects


@dataclass(frozen=True, eq=False)
class Start:
    """One episode's scene (objects where they begin) and goal."""

    scene: Scene
    goal: Goal


@dataclass(frozen=True, eq=False)
class Starts:
    """M episodes: poses (M, O, 7) of its O objects in scene order, target and annotated poses (M, 7) of their goals."""

    poses: np.ndarray
    target_pose: np.ndarray
    annotated_pose: np.ndarray | None  # where the goals have none


class StartSource(Protocol):
    """Where episodes come from. One that can draw many at once has `draw`, as FixedStart and TaskStart have."""

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
        pose = self.draw([rng], np.zeros(1, dtype=int)).poses[0, self._index]
        return Start(self.scene.with_poses({self.goal.object: pose}), self.goal)

    def draw(self, rngs: Sequence[np.random.Generator], configuration: np.ndarray) -> Starts:
        """As `sample`, for M worlds of configurations (M,) at once."""
        poses = np.tile(np.array([o.pose for o in self.scene.objects]), (len(rngs), 1, 1))
        nominal = poses[:, self._index].copy()
        left = np.arange(len(rngs))  # worlds whose object has no free place yet
        for _ in range(_DRAWS):
            drawn = self.randomisation.draw_each(_MOVED, [rngs[w] for w in left.tolist()])
            moved = nominal[left]
            moved[:, :2] += drawn["object_position"][:, 0]
            moved[:, 3:] = quaternion_multiply(quaternion_from_yaw(drawn["object_yaw"][:, 0, 0]), moved[:, 3:])
            poses[left, self._index] = moved
            left = left[self._depth_m(poses[left]) > self._allowed_m]
            if not len(left):
                break
        poses[left, self._index] = nominal[left]
        target, annotated = self.goal.target_pose, self.goal.annotated_pose
        count = (len(rngs), 1)
        return Starts(poses, np.tile(target, count), None if annotated is None else np.tile(annotated, count))

    def _depth_m(self, poses: np.ndarray) -> np.ndarray:
        """How deep (M,) the object is in other ones."""
        boxes = self._shapes.at(np.zeros(len(poses), dtype=int), poses)
        own = self._shapes.owner == self._index
        return deepest_m(boxes.only(own), boxes.only(~own))

    @cached_property
    def _index(self) -> int:
        return [o.name for o in self.scene.objects].index(self.goal.object)

    @cached_property
    def _shapes(self) -> Shapes:
        return Shapes.of([self.scene])

    @cached_property
    def _allowed_m(self) -> float:
        nominal = np.array([[o.pose for o in self.scene.objects]])
        return max(float(self._depth_m(nominal)[0]), 0.0) + _OVERLAP_M


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

    def draw(self, rngs: Sequence[np.random.Generator], configuration: np.ndarray) -> Starts:
        """As `sample`, for M worlds of configurations (M,) at once."""
        poses = self._table.poses(rngs, configuration)
        worlds = np.arange(len(rngs))
        target_pose = np.empty((len(rngs), 7))
        for stage, (moved, relative_to, relative_pose) in enumerate(self._goals):
            base = poses[worlds, relative_to[configuration]]
            target_pose = pose_compose(base, relative_pose[configuration])
            if stage < self.stage:
                poses[worlds, moved[configuration]] = target_pose
        return Starts(poses, target_pose, target_pose)

    @cached_property
    def _table(self) -> StartTable:
        return StartTable(self.task.configurations, self.task.models)

    @cached_property
    def _goals(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of every stage up to this one: object (C,), what its goal is relative to (C,), relative pose (C, 7)."""
        configurations = self.task.configurations
        names = list(configurations[0].objects)
        stages = [[c.stages[stage].goal for c in configurations] for stage in range(self.stage + 1)]
        return [
            (
                np.array([names.index(goal.object) for goal in goals]),
                np.array([names.index(goal.relative_to) for goal in goals]),
                np.array([goal.relative_pose() for goal in goals]),
            )
            for goals in stages
        ]


def draw_starts(source: StartSource, rngs: Sequence[np.random.Generator], configuration: np.ndarray) -> Starts:
    """Starts of M worlds of configurations (M,), each from its own generator, whatever the worlds beside it."""
    if isinstance(source, (FixedStart, TaskStart)):
        return source.draw(rngs, configuration)
    starts = [source.sample(rng, int(index)) for rng, index in zip(rngs, configuration, strict=True)]
    poses = np.array([[o.pose for o in start.scene.objects] for start in starts])
    annotated = [start.goal.annotated_pose for start in starts if start.goal.annotated_pose is not None]
    target_pose = np.array([start.goal.target_pose for start in starts])
    return Starts(poses, target_pose, np.array(annotated) if annotated else None)
