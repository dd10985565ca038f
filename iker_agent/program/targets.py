"""The rows of an answer: which label a key stands for, which numbers a row holds, and what stays where it was.

In: the returned dictionary as `serialise` gives it, and the caller's own rows. Out: targets for every label, or
`Invalid` with one sentence.
"""

from __future__ import annotations

import math
import re
from typing import Any

from iker_agent.plain_text import clean_line
from iker_agent.program.rows import RowKind, Rows, has_moved
from iker_agent.program.serialise import Array, Other, Pairs, Unordered
from iker_agent.program.signature import Invalid, Reading, Signature

MAX_ABS_M = 100.0  # no table is further away; catches units gone wrong and runaway arithmetic
MAX_ABS_RAD = 2 * math.pi + 0.1  # a full turn and rounding; beyond it an angle must be in degrees

_WORDS = "#|key[ _-]?points?|kps?|points?|pts?|p|k|labels?|numbers?|no|nr|idx|index|id|marks?"
_DECORATED = re.compile(rf"(?:{_WORDS})?[\s_.:#-]*\(?([0-9]{{1,9}})\)?(?:\.0*)?", re.IGNORECASE)
_NUMBERS = ("x", "y", "z", "roll", "pitch", "yaw")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


class _NoLabel(Invalid):
    """A key that is no label and could not be meant as one."""


# ------------------------------------------------------------------------------- labels


def read_label(key: Any, originals: Rows, kind: RowKind, notes: list[str]) -> str:
    """The label that a key stands for."""
    if isinstance(key, bool) or not isinstance(key, int | float | str):
        raise Invalid(f"{kind.noun} labels are text like {next(iter(originals))!r}, not {in_words(key)}")
    text = str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)
    if text in originals:
        return text
    bare = text.translate(_INVISIBLE).strip().strip("'\"").strip()
    if bare in originals:
        return bare
    found = _loosely_named(bare, originals) if kind.named else _numbered(bare, originals)
    if found:
        notes.append(f"{kind.noun} {clean_line(text, 60)!r} read as {found!r}")
        return found
    if "keypoint_indices_to_interact" in text:
        raise Invalid(
            f"the key {clean_line(text, 60)!r} is text copied from the template: write the label, or use "
            "keypoint_indices_to_interact[0] without quotes"
        )
    unknown = f"unknown {kind.noun} {clean_line(text, 60)!r}; there are {listing(originals)}"
    is_number = not isinstance(key, str) or bare.isdecimal() or _DECORATED.fullmatch(bare)
    raise Invalid(unknown) if is_number or not bare else _NoLabel(unknown)


def _loosely_named(name: str, originals: Rows) -> str:
    alike = [label for label in originals if loose(label) == loose(name)]
    return alike[0] if len(alike) == 1 else ""


def _numbered(text: str, originals: Rows) -> str:
    """The label in "#5", "keypoint_5", "5.0"."""
    number = _DECORATED.fullmatch(text)
    label = str(int(number[1])) if number else ""
    return label if label in originals else ""


def loose(name: str) -> str:
    """A name without capitals and punctuation."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


# --------------------------------------------------------------------------------- rows


def read_targets(value: Any, signature: Signature, originals: Rows, reading: Reading) -> Rows:
    """The returned rows under the caller's labels; the order of a dictionary does not matter."""
    kind = signature.rows
    if not isinstance(value, Pairs):
        value = _labelled(value, signature, originals, reading)
    rows: Rows = {}
    empty = []
    for key, row in value.items:
        try:
            label = read_label(key, originals, kind, reading.warnings)
        except _NoLabel:
            reading.ignored.append(clean_line(str(key), 60))
            reading.warnings.append(f"the key {reading.ignored[-1]!r} is no {kind.noun} and was left out")
            continue
        if row is None and label not in reading.moving:
            empty.append(label)
            continue
        numbers = read_row(row, label, kind, reading.warnings)
        if label not in rows:
            rows[label] = numbers
        elif numbers != rows[label]:  # both 9 and "9": the one that changed is meant
            rows[label] = _changed(label, rows[label], numbers, kind, originals)
            reading.warnings.append(f"{kind.noun} {label} was returned under two keys")
    if empty:
        reading.warnings.append(f"None for {_several(kind.noun, empty)} was read as unmoved")
    return rows


def _labelled(value: Any, signature: Signature, originals: Rows, reading: Reading) -> Pairs:
    """Rows that came without labels, where only one order can be meant."""
    rows = _rows_of(value, signature.rows.width)
    all_labels = tuple(originals)
    if rows is None:
        raise Invalid(f"{signature.argument} must be a dictionary, not {in_words(value)}")
    orders = {
        labels
        for labels, known in ((all_labels, True), (reading.moving, reading.ordered))
        if len(labels) == len(rows) and (known or len(labels) == 1)
    }
    if len(orders) != 1:
        raise Invalid(f"{signature.argument} must be a dictionary; it cannot be told which row belongs to which label")
    (labels,) = orders
    which = "all labels" if labels == all_labels else "the listed labels"
    reading.warnings.append(f"{signature.argument} came as rows without labels, read in the order of {which}")
    return Pairs(tuple(zip(labels, rows, strict=True)))


