"""Domain randomisation as data: a table of quantities, and ranges that every world draws its own numbers from.

    Randomisation({"friction": (0.6, 1.4), ...}) + a world's generator  ->  numbers for that world

`QUANTITIES` declares what can be randomised, one entry each; a Randomisation holds ranges of some of them. "on" is
`DEFAULT_RANGES`, "all" adds `OPTIONAL_RANGES`, which cost memory or make control harder. Physical quantities are
applied by the engine (see `Sim.randomize`), the others by the module that draws them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from iker_envs.contract import Contract, check_number
from iker_envs.documents import read_document

MAX_LATENCY = 2  # ticks
_RANDOMISATION = "randomisation is 'on', 'off', 'all', a file or a mapping of ranges"

Range = tuple[float, float]  # low, high


@dataclass(frozen=True)
class RandomisedQuantity:
    """One thing that can be randomised: how a drawn number is applied, what it means and from which range it comes."""

    operation: Literal["scale", "add"]  # the nominal value times the number, or plus it
    size: int  # how many numbers are drawn together
    unit: str  # of an added number; a factor has none
    meaning: str
    range: Range
    default: bool = True  # drawn from `range` under "on"; otherwise under "all" only
    limits: Range = (-np.inf, np.inf)  # of any range that a user gives: physics stays stable, sensors exist
    physics: Literal["object", "world"] | None = None  # what the engine applies it to; None where no engine does

    @property
    def nominal(self) -> float:
        """The number that changes nothing."""
        return 1.0 if self.operation == "scale" else 0.0


def _factor(meaning: str, low_high: Range, **more: Any) -> RandomisedQuantity:
    return RandomisedQuantity("scale", 1, "", meaning, low_high, **more)


def _offset(size: int, unit: str, meaning: str, low_high: Range, **more: Any) -> RandomisedQuantity:
    return RandomisedQuantity("add", size, unit, meaning, low_high, **more)


# In this order the physical ones are drawn.
QUANTITIES: Mapping[str, RandomisedQuantity] = {
    "friction": _factor("sliding friction of each free object", (0.6, 1.4), limits=(0.0, 10.0), physics="object"),
    "mass": _factor("mass of each free object, inertia with it", (0.7, 1.4), limits=(0.05, 20.0), physics="object"),
    "com_offset": _offset(
        3,
        "m",
        "centre of mass of each free object, body axes, at most 1/4 of its half size",
        (-0.01, 0.01),
        physics="object",
    ),
    "restitution": _factor(
        "damping ratio of each free object's contacts; below 1 they bounce",
        (0.8, 1.2),
        limits=(0.1, 10.0),
        physics="object",
    ),
    "compliance": _factor(
        "time constant of each free object's contacts; longer is softer",
        (1.0, 1.5),
        limits=(1.0, 20.0),
        physics="object",
    ),
    "geometry_scale": _factor(
        "size of the manipulated object, the nearest of 5 compiled ones (or 3)",
        (0.95, 1.05),
        default=False,
        limits=(0.5, 2.0),
    ),
    "object_position": _offset(2, "m", "start of the manipulated object, x and y (fixed scenes only)", (-0.015, 0.015)),
    "object_yaw": _offset(1, "rad", "start heading of the manipulated object (fixed scenes only)", (-0.12, 0.12)),
    "gripper_position": _offset(3, "m", "start of the tool centre (push)", (-0.02, 0.02)),
    "grasp_position": _offset(3, "m", "where the hand grasps (grasp)", (-0.005, 0.005)),
    "grasp_rotation": _offset(1, "rad", "tool yaw of the grasp", (-0.08, 0.08)),
    "observation_position": _offset(
        3, "m", "error of the observed object position, constant in an episode", (-0.003, 0.003)
    ),
    "observation_rotation": _offset(
        1, "rad", "error of the observed object heading, constant in an episode", (-0.02, 0.02)
    ),
    "observation_noise": _offset(
        3, "m", "error of the observed object position, another one at every tick", (-0.002, 0.002), default=False
    ),
    "observation_latency": _offset(
        1,
        "ticks",
        "age of the observed object pose, rounded, at most 2",
        (0.0, 2.0),
        default=False,
        limits=(0.0, MAX_LATENCY),
    ),
    "action_latency": _offset(
        1,
        "ticks",
        "how much later an action takes effect, rounded, at most 2",
        (0.0, 2.0),
        default=False,
        limits=(0.0, MAX_LATENCY),
    ),
}
DEFAULT_RANGES: Mapping[str, Range] = {name: q.range for name, q in QUANTITIES.items() if q.default}
OPTIONAL_RANGES: Mapping[str, Range] = {name: q.range for name, q in QUANTITIES.items() if not q.default}


def _as_arrays(ranges: Mapping[str, Range]) -> dict[str, np.ndarray]:
    return {name: np.array(low_high) for name, low_high in ranges.items()}


@dataclass(frozen=True, eq=False)
class Randomisation(Contract):
    """Ranges [low, high] by quantity; what is absent is not randomised."""

    ranges: dict[str, np.ndarray] = field(default_factory=lambda: _as_arrays(DEFAULT_RANGES))

    def __post_init__(self) -> None:
        if not isinstance(self.ranges, Mapping):
            raise ValueError(f"randomisation ranges are a mapping from quantities to [low, high], not {self.ranges!r}")
        ranges = {}
        for name, value in self.ranges.items():
            if name not in QUANTITIES:
                raise ValueError(f"{name!r} cannot be randomised; can be: {', '.join(QUANTITIES)}")
            try:
                low_high = np.asarray(value, dtype=float)
            except (TypeError, ValueError):
                low_high = np.full(2, np.nan)
            if low_high.shape != (2,) or not np.all(np.isfinite(low_high)) or low_high[0] > low_high[1]:
                raise ValueError(f"the range of {name!r} is [low, high] with low <= high, not {value!r}")
            least, most = QUANTITIES[name].limits
            if low_high[0] < least or low_high[1] > most:
                raise ValueError(f"the range of {name!r} lies within [{least}, {most}], not {low_high.tolist()}")
            ranges[name] = low_high
        object.__setattr__(self, "ranges", ranges)
        super().__post_init__()

    @classmethod
    def off(cls) -> Randomisation:
        """Nothing is randomised."""
        return cls({})

    @classmethod
    def all(cls) -> Randomisation:
        """Every quantity, each over the range that the documentation gives."""
        return cls(_as_arrays({**DEFAULT_RANGES, **OPTIONAL_RANGES}))

    def only(self, *names: str) -> Randomisation:
        """The same ranges for some quantities, nothing else."""
        return Randomisation({n: r for n, r in self.ranges.items() if n in names})

    def scaled(self, factor: float) -> Randomisation:
        """All ranges made wider (or narrower) by a factor about their nominal value (1 for scale, 0 for add).

        What would leave a quantity's limits stops there. ValueError unless the factor is finite and at least 0.
        """
        if check_number("the scale of a randomisation", factor) < 0:
            raise ValueError(f"the scale of a randomisation is at least 0, not {factor!r}")
        scaled = {}
        for name, limits in self.ranges.items():
            quantity = QUANTITIES[name]
            wider = quantity.nominal + factor * (limits - quantity.nominal)
            scaled[name] = np.clip(wider, *quantity.limits)
        return Randomisation(scaled)

    def draw(self, name: str, rng: np.random.Generator, count: int = 1) -> np.ndarray:
        """(count, size) numbers of one quantity, its nominal value (1 or 0) where it is not randomised."""
        quantity = QUANTITIES[name]
        if name not in self.ranges:
            return np.full((count, quantity.size), quantity.nominal)
        low, high = self.ranges[name]
        return rng.uniform(low, high, size=(count, quantity.size))

    def draw_each(self, counts: Mapping[str, int], rngs: Sequence[np.random.Generator]) -> dict[str, np.ndarray]:
        """So many of each of several quantities for M worlds, (M, count, size) by name, each from its generator.

        The same numbers as `draw` gives in this order, from one call of every generator.
        """
        sizes = {n: count * QUANTITIES[n].size if n in self.ranges else 0 for n, count in counts.items()}
        size = sum(sizes.values())
        unit = np.array([rng.random(size) for rng in rngs]).reshape(len(rngs), size)
        drawn = {}
        first = 0
        for name, count in counts.items():
            quantity = QUANTITIES[name]
            shape = (len(rngs), count, quantity.size)
            if name in self.ranges:
                low, high = self.ranges[name].tolist()
                end = first + sizes[name]
                drawn[name] = low + (high - low) * unit[:, first:end].reshape(shape)
                first = end
            else:
                drawn[name] = np.full(shape, quantity.nominal)
        return drawn


def as_randomisation(value: Any) -> Randomisation:
    """A Randomisation from itself, its ranges, "on", "off", "all" or None (the default ranges).

    A mapping or file holds ranges by quantity, or `ranges` (a mapping or a word, "on" if left out) and `scale`, a
    factor that makes all of them wider or narrower. ValueError says what is wrong with it.
    """
    if isinstance(value, Randomisation):
        return value
    named = {"on": Randomisation, "off": Randomisation.off, "all": Randomisation.all}
    if value is None or (isinstance(value, str) and value in named):
        return named[value or "on"]()
    if isinstance(value, (str, Path)):
        path = value
        value = _ranges_of_file(Path(value))
        if not isinstance(value, Mapping):
            raise ValueError(f"{str(path)!r} holds no mapping from rows to ranges, but {value!r}")
    if not isinstance(value, Mapping):
        raise ValueError(f"{_RANDOMISATION}, not {value!r}")
    if not {"ranges", "scale"} & set(value):
        return Randomisation(dict(value))
    if unknown := [key for key in value if key not in ("ranges", "scale")]:
        raise ValueError(f"a randomisation with 'ranges' or 'scale' has no {unknown[0]!r}; put rows into 'ranges'")
    ranges = value.get("ranges", "on")
    if isinstance(ranges, str) and ranges not in named:
        raise ValueError(f"randomisation ranges are 'on', 'off', 'all' or a mapping, not {ranges!r}")
    whole = named[ranges]() if isinstance(ranges, str) else Randomisation(ranges)
    return whole.scaled(value["scale"]) if "scale" in value else whole


def _ranges_of_file(path: Path) -> Any:
    try:
        return read_document(path)
    except ValueError as error:
        word = not path.suffix and path.name == str(path) and not path.exists()  # nobody meant a file
        hint = "to scale ranges give {'ranges': 'on', 'scale': 0.5}" if word else error
        raise ValueError(f"{_RANDOMISATION}, not {str(path)!r}; {hint}") from None
