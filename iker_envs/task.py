"""A task is a YAML file: objects where they may start, an instruction, goals, and programs written by humans.

    load_task("shoe_rack")  ->  Task  ->  task.sample(rng, configuration) -> Scene,  task.goal(stage, scene) -> Goal

Names are looked up in the package's cfg/tasks, then in the folders of the environment variable IKER_TASKS; a path works
too. No Python is needed for a new task: programs are for the annotated backend and for `iker check`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from iker_envs.contract import Contract, check_fields, check_index, check_name, check_number
from iker_envs.documents import listed, read_document, shown
from iker_envs.geometry import pose_compose
from iker_envs.judging.expression import Criterion, Verdict, parse
from iker_envs.judging.success import near_targets
from iker_envs.objects.library import OBJECTS_FILE, object_library
from iker_envs.optics import default_cameras
from iker_envs.scene import (
    RESERVED_NAMES,
    Goal,
    ObjectModel,
    Scene,
    SceneObject,
    half_height_m,
    turned_pose,
    turned_poses,
)
from iker_envs.spec import Spec
from iker_envs.task_file import SHARED, configurations_of

_TICK_S = 1.0 / Spec.control_hz
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, eq=False)
class Placement(Contract):
    """Where an object may start: the centre of its bottom face in metres, heading in degrees, uniform ranges.

    Roll and pitch come before the heading (about the fixed x, y, z axes in this order). `stands_on` names the furniture
    under it ("" for the table); z is then the height above that furniture's top.
    """

    SHAPES: ClassVar = {"position_m": (3,), "position_range_m": (2,)}

    model: str
    position_m: np.ndarray
    yaw_deg: float = 0.0
    stands_on: str = ""
    movable: bool = True
    position_range_m: np.ndarray = field(default_factory=lambda: np.zeros(2))  # +- in x and y
    yaw_range_deg: float = 0.0
    roll_deg: float = 0.0
    pitch_deg: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges = [*map(float, self.position_range_m), self.yaw_range_deg]
        if min(ranges) < 0:
            raise ValueError(f"position_range_m and yaw_range_deg of {self.model!r} are at least 0, not {ranges!r}")


@dataclass(frozen=True, eq=False)
class GoalSpec(Contract):
    """Where an object should go: its body frame relative to another object's body frame, metres and degrees."""

    SHAPES: ClassVar = {"position_m": (3,)}

    object: str
    relative_to: str
    position_m: np.ndarray
    yaw_deg: float = 0.0
    grasp: bool = False
    roll_deg: float = 0.0
    pitch_deg: float = 0.0

    def relative_pose(self) -> np.ndarray:
        """The target pose (7,) in the body frame of `relative_to`."""
        return turned_pose(self.position_m, np.deg2rad([self.roll_deg, self.pitch_deg, self.yaw_deg]))


@dataclass(frozen=True, eq=False)
class StageSpec(Contract):
    """One stage: its goal, and programs written by humans by contract ("keypoints", "poses"), where there are any."""

    goal: GoalSpec
    programs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Configuration(Contract):
    """One arrangement of a task: what stands where, what is asked for, the stages that lead there, what success is.

    `success` joins conditions (docs/new-task.md); where it is empty, nearness to the stages' goals is success.
    """

    objects: dict[str, Placement]
    instruction: str
    stages: tuple[StageSpec, ...]
    success: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.objects:
            check_name("an object's name", name)