def _rows_of(value: Any, width: int) -> list[Any] | None:
    if isinstance(value, Array):
        if value.shape == (width,):
            return [list(value.values)]
        if len(value.shape) != 2 or value.shape[1] != width or len(value.values) != value.shape[0] * width:
            return None
        return [list(value.values[i : i + width]) for i in range(0, len(value.values), width)]
    if isinstance(value, list | tuple) and len(value) == width and all(map(_is_number, value)):
        return [list(value)]
    if isinstance(value, list | tuple) and value and all(isinstance(row, list | tuple | Array) for row in value):
        return list(value)
    return None


def _changed(label: str, first: tuple, second: tuple, kind: RowKind, originals: Rows) -> tuple[float, ...]:
    if second == originals[label]:
        return first
    if first == originals[label]:
        return second
    raise Invalid(f"{kind.noun} {label} was returned under two keys with different targets")


def read_row(value: Any, label: str, kind: RowKind, notes: list[str] | None = None) -> tuple[float, ...]:
    """The numbers of one row: finite, not absurdly far away, angles in radians."""
    rule = f"{kind.noun} {label} needs an array of {kind.width} numbers"
    numbers = _flat(value, kind.width)
    if numbers is not value and notes is not None and not isinstance(value, Array):
        form = "came with names" if isinstance(value, Pairs) else "was nested once too often"
        notes.append(f"the target of {kind.noun} {label} {form}")
    if isinstance(numbers, Array):
        if numbers.kind not in "fiuO" or len(numbers.values) != kind.width or max(numbers.shape) != kind.width:
            raise Invalid(f"{rule}, not {in_words(value)}")
        if len(numbers.shape) > 1 and notes is not None:
            notes.append(f"the target of {kind.noun} {label} had the shape {numbers.shape}")
        numbers = numbers.values
    if not isinstance(numbers, list | tuple):
        raise Invalid(f"{rule}, not {in_words(value)}")
    if len(numbers) != kind.width or not all(map(_is_number, numbers)):
        raise Invalid(f"{rule}, not {in_words(value)} with {', '.join(map(in_words, numbers[:6]))}")
    row = tuple(float(v) for v in numbers)
    if not all(map(math.isfinite, row)):
        raise Invalid(f"the target of {kind.noun} {label} is not finite: {row}")
    if max(map(abs, row[:3])) > MAX_ABS_M:
        raise Invalid(f"the target of {kind.noun} {label} is more than {MAX_ABS_M:.0f} m away: {row}")
    if any(abs(angle) > MAX_ABS_RAD for angle in row[3:]):
        raise Invalid(f"the angles of {kind.noun} {label} must be in radians: {row[3:]}")
    return row


def _flat(value: Any, width: int) -> Any:
    """A row that is nested once too often: [[x, y, z]], [[x], [y], [z]], [array([x]), ...]; or one with names."""
    if isinstance(value, Pairs):
        named = {key.strip().lower(): number for key, number in value.items if isinstance(key, str)}
        return [named[name] for name in _NUMBERS[:width]] if set(named) == set(_NUMBERS[:width]) else value
    if not isinstance(value, list | tuple):
        return value
    if len(value) == 1 and isinstance(value[0], list | tuple | Array):
        return value[0]
    if len(value) == width and any(isinstance(v, list | tuple | Array) for v in value):
        return [_single(v) for v in value]
    return value


def _single(value: Any) -> Any:
    if isinstance(value, Array) and len(value.values) == 1 and value.kind in "fiuO":
        return value.values[0]
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def merge(rows: Rows, signature: Signature, originals: Rows, reading: Reading) -> Rows:
    """Targets for all labels: what is to move as returned, the rest exactly as it was."""
    kind = signature.rows
    missing = [label for label in originals if label not in rows]
    lost = [label for label in missing if label in reading.moving]
    if lost:
        raise Invalid(f"{signature.argument} has no target for {_several(kind.noun, lost)}")
    if missing:
        reading.warnings.append(f"only some {kind.noun}s were returned; the others stay")
    moved = [label for label, row in rows.items() if has_moved(row, originals[label])]
    strays = [label for label in originals if label in moved and label not in reading.moving]
    if strays and "keypoint_indices_to_interact" in signature.returns:
        raise Invalid(f"{_several(kind.noun, strays)} would move without being in keypoint_indices_to_interact")
    if strays:
        raise Invalid(f"{_several(kind.noun, strays)} would move as well as {reading.object}; move one object only")
    if not moved:
        reading.warnings.append("nothing moves, and the task is not declared done")
    return {label: rows[label] if label in reading.moving else original for label, original in originals.items()}


def check_unmoved(rows: Any, kind: RowKind, originals: Rows) -> None:
    """Whatever else is in the dictionary of a program that says done, nothing in it may have moved."""
    for key, row in rows.items if isinstance(rows, Pairs) else ():
        try:
            label = read_label(key, originals, kind, [])
            moved = has_moved(read_row(row, label, kind), originals[label])
        except Invalid:
            continue  # a helper of the program's own, no target
        if moved:
            raise Invalid(
                f"the program moves {kind.noun} {label} but says done; return None only if nothing is left to move"
            )


# ----------------------------------------------------------------------------- in words


def in_words(value: Any) -> str:
    """What kind of value was returned, for a sentence."""
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


def listing(originals: Rows) -> str:
    """The labels that there are, for a sentence."""
    names = list(map(repr, originals))
    return clean_line(", ".join(names if len(names) <= 40 else [*names[:40], "..."]), 300)


def _several(noun: str, labels: list[str]) -> str:
    return f"{noun}{'s' if len(labels) > 1 else ''} {', '.join(labels)}"
