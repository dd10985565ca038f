"""What a program returned, judged by its contract: the only place that knows what is acceptable.

In: a returned value as `serialise` gives it (from a process that is not trusted) and the caller's own rows.
Out: object, labels, grasp and targets, or `Invalid` with one sentence. Generous where the meaning is plain (5 for "5",
a list for a tuple), with a warning; strict where it is not. Whether targets make sense is judged elsewhere
(`plausibility`, then the check of goals).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from iker_agent.plain_text import clean_line
from iker_agent.program.serialise import Array, Other, Pairs, Unordered
from iker_agent.program.signatures import Contract, Rows

STILL_M = 1e-3  # a row that changed by less than this (metres, radians) has not moved
MAX_ABS_M = 100.0  # no table is further away; catches units gone wrong and runaway arithmetic
MAX_ABS_RAD = 2 * math.pi + 0.1  # a full turn and rounding; beyond it an angle must be in degrees
MAX_OBJECT_LENGTH = 200

_TRUTHS = {"true": True, "grasp": True, "yes": True, "false": False, "push": False, "no": False}


class Invalid(Exception):
    """The returned value does not fulfil the contract; the text is one sentence."""


@dataclass
class Reading:
    """What has been understood so far; `done` means that the program declares the task finished."""

    done: bool = False
    object: str = ""
    labels: tuple[str, ...] = ()
    grasp: bool = False
    targets: Rows = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_answer(value: Any, contract: Contract, originals: Rows, argument: Any = None) -> Reading:
    """Reads a returned value.

    `originals` are the rows the program was given (label -> numbers), `argument` the dictionary they were in as the
    program has left it: one that says done must not have moved anything.
    """
    reading = Reading()
    values = _split(value, contract, reading)
    if reading.done:
        for rows in (argument, *values[-1:]):
            _check_unmoved(rows, contract, originals)
        return reading
    given = dict(zip(contract.returns, values, strict=True))
    reading.object = _read_object(given["object_to_interact"], reading)
    reading.grasp = _read_grasp(given["grasp_mode"], reading)
    if "keypoint_indices_to_interact" in given:
        reading.labels = _read_indices(given["keypoint_indices_to_interact"], originals, reading)
    else:
        reading.object = _match_object(reading.object, originals, reading)
        reading.labels = (reading.object,)
    rows = _read_rows(given[contract.argument], contract, originals, reading)
    reading.targets = _merge(rows, contract, originals, reading)
    return reading


# --------------------------------------------------------------------- the tuple


def _split(value: Any, contract: Contract, reading: Reading) -> list[Any]:
    """The returned values in the contract's order; sets `done` for None, True and a leading True."""
    expected = f"the program must return ({', '.join(contract.returns)}), or None when the task is done"
    if value is None:
        reading.done = True
        return []
    if isinstance(value, bool):
        if not value:
            raise Invalid(f"{expected}; it returned False alone")
        reading.warnings.append("returned True alone, read as done")
        reading.done = True
        return []
    if not isinstance(value, list | tuple):
        raise Invalid(f"{expected}; it returned {_kind(value)}")
    values = list(value)
    if len(values) == len(contract.returns) + 1 and isinstance(values[0], bool):
        reading.warnings.append("returned done as a first value")
        reading.done = values.pop(0)
    if not reading.done and len(values) != len(contract.returns):
        raise Invalid(f"{expected}; it returned {len(values)} values")
    return values


def _check_unmoved(rows: Any, contract: Contract, originals: Rows) -> None:
    """Whatever else is in the dictionary of a program that says done, nothing in it may have moved."""
    for key, row in rows.items if isinstance(rows, Pairs) else ():
        try:
            label = _read_label(key, originals, contract.noun)
            moved = row_distance(_read_row(row, label, contract), originals[label]) > STILL_M
        except Invalid:
            continue  # a helper of the program's own, no target
        if moved:
            raise Invalid(
                f"the program moves {contract.noun} {label} but says done; return None only if nothing is left to move"
            )


