"""What a program sees in place of modules and builtins.

In: the names of `vocabulary`. Out: the globals that a program runs with. Facades are objects, not modules: nothing
leads from them back to a module, they hold only listed names, and the language forbids to set anything on them.
Must be built before the process is locked down, because numpy loads parts of itself on first use.
"""

from __future__ import annotations

import builtins
import copy
import math
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np

from .language import FACADE, FELL_OFF
from .result import MAX_PRINTED
from .rotation import Rotation
from .vocabulary import ARRAY_TYPING, BUILTINS, COPY, LINALG, MATH, MODULES, NUMPY, TYPING, Vocabulary

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
        pieces = [str(value) for value in values]
        line = (" " if sep is None else sep).join(piece[:_MAX_PIECE] for piece in pieces)
        self.text += line + ("\n" if end is None else end)
        self.cut = len(self.text) > MAX_PRINTED or any(len(piece) > _MAX_PIECE for piece in pieces)
        self.text = self.text[:MAX_PRINTED]


class _ArrayType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, np.ndarray)


class _Array(metaclass=_ArrayType):
    """np.ndarray for isinstance; its constructor would take buffers and strides."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("use np.array or np.zeros to make arrays")


class _Annotation:
    """A name of the typing module: may be subscripted and joined, means nothing."""

    def __getitem__(self, _: Any) -> _Annotation:
        return self

    def __or__(self, _: Any) -> _Annotation:
        return self

    __ror__ = __or__


def program_globals(printer: Printer, vocabulary: Vocabulary) -> dict[str, Any]:
    """Globals for exec: the restricted builtins, the known names, and where imports have been redirected to."""
    modules = _modules()
    allowed = {name: getattr(builtins, name) for name in BUILTINS}
    return {
        "__builtins__": {**allowed, "print": printer, "__import__": _import_for_numpy},
        "__name__": "program",
        FACADE: {**modules, FELL_OFF: object()},
        **{name: modules[module] for name, module in vocabulary.known.items()},
    }


def warm_up() -> None:
    """Makes numpy load what it loads on first use; later no file can be opened."""
    points = np.arange(12.0).reshape(4, 3)
    for method in ("mean", "sum", "min", "max", "prod", "any", "all", "std", "var", "argmin", "cumsum", "round"):
        getattr(points, method)()
    for function in (np.median, np.unique, np.linalg.svd, np.linalg.norm, np.linalg.pinv, np.cov, str, repr):
        function(points)
    np.percentile(points, 50), np.clip(points, 0, 1), np.isin(points, [1]), np.array_equal(points, points)
    np.einsum("ij,kj->ik", points, points), np.nansum(points), np.block([points, points]), np.split(points, 2)
    f"{points[0, 0]:.3f} {points.astype(int)} {np.float32(1)!r}"


def _modules() -> dict[str, Any]:
    """Every path that an import statement may name -> what it binds."""
    typing = _Annotation()
    linalg = _facade("numpy.linalg", np.linalg, LINALG)
    own = {"linalg": linalg, "ndarray": _Array, "empty": np.zeros, "empty_like": np.zeros_like}
    scipy = {"scipy.spatial.transform": Facade("scipy.spatial.transform", {"Rotation": Rotation})}
    scipy["scipy.spatial"] = Facade("scipy.spatial", {"transform": scipy["scipy.spatial.transform"]})
    scipy["scipy"] = Facade("scipy", {"spatial": scipy["scipy.spatial"]})
    modules = {
        "numpy": _facade("numpy", np, NUMPY, own),
        "numpy.linalg": linalg,
        "numpy.typing": Facade("numpy.typing", dict.fromkeys(ARRAY_TYPING, typing)),
        "math": _facade("math", math, MATH),
        "copy": _facade("copy", copy, COPY),
        "typing": Facade("typing", dict.fromkeys(TYPING, typing)),
        "collections.abc": Facade("collections.abc", dict.fromkeys(TYPING, typing)),
        "collections": Facade("collections", {}),
        "__future__": Facade("__future__", {"annotations": None}),
        **scipy,
    }
    members = {
        f"{path}.{name}": getattr(modules[path], name)
        for path, names in MODULES.items()
        for name in names
        if hasattr(modules[path], name)
    }
    return {**members, **modules}


def _facade(name: str, module: ModuleType, names: Iterable[str], own: dict[str, Any] | None = None) -> Facade:
    found = {n: getattr(module, n) for n in names if n not in (own or {}) and hasattr(module, n)}
    return Facade(name, {**found, **(own or {})})


def _import_for_numpy(name: str, *args: Any, **kwargs: Any) -> Any:
    """numpy's C methods import their Python halves through the builtins of whoever calls them (ndarray.mean).

    Gives only parts of numpy that are loaded already; programs cannot name it.
    """
    if name in sys.modules and name.split(".")[0] == "numpy":
        return _import(name, *args, **kwargs)
    raise ImportError(f"import of {name} is not allowed")


_import: Callable[..., Any] = builtins.__import__
