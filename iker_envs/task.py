"""A task is a YAML file: objects where they may start, an instruction, goals, and human-annotated programs.

    load_task("shoe_rack")  ->  Task  ->  task.sample(rng, configuration) -> Scene,  task.goal(stage, scene) -> Goal

Names are looked up in the package's cfg/tasks, then in the folders of the environment variable IKER_TASKS; a path works
too. No Python is needed for a new task.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from iker_envs.contract import Contract
from iker_envs.geometry import pose_compose
from iker_envs.measure import measure
from iker_envs.optics import default_cameras
from iker_envs.scene import Goal, ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.starts import Start


@dataclass(frozen=True, eq=False)
class Placement(Contract):
    """Where an object may start: the centre of its bottom face in metres, heading in degrees, uniform ranges.

    `stands_on` names the furniture under it ("" for the table); z is then the height above that furniture's top.
    """

    SHAPES: ClassVar = {"position_m": (3,), "position_range_m": (2,)}

    model: str
    position_m: np.ndarray
    yaw_deg: float = 0.0
    stands_on: str = ""
    movable: bool = True
    position_range_m: np.ndarray = field(default_factory=lambda: np.zeros(2))  # +- in x and y
    yaw_range_deg: float = 0.0


@dataclass(frozen=True, eq=False)
class GoalSpec(Contract):
    """Where an object should go: its body frame relative to another object's body frame, metres and degrees."""

    SHAPES: ClassVar = {"position_m": (3,)}

    object: str
    relative_to: str
    position_m: np.ndarray
    yaw_deg: float = 0.0
    grasp: bool = False


@dataclass(frozen=True, eq=False)
class StageSpec(Contract):
    """One stage: its goal and the human-annotated programs by contract ("keypoints", "poses")."""

    goal: GoalSpec
    programs: dict[str, str]


@dataclass(frozen=True, eq=False)
class Configuration(Contract):
    """One arrangement of a task: what stands where, and optionally another instruction and other stages."""

    objects: dict[str, Placement]
    instruction: str
    stages: tuple[StageSpec, ...]


@dataclass(frozen=True, eq=False)
class Task(Contract):
    """A task: its id, one line on it, the box (2, 3) that the tool centre may move in, its configurations."""

    SHAPES: ClassVar = {"workspace_m": (2, 3)}

    name: str
    id: str
    description: str
    configurations: tuple[Configuration, ...]
    workspace_m: np.ndarray
    episode_s: float = 6.0

    def configuration(self, index: int | None) -> Configuration:
        """A configuration by index (None for the first); ValueError names how many there are."""
        index = index or 0
        if not isinstance(index, (int, np.integer)) or not 0 <= index < len(self.configurations):
            raise ValueError(
                f"configuration {index!r} does not exist; {self.name} has 0 to {len(self.configurations) - 1}"
            )
        return self.configurations[index]

    def sample(self, rng: np.random.Generator | None, configuration: int | None = None) -> Scene:
        """A scene with start poses drawn from their ranges (their centres without a generator)."""
        placements = self.configuration(configuration).objects
        tops: dict[str, tuple[np.ndarray, float]] = {}
        objects = []
        for name, placement in placements.items():
            model = load_model(placement.model, name)
            pose = _place(placement, model, tops, rng)
            tops[name] = pose, float(model.size_m[2] / 2)
            objects.append(SceneObject(model, pose, placement.movable))
        return Scene(tuple(objects), default_cameras(), self.workspace_m)

    def goal(self, stage: int, scene: Scene, configuration: int | None = None) -> Goal:
        """The annotated goal of a stage in a scene."""
        chosen = self.configuration(configuration)
        spec = chosen.stages[stage].goal
        relative = upright_pose(spec.position_m, float(np.deg2rad(spec.yaw_deg)))
        pose = pose_compose(scene.object(spec.relative_to).pose, relative)
        return Goal(spec.object, pose, spec.grasp, chosen.instruction, annotated_pose=pose)

    def annotated_pose(self, name: str, scene: Scene, configuration: int | None = None) -> np.ndarray | None:
        """Where the annotation puts an object (7,), given where everything else is; None if no stage moves it."""
        for index, stage in enumerate(self.configuration(configuration).stages):
            if stage.goal.object == name:
                return self.goal(index, scene, configuration).target_pose
        return None


def task_success(task: Task, scene: Scene, configuration: int | None = None) -> bool:
    """Is every object that the task's stages move strictly (3 cm, 15 degrees) where its annotation wants it?"""
    for index in range(len(task.configuration(configuration).stages)):
        goal = task.goal(index, scene, configuration)
        obj = scene.object(goal.object)
        poses = obj.pose[None, None]
        errors = measure(poses, 0, poses, goal.target_pose[None], obj.model.control_keypoints_m())
        if not errors.strict[0]:
            return False
    return True


