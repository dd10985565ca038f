"""Every name that a program may use, and nothing else: functions, methods, builtins, modules.

Data only. `language` allows an attribute when its name is in ATTRIBUTES, whatever stands before the dot; so a name
belongs here only if it is harmless on every type that a program can get hold of (arrays, numpy scalars and types,
ufuncs, containers, text, exceptions, functions, generators). `facades` builds its objects from the same lists.
Kept out on purpose: format_map (it walks attributes), ctypes, data, view, tofile, dump, random, every gi_, f_, tb_,
cr_ and co_ name, obj, func, base, setflags, resize, frombuffer, memmap, load, save; `at`, because ufunc.at works on
arrays in place; send, throw and close of generators. Names of a program's own classes are not listed here: see
`objects`.
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
    r_ c_ s_ mgrid ogrid ix_ polyfit polyval roots searchsorted apply_along_axis vectorize piecewise select choose
    finfo iinfo set_printoptions printoptions errstate seterr equal not_equal less less_equal greater greater_equal
    positive reciprocal copysign signbit modf divmod logspace geomspace flipud fliplr atleast_3d tri diagflat kron exp2
    expm1 log1p sinc unwrap nanstd nanvar nanmedian nanprod nanargmin nanargmax nancumsum nanpercentile nanquantile
    argpartition partition flatnonzero intersect1d setdiff1d setxor1d union1d extract digitize histogram bincount
    gradient ediff1d trapezoid tensordot pad array_split hsplit vsplit dsplit broadcast_arrays broadcast_shapes rollaxis
    indices unravel_index ravel_multi_index lexsort triu_indices tril_indices diag_indices diagonal fill_diagonal
    take_along_axis compress convolve correlate corrcoef heaviside float_power gcd lcm isscalar isreal iterable
    array_str array_repr array2string array_equiv real imag conj conjugate angle float16 int8 int16 uint8 uint16 uint32
    uint64 intp bool double single generic matrix_transpose permute_dims vecdot astype ndindex ndenumerate fromiter
    fromfunction nextafter
    """)
LINALG = words("""
    norm inv pinv svd qr det solve lstsq eig eigh eigvals eigvalsh cross matrix_rank matrix_power LinAlgError cond
    slogdet cholesky multi_dot outer trace diagonal vector_norm matrix_norm matmul matrix_transpose svdvals vecdot
    tensordot
    """)
MATH = words("""
    pi e inf nan tau sqrt cbrt sin cos tan asin acos atan atan2 sinh cosh tanh radians degrees hypot floor ceil trunc
    fabs fmod exp log log2 log10 pow isclose isnan isfinite isinf dist copysign prod fsum
    comb perm factorial gcd lcm isqrt remainder expm1 log1p exp2 modf asinh acosh atanh
    """)
COPY = words("copy deepcopy")
ROTATION = words("""
    from_euler from_matrix from_rotvec from_quat identity as_euler as_matrix as_rotvec as_quat apply inv magnitude
    align_vectors single
    """)
DISTANCE = words("cdist pdist squareform euclidean sqeuclidean cityblock chebyshev cosine")
ITERTOOLS = words("""
    accumulate chain combinations combinations_with_replacement compress count cycle dropwhile filterfalse groupby
    islice pairwise permutations product repeat starmap takewhile zip_longest
    """)
FUNCTOOLS = words("reduce partial lru_cache cache cmp_to_key wraps")
COLLECTIONS = words("Counter OrderedDict defaultdict deque namedtuple abc")
STATISTICS = words("""
    mean fmean geometric_mean harmonic_mean median median_low median_high mode multimode pstdev pvariance stdev variance
    """)
DATACLASSES = words("dataclass field replace asdict astuple")
OPERATOR = words("""
    add sub mul truediv floordiv mod neg pos pow matmul eq ne lt le gt ge and_ or_ not_ itemgetter getitem contains
    """)
HEAPQ = words("heappush heappop heapify heappushpop heapreplace nlargest nsmallest merge")
BISECT = words("bisect bisect_left bisect_right insort insort_left insort_right")
TYPING = words("""
    Any Callable ClassVar Dict Final FrozenSet Generator Iterable Iterator List Literal Mapping MutableMapping Optional
    Sequence Set Tuple Type TypeAlias Union
    """)
ARRAY_TYPING = words("NDArray ArrayLike")
METHODS = words("""
    mean sum min max copy tolist astype reshape T dot shape ndim size dtype round flatten ravel item fill any all
    argmin argmax argsort std var clip squeeze transpose swapaxes cumsum cumprod prod ptp repeat trace take nonzero
    diagonal sort append extend insert pop remove index count reverse clear get items keys values update setdefault
    fromkeys popitem split rsplit splitlines join strip lstrip rstrip lower upper title capitalize casefold startswith
    endswith find replace isdigit isnumeric isalpha isalnum zfill removeprefix removesuffix add union intersection
    difference symmetric_difference issubset issuperset isdisjoint discard args
    flat real imag conj conjugate mT searchsorted partition argpartition choose compress nbytes itemsize
    reduce accumulate outer reduceat eps tiny resolution smallest_normal bits precision
    is_integer as_integer_ratio bit_length bit_count rpartition rfind rindex center ljust rjust swapcase expandtabs
    isdecimal isspace isupper islower isidentifier isascii difference_update intersection_update
    symmetric_difference_update most_common elements subtract total appendleft popleft extendleft rotate move_to_end
    maxlen from_iterable format eigenvalues eigenvectors U S Vh Q R logabsdet
    """)

