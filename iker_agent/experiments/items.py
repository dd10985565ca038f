"""Items: instructions in three tiers, each in a scene of its own, with what is right and what is wrong by name.

    cfg/items/*.yaml (and the folders of IKER_ITEMS)  ->  load_items(tier)  ->  Items, each a Task of one configuration

An item says where things stand, what is asked, and when that is fulfilled; its solutions and wrongs are end poses on
which a test tries the conditions. Stages and programs for the annotated backend are made from the first solution
(item_task.py). How to write one: docs/items.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np

from iker_agent.experiments.item_task import end_poses, item_task
from iker_envs.contract import check_fields, check_name
from iker_envs.documents import listed, read_document, shown
from iker_envs.objects.library import object_library
from iker_envs.scene import ObjectModel, Scene
from iker_envs.task import Task, load_task

TIERS = ("precise", "natural", "hard")
SKILLS = ("grounding", "relation", "arithmetic", "orientation", "planning", "done", "refusal")
EXPECTS = ("goal", "done", "impossible")
Ends = dict[str, np.ndarray]  # end poses (7,) of the objects that were moved, by name, base frame
_FILE_KEYS = ("objects", "task", "configuration", "workspace_m", "approach_axis", "approach_cone_deg", "items", "tasks")
_ITEM_KEYS = (
    "name",
    "tier",
    "skills",
    "instruction",
    "expects",
    "objects",
    "without",
    "success",
    "solutions",
    "wrongs",
)


@dataclass(frozen=True)
class Item:
    """One instruction in one scene.

    `expects` is the right answer: "goal" something is to be moved, "done" it is fulfilled already, "impossible" it
    cannot be done here and that is to be said. `solutions` and `wrongs` (by kind: wrong_object, mirrored, ...) are end
    poses in the base frame; what they leave out stays where it was. Where nothing is to be moved, the solution is {}.
    """

    name: str
    tier: Literal["precise", "natural", "hard"]
    skills: tuple[str, ...]
    task: Task
    configuration: int
    expects: Literal["goal", "done", "impossible"]
    solutions: tuple[Ends, ...]
    wrongs: Mapping[str, Ends]

    @property
    def instruction(self) -> str:
        """What is asked."""
        return self.task.configuration(self.configuration).instruction

    def scene(self) -> Scene:
        """The scene in which it is asked, start ranges at their centres."""
        return self.task.sample(None, self.configuration)


def load_items(tier: str) -> tuple[Item, ...]:
    """All items of a tier, in the order of files and within them; ValueError says what is wrong with a file."""
    if tier not in TIERS:
        raise ValueError(f"there is no tier {shown(tier)}; known: {', '.join(TIERS)}")
    items = [item for path in _item_files() for item in _read_once(path, path.stat().st_mtime_ns)]
    names = [item.name for item in items]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"two items are called {twice[0]!r}; an item's name is its own")
    return tuple(item for item in items if item.tier == tier)


@cache
def _read_once(path: Path, changed_ns: int) -> tuple[Item, ...]:
    """The items of a file as it was when it was last changed: every tier reads all files."""
    return read_items(path)


def read_items(path: Path) -> tuple[Item, ...]:
    """The items of one file; ValueError names the file and what is wrong with it."""
    data = read_document(path)
    try:
        if not isinstance(data, Mapping):
            raise ValueError(f"it is a mapping with {', '.join(_FILE_KEYS)}, not {shown(data)}")
        check_fields("the file", data, _FILE_KEYS)
        _check_kinds(data, objects=Mapping, tasks=Mapping)
        return (*_of_tasks(data.get("tasks", {})), *_of_scene(data, path.parent))
    except (ValueError, KeyError) as error:
        raise ValueError(f"the items file {str(path)!r} is faulty: {error.args[0]}") from None


def _item_files() -> Iterator[Path]:
    own = Path(str(files("iker_cfg").joinpath("items")))
    for folder in (own, *(Path(p) for p in os.environ.get("IKER_ITEMS", "").split(os.pathsep) if p)):
        yield from (path for path in sorted(folder.glob("*.yaml")) if path.name != "objects.yaml")


def _of_tasks(tasks: Mapping[str, Any]) -> Iterator[Item]:
    """Every configuration of tasks by name, as items of the tier "precise"."""
    for name, skills in tasks.items():
        task = load_task(name)
        for index in range(len(task.configurations)):
            solution = task.targets(task.sample(None, index), index)
            yield Item(
                f"{name}_{index}", "precise", _words("skills", skills, SKILLS), task, index, "goal", (solution,), {}
            )


def _of_scene(data: Mapping[str, Any], folder: Path) -> Iterator[Item]:
    """The items that are asked in a file's scene."""
    items = data.get("items", [])
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise ValueError(f"items is a list of mappings, not {shown(items)}")
    library = object_library([folder]) if items else {}
    for entry in items:
        name = check_name("an item's name", entry.get("name"))
        try:
            yield _item(name, entry, data, library)
        except (ValueError, KeyError) as error:
            raise ValueError(f"item {name!r}: {error.args[0]}") from None


