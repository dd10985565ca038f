"""From an item's entry to a Task: its scene, its success, and stages with programs made from its first solution.

    entry, the file's scene  ->  item_task  ->  Task of one configuration
    task, {object: place}    ->  end_poses  ->  {object: pose (7,)}, in the order in which they are moved

A place says what changes against where an object starts: `on` (an object, or the table), `at_m` [x, y] in the base
frame, `yaw_deg`, `roll_deg`, `pitch_deg`, `up_m` (above what it is on), and `grasp: false` where it is pushed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from iker_agent.seeing.keypoints import marked_points
from iker_envs.contract import check_fields, check_number
from iker_envs.documents import listed, shown
from iker_envs.geometry import pose_apply, pose_compose, pose_inverse
from iker_envs.judging.bodies import TABLE, Body, body_of, support_under
from iker_envs.planning.collision import object_boxes
from iker_envs.scene import ObjectModel, Scene, position_and_angles, turned_pose
from iker_envs.task import Configuration, GoalSpec, Placement, StageSpec, Task, load_task
from iker_envs.task_file import configurations_of, joined

WORKSPACE_M = ((0.20, -0.45, 0.015), (0.75, 0.45, 0.45))
_PLACE_KEYS = ("on", "at_m", "yaw_deg", "roll_deg", "pitch_deg", "up_m", "grasp")
_SOUND = "all_rest()"  # no instruction has things held up in the air or one in another
Places = Mapping[str, Any] | list[Mapping[str, Any]]  # a list where an object is moved more than once
_OF_TASK = ("workspace_m", "approach_axis", "approach_cone_deg")


def item_task(name: str, entry: Mapping[str, Any], data: Mapping[str, Any], library: Mapping[str, ObjectModel]) -> Task:
    """The task of an item; `data` is its file's content, `library` the object models. ValueError tells faults."""
    base = load_task(data["task"]) if "task" in data else None
    shared = dict(data.get("objects", {}))
    if base is not None:
        placements = base.configuration(data.get("configuration")).objects
        shared = {**{k: _without_ranges(p) for k, p in placements.items()}, **shared}
    left_out = entry.get("without", [])
    if unknown := [other for other in left_out if other not in list(shared)]:
        raise ValueError(f"without names {shown(unknown[0])}; the scene's objects are: {listed(shared)}")
    objects = {k: v for k, v in shared.items() if k not in left_out}
    change = {key: entry[key] for key in ("objects", "instruction", "success") if key in entry}
    known = [f.name for f in fields(Configuration)]
    (content,) = configurations_of({"objects": objects, "stages": []}, [change], known)
    asked = content.get("success") or _nothing_moved(content["objects"])
    content["success"] = joined([asked, _SOUND]) if "success" in entry else asked
    configuration = Configuration.from_dict(content)
    used = sorted({p.model for p in configuration.objects.values()})
    if missing := [model for model in used if model not in library]:
        raise ValueError(f"no object model {shown(missing[0])}; known: {listed(library)}")
    own = {key: data[key] for key in _OF_TASK if key in data}
    inherited = {key: getattr(base, key) for key in _OF_TASK} if base is not None else {"workspace_m": WORKSPACE_M}
    task = Task.from_dict(
        {
            "name": name,
            "id": "IKER-Stage-v0",
            "description": configuration.instruction,
            "configurations": [configuration],
            "models": {model: library[model] for model in used},
            **inherited,
            **own,
        }
    )
    task.criterion(0)
    solutions = entry.get("solutions") or [{}]
    return replace(task, configurations=(replace(configuration, stages=_stages(task, solutions[0])),))


def _without_ranges(placement: Placement) -> dict[str, Any]:
    """An item's scene is one arrangement that was looked at: objects stand at the centres of their start ranges."""
    return {**placement.to_dict(), "position_range_m": [0.0, 0.0], "yaw_range_deg": 0.0}


def _nothing_moved(objects: Mapping[str, Any]) -> str:
    """Success where the right answer is that it cannot be done: everything is left where it was."""
    return " and ".join(f"unmoved({name})" for name, fields_ in objects.items() if fields_.get("movable", True))


def end_poses(task: Task, start: Scene, places: Places) -> dict[str, np.ndarray]:
    """Poses (7,) of the objects that are placed, where each ends from a start; ValueError for an impossible place."""
    return {name: pose for name, pose, _ in _moves(task, start, places)}


