"""Same program, same goal: what would differ from run to run is made constant, or refused.

Two things in Python depend on where objects lie in memory, which no run repeats: the text of an object that has no
text of its own (`<function f at 0x7f...>`), and the order of a set of such objects. The language rewrites programs so
that texts and sets are made here. Arrays of dates are refused, since "now" may be written as one.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from .objects import Plain
from .vocabulary import SET_METHODS

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_PLAIN = (str, int, float, bool, complex, type(None))
_HASHED_BY_VALUE = (str, int, float, bool, complex, *((type(None),) if sys.version_info >= (3, 12) else ()))
_MAX_DEPTH = 20


def without_addresses(text: str) -> str:
    """`text` in which every address of an object is 0x0."""
    return _ADDRESS.sub("at 0x0", text)


def is_plain(value: Any) -> bool:
    """Whether the text of a value depends on the value alone."""
    return type(value) in _PLAIN or (isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biufcSU")


# --------------------------------------------------------------------------------- texts


def text_of(*values: Any, **options: Any) -> str:
    """str(value)."""
    return without_addresses(str(*values, **options))


def repr_of(value: Any) -> str:
    """repr(value)."""
    return without_addresses(repr(value))


def ascii_of(value: Any) -> str:
    """ascii(value)."""
    return without_addresses(ascii(value))


def format_of(value: Any, spec: str = "") -> str:
    """format(value, spec)."""
    return without_addresses(format(value, spec))


_CONVERSIONS = {-1: text_of, ord("s"): text_of, ord("r"): repr_of, ord("a"): ascii_of}


def part_of_text(value: Any, conversion: int = -1) -> Any:
    """The value in the braces of an f-string, converted: plain values stay what they are, so that formats apply."""
    return value if conversion == -1 and is_plain(value) else _CONVERSIONS[conversion](value)


class _Shown:
    """Stands for a value in `%` formatting."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return text_of(self.value)

    def __repr__(self) -> str:
        return repr_of(self.value)


def _shown(value: Any) -> Any:
    return value if is_plain(value) else _Shown(value)


def percent(left: Any, right: Any) -> Any:
    """left % right."""
    if type(left) is not str:
        return left % right
    if type(right) is tuple:
        shown: Any = tuple(map(_shown, right))
    elif type(right) is dict:
        shown = {key: _shown(value) for key, value in right.items()}
    else:
        shown = _shown(right)
    try:
        return left % shown
    except TypeError:
        return without_addresses(left % right)  # says in its own words what is wrong


def percent_in_place(left: Any, right: Any) -> Any:
    """The value of left after left %= right."""
    if type(left) is str:
        return percent(left, right)
    left %= right
    return left


class _Formatter(string.Formatter):
    """str.format for templates that the language has read: values by place or name, nothing of their attributes."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return self.get_value(int(field_name) if field_name.isdecimal() else field_name, args, kwargs), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return format(value if is_plain(value) or format_spec else text_of(value), format_spec)

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        return value if conversion is None else _CONVERSIONS[ord(conversion)](value)


def formatter_of(template: str) -> Any:
    """template.format."""
    return lambda *args, **kwargs: _Formatter().vformat(template, args, kwargs)


# ---------------------------------------------------------------------------------- sets


def _has_order(value: Any, depth: int = 0) -> bool:
    """Whether the place of a value in a set repeats from run to run."""
    if isinstance(value, tuple | frozenset):
        return depth < _MAX_DEPTH and all(_has_order(item, depth + 1) for item in value)
    if isinstance(value, Plain) and type(value).__hash__ is not Plain.__hash__:  # a frozen dataclass: by its fields
        return depth < _MAX_DEPTH and all(_has_order(item, depth + 1) for item in vars(value).values())
    return type(value) in _HASHED_BY_VALUE or isinstance(value, Plain | np.generic)


def steady_set(made: Any) -> Any:
    """A set that was just made; TypeError if the order of its members would change from run to run."""
    _check_members(made)
    return made


def _check_members(members: Iterable[Any]) -> None:
    for member in members:
        if not _has_order(member):
            raise TypeError(f"a set with a {type(member).__name__} in it changes its order from run to run; use a list")


def set_method(value: set | frozenset, name: str) -> Any:
    """The method of a set that takes new members, with the same check."""
    method = getattr(value, name)

    def checked(*arguments: Any) -> Any:
        if name == "add":
            made = method(*arguments)
            _check_members(arguments)
            return made
        given = [list(argument) for argument in arguments]
        made = method(*given)
        for members in given:
            _check_members(members)
        return made

    return checked


# -------------------------------------------------------------------------------- arrays


def steady_array(value: Any) -> Any:
    """What a function of numpy gave; TypeError for dates, and for texts that hold the address of an object."""
    if isinstance(value, tuple | list):
        for item in value:
            steady_array(item)
    elif isinstance(value, np.ndarray | np.generic):
        if _holds_dates(value.dtype):
            raise TypeError("arrays of dates and times are not available to programs; they have no clock")
        if value.dtype.kind in "US" and any(_ADDRESS.search(str(text)) for text in np.ravel(value).tolist()):
            raise TypeError("the text of an object changes from run to run")
    return value


def _holds_dates(dtype: np.dtype) -> bool:
    if dtype.subdtype:
        return _holds_dates(dtype.subdtype[0])
    return dtype.kind in "mM" or any(_holds_dates(field[0]) for field in (dtype.fields or {}).values())


def guarded(value: Any, name: str) -> Any:
    """value.name, for the few names whose results need a look."""
    if isinstance(value, set | frozenset) and name in SET_METHODS:
        return set_method(value, name)
    found = getattr(value, name)
    if name == "astype" and isinstance(value, np.ndarray | np.generic):
        return lambda *args, **kwargs: steady_array(found(*args, **kwargs))
    return found