def _read_object(value: Any, reading: Reading) -> str:
    if not isinstance(value, str):
        raise Invalid(
            f"object_to_interact must be a short text, not {_kind(value)}; return None alone when the task is done"
        )
    name = clean_line(value, MAX_OBJECT_LENGTH)
    if not name:
        raise Invalid("object_to_interact is empty")
    if name != value:
        reading.warnings.append("object_to_interact had unprintable characters or was too long")
    return name


def _match_object(name: str, originals: Rows, reading: Reading) -> str:
    """The scene's own spelling: "Shoe_Box" for "shoe box" when nothing else could be meant."""
    if name in originals:
        return name
    matches = [label for label in originals if _loose(label) == _loose(name)]
    if len(matches) != 1:
        raise Invalid(f"unknown object {name!r}; the objects are {_listing(originals)}")
    reading.warnings.append(f"object {name!r} read as {matches[0]!r}")
    return matches[0]


def _loose(name: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def _read_grasp(value: Any, reading: Reading) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        reading.warnings.append("grasp_mode was given as a number")
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _TRUTHS:
        reading.warnings.append("grasp_mode was given as text")
        return _TRUTHS[value.strip().lower()]
    raise Invalid(f"grasp_mode must be True (grasp) or False (push), not {_kind(value)}")


def _read_indices(value: Any, originals: Rows, reading: Reading) -> tuple[str, ...]:
    if isinstance(value, str):
        reading.warnings.append("keypoint_indices_to_interact was given as one text")
        value = re.findall(r"[^\s,;\[\](){}'\"]+", value)
    elif isinstance(value, int) and not isinstance(value, bool):
        reading.warnings.append("keypoint_indices_to_interact was given as one number")
        value = [value]
    elif isinstance(value, Array) and len(value.shape) == 1:
        value = value.values
    elif isinstance(value, Unordered):
        value = value.items
    if not isinstance(value, list | tuple):
        raise Invalid(f"keypoint_indices_to_interact must be a list of labels, not {_kind(value)}")
    labels = tuple(dict.fromkeys(_read_label(label, originals, "keypoint") for label in value))
    if not labels:
        raise Invalid("no keypoint is to be moved; return None alone when the task is done")
    if len(labels) < len(value):
        reading.warnings.append("keypoint_indices_to_interact names a keypoint twice")
    return labels


# ------------------------------------------------------------------ the dictionary


def _read_rows(value: Any, contract: Contract, originals: Rows, reading: Reading) -> Rows:
    """The returned dictionary under the caller's labels. Its order does not matter."""
    if not isinstance(value, Pairs):
        raise Invalid(f"{contract.argument} must be a dictionary, not {_kind(value)}")
    rows: Rows = {}
    for key, row in value.items:
        label = _read_label(key, originals, contract.noun)
        if contract.noun == "object" and key != label:
            reading.warnings.append(f"object {clean_line(str(key), 60)!r} read as {label!r}")
        numbers = _read_row(row, label, contract)
        if label not in rows:
            rows[label] = numbers
        elif numbers != rows[label]:  # both 9 and "9": the one that changed is meant
            rows[label] = _changed(label, rows[label], numbers, contract, originals)
            reading.warnings.append(f"{contract.noun} {label} was returned under two keys")
    return rows


def _changed(label: str, first: tuple, second: tuple, contract: Contract, originals: Rows) -> tuple[float, ...]:
    if second == originals[label]:
        return first
    if first == originals[label]:
        return second
    raise Invalid(f"{contract.noun} {label} was returned under two keys with different targets")


def _read_label(key: Any, originals: Rows, noun: str) -> str:
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise Invalid(f"{noun} labels are text like {next(iter(originals))!r}, not {_kind(key)}")
    text = str(key)
    if text in originals:
        return text
    bare = text.strip().strip("'\"").strip()
    if bare in originals:
        return bare
    alike = [label for label in originals if _loose(label) == _loose(bare)] if noun == "object" else []
    if len(alike) == 1:
        return alike[0]
    if "keypoint_indices_to_interact" in text:
        raise Invalid(
            f"the key {clean_line(text, 60)!r} is text copied from the template: write the label, or use "
            "keypoint_indices_to_interact[0] without quotes"
        )
    raise Invalid(f"unknown {noun} {clean_line(text, 60)!r}; there are {_listing(originals)}")


def _read_row(value: Any, label: str, contract: Contract) -> tuple[float, ...]:
    if isinstance(value, Array):
        if value.shape != (contract.width,) or value.kind not in "fiuO":
            raise Invalid(f"{_row_rule(label, contract)}, not {_kind(value)}")
        value = value.values
    if not isinstance(value, list | tuple):
        raise Invalid(f"{_row_rule(label, contract)}, not {_kind(value)}")
    if len(value) != contract.width or not all(_is_number(v) for v in value):
        raise Invalid(f"{_row_rule(label, contract)}, not {_kind(value)} with {', '.join(map(_kind, value[:6]))}")
    row = tuple(float(v) for v in value)
    if not all(map(math.isfinite, row)):
        raise Invalid(f"the target of {contract.noun} {label} is not finite: {row}")
    if max(map(abs, row[:3])) > MAX_ABS_M:
        raise Invalid(f"the target of {contract.noun} {label} is more than {MAX_ABS_M:.0f} m away: {row}")
    if any(abs(angle) > MAX_ABS_RAD for angle in row[3:]):
        raise Invalid(f"the angles of {contract.noun} {label} must be in radians: {row[3:]}")
    return row


def _row_rule(label: str, contract: Contract) -> str:
    return f"{contract.noun} {label} needs an array of {contract.width} numbers"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _merge(rows: Rows, contract: Contract, originals: Rows, reading: Reading) -> Rows:
    """Targets for all labels: what is to move as returned, the rest exactly as it was."""
    missing = [label for label in originals if label not in rows]
    lost = [label for label in missing if label in reading.labels]
    if lost:
        raise Invalid(f"{contract.argument} has no target for {_several(contract.noun, lost)}")
    if missing:
        reading.warnings.append(f"only some {contract.noun}s were returned; the others stay")
    moved = [label for label, row in rows.items() if row_distance(row, originals[label]) > STILL_M]
    strays = [label for label in originals if label in moved and label not in reading.labels]
    if strays and contract.noun == "keypoint":
        raise Invalid(f"{_several('keypoint', strays)} would move without being in keypoint_indices_to_interact")
    if strays:
        raise Invalid(f"{_several('object', strays)} would move as well as {reading.object}; move one object only")
    if not moved:
        reading.warnings.append("nothing moves, and the task is not declared done")
    return {label: rows[label] if label in reading.labels else original for label, original in originals.items()}


def row_distance(row: tuple[float, ...], original: tuple[float, ...]) -> float:
    """The largest change of any number, metres or radians; angles modulo a full turn."""
    changes = [abs(a - b) for a, b in zip(row, original, strict=True)]
    return max([*changes[:3], *(abs(math.remainder(change, 2 * math.pi)) for change in changes[3:])])


# ----------------------------------------------------------------------- in words


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, Array):
        return f"an array of shape {value.shape}" + ("" if value.kind in "fiuO" else f" and dtype kind {value.kind}")
    if isinstance(value, Other):
        return clean_line(value.kind, 60)
    if isinstance(value, Pairs):
        return "a dictionary"
    if isinstance(value, Unordered):
        return "a set, which has no order"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return clean_line(repr(value), 60)


def _several(noun: str, labels: list[str]) -> str:
    return f"{noun}{'s' if len(labels) > 1 else ''} {', '.join(labels)}"


def _listing(originals: Rows) -> str:
    names = list(map(repr, originals))
    return clean_line(", ".join(names if len(names) <= 40 else [*names[:40], "..."]), 300)
