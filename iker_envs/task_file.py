"""From what a task's YAML file says to the fields of its configurations: what they inherit, and `$name`.

    what all share (SHARED)  +  a configuration's changes  ->  its own fields, values filled in

In instruction, stages and success `$name` or `${name}` stands for the configuration's value of that name, so that
configurations which differ by a number share their programs. Where it is a whole text it becomes the value itself, a
number for instance; within a text it becomes the value's text. `$$` is the sign itself. A value is not searched for
`$` again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from string import Template
from typing import Any

from iker_envs.contract import check_fields
from iker_envs.documents import listed, shown

SHARED = ("objects", "instruction", "stages", "success", "values")  # of the top: every configuration inherits them
MAX_CONFIGURATIONS = 500
MAX_OBJECTS = 50
_MAX_CHARACTERS = 10_000_000  # of all instructions and stages together, values filled in
_VALUE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def configurations_of(shared: Mapping[str, Any], changes: Any, known: Iterable[str]) -> list[dict[str, Any]]:
    """The fields of every configuration; `changes` is a list of what each changes, None for one that changes nothing.

    `known` are the fields that a configuration has. ValueError for what is of another form, or too much.
    """
    changes = [{}] if changes is None else changes
    if not isinstance(changes, list):
        raise ValueError(f"configurations is a list of what each changes, not {shown(changes)}")
    if len(changes) > MAX_CONFIGURATIONS:
        raise ValueError(f"a task has at most {MAX_CONFIGURATIONS} configurations, not {len(changes)}")
    room = _Room(_MAX_CHARACTERS)
    return [_configuration(shared, change, [*known, "values"], room) for change in changes or [{}]]


class _Room:
    """How many characters the filled texts of a task may still have."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    def take(self, characters: int) -> None:
        """ValueError when there are no more."""
        self._left -= characters
        if self._left < 0:
            raise ValueError(f"instructions and stages have more than {_MAX_CHARACTERS} characters, values filled in")


class _Values:
    """The values of a configuration, checked, and how long the longest one is as a text."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if not isinstance(name, str) or not _VALUE_NAME.fullmatch(name):
                told = "a value's name is letters from a to z, digits and _"
                raise ValueError(f"{told}, not {shown(name)}: $name stands for it")
            if value is None or isinstance(value, Mapping):
                raise ValueError(f"the value {name!r} is a number, a text, true, false or a list, not {shown(value)}")
        self.by_name = values
        self.longest = max((len(str(value)) for value in values.values()), default=0)


def _configuration(shared: Mapping[str, Any], change: Any, known: list[str], room: _Room) -> dict[str, Any]:
    if not isinstance(change, Mapping):
        raise ValueError(f"a configuration is a mapping of what it changes, not {shown(change)}")
    check_fields("Configuration", change, known)
    values = _Values({**_named(shared, "values"), **_named(change, "values")})
    merged = {**shared, **change}
    merged.pop("values", None)
    for key in ("instruction", "stages", "success"):
        if key in merged:
            merged[key] = _filled(merged[key], values, room)
    if "success" in merged:
        merged["success"] = joined(merged["success"])
    if objects := _objects(_named(shared, "objects"), _named(change, "objects")):
        merged["objects"] = objects
    return merged


def joined(success: Any) -> str:
    """A success text, or a list of those that must all hold, as one text."""
    texts = success if isinstance(success, list) else [success]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(
            f"success is a text such as 'on(left_shoe, rack)' or a list of such texts, not {shown(success)}"
        )
    if torn := [text for text in texts if text.count("(") != text.count(")")]:
        raise ValueError(f"the success text {shown(torn[0])} lacks a bracket; in a [list], quote what has commas")
    return texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts)


def _named(part: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping from names in a part of the file, empty where it is left out."""
    content = part.get(key, {})
    if not isinstance(content, Mapping):
        raise ValueError(f"{key} is a mapping from names, not {shown(content)}")
    return content


def _objects(objects: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Every object's fields with what a configuration changes of them."""
    if len(objects) > MAX_OBJECTS:
        raise ValueError(f"a task has at most {MAX_OBJECTS} objects, not {len(objects)}")
    for name, fields in [*objects.items(), *changes.items()]:
        if not isinstance(fields, Mapping):
            raise ValueError(f"object {shown(name)} is a mapping with model and position_m, not {shown(fields)}")
    if unknown := [name for name in changes if name not in objects]:
        told = listed(map(shown, unknown))
        raise ValueError(f"a configuration changes {told}; the task's objects are: {listed(objects)}")
    return {name: {**fields, **changes.get(name, {})} for name, fields in objects.items()}


def _filled(content: Any, values: _Values, room: _Room) -> Any:
    """The content with `$name` replaced: by the value itself where it is the whole text, else by its text."""
    if isinstance(content, Mapping):
        return {key: _filled(item, values, room) for key, item in content.items()}
    if isinstance(content, list):
        return [_filled(item, values, room) for item in content]
    if not isinstance(content, str):
        room.take(1)
        return content
    room.take(len(content) + content.count("$") * values.longest)
    whole = _WHOLE.fullmatch(content)
    if whole and (name := whole[1] or whole[2]) in values.by_name:
        return values.by_name[name]
    return _substituted(content, values.by_name)


def _substituted(text: str, values: Mapping[str, Any]) -> str:
    try:
        return Template(text).substitute(values)
    except KeyError as error:
        known = listed(values) or "none"
        raise ValueError(f"{error.args[0]!r} has no value in this configuration; values: {known}") from None
    except ValueError:
        told = "has a $ that begins no name: $name stands for a value, $$ for the sign itself"
        raise ValueError(f"the text {shown(text)} {told}") from None
