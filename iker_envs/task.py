"""A task is a YAML file: objects where they may start, an instruction, goals, and human-annotated programs.

    load_task("shoe_rack")  ->  Task  ->  task.sample(rng, configuration) -> Scene,  task.goal(stage, scene) -> Goal

Names are looked up in the package's cfg/tasks, then in the folders of the environment variable IKER_TASKS; a path works
too. No Python is needed for a new task.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, ClassVar

import numpy as np

from iker_envs.contract import Contract, check_number
from iker_envs.geometry import pose_compose, rotation_matrix
from iker_envs.measure import measure
from iker_envs.objects.library import OBJECTS_FILE, object_library, read_yaml
from iker_envs.optics import default_cameras
from iker_envs.scene import Goal, ObjectModel, Scene, SceneObject, turned_pose
from iker_envs.spec import Spec

_SHARED = ("objects", "instruction", "stages", "values")  # of the top: every configuration inherits them
_TICK_S = 1.0 / Spec.control_hz


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
        check_episode_time(self.episode_s)

    def configuration(self, index: int | None) -> Configuration:
        """A configuration by index (None for the first); ValueError names how many there are."""
        index = index or 0
        if (
            not isinstance(index, (int, np.integer))
            or isinstance(index, bool)
            or not 0 <= index < len(self.configurations)
        ):
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
            model = replace(self.models[placement.model], name=name)
            pose = _place(placement, model, tops, rng)
            tops[name] = pose, _half_height(model, pose)
            objects.append(SceneObject(model, pose, placement.movable))
        return Scene(
            tuple(objects),
            default_cameras(),
            self.workspace_m,
            approach_axis=self.approach_axis,
            approach_cone_rad=float(np.deg2rad(self.approach_cone_deg)),
        )

    def goal(self, stage: int, scene: Scene, configuration: int | None = None) -> Goal:
        """The annotated goal of a stage in a scene."""
        chosen = self.configuration(configuration)
        spec = chosen.stages[stage].goal
        relative = turned_pose(spec.position_m, np.deg2rad([spec.roll_deg, spec.pitch_deg, spec.yaw_deg]))
        pose = pose_compose(scene.object(spec.relative_to).pose, relative)
        return Goal(spec.object, pose, spec.grasp, chosen.instruction, annotated_pose=pose)

    def annotated_pose(
        self, name: str, scene: Scene, configuration: int | None = None, near: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Where the annotation puts an object (7,), given where everything else is; None if no stage moves it.

        Of an object that several stages move: the last one's pose, or the one whose place is nearest to `near` (7,).
        """
        stages = self.configuration(configuration).stages
        indices = [i for i, stage in enumerate(stages) if stage.goal.object == name]
        poses = [self.goal(i, scene, configuration).target_pose for i in indices]
        if near is not None and poses:
            return min(poses, key=lambda pose: float(np.linalg.norm(pose[:3] - near[:3])))
        return poses[-1] if poses else None


def check_episode_time(episode_s: Any) -> float:
    """A time limit in seconds; ValueError unless it is finite and at least one tick long."""
    if check_number("episode_s", episode_s) < _TICK_S:
        raise ValueError(f"episode_s is a time of at least one tick, {_TICK_S} s, not {episode_s!r}")
    return float(episode_s)


def task_success(task: Task, scene: Scene, configuration: int | None = None) -> bool:
    """Is every object that the task's stages move strictly (3 cm, 15 degrees) where its annotation wants it?"""
    for name in dict.fromkeys(stage.goal.object for stage in task.configuration(configuration).stages):
        obj = scene.object(name)
        poses = obj.pose[None, None]
        target = task.annotated_pose(name, scene, configuration)
        errors = measure(poses, np.zeros(1, dtype=int), poses, target[None], obj.model.control_keypoints_m())
        if not errors.strict[0]:
            return False
    return True


def _place(placement: Placement, model: ObjectModel, tops, rng: np.random.Generator | None) -> np.ndarray:
    shift = np.zeros(2)
    turn = 0.0
    if rng is not None:
        shift = rng.uniform(-1, 1, 2) * placement.position_range_m
        turn = rng.uniform(-1, 1) * placement.yaw_range_deg
    position = np.array(placement.position_m, dtype=float)
    position[:2] += shift
    angles = np.deg2rad([placement.roll_deg, placement.pitch_deg, placement.yaw_deg + turn])
    position[2] += _half_height(model, turned_pose(np.zeros(3), angles))
    if placement.stands_on:
        if placement.stands_on not in tops:
            known = ", ".join(tops) or "nothing"
            raise ValueError(f"{model.name!r} stands on {placement.stands_on!r}; listed before it: {known}")
        pose, half_height = tops[placement.stands_on]
        position[2] += pose[2] + half_height
    return turned_pose(position, angles)


def _half_height(model: ObjectModel, pose: np.ndarray) -> float:
    """Half of the vertical extent in metres of a model's bounding box at a pose (7,)."""
    return float(np.abs(rotation_matrix(pose[3:])[2]) @ model.size_m / 2)


def task_folders() -> list[Path]:
    """Where tasks are looked for: the package's own folder, then those of IKER_TASKS."""
    own = Path(str(files("iker_cfg").joinpath("tasks")))
    return [own, *(Path(p) for p in os.environ.get("IKER_TASKS", "").split(os.pathsep) if p)]


