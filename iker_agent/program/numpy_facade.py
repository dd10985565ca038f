"""numpy as programs see it: the listed functions, each result looked at, nothing of numpy's insides.

In: the names of `vocabulary`. Out: values for the facades of numpy and numpy.linalg. Ufuncs keep reduce, accumulate,
outer and reduceat; what would give arbitrary memory (`where=` without `out=`) or call back from C (np.vectorize) is
written out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .steady import steady_array, without_addresses
from .vocabulary import LINALG, NUMPY, words

_MODES = ("ignore", "warn", "raise")
_PRINT_OPTIONS = words("precision threshold edgeitems linewidth suppress nanstr infstr sign floatmode")


class Ufunc:
    """A ufunc: callable, with the methods that make new arrays."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc
        for name in ("reduce", "accumulate", "outer", "reduceat"):
            setattr(self, name, checked(getattr(ufunc, name)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        has_out = kwargs.get("out") is not None or len(args) > self._ufunc.nin
        if not has_out and kwargs.get("where", True) is not True:
            raise TypeError("where= without out= leaves arbitrary numbers; give out=np.zeros(...)")
        return steady_array(self._ufunc(*args, **kwargs))

    def __repr__(self) -> str:
        return repr(self._ufunc)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its results looked at."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return without_addresses(result) if type(result) is str else steady_array(result)

    return call


class _ArrayType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, np.ndarray)


class _Array(metaclass=_ArrayType):
    """np.ndarray for isinstance; its constructor would take buffers and strides."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("use np.array or np.zeros to make arrays")


class _Indexed:
    """np.r_ and its like, without the form that takes text: that one looks names up."""

    def __init__(self, maker: Any) -> None:
        self._maker = maker

    def __getitem__(self, key: Any) -> Any:
        if any(isinstance(part, str) for part in (key if type(key) is tuple else (key,))):
            raise TypeError("text is not allowed here; use np.concatenate or np.stack")
        return steady_array(self._maker[key])


def vectorize(function: Callable[..., Any], otypes: Any = None, doc: str | None = None) -> Callable[..., Any]:
    """np.vectorize for functions of one or more arguments with a single result; TypeError for its other options."""

    def call(*args: Any) -> Any:
        arrays = np.broadcast_arrays(*args)
        values = [function(*row) for row in zip(*(array.ravel().tolist() for array in arrays), strict=True)]
        dtype = otypes[0] if otypes else None
        return steady_array(np.array(values, dtype=dtype).reshape(arrays[0].shape))

    return call


def _modes(given: dict[str, Any]) -> dict[str, Any]:
    wrong = [value for value in given.values() if value is not None and value not in _MODES]
    if wrong or not set(given) <= {"all", "divide", "over", "under", "invalid"}:
        raise TypeError(f"errors of arithmetic can be {', '.join(_MODES)}; for all, divide, over, under or invalid")
    return given


def errstate(**modes: Any) -> np.errstate:
    """np.errstate without callbacks."""
    return np.errstate(**_modes(modes))


def seterr(**modes: Any) -> Mapping[str, object]:
    """np.seterr without callbacks."""
    return np.seterr(**_modes(modes))


def _print_options(options: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(options) - _PRINT_OPTIONS)
    if unknown:
        raise TypeError(f"the print option {unknown[0]} is not available; {', '.join(sorted(_PRINT_OPTIONS))} are")
    return options


def printoptions(**options: Any) -> Any:
    """np.printoptions without formatters."""
    return np.printoptions(**_print_options(options))


def set_printoptions(**options: Any) -> None:
    """np.set_printoptions without formatters."""
    np.set_printoptions(**_print_options(options))


def numpy_values() -> dict[str, Any]:
    """Name -> value of everything behind `np.` except linalg."""
    own = {
        "ndarray": _Array,
        "empty": checked(np.zeros),
        "empty_like": checked(np.zeros_like),
        "vectorize": vectorize,
        "errstate": errstate,
        "seterr": seterr,
        "printoptions": printoptions,
        "set_printoptions": set_printoptions,
        **{name: _Indexed(getattr(np, name)) for name in ("r_", "c_", "s_", "mgrid", "ogrid")},
    }
    return {**_found(np, NUMPY - set(own) - {"linalg"}), **own}


def linalg_values() -> dict[str, Any]:
    """Name -> value of everything behind `np.linalg.`."""
    return _found(np.linalg, LINALG)


def _found(module: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: _seen(getattr(module, name)) for name in names if hasattr(module, name)}


def _seen(value: Any) -> Any:
    if isinstance(value, np.ufunc):
        return Ufunc(value)
    return checked(value) if callable(value) and not isinstance(value, type) else value


def warm_up() -> None:
    """Makes numpy load what it loads on first use; later no file can be opened."""
    points = np.arange(12.0).reshape(4, 3)
    for method in ("mean", "sum", "min", "max", "prod", "any", "all", "std", "var", "argmin", "cumsum", "round"):
        getattr(points, method)()
    for function in (np.median, np.unique, np.linalg.svd, np.linalg.norm, np.linalg.pinv, np.cov, str, repr):
        function(points)
    np.percentile(points, 50)
    np.clip(points, 0, 1)
    np.isin(points, [1])
    np.array_equal(points, points)
    np.einsum("ij,kj->ik", points, points)
    np.nansum(points)
    np.block([points, points])
    np.split(points, 2)
    np.pad(points, 1)
    np.polyfit(points[0], points[1], 1)
    f"{points[0, 0]:.3f} {points.astype(int)} {np.float32(1)!r}"
