"""Every name that a program may use, and nothing else: functions, methods, builtins, modules.

Data only. `language` allows an attribute when its name is in ATTRIBUTES, whatever stands before the dot; so a name
belongs here only if it is harmless on every type that a program can get hold of (arrays, numpy scalars and types,
ufuncs, containers, text, exceptions, functions, generators). `facades` builds its objects from the same lists.
Kept out on purpose: format and format_map (they walk attributes), ctypes, data, view, tofile, dump, random, every
gi_, f_, tb_, cr_ and co_ name, obj, at, base, setflags, frombuffer, memmap, load, save.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


def words(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


NUMPY = words("""
    array asarray zeros ones full zeros_like ones_like full_like empty empty_like eye identity arange linspace meshgrid
    stack vstack hstack dstack concatenate column_stack mean median sum prod min max amin amax argmin argmax argsort
    sort percentile quantile abs absolute sign sqrt cbrt square power exp log log2 log10 sin cos tan arcsin arccos
    arctan arctan2 asin acos atan atan2 sinh cosh tanh deg2rad rad2deg radians degrees hypot floor ceil round around
    rint trunc clip where dot vdot matmul cross inner outer pi e inf nan isclose allclose isnan isfinite isinf any all
    maximum minimum add subtract multiply divide true_divide floor_divide negative transpose swapaxes moveaxis squeeze
    reshape ravel expand_dims atleast_1d atleast_2d newaxis float64 float32 int32 int64 bool_ ndarray number integer
    floating copy append insert delete diff cumsum cumprod unique average std var cov ptp tile repeat roll flip rot90
    array_equal count_nonzero nonzero argwhere isin mod fmod remainder fabs trace diag interp logical_and logical_or
    logical_not logical_xor broadcast_to nanmin nanmax nanmean nan_to_num take triu tril linalg
    shape size ndim split einsum block fmin fmax asanyarray ascontiguousarray nansum
    """)
LINALG = words(
    "norm inv pinv svd qr det solve lstsq eig eigh eigvals eigvalsh cross matrix_rank matrix_power LinAlgError"
)
MATH = words("""
    pi e inf nan tau sqrt cbrt sin cos tan asin acos atan atan2 sinh cosh tanh radians degrees hypot floor ceil trunc
    fabs fmod exp log log2 log10 pow isclose isnan isfinite isinf dist copysign prod fsum
    """)
COPY = words("copy deepcopy")
ROTATION = words("""
    from_euler from_matrix from_rotvec from_quat identity as_euler as_matrix as_rotvec as_quat apply inv magnitude
    """)
TYPING = words("""
    Any Callable Dict Final FrozenSet Iterable Iterator List Literal Mapping MutableMapping Optional
    Sequence Set Tuple Type Union
    """)
ARRAY_TYPING = words("NDArray ArrayLike")
METHODS = words("""
    mean sum min max copy tolist astype reshape T dot shape ndim size dtype round flatten ravel item fill any all
    argmin argmax argsort std var clip squeeze transpose swapaxes cumsum cumprod prod ptp repeat trace take nonzero
    diagonal sort append extend insert pop remove index count reverse clear get items keys values update setdefault
    fromkeys popitem split rsplit splitlines join strip lstrip rstrip lower upper title capitalize casefold startswith
    endswith find replace isdigit isnumeric isalpha isalnum zfill removeprefix removesuffix add union intersection
    difference symmetric_difference issubset issuperset isdisjoint discard args
    """)

ATTRIBUTES = NUMPY | LINALG | MATH | COPY | ROTATION | METHODS | ARRAY_TYPING | words("spatial transform Rotation")

BUILTINS = words("""
    abs all any bool dict divmod enumerate filter float frozenset int isinstance len list map max min next iter pow
    print range repr reversed round set slice sorted str sum tuple zip True False None
    Exception ArithmeticError AssertionError AttributeError IndexError KeyError LookupError NameError OverflowError
    RuntimeError TypeError ValueError ZeroDivisionError NotImplementedError ImportError StopIteration
    """)

# What an import statement may name, and the names that may be taken from it.
MODULES: dict[str, frozenset[str]] = {
    "numpy": NUMPY,
    "numpy.linalg": LINALG,
    "numpy.typing": ARRAY_TYPING,
    "math": MATH,
    "copy": COPY,
    "scipy": words("spatial"),
    "scipy.spatial": words("transform"),
    "scipy.spatial.transform": words("Rotation"),
    "typing": TYPING,
    "collections.abc": TYPING,
    "__future__": words("annotations"),
}

# Said to the model when it reaches for one of these.
HINTS = {
    "random": "compute targets from the keypoints, they must not change from run to run",
    "format": "use an f-string",
    "format_map": "use an f-string",
    "vectorize": "use array arithmetic or a loop",
    "type": "use isinstance",
    "open": "programs have no files",
    "input": "programs cannot ask",
}


@dataclass(frozen=True)
class Vocabulary:
    """What the programs of one contract may use: a part of what is listed above, never more.

    modules: what they may import; known: names that they have without an import -> the module behind each.
    """

    modules: frozenset[str]
    known: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {"modules": sorted(self.modules), "known": dict(self.known)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        """The inverse of `to_dict`; ValueError if a module is none of MODULES."""
        vocabulary = cls(frozenset(data["modules"]), dict(data["known"]))
        unknown = (vocabulary.modules | set(vocabulary.known.values())) - set(MODULES)
        if unknown:
            raise ValueError(f"unknown modules {sorted(unknown)}; there are {sorted(MODULES)}")
        return vocabulary


STANDARD = Vocabulary(
    frozenset(MODULES), MappingProxyType({"np": "numpy", "numpy": "numpy", "math": "math", "copy": "copy"})
)
