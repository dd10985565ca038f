"""What a program sees in place of modules and builtins.

In: the vocabulary of its contract. Out: the globals that a program runs with. Facades are objects, not modules: nothing
leads from them back to a module, they hold only listed names, and the language forbids to set anything on them.
Must be built before the process is locked down, because numpy loads parts of itself on first use.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

from . import steady
from .library import library_values
from .numpy_facade import linalg_values, numpy_values
from .objects import Fields, build_class
from .result import MAX_PRINTED
from .rewriting import FACADE, FELL_OFF
from .vocabulary import BUILTINS, MODULES, Vocabulary

_MAX_PIECE = 500


class Facade:
    """Named values behind a dot."""

    _name = "facade"

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self._name = name
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self._name} has no {name} here")

    def __repr__(self) -> str:
        return f"<{self._name}>"


class Printer:
    """The program's print: keeps a bounded amount of text, goes nowhere else."""

    def __init__(self) -> None:
        self.text = ""
        self.cut = False

    def __call__(self, *values: Any, sep: str | None = None, end: str | None = None, **_: Any) -> None:
        if self.cut:
            return
        pieces = [steady.text_of(value) for value in values]
        line = (" " if sep is None else sep).join(piece[:_MAX_PIECE] for piece in pieces)
        self.text += line + ("\n" if end is None else end)
        self.cut = len(self.text) > MAX_PRINTED or any(len(piece) > _MAX_PIECE for piece in pieces)
        self.text = self.text[:MAX_PRINTED]


# What the language puts in the place of Python's own syntax -> who does it.
_SYNTAX = {
    "fields": Fields,
    "guarded": steady.guarded,
    "percent": steady.percent,
    "percent in place": steady.percent_in_place,
    "set": steady.steady_set,
    "text": steady.text_of,
    "part of text": steady.part_of_text,
    "formatter": steady.formatter_of,
    FELL_OFF: object(),
}


class Facades:
    """All that programs of one contract may see; `scope` gives the globals of one run."""

    def __init__(self, vocabulary: Vocabulary, imported: frozenset[str] = frozenset()) -> None:
        self.modules = _modules(imported)
        self.known = {name: self.modules[module] for name, module in vocabulary.known.items()}

    def scope(self, printer: Printer) -> dict[str, Any]:
        """Globals for exec: the restricted builtins, the known names, and where imports have been redirected to."""
        allowed = {name: getattr(builtins, name) for name in BUILTINS}
        own = {
            "print": printer,
            "repr": steady.repr_of,
            "ascii": steady.ascii_of,
            "format": steady.format_of,
            "__import__": _import_for_numpy,
            "__build_class__": build_class,
        }
        return {
            "__builtins__": {**allowed, **own},
            "__name__": "program",
            FACADE: {**self.modules, **_SYNTAX},
            **self.known,
        }


def _modules(imported: frozenset[str]) -> dict[str, Any]:
    """Every path that an import statement may name -> what it binds."""
    values = {"numpy.linalg": linalg_values(), "numpy": numpy_values(), **library_values(imported)}
    facades = {name: Facade(name, members) for name, members in values.items()}
    for name in ("scipy.spatial", "scipy"):
        facades[name] = Facade(name, {})
    for name in list(facades):
        parent, _, child = name.rpartition(".")
        if parent:
            facades[parent].__dict__[child] = facades[name]
    members = {
        f"{path}.{name}": getattr(facades[path], name)
        for path, names in MODULES.items()
        for name in names
        if path in facades and hasattr(facades[path], name)
    }
    return {**members, **facades}


def _import_for_numpy(name: str, *args: Any, **kwargs: Any) -> Any:
    """numpy's C methods import their Python halves through the builtins of whoever calls them (ndarray.mean).

    Gives only parts of numpy that are loaded already; programs cannot name it.
    """
    if name in sys.modules and name.split(".")[0] == "numpy":
        return _import(name, *args, **kwargs)
    raise ImportError(f"import of {name} is not allowed")


_import: Callable[..., Any] = builtins.__import__
