"""Domain randomisation as data: rows of a whitelist, each a range that every world draws from.

    Randomisation({"friction": (0.6, 1.4), ...}) + a world's generator  ->  numbers for that world

`ROWS` says what can be randomised, how the number is applied and what it means; a Randomisation holds the ranges.
"on" is `DEFAULT_RANGES`, "all" adds the rows of `OPTIONAL_RANGES`, which cost memory or make control harder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from iker_envs.contract import Contract, check_number
from iker_envs.documents import read_document

_RANDOMISATION = "randomisation is 'on', 'off', 'all', a file or a mapping of ranges"


@dataclass(frozen=True)
class Row:
    """How one quantity is drawn: operation scale (x nominal) or add, number of components, unit, meaning."""

    operation: str
    size: int
    unit: str
    meaning: str


ROWS: Mapping[str, Row] = {
    "friction": Row("scale", 1, "", "sliding friction of each free object"),
    "mass": Row("scale", 1, "", "mass of each free object, inertia with it"),
    "com_offset": Row("add", 3, "m", "centre of mass of each free object, body axes, at most 1/4 of its half size"),
    "restitution": Row("scale", 1, "", "damping ratio of each free object's contacts; below 1 they bounce"),
    "compliance": Row("scale", 1, "", "time constant of each free object's contacts; longer is softer"),
    "geometry_scale": Row("scale", 1, "", "size of the manipulated object, the nearest of 5 compiled ones (or 3)"),
    "object_position": Row("add", 2, "m", "start of the manipulated object, x and y (fixed scenes only)"),
    "object_yaw": Row("add", 1, "rad", "start heading of the manipulated object (fixed scenes only)"),
    "gripper_position": Row("add", 3, "m", "start of the tool centre (push)"),
    "grasp_position": Row("add", 3, "m", "where the hand grasps (grasp)"),
    "grasp_rotation": Row("add", 1, "rad", "tool yaw of the grasp"),
    "observation_position": Row("add", 3, "m", "error of the observed object position, constant in an episode"),
    "observation_rotation": Row("add", 1, "rad", "error of the observed object heading, constant in an episode"),
    "observation_noise": Row("add", 3, "m", "error of the observed object position, another one at every tick"),
    "observation_latency": Row("add", 1, "ticks", "age of the observed object pose, rounded, at most 2"),
    "action_latency": Row("add", 1, "ticks", "how much later an action takes effect, rounded, at most 2"),
}
DEFAULT_RANGES: Mapping[str, tuple[float, float]] = {
    "friction": (0.6, 1.4),
    "mass": (0.7, 1.4),
    "com_offset": (-0.01, 0.01),
    "restitution": (0.8, 1.2),
    "compliance": (1.0, 1.5),
    "object_position": (-0.015, 0.015),
    "object_yaw": (-0.12, 0.12),
    "gripper_position": (-0.02, 0.02),
    "grasp_position": (-0.005, 0.005),
    "grasp_rotation": (-0.08, 0.08),
    "observation_position": (-0.003, 0.003),
    "observation_rotation": (-0.02, 0.02),
}
OPTIONAL_RANGES: Mapping[str, tuple[float, float]] = {
    "geometry_scale": (0.95, 1.05),
    "observation_noise": (-0.002, 0.002),
    "observation_latency": (0.0, 2.0),
    "action_latency": (0.0, 2.0),
}
MAX_LATENCY = 2  # ticks
# What a row may hold at all: physics that stays stable, sensors that exist.
_LIMITS: Mapping[str, tuple[float, float]] = {
    "friction": (0.0, 10.0),
    "mass": (0.05, 20.0),
    "restitution": (0.1, 10.0),
    "compliance": (1.0, 20.0),
    "geometry_scale": (0.5, 2.0),
    "observation_latency": (0.0, MAX_LATENCY),
    "action_latency": (0.0, MAX_LATENCY),
}


@dataclass(frozen=True, eq=False)
class Randomisation(Contract):
    """Ranges [low, high] by row name; rows that are absent are not randomised."""

    ranges: dict[str, np.ndarray] = field(default_factory=lambda: dict(DEFAULT_RANGES))

    def __post_init__(self) -> None:
        if not isinstance(self.ranges, Mapping):
            raise ValueError(f"randomisation ranges are a mapping from rows to [low, high], not {self.ranges!r}")
        ranges = {}
        for name, value in self.ranges.items():
            if name not in ROWS:
                raise ValueError(f"{name!r} cannot be randomised; can be: {', '.join(ROWS)}")
            try:
                low_high = np.asarray(value, dtype=float)
            except (TypeError, ValueError):
                low_high = np.full(2, np.nan)
            if low_high.shape != (2,) or not np.all(np.isfinite(low_high)) or low_high[0] > low_high[1]:
                raise ValueError(f"the range of {name!r} is [low, high] with low <= high, not {value!r}")
            least, most = _LIMITS.get(name, (-np.inf, np.inf))
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
        """Every row, each over the range that the documentation gives."""
        return cls({**DEFAULT_RANGES, **OPTIONAL_RANGES})

    def only(self, *names: str) -> Randomisation:
        """The same ranges for some rows, nothing else."""
        return Randomisation({n: r for n, r in self.ranges.items() if n in names})

    def scaled(self, factor: float) -> Randomisation:
        """All ranges made wider (or narrower) by a factor about their nominal value (1 for scale, 0 for add).

        What would leave a row's limits stops there. ValueError unless the factor is finite and at least 0.
        """
        if check_number("the scale of a randomisation", factor) < 0:
            raise ValueError(f"the scale of a randomisation is at least 0, not {factor!r}")
        scaled = {}
        for name, limits in self.ranges.items():
            centre = float(ROWS[name].operation == "scale")
            scaled[name] = np.clip(centre + factor * (limits - centre), *_LIMITS.get(name, (-np.inf, np.inf)))
        return Randomisation(scaled)

    def draw(self, name: str, rng: np.random.Generator, count: int = 1) -> np.ndarray:
        """(count, size) numbers of one row, its nominal value (1 or 0) where the row is absent."""
        row = ROWS[name]
        if name not in self.ranges:
            return np.full((count, row.size), float(row.operation == "scale"))
        low, high = self.ranges[name]
        return rng.uniform(low, high, size=(count, row.size))


def as_randomisation(value: Any) -> Randomisation:
    """A Randomisation from itself, its ranges, "on", "off", "all" or None (the default ranges).

    A mapping or file holds ranges by row, or `ranges` (a mapping or a word, "on" if left out) and `scale`, a factor
    that makes all of them wider or narrower. ValueError says what is wrong with it.
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
        return Randomisation(value)
    if unknown := [key for key in value if key not in ("ranges", "scale")]:
        raise ValueError(f"a randomisation with 'ranges' or 'scale' has no {unknown[0]!r}; put rows into 'ranges'")
    ranges = value.get("ranges", "on")
    scale = value.get("scale")
    if isinstance(ranges, str) and ranges not in named:
        raise ValueError(f"randomisation ranges are 'on', 'off', 'all' or a mapping, not {ranges!r}")
    whole = named[ranges]() if isinstance(ranges, str) else Randomisation(ranges)
    return whole.scaled(scale) if "scale" in value else whole


def _ranges_of_file(path: Path) -> Any:
    try:
        return read_document(path)
    except ValueError as error:
        word = not path.suffix and path.name == str(path) and not path.exists()  # nobody meant a file
        hint = "to scale ranges give {'ranges': 'on', 'scale': 0.5}" if word else error
        raise ValueError(f"{_RANDOMISATION}, not {str(path)!r}; {hint}") from None