def _place(placement: Placement, model: ObjectModel, tops, rng: np.random.Generator | None) -> np.ndarray:
    shift, turn = np.zeros(2), 0.0
    if rng is not None:
        shift = rng.uniform(-1, 1, 2) * placement.position_range_m
        turn = rng.uniform(-1, 1) * placement.yaw_range_deg
    position = np.array(placement.position_m, dtype=float)
    position[:2] += shift
    position[2] += model.size_m[2] / 2
    if placement.stands_on:
        if placement.stands_on not in tops:
            known = ", ".join(tops) or "nothing"
            raise ValueError(f"{model.name!r} stands on {placement.stands_on!r}; listed before it: {known}")
        pose, half_height = tops[placement.stands_on]
        position[2] += pose[2] + half_height
    return upright_pose(position, float(np.deg2rad(placement.yaw_deg + turn)))


@dataclass(frozen=True, eq=False)
class TaskStart:
    """Episodes of a task: start poses from its ranges, the goal of one stage."""

    task: Task
    stage: int = 0

    @property
    def scene(self) -> Scene:
        """The first configuration's scene at the centre of its ranges."""
        return self.task.sample(None)

    @property
    def num_configurations(self) -> int:
        return len(self.task.configurations)

    def sample(self, rng: np.random.Generator, configuration: int | None = None) -> Start:
        """Draw start poses; a random configuration unless one is given."""
        if configuration is None:
            configuration = int(rng.integers(len(self.task.configurations)))
        scene = self.task.sample(rng, configuration)
        return Start(scene, self.task.goal(self.stage, scene, configuration))


@cache
def _library() -> dict[str, Any]:
    return yaml.safe_load(files("iker_cfg").joinpath("objects.yaml").read_text())


def load_model(key: str, name: str) -> ObjectModel:
    """An object model of the library (cfg/objects.yaml), called `name` in its scene."""
    library = _library()
    if key not in library:
        raise ValueError(f"no object model {key!r}; known: {', '.join(library)}")
    return ObjectModel.from_dict({"name": name, **library[key]})


def task_folders() -> list[Path]:
    """Where tasks are looked for: the package's own folder, then those of IKER_TASKS."""
    own = Path(str(files("iker_cfg").joinpath("tasks")))
    return [own, *(Path(p) for p in os.environ.get("IKER_TASKS", "").split(os.pathsep) if p)]


def task_names() -> list[str]:
    """All tasks that `load_task` finds by name."""
    return sorted({path.stem for folder in task_folders() for path in folder.glob("*.yaml")})


def load_task(name_or_path: str | Path) -> Task:
    """A task by name or path; ValueError says what is wrong with it, or which names there are."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        found = [f / f"{name_or_path}.yaml" for f in task_folders() if (f / f"{name_or_path}.yaml").exists()]
        if not found:
            raise ValueError(f"no task {str(name_or_path)!r}; known: {', '.join(task_names())}, or a path to a .yaml")
        path = found[0]
    if not path.exists():
        raise ValueError(f"the task file {str(path)!r} does not exist")
    try:
        return parse_task(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ValueError(f"the task file {str(path)!r} is not YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:
        raise ValueError(f"the task file {str(path)!r} is faulty: {error}") from None


def parse_task(data: Mapping[str, Any]) -> Task:
    """A task from its YAML content: every configuration inherits `objects`, `instruction` and `stages` of the top."""
    if not isinstance(data, Mapping):
        raise ValueError(f"a task is a mapping with {', '.join(f.name for f in fields(Task))}, not {data!r}")
    data = dict(data)
    shared = {key: data.pop(key) for key in ("objects", "instruction", "stages") if key in data}
    configurations = []
    for change in data.pop("configurations", None) or [{}]:
        objects = {
            n: {**_mapping(p, n), **change.get("objects", {}).get(n, {})} for n, p in shared.get("objects", {}).items()
        }
        if unknown := [n for n in change.get("objects", {}) if n not in objects]:
            raise ValueError(f"a configuration changes {unknown[0]!r}; the task's objects are: {', '.join(objects)}")
        configurations.append({**shared, **change, "objects": objects})
    return Task.from_dict({**data, "configurations": configurations})


def _mapping(placement: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(placement, Mapping):
        raise ValueError(f"object {name!r} is a mapping with model and position_m, not {placement!r}")
    return placement
