"""What every contract shares: frozen dataclasses that turn into JSON-able dictionaries and back.

A contract is declared `@dataclass(frozen=True, eq=False)` and inherits `Contract`. Arrays are copied and made read-only
on construction, so a contract can be passed around without fear. `to_dict` gives plain Python (lists, numbers, text);
`from_dict` is its inverse and names the wrong field and the valid ones when it cannot be.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import yaml

_INLINE_SIZE = 512  # larger arrays (images) travel as base64 .npy, not as lists of numbers


_SCALARS = {kind: kind for kind in (float, int, str, bool)} | {float | None: float, int | None: int, str | None: str}


class Contract:
    """Base of all contracts: read-only arrays and one `to_dict`/`from_dict` pair.

    `SHAPES` fixes the shapes of array fields; such arrays are finite, and a pose's quaternion is of unit length. No
    number is nan, and a number, text or truth value is one. Arrays of integers become floats, but for those of uint8
    and those of the fields in `INTEGERS`, which are int32.
    """

    SHAPES: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    INTEGERS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, annotation in _hints(type(self)).items():
            value = getattr(self, name)
            where = f"{type(self).__name__}.{name}"
            if annotation in _SCALARS and (value is not None or annotation is _SCALARS[annotation]):
                object.__setattr__(self, name, _scalar(_SCALARS[annotation], value, where))
            elif annotation in (np.ndarray, np.ndarray | None) and value is not None:
                object.__setattr__(self, name, _frozen(value, where, whole=name in self.INTEGERS))
            elif isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
            elif isinstance(value, dict):
                arrays = annotation == dict[str, np.ndarray]
                frozen = {key: _frozen(item, where) if arrays else item for key, item in value.items()}
                object.__setattr__(self, name, types.MappingProxyType(frozen))
        for name, shape in self.SHAPES.items():
            value = getattr(self, name)
            values = value.items() if isinstance(value, Mapping) else [("", value)]
            for key, array in values:
                if array is not None:
                    _check_shape(f"{type(self).__name__}.{name}{f'[{key!r}]' if key else ''}", array, shape)

    def __getstate__(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        Contract.__post_init__(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers and text, ready for JSON or YAML."""
        return {f.name: to_plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; ValueError for a field that is unknown, missing or of another type."""
        if not isinstance(data, Mapping):
            raise ValueError(f"{cls.__name__} is made from a mapping, not from {type(data).__name__} {data!r}")
        hints = _hints(cls)
        unknown = [key for key in data if key not in hints]
        if unknown:
            raise ValueError(f"{cls.__name__} has no field {unknown[0]!r}; it has: {', '.join(hints)}")
        values = {name: _from_plain(hints[name], data[name], f"{cls.__name__}.{name}") for name in data}
        missing = [f.name for f in dataclasses.fields(cls) if f.name not in values and _required(f)]
        if missing:
            raise ValueError(f"{cls.__name__} lacks {', '.join(missing)}")
        return cls(**values)


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _required(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _check_shape(where: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or not np.all(np.isfinite(array)):
        size = " x ".join(map(str, shape))
        raise ValueError(f"{where} is an array of {size} finite numbers, not {array.tolist()!r}")
    if shape == (7,) and abs(np.linalg.norm(array[3:]) - 1.0) > 1e-3:
        raise ValueError(f"{where} ends in a unit quaternion (w, x, y, z), not in {array[3:].tolist()!r}")


def check_number(where: str, value: Any) -> float:
    """A finite number as a float; ValueError otherwise."""
    number = value.item() if isinstance(value, np.generic) else value
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not math.isfinite(number):
        raise ValueError(f"{where} is a finite number, not {value!r}")
    return float(number)


def _frozen(value: Any, where: str, *, whole: bool = False) -> np.ndarray:
    array = np.array(value)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(f"{where} holds numbers, not nan")
    if whole:
        if array.dtype.kind not in "iuf" or np.any(array % 1):
            raise ValueError(f"{where} holds whole numbers, not {array.dtype} ones")
        array = array.astype(np.int32)
    elif array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = array.astype(np.float64)
    array.setflags(write=False)
    return array


def to_plain(value: Any) -> Any:
    """What JSON and YAML can hold in the place of contracts, arrays and mappings; anything else as it is."""
    if isinstance(value, Contract):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= _INLINE_SIZE and value.dtype.kind == "f" else _pack(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(v) for v in value]
    return value


def _pack(array: np.ndarray) -> dict[str, str]:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return {"npy_base64": base64.b64encode(stream.getvalue()).decode()}


def _from_plain(annotation: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(annotation)
    args = typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _from_plain(next(a for a in args if a is not type(None)), value, where)
    if annotation is np.ndarray:
        return _array(value, where)
    if isinstance(annotation, type) and issubclass(annotation, Contract):
        return value if isinstance(value, annotation) else annotation.from_dict(value)
    if origin is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ValueError(f"{where} is a list, not {value!r}")
        return tuple(_from_plain(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is a mapping, not {value!r}")
        return {str(k): _from_plain(args[1], v, f"{where}.{k}") for k, v in value.items()}
    return _scalar(annotation, value, where)


def _scalar(annotation: Any, value: Any, where: str) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation in (float, int, str, bool) and type(value) is not annotation:
        raise ValueError(f"{where} is of type {annotation.__name__}, not {value!r}")
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{where} is a number, not nan")
    return value


def _array(value: Any, where: str) -> np.ndarray:
    try:
        if isinstance(value, Mapping):
            return np.load(io.BytesIO(base64.b64decode(value["npy_base64"])), allow_pickle=False)
        array = np.array(value)
    except (TypeError, ValueError, KeyError, EOFError):
        raise ValueError(f"{where} is a list of numbers, not {value!r}") from None
    if array.dtype.kind not in "iufb":
        raise ValueError(f"{where} is a list of numbers, not {value!r}")
    return array.astype(np.float64)


def as_contract(kind: type[Contract], value: Any) -> Any:
    """A contract from itself, its dictionary, or the path of a JSON or YAML file."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, (str, Path, Mapping)):
        raise ValueError(f"a {kind.__name__.lower()} is given as itself, as a mapping or as a file, not as {value!r}")
    return kind.from_dict(value if isinstance(value, Mapping) else _file_content(Path(value)))


def _file_content(path: Path) -> Any:
    """What a JSON or YAML file holds; ValueError names a path that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{str(path)!r} is not a text file") from None
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        raise ValueError(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise ValueError(f"{str(path)!r} is not {kind}: {' '.join(str(error).split())}") from None


def is_whole(value: Any) -> bool:
    """Is it an integer, and not a truth value?"""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def check_whole(name: str, value: Any, least: int) -> int:
    """An integer of at least `least`; ValueError otherwise."""
    if not is_whole(value) or value < least:
        raise ValueError(f"{name} is a whole number of at least {least}, not {value!r}")
    return int(value)
