"""What every contract shares: frozen dataclasses that turn into JSON-able dictionaries and back, and checks of values.

A contract is declared `@dataclass(frozen=True, eq=False)` and inherits `Contract`. Its fields are checked against their
annotations, arrays are copied and made read-only, and it can be passed around without fear. `to_dict` gives plain
Python (lists, numbers, text); `from_dict` is its inverse.

The checks (`check_number`, `check_whole`, `check_index`, `check_name`) return the value, or raise a ValueError of one
sentence: what it is, what it may be, what it was.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import io
import math
import re
import types
import typing
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from iker_envs.documents import listed, read_document, shown

_INLINE_SIZE = 512  # larger arrays (images) travel as base64 .npy, not as lists of numbers
_UNIT_TOLERANCE = 1e-3  # of a quaternion's length
MAX_NAME = 50  # characters; a file name has 255 bytes, a letter up to 4
_NAME = re.compile(rf"\w[\w-]{{0,{MAX_NAME - 1}}}")
_NAME_RULE = f"a name has 1 to {MAX_NAME} letters, digits, _ or -, and begins with none of - and ."
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})


@dataclasses.dataclass(frozen=True, eq=False)
class Contract:
    """Base of all contracts: checked fields, read-only arrays and one `to_dict`/`from_dict` pair.

    `SHAPES` fixes the shapes of array fields; such arrays are finite, and a pose's quaternion is of unit length. No
    array holds nan, and a number is finite. Arrays of integers become floats, but for those of uint8 and those of the
    fields in `INTEGERS`, which are int32. ValueError names the field that cannot be what its annotation says.
    """

    SHAPES: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    INTEGERS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in _hints(type(self)):
            object.__setattr__(self, name, self._coerced(name, getattr(self, name)))
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
        """The inverse of `to_dict`; ValueError for fields that are unknown, missing or of another type."""
        if not isinstance(data, Mapping):
            raise ValueError(f"{cls.__name__} is made from a mapping, not from {type(data).__name__} {shown(data)}")
        check_fields(cls.__name__, data, _hints(cls))
        missing = [f.name for f in dataclasses.fields(cls) if f.name not in data and _required(f)]
        if missing:
            raise ValueError(f"{cls.__name__} lacks {', '.join(missing)}")
        return cls(**{name: cls._coerced(name, value) for name, value in data.items()})

    @classmethod
    def _coerced(cls, name: str, value: Any) -> Any:
        return _coerce(_hints(cls)[name], value, f"{cls.__name__}.{name}", whole=name in cls.INTEGERS)


_HINTS: dict[type, dict[str, Any]] = {}  # the fields' types of each contract; finding them out takes a while


def _hints(cls: type[Contract]) -> dict[str, Any]:
    if cls not in _HINTS:
        hints = typing.get_type_hints(cls)
        _HINTS[cls] = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
    return _HINTS[cls]


def _required(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _coerce(annotation: Any, value: Any, where: str, *, whole: bool = False) -> Any:
    """The value as its annotation wants it, arrays and mappings read-only; ValueError names `where`."""
    origin = typing.get_origin(annotation)
    args = typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in args if a is not type(None))
        return None if value is None else _coerce(inner, value, where, whole=whole)
    if annotation is np.ndarray:
        return _array(value, where, whole=whole)
    if isinstance(annotation, type) and issubclass(annotation, Contract):
        return value if isinstance(value, annotation) else _contract(annotation, value, where)
    if origin is tuple:
        if isinstance(value, (str, Mapping)) or not hasattr(value, "__iter__"):
            raise ValueError(f"{where} is a list, not {shown(value)}")
        return tuple(_coerce(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is a mapping, not {shown(value)}")
        return types.MappingProxyType({str(k): _coerce(args[1], v, f"{where}.{k}") for k, v in value.items()})
    return _scalar(annotation, value, where)


def _contract(kind: type[Contract], data: Any, where: str) -> Contract:
    try:
        return kind.from_dict(data)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _scalar(annotation: Any, value: Any, where: str) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        if value not in list(annotation):
            raise ValueError(f"{where} is one of {', '.join(annotation)}, not {shown(value)}")
        return annotation(value)
    if annotation is float and type(value) in (int, float):
        return check_number(where, value)
    if annotation in (float, int, str, bool) and type(value) is not annotation:
        raise ValueError(f"{where} is of type {annotation.__name__}, not {shown(value)}")
    return value


def _array(value: Any, where: str, *, whole: bool) -> np.ndarray:
    """A read-only copy of an array, of nested lists of numbers, or of what `_pack` made of one."""
    try:
        array = _unpack(value) if isinstance(value, Mapping) else np.array(value)
    except (TypeError, ValueError, KeyError, EOFError, MemoryError):
        raise ValueError(f"{where} is a list of numbers, not {shown(value)}") from None
    if array.dtype.kind not in "iufb" or (isinstance(value, (list, tuple)) and _holds_truth_values(value)):
        raise ValueError(f"{where} is a list of numbers, not {shown(value)}")
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


def _holds_truth_values(values: list | tuple) -> bool:
    """Is one of the numbers in nested lists True or False, which numpy would take for 1 or 0?"""
    return any(
        _holds_truth_values(v) if isinstance(v, (list, tuple)) else isinstance(v, (bool, np.bool_)) for v in values
    )


def _check_shape(where: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or not np.all(np.isfinite(array)):
        size = " x ".join(map(str, shape))
        raise ValueError(f"{where} is an array of {size} finite numbers, not {shown(array.tolist())}")
    if shape == (7,) and abs(np.linalg.norm(array[3:]) - 1.0) > _UNIT_TOLERANCE:
        raise ValueError(f"{where} ends in a unit quaternion (w, x, y, z), not in {array[3:].tolist()!r}")


def to_plain(value: Any) -> Any:
    """What JSON and YAML can hold in the place of contracts, arrays and mappings; anything else as it is."""
    if isinstance(value, Contract):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= _INLINE_SIZE and value.dtype.kind == "f" else _pack(value)
    if isinstance(value, enum.Enum):
        return value.value
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


def _unpack(packed: Mapping[str, str]) -> np.ndarray:
    stream = io.BytesIO(base64.b64decode(packed["npy_base64"]))
    return np.lib.format.read_array(stream, allow_pickle=False)


def as_contract(kind: type[Contract], value: Any) -> Any:
    """A contract from itself, its dictionary, or the path of a JSON or YAML file."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, (str, Path, Mapping)):
        word = kind.__name__.lower()
        raise ValueError(f"a {word} is given as itself, as a mapping or as a file, not as {shown(value)}")
    return kind.from_dict(value if isinstance(value, Mapping) else read_document(value))