@dataclass(frozen=True, eq=False)
class Task(Contract):
    """A task: its id, one line on it, the box (2, 3) that the tool centre may move in, its configurations."""

    SHAPES: ClassVar = {"workspace_m": (2, 3), "approach_axis": (3,)}

    name: str
    id: str
    description: str
    configurations: tuple[Configuration, ...]
    workspace_m: np.ndarray
    episode_s: float = 6.0
    approach_axis: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, -1.0]))  # of the tool, unit vector
    approach_cone_deg: float = 40.0  # about it
    models: dict[str, ObjectModel] = field(default_factory=dict)  # of every object in any configuration, by model name

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("the task's name", self.name)
        check_name("the task's id", self.id)
        check_episode_time(self.episode_s)

    def configuration(self, index: int | None) -> Configuration:
        """A configuration by index (None for the first); ValueError names how many there are."""
        chosen = 0 if index is None else index
        return self.configurations[check_index("configuration", chosen, len(self.configurations), f"{self.name} has")]

    def sample(self, rng: np.random.Generator | None, configuration: int | None = None) -> Scene:
        """A scene with start poses drawn from their ranges (their centres without a generator)."""
        placements = self.configuration(configuration).objects
        models = [replace(self.models[placement.model], name=name) for name, placement in placements.items()]
        table = StartTable([self.configuration(configuration)], self.models)
        poses = table.poses([rng], np.zeros(1, dtype=int))[0]
        return Scene(
            tuple(map(SceneObject, models, poses, [placement.movable for placement in placements.values()])),
            default_cameras(),
            self.workspace_m,
            approach_axis=self.approach_axis,
            approach_cone_rad=float(np.deg2rad(self.approach_cone_deg)),
        )

    def goal(self, stage: int, scene: Scene, configuration: int | None = None) -> Goal:
        """The annotated goal of a stage in a scene."""
        chosen = self.configuration(configuration)
        spec = chosen.stages[stage].goal
        pose = pose_compose(scene.object(spec.relative_to).pose, spec.relative_pose())
        return Goal(spec.object, pose, spec.grasp, chosen.instruction, annotated_pose=pose)

    def annotated_pose(
        self, name: str, scene: Scene, configuration: int | None = None, near: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Where the annotation puts an object (7,), given where everything else is; None if no stage moves it.

        Of an object that several stages move: the last one's pose, or the one whose place is nearest to `near` (7,).
        """
        poses = self._annotated_poses(name, scene, configuration)
        if near is not None and poses:
            return min(poses, key=lambda pose: float(np.linalg.norm(pose[:3] - near[:3])))
        return poses[-1] if poses else None

    def criterion(self, configuration: int | None = None) -> Criterion | None:
        """What success is, read from the configuration; None where nearness to the annotation is all there is."""
        chosen = self.configuration(configuration)
        return parse(chosen.success, chosen.objects) if chosen.success else None

    def judge(self, scene: Scene, start: Scene | None = None, configuration: int | None = None) -> Verdict:
        """Is the task done? By its criterion, else by nearness to the annotation.

        `start` is the scene in which the instruction was given; ValueError if the criterion needs it and it is None.
        """
        criterion = self.criterion(configuration)
        if criterion is None:
            return near_targets(self.targets(scene, configuration), scene)
        return criterion.judge(scene, start)

    def targets(self, scene: Scene, configuration: int | None = None) -> dict[str, np.ndarray]:
        """Where the annotation wants every object that the stages move, in the end: poses (7,) in the base frame."""
        moved = dict.fromkeys(stage.goal.object for stage in self.configuration(configuration).stages)
        return {name: self._annotated_poses(name, scene, configuration)[-1] for name in moved}

    def _annotated_poses(self, name: str, scene: Scene, configuration: int | None) -> list[np.ndarray]:
        """The target pose (7,) of every stage that moves an object, in the order of the stages."""
        stages = self.configuration(configuration).stages
        indices = [i for i, stage in enumerate(stages) if stage.goal.object == name]
        return [self.goal(i, scene, configuration).target_pose for i in indices]


def check_episode_time(episode_s: Any) -> float:
    """A time limit in seconds; ValueError unless it is finite and at least one tick long."""
    if check_number("episode_s", episode_s) < _TICK_S:
        raise ValueError(f"episode_s is a time of at least one tick, {_TICK_S} s, not {episode_s!r}")
    return float(episode_s)


class StartTable:
    """Where the O objects of C configurations may start, as arrays; the configurations have the same objects by name.

    ValueError if an object stands on one that is not listed before it.
    """

    def __init__(self, configurations: Sequence[Configuration], models: Mapping[str, ObjectModel]) -> None:
        rows = [list(c.objects.values()) for c in configurations]
        self._support = np.array([_supports(c) for c in configurations])  # (C, O) index of the furniture, -1: the table
        self._position_m = np.array([[p.position_m for p in row] for row in rows])
        self._angles_deg = np.array([[(p.roll_deg, p.pitch_deg, p.yaw_deg) for p in row] for row in rows])
        self._ranges = np.array([[(*p.position_range_m, p.yaw_range_deg) for p in row] for row in rows])
        self._size_m = np.array([[models[p.model].size_m for p in row] for row in rows])

    def poses(self, rngs: Sequence[np.random.Generator | None], configuration: np.ndarray) -> np.ndarray:
        """Start poses (M, O, 7) in M worlds of configurations (M,), each from its generator; None: no ranges."""
        shape = self._ranges.shape[1:]
        drawn = np.array([np.zeros(shape) if rng is None else rng.uniform(-1, 1, shape) for rng in rngs])
        shift = drawn * self._ranges[configuration]
        position = self._position_m[configuration]
        position[..., :2] += shift[..., :2]
        angles = self._angles_deg[configuration]
        angles[..., 2] += shift[..., 2]
        poses = turned_poses(position.reshape(-1, 3), np.deg2rad(angles).reshape(-1, 3)).reshape(*position.shape[:2], 7)
        half_m = half_height_m(self._size_m[configuration], poses[..., 3:])
        poses[..., 2] += half_m
        tops_m = np.zeros((len(poses), poses.shape[1] + 1))  # of every object, and in the last place of the table
        for k in range(poses.shape[1]):
            poses[:, k, 2] += tops_m[np.arange(len(poses)), self._support[configuration, k]]
            tops_m[:, k] = poses[:, k, 2] + half_m[:, k]
        return poses


def _supports(configuration: Configuration) -> list[int]:
    """Index of what every object stands on, -1 for the table."""
    names = list(configuration.objects)
    supports = []
    for k, (name, placement) in enumerate(configuration.objects.items()):
        below = placement.stands_on
        if below and below not in names[:k]:
            known = listed(names[:k]) or "nothing"
            raise ValueError(f"{name!r} stands on {below!r}; listed before it: {known}")
        supports.append(names.index(below) if below else -1)
    return supports


def task_folders() -> list[Path]:
    """Where tasks are looked for: the package's own folder, then those of IKER_TASKS."""
    own = Path(str(files("iker_cfg").joinpath("tasks")))
    return [own, *(Path(p) for p in os.environ.get("IKER_TASKS", "").split(os.pathsep) if p)]


def task_names() -> list[str]:
    """All tasks that `load_task` finds by name."""
    return sorted({path.stem for path in _task_files()})


def _task_files() -> Iterator[Path]:
    """The files of all tasks, in the order in which they are looked up."""
    for folder in task_folders():
        yield from (path for path in sorted(folder.glob("*.yaml")) if path.name != OBJECTS_FILE)


def load_task(name_or_path: str | Path) -> Task:
    """A task by name or path; ValueError says what is wrong with it, or which names there are.

    Object models come from the package and from the objects.yaml beside the task's file.
    """
    path = find_task(name_or_path)
    data = read_document(path)
    try:
        return parse_task(data, path.parent)
    except ValueError as error:
        raise ValueError(f"the task file {str(path)!r} is faulty: {error}") from None


def find_task(name_or_path: str | Path) -> Path:
    """The file of a task given by name or path; ValueError if there is none."""
    path = Path(name_or_path)
    if path.suffix in _SUFFIXES:
        if not os.path.isfile(path):
            raise ValueError(f"the task file {shown(str(path), 500)} does not exist")
        return path
    for file in _task_files():
        if file.stem == str(name_or_path):
            return file
    raise ValueError(f"no task {shown(str(name_or_path))}; known: {listed(task_names())}, or a path to a .yaml")


def parse_task(data: Mapping[str, Any], folder: Path | None = None) -> Task:
    """A task from its YAML content: every configuration inherits `objects`, `instruction` and `stages` of the top.

    `folder` holds the task's own object models, if it has any. ValueError says what is wrong.
    """
    known = [f.name for f in fields(Task) if f.name != "models"]
    if not isinstance(data, Mapping):
        raise ValueError(f"a task is a mapping with {', '.join(known)}, not {shown(data)}")
    check_fields("Task", data, [*known, *SHARED])
    shared = {key: data[key] for key in SHARED if key in data}
    own = {key: data[key] for key in data if key not in (*SHARED, "configurations")}
    names = [f.name for f in fields(Configuration)]
    configurations = configurations_of(shared, data.get("configurations"), names)
    models = _models_of(configurations, folder)
    task = Task.from_dict({**own, "configurations": configurations, "models": models})
    _check_content(task)
    return task


def _models_of(configurations: list[dict[str, Any]], folder: Path | None) -> dict[str, ObjectModel]:
    """The object models that the configurations use, by name."""
    library = object_library([folder] if folder else [])
    used = [p["model"] for c in configurations for p in c.get("objects", {}).values() if "model" in p]
    if unknown := [name for name in used if not isinstance(name, str) or name not in library]:
        told = listed(dict.fromkeys(map(shown, unknown)))
        raise ValueError(f"no object model {told}; known: {listed(library)}")
    return {name: library[name] for name in sorted(set(used))}


def _check_content(task: Task) -> None:
    """ValueError for what a task may not leave out, and for names of objects that it does not have."""
    for index, configuration in enumerate(task.configurations):
        objects = configuration.objects
        if reserved := [name for name in objects if name in RESERVED_NAMES]:
            raise ValueError(f"an object cannot be called {reserved[0]!r}; taken: {', '.join(RESERVED_NAMES)}")
        if not any(placement.movable for placement in objects.values()):
            raise ValueError(f"configuration {index} has nothing that can be moved; `movable: true` is the default")
        if not configuration.stages:
            raise ValueError(f"configuration {index} has no stages; a stage has a goal")
        goals = [stage.goal for stage in configuration.stages]
        if unknown := [name for goal in goals for name in (goal.object, goal.relative_to) if name not in objects]:
            raise ValueError(f"a goal names the object {shown(unknown[0])}; the task's objects are: {listed(objects)}")
        try:
            task.criterion(index)
        except ValueError as error:
            raise ValueError(f"success of configuration {index}: {error}") from None