def _item(name: str, entry: Mapping[str, Any], data: Mapping[str, Any], library: Mapping[str, ObjectModel]) -> Item:
    check_fields("Item", entry, _ITEM_KEYS)
    _check_kinds(entry, objects=Mapping, solutions=list, wrongs=Mapping, without=list)
    tier = _word("tier", entry.get("tier"), TIERS[1:])
    expects = _word("expects", entry.get("expects", "goal"), EXPECTS)
    places = entry.get("solutions", [])
    if (expects == "goal") != bool(places):
        told = "needs at least one solution" if expects == "goal" else "has no solutions: nothing is to be moved"
        raise ValueError(f"an item that expects {expects!r} {told}")
    if (expects == "impossible") == ("success" in entry):
        told = "has no success: that nothing is moved is right" if expects == "impossible" else "needs success"
        raise ValueError(f"an item that expects {expects!r} {told}")
    if not isinstance(entry.get("instruction"), str) or not entry["instruction"].strip():
        raise ValueError(f"instruction is what is asked, a text, not {shown(entry.get('instruction'))}")
    task = item_task(name, entry, data, library)
    start = task.sample(None, 0)
    solutions = tuple(end_poses(task, start, place) for place in places) or ({},)
    places_of_wrongs = entry.get("wrongs", {})
    if empty := [kind for kind, place in places_of_wrongs.items() if place in ({}, [], None)]:
        raise ValueError(f"the wrong {empty[0]!r} moves nothing; the untouched start is judged anyway")
    wrongs = {kind: end_poses(task, start, place) for kind, place in places_of_wrongs.items()}
    item = Item(name, tier, _words("skills", entry.get("skills"), SKILLS), task, 0, expects, solutions, wrongs)
    _check_judged(item)
    return item


def _check_judged(item: Item) -> None:
    """ValueError unless its conditions hold for the solutions alone: not at a start to be changed, for no wrong."""
    start = item.scene()
    cases: list[tuple[str, Ends, bool]] = [("the untouched start", {}, item.expects != "goal")]
    cases += [(f"solution {number}", ends, True) for number, ends in enumerate(item.solutions, start=1)]
    cases += [(f"the wrong {kind!r}", ends, False) for kind, ends in item.wrongs.items()]
    low, high = start.workspace_m
    for what, ends, is_right in cases:
        outside = [name for name, pose in ends.items() if is_right and not _is_within(pose[:2], low[:2], high[:2])]
        if outside:
            raise ValueError(f"{what} puts {outside[0]} out of the workspace, {low.tolist()} to {high.tolist()} m")
        verdict = item.task.judge(start.with_poses(ends), start, item.configuration)
        if verdict.fulfilled and not is_right:
            raise ValueError(f"{what} is judged fulfilled; success has to rule it out")
        if is_right and not verdict.fulfilled:
            raise ValueError(f"{what} is not judged fulfilled: {verdict.sentence()}")


def _is_within(point: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    return bool(np.all(low <= point) and np.all(point <= high))


def _check_kinds(data: Mapping[str, Any], **kinds: type) -> None:
    """ValueError for a field that is there and is not of its kind."""
    for key, kind in kinds.items():
        if key in data and not isinstance(data[key], kind):
            raise ValueError(f"{key} is a {'list' if kind is list else 'mapping'}, not {shown(data[key])}")


def _word(what: str, value: Any, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise ValueError(f"{what} is one of {', '.join(known)}, not {shown(value)}")
    return value


def _words(what: str, values: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(values, list) or not values or any(value not in known for value in values):
        raise ValueError(f"{what} is a list of {listed(known)}, not {shown(values)}")
    return tuple(values)
