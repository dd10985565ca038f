"""What is read back from files: the fields of dataclasses, checked one by one.

a mapping from a file, a dataclass  ->  stored_fields  ->  arguments of the dataclass
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = 60  # characters
_SHORT.maxother = 60
_SHORT.maxlevel = 2
_NUMBER = (int, float)
# Annotation of a field -> what it holds, and whether a value is that. Fields of other types are checked elsewhere.
_KINDS = {
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": (
        "a number",
        lambda value: isinstance(value, _NUMBER) and not isinstance(value, bool) and not math.isnan(value),
    ),
    "str": ("a text", lambda value: isinstance(value, str)),
}


def stored_fields(cls: type, values: Any, where: str = "", optional: Collection[str] = ()) -> dict[str, Any]:
    """The values of a dataclass's fields; all must be there but the `optional` ones, and nothing else.

    ValueError names a field, after `where`, that is missing, unknown or of another kind than its annotation says.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"the field {where.rstrip('.')!r} is a mapping, not {shown(values)}")
    known = {f.name: str(f.type) for f in fields(cls)}
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"the field {shown(f'{where}{unknown[0]}')} is unknown; known: {', '.join(known)}")
    for name, annotation in known.items():
        if name not in values:
            if name in optional:
                continue
            raise ValueError(f"the field {where + name!r} is missing")
        words, fits = _KINDS.get(annotation, ("", lambda _: True))
        if not fits(values[name]):
            raise ValueError(f"the field {where + name!r} is {words}, not {shown(values[name])}")
    return dict(values)


def shown(value: Any) -> str:
    """A bad value as a sentence shows it: one line, not too long, whatever is nested in it."""
    return " ".join(_SHORT.repr(value).split())
