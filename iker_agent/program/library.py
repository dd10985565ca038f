"""The pure parts of the standard library that programs may import, as far as numpy's facade does not hold them.

In: the names of `vocabulary`. Out: module -> {name: value}. What would hand out a reference to something else
(`partial.func`, `lru_cache.__wrapped__`), or call the program back from C in the middle of its work, is written out
here in a few lines of Python. Endless iterators end at the limits of the process.
"""

from __future__ import annotations

import bisect
import collections
import copy
import dataclasses
import functools
import heapq
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import distance
from .objects import Plain, namedtuple
from .rotation import Rotation
from .steady import percent
from .vocabulary import (
    ARRAY_TYPING,
    BISECT,
    COLLECTIONS,
    COPY,
    DATACLASSES,
    DISTANCE,
    FUNCTOOLS,
    HEAPQ,
    ITERTOOLS,
    MATH,
    OPERATOR,
    STATISTICS,
    TYPING,
)


class Annotation:
    """A name of the typing module: may be subscripted and joined, means nothing."""

    def __getitem__(self, _: Any) -> Annotation:
        return self

    def __or__(self, _: Any) -> Annotation:
        return self

    __ror__ = __or__


def groupby(items: Iterable[Any], key: Callable[[Any], Any] | None = None) -> Iterator[tuple[Any, Iterator[Any]]]:
    """itertools.groupby; each group is complete when it is given."""
    group: list[Any] = []
    last: Any = None
    for item in items:
        own = item if key is None else key(item)
        if group and own != last:
            yield last, iter(group)
            group = []
        last = own
        group.append(item)
    if group:
        yield last, iter(group)


def partial(function: Callable[..., Any], /, *first: Any, **given: Any) -> Callable[..., Any]:
    """functools.partial."""
    return lambda *args, **kwargs: function(*first, *args, **{**given, **kwargs})


def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """functools.lru_cache, as a decorator with or without arguments."""
    if callable(maxsize):
        return _remembering(maxsize, 128)
    return lambda function: _remembering(function, maxsize)


def cache(function: Callable[..., Any]) -> Callable[..., Any]:
    """functools.cache."""
    return _remembering(function, None)


def _remembering(function: Callable[..., Any], maxsize: int | None) -> Callable[..., Any]:
    known: collections.OrderedDict[Any, Any] = collections.OrderedDict()

    def call(*args: Any, **kwargs: Any) -> Any:
        key = (args, tuple(kwargs.items()))
        if key in known:
            known.move_to_end(key)
            return known[key]
        result = function(*args, **kwargs)
        known[key] = result
        if maxsize is not None and len(known) > max(maxsize, 0):
            known.popitem(last=False)
        return result

    return call


def wraps(_: Any, **__: Any) -> Callable[[Any], Any]:
    """functools.wraps: leaves the wrapper as it is, since nothing here reads names and docstrings of functions."""
    return lambda wrapper: wrapper


def dataclass(cls: type | None = None, **options: Any) -> Any:
    """dataclasses.dataclass for classes of the program."""
    if cls is None:
        return lambda decorated: dataclass(decorated, **options)
    if not (isinstance(cls, type) and issubclass(cls, Plain)):
        raise TypeError("dataclass is for classes of the program")
    allowed = {"init", "repr", "eq", "order", "frozen", "kw_only", "unsafe_hash"}
    if not set(options) <= allowed:
        raise TypeError(f"dataclass takes {', '.join(sorted(allowed))} here")
    return dataclasses.dataclass(**options)(cls)


def library_values(imported: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Module -> {name: value}; what is slow to load only when it is in `imported`."""
    annotation = Annotation()
    typing = dict.fromkeys(TYPING, annotation)
    own_functools = {"partial": partial, "lru_cache": lru_cache, "cache": cache, "wraps": wraps}
    values = {
        "math": _of(math, MATH),
        "copy": _of(copy, COPY),
        "itertools": {**_of(itertools, ITERTOOLS), "groupby": groupby},
        "functools": {**_of(functools, FUNCTOOLS), **own_functools},
        "collections": {**_of(collections, COLLECTIONS - {"abc"}), "namedtuple": namedtuple},
        "operator": {**_of(operator, OPERATOR), "mod": percent},
        "heapq": _of(heapq, HEAPQ),
        "bisect": _of(bisect, BISECT),
        "dataclasses": {**_of(dataclasses, DATACLASSES), "dataclass": dataclass},
        "scipy.spatial.distance": _of(distance, DISTANCE),
        "scipy.spatial.transform": {"Rotation": Rotation},
        "typing": typing,
        "collections.abc": typing,
        "numpy.typing": dict.fromkeys(ARRAY_TYPING, annotation),
        "__future__": {"annotations": None},
    }
    if "statistics" in imported:
        import statistics

        values["statistics"] = _of(statistics, STATISTICS)
    return values


def _of(module: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names if hasattr(module, name)}
