"""The parts that answers are read with, the rows aside; each contract puts together what it needs.

In: a returned value as `serialise` gives it (from a process that is not trusted) and the caller's own rows.
Out: object, labels and grasp, or `Invalid` with one sentence. Generous where the meaning is plain (5 for "5", a list
for a tuple), with a warning; strict where it is not. `targets` reads the rows; whether they make sense is judged
elsewhere (`plausibility`, then the check of goals).
"""

from __future__ import annotations

import re
from typing import Any

from iker_agent.plain_text import clean_line
from iker_agent.program.rows import KEYPOINT_ROWS, Rows
from iker_agent.program.serialise import Array, Pairs, Unordered
from iker_agent.program.signature import Invalid, Reading, Signature
from iker_agent.program.targets import check_unmoved, in_words, listing, loose, read_label

MAX_OBJECT_LENGTH = 200

_GRASP_WORDS = "true yes grasp grasping pick picking pick_up pickup pick_and_place grab lift lifting carry carrying"
_PUSH_WORDS = "false no push pushing slide sliding drag dragging nudge"
_TRUTHS = {**dict.fromkeys(_GRASP_WORDS.split(), True), **dict.fromkeys(_PUSH_WORDS.split(), False)}
_DONE_WORDS = ("done", "finished", "completed", "complete")
_NO_REASON = "it gave no reason"
_IMPOSSIBLE = re.compile(
    r"[\W_]*(?:(?:it|this|that|the (?:task|instruction|request)) (?:is )?)?"
    r"(?:impossible|infeasible|unfeasible|not (?:possible|feasible)|(?:cannot|can not|can't) be (?:done|fulfilled))"
    r"(?![\w-])",
    re.IGNORECASE,
)


# --------------------------------------------------------------------------- the values


def claim_or_values(value: Any, signature: Signature, originals: Rows, argument: Any, reading: Reading) -> list[Any]:
    """The returned values in the contract's order; sets `done` or `impossible` for an answer that says so instead.

    What says done may have moved nothing: it could be a program that forgot to return.
    """
    reading.impossible = _impossible(value, signature, originals, reading)
    if reading.is_claim:
        return []
    values = _split(value, signature, reading)
    if reading.done:
        for rows in (argument, *values[-1:]):
            check_unmoved(rows, signature.rows, originals)
    return values


def _impossible(value: Any, signature: Signature, originals: Rows, reading: Reading) -> str:
    """Why it cannot be done, where an answer says so: a text that begins so, alone or beside nothing to move."""
    if isinstance(value, Pairs):
        named = {loose(key): item for key, item in value.items if isinstance(key, str)}
        if not named.get("impossible"):
            return ""
        reading.warnings.append("returned impossible in a dictionary")
        given = (named["impossible"], named.get("reason"))
        return _reason(" ".join(part for part in given if isinstance(part, str)), reading)
    texts = list(value) if isinstance(value, list | tuple) else [value]
    said = _IMPOSSIBLE.match(texts[0]) if texts and isinstance(texts[0], str) else None
    if said is None:
        return ""
    if len(texts) == len(signature.returns):
        check_unmoved(texts[-1], signature.rows, originals)
    more = [text for text in texts[1:] if isinstance(text, str)]
    return _reason(" ".join([said.string[said.end() :], *more]), reading)


def _reason(text: str, reading: Reading) -> str:
    """A reason as one printable line."""
    reason = clean_line(text.strip(" \t\n:;,.-\u2013\u2014"))
    if not reason:
        reading.warnings.append("said impossible without a reason")
    return reason or _NO_REASON


def _split(value: Any, signature: Signature, reading: Reading) -> list[Any]:
    expected = (
        f"the program must return ({', '.join(signature.returns)}), or None when the task is done, or "
        '"impossible: REASON" when it cannot be done'
    )
    if value is None:
        reading.done = True
        return []
    if value is True or (isinstance(value, str) and value.strip(" .!").lower() in _DONE_WORDS):
        reading.warnings.append(f"returned {value} alone, read as done")
        reading.done = True
        return []
    if value is False:
        raise Invalid(f"{expected}; it returned False alone")
    if isinstance(value, Pairs):
        return _by_name(value, signature, expected, reading)
    if not isinstance(value, list | tuple):
        raise Invalid(f"{expected}; it returned {in_words(value)}")
    if len(value) == 1 and isinstance(value[0], list | tuple):
        reading.warnings.append("returned the values inside another tuple")
        value = value[0]
    return _in_order(list(value), signature, expected, reading)


