"""A program's returned value as JSON data, and back: what crosses the border between the two processes.

In the child: any Python value -> tagged JSON (`to_plain`), by exact type (named tuples are tuples, iterators lists),
bounded in size and depth, never pickled.
In the parent: untrusted JSON -> values of a few harmless kinds (`from_plain`): None, bool, int, float, str, list,
tuple, `Pairs`, `Unordered`, `Array`, `Other`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

MAX_VALUES = 20_000
MAX_TEXT = 2_000
_MAX_DEPTH = 6
_MAX_INT = 2**63
_SEQUENCES: dict[type, str] = {
    **dict.fromkeys((list, range, deque, type({}.keys()), type({}.values()), type({}.items())), "list"),
    **dict.fromkeys((set, frozenset), "set"),
}
_MAPPINGS = (dict, defaultdict, OrderedDict, Counter)


class TooLarge(Exception):
    """The value has more parts than a program may return; the text is one sentence."""


class Unreadable(Exception):
    """The data did not come from `to_plain`."""


@dataclass(frozen=True)
class Pairs:
    """A dict as it was returned, keys of any scalar kind."""

    items: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class Unordered:
    """A set, its items in an order that says nothing."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class Array:
    """A numpy array: dtype kind ("f", "i", "u", "b", "U", "O"), shape, flat values."""

    kind: str
    shape: tuple[int, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Other:
    """A value that no contract has a use for, in words: "generator", "text of 10000000 characters"."""

    kind: str


class _Encoder:
    def __init__(self) -> None:
        self.left = MAX_VALUES

    def encode(self, value: Any, depth: int = 0) -> Any:
        self.left -= 1
        if self.left < 0 or depth > _MAX_DEPTH:
            raise TooLarge(f"the program returned more than {MAX_VALUES} values or nested them too deeply")
        if isinstance(value, np.generic):
            value = value.item()
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            return value if abs(value) < _MAX_INT else _other(f"integer of {value.bit_length()} bits")
        if kind is str:
            return value if len(value) <= MAX_TEXT else _other(f"text of {len(value)} characters")
        if kind in _MAPPINGS:
            self._afford(value)
            return {"dict": [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in value.items()]}
        if kind is np.ndarray:
            return self._array(value, depth)
        return self._sequence(value, depth)

    def _sequence(self, value: Any, depth: int) -> Any:
        kind = type(value)
        tag = "tuple" if issubclass(kind, tuple) else _SEQUENCES.get(kind)
        if hasattr(kind, "__next__"):
            tag = "list"
            value = list(islice(value, self.left + 1))  # an endless one is too large
        if tag is None:
            return _other(kind.__name__)
        self._afford(value)
        items = [self.encode(item, depth + 1) for item in value]
        return {tag: sorted(items, key=lambda item: (len(repr(item)), repr(item))) if tag == "set" else items}

    def _array(self, array: np.ndarray, depth: int) -> Any:
        kind = array.dtype.kind
        if kind not in "fiubUO":
            return _other(f"array of {array.dtype.name}")
        if array.ndim == 0:
            return self.encode(array.item(), depth + 1)
        self._afford(array.ravel())
        values = [float(v) for v in array.ravel()] if kind == "f" else array.ravel().tolist()
        return {"array": [self.encode(v, depth + 1) for v in values], "kind": kind, "shape": list(array.shape)}

    def _afford(self, values: Any) -> None:
        """Before a copy is made: the check per value would come too late for a range of 10**12."""
        if len(values) > self.left:
            raise TooLarge(f"the program returned more than {MAX_VALUES} values")


def _other(kind: str) -> dict[str, str]:
    return {"other": kind}


def to_plain(value: Any) -> Any:
    """`value` as tagged JSON data; TooLarge when it has too many parts."""
    return _Encoder().encode(value)


def from_plain(data: Any, depth: int = 0) -> Any:
    """The inverse of `to_plain` on data that may be anything; Unreadable when it is not of that form."""
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if not isinstance(data, dict) or depth > _MAX_DEPTH:
        raise Unreadable("no tagged value")
    match data:
        case {"list": [*items]}:
            return [from_plain(item, depth + 1) for item in items]
        case {"tuple": [*items]}:
            return tuple(from_plain(item, depth + 1) for item in items)
        case {"set": [*items]}:
            return Unordered(tuple(from_plain(item, depth + 1) for item in items))
        case {"dict": [*items]} if all(isinstance(pair, list) and len(pair) == 2 for pair in items):
            return Pairs(tuple((from_plain(k, depth + 1), from_plain(v, depth + 1)) for k, v in items))
        case {"array": [*items], "kind": str(kind), "shape": [*shape]} if all(type(n) is int for n in shape):
            return Array(kind, tuple(shape), tuple(from_plain(item, depth + 1) for item in items))
        case {"other": str(kind)}:
            return Other(kind)
    raise Unreadable("no tagged value")