def check_fields(owner: str, data: Mapping[str, Any], known: typing.Iterable[str]) -> None:
    """ValueError names all keys of `data` that the owner does not have, and those that it has."""
    names = list(known)
    if unknown := [key for key in data if key not in names]:
        raise ValueError(f"{owner} has no field {listed(map(shown, unknown))}; it has: {', '.join(names)}")


def is_whole(value: Any) -> bool:
    """Is it an integer, and not a truth value?"""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def check_whole(name: str, value: Any, least: int) -> int:
    """An integer of at least `least`."""
    if not is_whole(value) or value < least:
        raise ValueError(f"{name} is a whole number of at least {least}, not {shown(value)}")
    return int(value)


def check_index(name: str, index: Any, count: int, owner: str) -> int:
    """An integer from 0 to `count` - 1; `owner` is the begin of what the sentence says of them: "the task has"."""
    if not is_whole(index) or not 0 <= index < count:
        raise ValueError(f"{name} {shown(index)} does not exist; {owner} 0 to {count - 1}")
    return int(index)


def check_number(name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf) -> float:
    """A finite number of at least `least` and above `above`, as a float."""
    number = value.item() if isinstance(value, np.generic) else value
    limit = f" above {above:g}" if above > -math.inf else f" of at least {least:g}" if least > -math.inf else ""
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not _is_finite(number):
        raise ValueError(f"{name} is a finite number{limit}, not {shown(value)}")
    if number < least or number <= above:
        raise ValueError(f"{name} is a finite number{limit}, not {shown(value)}")
    return float(number)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond all floats
        return False


def check_name(what: str, name: Any) -> str:
    """A name that can stand in paths, pages, patterns and engines as it is: letters (of any script), digits, _ and -.

    At most `MAX_NAME` characters, in Unicode's normal form NFKC, and none of the device names of Windows.
    """
    if not isinstance(name, str):
        raise ValueError(f"{what} is a text, not {shown(name)}")
    if not name.strip():
        raise ValueError(f"{what} is empty; {_NAME_RULE}")
    if not _NAME.fullmatch(name) or unicodedata.normalize("NFKC", name) != name:
        raise ValueError(f"{what} cannot be {shown(name)}; {_NAME_RULE}")
    if name.casefold() in _DEVICES:
        raise ValueError(f"{what} cannot be {shown(name)}, which names a device on Windows; choose another one")
    return name