def task_names() -> list[str]:
    """All tasks that `load_task` finds by name."""
    found = {path.stem for folder in task_folders() for path in folder.glob("*.yaml")}
    return sorted(found - {Path(OBJECTS_FILE).stem})


def load_task(name_or_path: str | Path) -> Task:
    """A task by name or path; ValueError says what is wrong with it, or which names there are.

    Object models come from the package and from the objects.yaml beside the task's file.
    """
    path = find_task(name_or_path)
    data = read_yaml(path)
    try:
        return parse_task(data, path.parent)
    except ValueError as error:
        raise ValueError(f"the task file {str(path)!r} is faulty: {error}") from None


def find_task(name_or_path: str | Path) -> Path:
    """The file of a task given by name or path; ValueError if there is none."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        found = [f / f"{name_or_path}.yaml" for f in task_folders() if (f / f"{name_or_path}.yaml").exists()]
        if not found:
            raise ValueError(f"no task {str(name_or_path)!r}; known: {', '.join(task_names())}, or a path to a .yaml")
        path = found[0]
    if not path.is_file():
        raise ValueError(f"the task file {str(path)!r} does not exist")
    return path


def parse_task(data: Mapping[str, Any], folder: Path | None = None) -> Task:
    """A task from its YAML content: every configuration inherits `objects`, `instruction` and `stages` of the top.

    In instruction and stages `$name` stands for the configuration's value of that name (`values`, inherited too), so
    that configurations which differ by a number share their programs.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"a task is a mapping with {', '.join(f.name for f in fields(Task))}, not {data!r}")
    data = dict(data)
    known = [f.name for f in fields(Task) if f.name != "models"] + list(_SHARED)
    if unknown := [key for key in data if key not in known]:
        raise ValueError(f"Task has no field {unknown[0]!r}; it has: {', '.join(known)}")
    shared = {key: data.pop(key) for key in _SHARED if key in data}
    changes = data.pop("configurations", None) or [{}]
    if not isinstance(changes, list):
        raise ValueError(f"configurations is a list of what each changes, not {changes!r}")
    configurations = [_configuration(shared, c) for c in changes]
    library = object_library([folder] if folder else [])
    used = [p["model"] for c in configurations for p in c.get("objects", {}).values() if "model" in p]
    if unknown := [name for name in used if not isinstance(name, str) or name not in library]:
        raise ValueError(f"no object model {unknown[0]!r}; known: {', '.join(library)}")
    models = {name: library[name] for name in sorted(set(used))}
    task = Task.from_dict({**data, "configurations": configurations, "models": models})
    _check_content(task)
    return task


def _check_content(task: Task) -> None:
    """ValueError for what a task may not leave out."""
    for name in ("name", "id"):
        if not getattr(task, name).strip():
            raise ValueError(f"the task's {name} is empty")
    for index, configuration in enumerate(task.configurations):
        if not any(placement.movable for placement in configuration.objects.values()):
            raise ValueError(f"configuration {index} has nothing that can be moved; `movable: true` is the default")
        if not configuration.stages:
            raise ValueError(f"configuration {index} has no stages; a stage has a goal and programs")


def _configuration(shared: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """One configuration's fields: what is shared, what it changes, its values filled in."""
    if not isinstance(change, Mapping):
        raise ValueError(f"a configuration is a mapping of what it changes, not {change!r}")
    known = [*(f.name for f in fields(Configuration)), "values"]
    if unknown := [key for key in change if key not in known]:
        raise ValueError(f"Configuration has no field {unknown[0]!r}; it has: {', '.join(known)}")
    for key, content in ((k, part[k]) for part in (shared, change) for k in ("objects", "values") if k in part):
        if not isinstance(content, Mapping):
            raise ValueError(f"{key} is a mapping from names, not {content!r}")
    objects = shared.get("objects", {})
    changes = change.get("objects", {})
    for name, fields_of in {**objects, **changes}.items():
        if not isinstance(fields_of, Mapping):
            raise ValueError(f"object {name!r} is a mapping with model and position_m, not {fields_of!r}")
    if unknown := [n for n in changes if n not in objects]:
        raise ValueError(f"a configuration changes {unknown[0]!r}; the task's objects are: {', '.join(objects)}")
    merged = {**shared, **change}
    values = {**shared.get("values", {}), **change.get("values", {})}
    merged.pop("values", None)
    for key in [k for k in ("instruction", "stages") if k in merged]:
        merged[key] = _filled(merged[key], values)
    if objects:
        merged["objects"] = {name: {**fields_of, **changes.get(name, {})} for name, fields_of in objects.items()}
    return merged


def _filled(content: Any, values: Mapping[str, Any]) -> Any:
    """The content with `$name` replaced: by the value itself where it is the whole text, else by its text."""
    if isinstance(content, Mapping):
        return {key: _filled(item, values) for key, item in content.items()}
    if isinstance(content, list):
        return [_filled(item, values) for item in content]
    if not isinstance(content, str) or "$" not in content:
        return content
    if content[1:] in values and content.startswith("$"):
        return values[content[1:]]
    try:
        return Template(content).substitute(values)
    except KeyError as error:
        known = ", ".join(map(str, values)) or "none"
        raise ValueError(f"{error.args[0]!r} has no value in this configuration; values: {known}") from None
    except ValueError:
        raise ValueError(
            f"the text {content!r} has a $ that begins no name: $name stands for a value, $$ for the sign itself"
        ) from None
