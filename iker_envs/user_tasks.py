"""Environment ids of the tasks in the folders of IKER_TASKS, found without loading a task.

    user_tasks()  ->  {id: path of the task's YAML file}, sentences about files whose id cannot be used

`import iker_envs` registers them. A file is read only up to its `id`, so that a faulty or a hostile one costs nothing
here: what is wrong with it is said where the task is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import yaml

_VERSIONED_ID = re.compile(r"([\w:-]+/)?[\w:.-]+-v\d+")  # gymnasium's form, with a version
_DEEPEST = 100  # the parser's time grows with the square of the depth
_MOST_CHARACTERS = 65_536  # of a file before its id


def user_tasks() -> tuple[dict[str, str], list[str]]:
    """The ids that can be registered with the absolute paths of their files, and why the others cannot.

    No id takes the place of one that is registered already; of two files with one id the first has it.
    """
    usable: dict[str, str] = {}
    problems = []
    for name, path in _claims():
        if not _VERSIONED_ID.fullmatch(name):
            problems.append(f"the id {name!r} of {path} is not a name with a version, like Mine-{Path(path).stem}-v0")
            continue
        other = usable.get(name) or _owner(name)
        if other and other != path:
            problems.append(f"the id {name!r} of {path} belongs to {other}; give the task an id of its own")
        else:
            usable[name] = path
    return usable, problems


def _owner(name: str) -> str:
    """What is registered under an id, or under its name without a version, which gymnasium takes for all of them."""
    spec = gym.registry.get(name) or gym.registry.get(name.rpartition("-v")[0])
    return spec.kwargs.get("task", "another environment") if spec else ""


def _claims() -> Iterator[tuple[str, str]]:
    """(id, absolute path) of every file that says its id, in the order in which tasks are looked up."""
    for folder in filter(None, os.environ.get("IKER_TASKS", "").split(os.pathsep)):
        for path in sorted(Path(folder).absolute().glob("*.yaml")):
            if name := _id_of(path):
                yield name, str(path)


def _id_of(path: Path) -> str:
    """The text of `id` at the top of a YAML file; empty if it cannot be read or has none."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return ""
        with path.open(encoding="utf-8") as file:
            return _scalar_at_top("id", file.read(_MOST_CHARACTERS))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):  # the task's own reader says what is wrong
        return ""


def _scalar_at_top(key: str, text: str) -> str:
    """The scalar under a key of a document's outermost mapping; empty if there is none. Builds nothing of the rest."""
    depth = 0
    position = 0  # among keys and values of the outermost mapping: keys are at even ones
    wanted = False
    for event in yaml.parse(text):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            if depth == 1:
                scalar = event.value if isinstance(event, yaml.ScalarEvent) else None
                if wanted:
                    return scalar or ""
                wanted = position % 2 == 0 and scalar == key
                position += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > _DEEPEST:
                return ""
    return ""