def _moves(task: Task, scene: Scene, places: Places) -> list[tuple[str, np.ndarray, Mapping[str, Any]]]:
    """Object, pose (7,) and place of every move, one after the other."""
    parts = places if isinstance(places, list) else [places]
    if not parts or not all(isinstance(part, Mapping) for part in parts):
        told = "a mapping from objects to places, or a list of such mappings"
        raise ValueError(f"a solution or wrong is {told}, not {shown(places)}")
    moves = []
    for name, place in (pair for part in parts for pair in part.items()):
        if name not in scene.movable:
            raise ValueError(f"{shown(name)} is placed; what can be moved is: {listed(scene.movable)}")
        if not isinstance(place, Mapping):
            raise ValueError(f"the place of {name} is a mapping with {', '.join(_PLACE_KEYS)}, not {shown(place)}")
        check_fields(f"the place of {name}", place, _PLACE_KEYS)
        moves.append((name, _pose(scene, name, task.configuration(0).objects[name], place), place))
        scene = scene.with_poses({name: moves[-1][1]})
    return moves


def _pose(scene: Scene, name: str, start: Placement, place: Mapping[str, Any]) -> np.ndarray:
    """Where a place puts an object (7,) in a scene."""
    at = place.get("at_m", start.position_m[:2])
    if not isinstance(at, (list, np.ndarray)) or len(at) != 2:
        raise ValueError(f"at_m of {name} is [x, y] in metres, not {shown(at)}")
    x, y = (check_number(f"at_m of {name}", value) for value in at)
    angles = [check_number(key, place.get(key, getattr(start, key))) for key in ("roll_deg", "pitch_deg", "yaw_deg")]
    pose = turned_pose(np.array([x, y, 0.0]), np.deg2rad(angles))
    model = scene.object(name).model
    boxes = object_boxes(model, pose)
    lowest_m = min(float(box.corners()[:, 2].min()) for box in boxes)
    below = place.get("on", start.stands_on or TABLE[0])
    if not isinstance(place.get("grasp", True), bool):
        raise ValueError(f"grasp of {name} is true (carried) or false (pushed), not {shown(place['grasp'])}")
    if below not in TABLE and below not in [o.name for o in scene.objects if o.name != name]:
        raise ValueError(f"{name} cannot be on {shown(below)}; {listed([o.name for o in scene.objects])}, or table")
    pose[2] = check_number("up_m", place.get("up_m", 0.0)) - lowest_m
    if below not in TABLE:
        high = np.array([*pose[:2], 2.0, *pose[3:]])
        top = support_under(Body(name, high, object_boxes(model, high)), body_of(scene, below), 0.0)
        if top is None:
            raise ValueError(f"{name} at x {x:g}, y {y:g} m is not above {below}; the place is in the base frame")
        pose[2] += top
    return pose


def _stages(task: Task, places: Places) -> tuple[StageSpec, ...]:
    """A stage for every move of a solution, with a program for both contracts."""
    scene = task.sample(None, 0)
    moves = _moves(task, scene, places)
    moved = {name for name, *_ in moves}
    stay = sorted((o for o in scene.objects if o.name not in moved), key=lambda o: o.movable)
    if moves and not stay:
        raise ValueError("one object stays where it is: goals are told relative to it; there may be furniture")
    stages = []
    for name, pose, place in moves:
        x, y, z, *angles = position_and_angles(pose_compose(pose_inverse(stay[0].pose), pose))
        roll, pitch, yaw = np.rad2deg(angles)
        grasp = bool(place.get("grasp", True))
        goal = GoalSpec(name, stay[0].name, np.array([x, y, z]), float(yaw), grasp, float(roll), float(pitch))
        programs = {
            "keypoints": _keypoint_program(scene, name, pose, grasp),
            "poses": _pose_program(name, pose, grasp),
        }
        stages.append(StageSpec(goal, programs))
    return tuple(stages)


def _keypoint_program(scene: Scene, name: str, pose: np.ndarray, grasp: bool) -> str:
    """Sets the object's keypoints to where they are at its end pose (7,). Keypoints are numbered movables first."""
    points = pose_apply(pose, marked_points(scene.object(name).model))
    first = len(points) * list(scene.movable).index(name) + 1
    labels = [str(first + k) for k in range(len(points))]
    lines = [
        f'    kp["{label}"] = np.array({point.round(4).tolist()})' for label, point in zip(labels, points, strict=True)
    ]
    return "\n".join(
        [
            "import numpy as np\n\n",
            "def get_interaction_data(keypoint_coordinates):",
            f'    """Current stage: {"grasp" if grasp else "push"} {name} to its place, in the base frame."""',
            "    kp = keypoint_coordinates",
            *lines,
            f"    return {name!r}, {labels!r}, {grasp}, kp\n",
        ]
    )


def _pose_program(name: str, pose: np.ndarray, grasp: bool) -> str:
    six = [round(value, 5) for value in position_and_angles(pose)]
    return "\n".join(
        [
            "def get_final_poses(object_poses):",
            f'    """{"Grasp" if grasp else "Push"} {name} to its place, in the base frame."""',
            f"    object_poses[{name!r}] = {six!r}",
            f"    return {name!r}, {grasp}, object_poses\n",
        ]
    )