def _in_order(values: list[Any], signature: Signature, expected: str, reading: Reading) -> list[Any]:
    count = len(signature.returns)
    nothing = all(v is None for v in values[:-1])
    if count <= len(values) <= count + 1 and nothing and isinstance(values[-1], Pairs | None):
        reading.warnings.append("returned None for every value, read as done")
        reading.done = True
        return values
    if len(values) == count + 1 and isinstance(values[0], bool):
        reading.warnings.append("returned done as a first value")
        reading.done = values.pop(0)
    elif len(values) == count + 1 and isinstance(values[-1], bool):
        reading.warnings.append("returned done as a last value")
        reading.done = values.pop()
    if not reading.done and len(values) != count:
        raise Invalid(f"{expected}; it returned {len(values)} values")
    return values


def _by_name(value: Pairs, signature: Signature, expected: str, reading: Reading) -> list[Any]:
    """The values of a returned dictionary whose keys are the names of the contract."""
    given = {loose(key): item for key, item in value.items if isinstance(key, str)}
    names = [loose(name) for name in signature.returns]
    if given.get("done") is True:
        reading.warnings.append("returned done in a dictionary")
        reading.done = True
        return [given[name] for name in names if name in given]
    lacking = [name for name, key in zip(signature.returns, names, strict=True) if key not in given]
    if len(lacking) == len(names):
        raise Invalid(f"{expected}; it returned a dictionary")
    if lacking:
        raise Invalid(f"{expected}; the dictionary that it returned lacks {lacking[0]}")
    reading.warnings.append("returned a dictionary, read by its names")
    return [given[name] for name in names]


# --------------------------------------------------------------------- the single values


def read_object(value: Any, reading: Reading) -> str:
    """The object's name as one printable line."""
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str):
        reading.warnings.append("object_to_interact was given as a list")
        value = value[0]
    if not isinstance(value, str):
        raise Invalid(
            f"object_to_interact must be a short text, not {in_words(value)}; return None alone when the task is done"
        )
    name = clean_line(value, MAX_OBJECT_LENGTH)
    if not name:
        raise Invalid("object_to_interact is empty")
    if name != value:
        reading.warnings.append("object_to_interact had unprintable characters or was too long")
    return name


def match_object(name: str, originals: Rows, reading: Reading) -> str:
    """The scene's own spelling: "Shoe_Box" for "shoe box" when nothing else could be meant."""
    if name in originals:
        return name
    matches = [label for label in originals if loose(label) == loose(name)]
    if len(matches) != 1:
        raise Invalid(f"unknown object {name!r}; the objects are {listing(originals)}")
    reading.warnings.append(f"object {name!r} read as {matches[0]!r}")
    return matches[0]


def read_grasp(value: Any, reading: Reading) -> bool:
    """True to grasp, False to push."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        reading.warnings.append("grasp_mode was given as a number")
        return bool(value)
    word = re.sub(r"[\s-]+", "_", value.strip().lower()) if isinstance(value, str) else ""
    if word in _TRUTHS:
        reading.warnings.append("grasp_mode was given as text")
        return _TRUTHS[word]
    raise Invalid(f"grasp_mode must be True (grasp) or False (push), not {in_words(value)}")


def read_indices(value: Any, originals: Rows, reading: Reading) -> tuple[str, ...]:
    """The labels of the keypoints that move, in the program's order."""
    items = _items(value, reading)
    if items is None:
        raise Invalid(f"keypoint_indices_to_interact must be a list of labels, not {in_words(value)}")
    labels = tuple(dict.fromkeys(read_label(item, originals, KEYPOINT_ROWS, reading.warnings) for item in items))
    if not labels:
        raise Invalid("no keypoint is to be moved; return None alone when the task is done")
    if len(labels) < len(items):
        reading.warnings.append("keypoint_indices_to_interact names a keypoint twice")
    return labels


def _items(value: Any, reading: Reading) -> list[Any] | None:
    if isinstance(value, str):
        reading.warnings.append("keypoint_indices_to_interact was given as one text")
        return re.findall(r"[^\s,;\[\](){}'\"]+", value)
    if isinstance(value, int) and not isinstance(value, bool):
        reading.warnings.append("keypoint_indices_to_interact was given as one number")
        return [value]
    if isinstance(value, Pairs):
        reading.warnings.append("keypoint_indices_to_interact was given as a dictionary, read by its keys")
        return [key for key, _ in value.items]
    if isinstance(value, Array) and max(value.shape, default=0) == len(value.values):
        return list(value.values)
    if isinstance(value, Unordered):
        reading.ordered = False
        return list(value.items)
    return list(value) if isinstance(value, list | tuple) else None
