"""How an episode begins: where the objects stand, and what the goal is.

    FixedStart (a scene and a goal)      \\
                                           ->  sample(rng, configuration)  ->  Start
    TaskStart (iker_envs.task, a YAML)   /

    draw_starts(source, rngs, configuration)  ->  Starts: the same for many worlds at once, as arrays
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
from iker_envs.task import Task

_DRAWS = 20  # how often a start pose is drawn before the object stays where it is
_OVERLAP_M = 0.001  # how much deeper than nominal a drawn start may be in other objects


@dataclass(frozen=True, eq=False)
class Start:
    """One episode's scene (objects where they begin) and goal."""

    scene: Scene
    goal: Goal


@dataclass(frozen=True, eq=False)
class Starts:
    """M episodes of one configuration: poses (M, O, 7) of its O objects in scene order, target poses (M, 7)."""

    poses: np.ndarray
    target_pose: np.ndarray


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
        pose = self.draw([rng], 0).poses[0, self._index]
        return Start(self.scene.with_poses({self.goal.object: pose}), self.goal)

    def draw(self, rngs: Sequence[np.random.Generator], configuration: int) -> Starts:
        """As `sample`, for M worlds at once."""
        poses = np.tile(np.array([o.pose for o in self.scene.objects]), (len(rngs), 1, 1))
        nominal = poses[:, self._index].copy()
        left = np.arange(len(rngs))  # worlds whose object has no free place yet
        for _ in range(_DRAWS):
            drawn = np.array([self._numbers(rngs[w]) for w in left])
            moved = nominal[left]
            moved[:, :2] += drawn[:, :2]
            moved[:, 3:] = quaternion_multiply(quaternion_from_yaw(drawn[:, 2]), moved[:, 3:])
            poses[left, self._index] = moved
            left = left[self._depth_m(poses[left]) > self._allowed_m]
            if not len(left):
                break
        poses[left, self._index] = nominal[left]
        return Starts(poses, np.tile(self.goal.target_pose, (len(rngs), 1)))

    def _numbers(self, rng: np.random.Generator) -> np.ndarray:
        """How far the object is moved in x and y, and by what angle it is turned."""
        draw = self.randomisation.draw
        return np.append(draw("object_position", rng)[0], draw("object_yaw", rng)[0])

    def _depth_m(self, poses: np.ndarray) -> np.ndarray:
        """How deep (M,) the object is in other ones."""
        boxes = self._shapes.at(poses)
        own = self._shapes.owner == self._index
        return deepest_m(boxes.only(own), boxes.only(~own))

    @cached_property
    def _index(self) -> int:
        return [o.name for o in self.scene.objects].index(self.goal.object)

    @cached_property
    def _shapes(self) -> Shapes:
        return Shapes.of(self.scene)

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

    def draw(self, rngs: Sequence[np.random.Generator], configuration: int) -> Starts:
        """As `sample`, for M worlds at once."""
        poses = self.task.start_poses(rngs, configuration)
        chosen = self.task.configuration(configuration)
        index = {name: k for k, name in enumerate(chosen.objects)}
        target_pose = np.empty((len(rngs), 7))
        for stage in range(self.stage + 1):
            goal = chosen.stages[stage].goal
            target_pose = pose_compose(poses[:, index[goal.relative_to]], goal.relative_pose())
            if stage < self.stage:
                poses[:, index[goal.object]] = target_pose
        return Starts(poses, target_pose)


def draw_starts(source: StartSource, rngs: Sequence[np.random.Generator], configuration: int) -> Starts:
    """Starts of M worlds, each from its own generator, whatever the number of worlds beside it."""
    if isinstance(source, (FixedStart, TaskStart)):
        return source.draw(rngs, configuration)
    starts = [source.sample(rng, configuration) for rng in rngs]
    poses = np.array([[o.pose for o in start.scene.objects] for start in starts])
    return Starts(poses, np.array([start.goal.target_pose for start in starts]))