ATTRIBUTES = (
    NUMPY
    | LINALG
    | MATH
    | COPY
    | ROTATION
    | DISTANCE
    | ITERTOOLS
    | FUNCTOOLS
    | COLLECTIONS
    | STATISTICS
    | DATACLASSES
    | OPERATOR
    | HEAPQ
    | BISECT
    | METHODS
    | TYPING
    | ARRAY_TYPING
    | words("spatial transform distance Rotation")
)

BUILTINS = words("""
    abs all any ascii bool callable chr classmethod dict divmod enumerate filter float format frozenset int isinstance
    len list map max min next iter object ord pow print property range repr reversed round set slice sorted
    staticmethod str sum tuple zip True False None
    Exception ArithmeticError AssertionError AttributeError FloatingPointError IndexError KeyError LookupError NameError
    OverflowError RecursionError RuntimeError TypeError ValueError ZeroDivisionError NotImplementedError ImportError
    StopIteration
    """)

# What an import statement may name, and the names that may be taken from it.
MODULES: dict[str, frozenset[str]] = {
    "numpy": NUMPY,
    "numpy.linalg": LINALG,
    "numpy.typing": ARRAY_TYPING,
    "math": MATH,
    "copy": COPY,
    "scipy": words("spatial"),
    "scipy.spatial": words("transform distance"),
    "scipy.spatial.transform": words("Rotation"),
    "scipy.spatial.distance": DISTANCE,
    "itertools": ITERTOOLS,
    "functools": FUNCTOOLS,
    "collections": COLLECTIONS,
    "collections.abc": TYPING,
    "statistics": STATISTICS,
    "dataclasses": DATACLASSES,
    "operator": OPERATOR,
    "heapq": HEAPQ,
    "bisect": BISECT,
    "typing": TYPING,
    "__future__": words("annotations"),
}

# Methods that a class of a program may define for Python to call. Others would let library code written in C call back
# into the program in the middle of its work (comparing, hashing, taking lengths), which is not made for that.
SPECIAL_METHODS = words("__init__ __post_init__ __repr__ __str__ __call__")
# What a function or class may be decorated with, besides functions of the program.
DECORATORS = words("dataclass lru_cache cache property staticmethod classmethod vectorize wraps")
# Methods whose results, or whose effects on a set, are looked at: see `steady`.
SET_METHODS = words("add update union symmetric_difference symmetric_difference_update")
GUARDED = SET_METHODS | {"astype"}
CONTEXTS = words("errstate printoptions")  # what a with statement may enter

# Said to the model when it reaches for one of these.
HINTS = {
    "random": "compute targets from the keypoints, they must not change from run to run",
    "format_map": "use an f-string",
    "type": "use isinstance",
    "open": "programs have no files",
    "input": "programs cannot ask",
    "id": "it changes from run to run; compare with `is`",
    "hash": "it changes from run to run; use the value itself",
    "getattr": "write object.name",
    "setattr": "write object.name = value",
    "hasattr": "use isinstance",
    "vars": "list the names that you need",
    "globals": "list the names that you need",
    "locals": "list the names that you need",
    "super": "classes of programs have no base class with methods; use a function",
    "complex": "use two floats",
    "bytes": "use text",
    "memoryview": "use an array",
    "eval": "write the expression itself",
    "exec": "write the statements themselves",
    "send": "pass arguments to a function instead",
    "frompyfunc": "use np.vectorize",
    "resize": "use np.tile or slices",
    "at": "use a loop",
    "poly1d": "use np.polyfit and np.polyval",
    "datetime64": "programs have no clock",
    "func": "call the original function",
    "setter": "use a method",
    "groups": "use text methods such as split",
    "tee": "make a list and use it twice",
    "time": "programs have no clock",
    "datetime": "programs have no clock",
    "os": "programs have no files and no system",
    "sys": "use np.finfo and np.iinfo for limits of numbers",
    "pathlib": "programs have no files",
    "json": "return Python values as they are",
    "pickle": "return Python values as they are",
    "re": "use text methods such as split, strip and isdigit",
    "string": "write the characters as text",
    "enum": "use constants or a dataclass",
    "NamedTuple": "use a dataclass or collections.namedtuple",
    "Enum": "use constants or a dataclass",
    "abc": "use a plain class or a function",
    "ABC": "use a plain class or a function",
    "logging": "use print",
    "pprint": "use print",
    "warnings": "leave it out",
    "contextlib": "use try and except",
    "fractions": "use floats",
    "decimal": "use floats",
    "cmath": "use sin, cos and arctan2",
    "attrgetter": "use a lambda",
    "methodcaller": "use a lambda",
    "optimize": "write the solution in closed form, or use a loop",
    "scipy.optimize": "write the solution in closed form, or use a loop",
    "scipy.linalg": "use numpy.linalg",
    "scipy.spatial": "only transform.Rotation and distance are there",
    "pandas": "use dictionaries and numpy arrays",
    "torch": "use numpy",
    "sympy": "use numpy",
    "shapely": "use numpy",
    "cv2": "use numpy",
    "matplotlib": "programs cannot show pictures",
    "matplotlib.pyplot": "programs cannot show pictures",
    "total_ordering": "sort with a key",
    "cached_property": "use property",
    "*": "name what you need",
    "ChainMap": "use {**a, **b}",
    "float_": "use float",
    "int_": "use int",
    "int": "use int",
    "float": "use float",
    "product": "use np.prod",
    "in1d": "use np.isin",
    "trapz": "use np.trapezoid",
    "infty": "use np.inf",
    "matrix": "use np.array",
    "Slerp": "use Rotation.from_rotvec(t * turn.as_rotvec())",
    "KDTree": "use scipy.spatial.distance.cdist",
    "cKDTree": "use scipy.spatial.distance.cdist",
    "ConvexHull": "use the points themselves",
    "singledispatch": "use isinstance",
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
