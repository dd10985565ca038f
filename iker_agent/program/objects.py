"""Small classes of programs: plain objects with fields and methods, and nothing that leads elsewhere.

The language turns `value.name`, for every name that only a program's own classes have, into `fields(value)["name"]`.
`fields` gives that access to objects of such classes alone, so a class may call its field `data` or `func` without
opening the attribute of that name on arrays and functions. The methods that Python itself would call are limited by
the language (vocabulary.SPECIAL_METHODS), base classes here.
"""

from __future__ import annotations

import builtins
import collections
from collections.abc import Callable, Iterable
from typing import Any

_build: Callable[..., Any] = builtins.__build_class__
_MAX_FIELDS = 50


class Plain:
    """The base of every class of a program: without it, text and hash would hold an address."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __hash__(self) -> int:
        return hash(type(self).__name__)


class OwnTuple(tuple):
    """The base of every named tuple of a program; marks it as one."""

    __slots__ = ()


def build_class(body: Callable[[], None], name: str, *bases: type, **options: Any) -> type:
    """What a class statement calls. TypeError for any base but object, or an exception for a class without methods."""
    bases = tuple(base for base in bases if base is not object)
    if options or not all(isinstance(base, type) and issubclass(base, Exception) for base in bases):
        raise TypeError(f"the class {name} may have no base class but object or an exception")
    made = _build(body, name, *(bases or (Plain,)))
    if bases and any(callable(value) or isinstance(value, property) for value in vars(made).values()):
        raise TypeError(f"the exception {name} may have no methods")
    return made


class Fields:
    """The attributes of one object of a program, by name."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> Any:
        self._check(name, (Plain, OwnTuple))
        return getattr(self._owner, name)

    def __setitem__(self, name: str, value: Any) -> None:
        self._check(name, (Plain,))
        setattr(self._owner, name, value)

    def __delitem__(self, name: str) -> None:
        self._check(name, (Plain,))
        delattr(self._owner, name)

    def _check(self, name: str, kinds: tuple[type, ...]) -> None:
        owner = self._owner
        is_class = type(owner) is type
        known = issubclass(owner if is_class else type(owner), kinds)
        if not known or name.startswith("__") or (is_class and hasattr(type, name)):
            raise AttributeError(f"{_spoken(owner)} has no attribute {name!r} here that can be used")


def _spoken(owner: Any) -> str:
    return f"the class {owner.__name__}" if type(owner) is type else f"a {type(owner).__name__}"


def namedtuple(typename: str, field_names: str | Iterable[str], *, defaults: Iterable[Any] | None = None) -> type:
    """collections.namedtuple; ValueError for names that are none."""
    names = field_names.replace(",", " ").split() if isinstance(field_names, str) else list(field_names)
    if len(names) > _MAX_FIELDS:
        raise ValueError(f"a named tuple has at most {_MAX_FIELDS} fields")
    # The fields are known at run time only, and type checkers want literals.
    made = collections.namedtuple(typename, names, defaults=defaults, module="program")  # type: ignore[misc]
    return type(typename, (made, OwnTuple), {"__slots__": ()})
