"""What a program of value maps asks for: movements, each with its maps as lists of regions.

returned value of the program  ->  MovementSignature.read  ->  tuple of Movement

Base frame, metres. The value of a rotation map is two unit vectors: where the hand points, and how its fingers close.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from iker_agent.program.rows import RowKind, Rows
from iker_agent.program.serialise import Array, Pairs
from iker_agent.program.signature import Invalid, Reading, Signature

GRIPPER = "gripper"
MAPS = {"affordance": 1, "avoidance": 1, "rotation": 6, "gripper": 1}  # numbers that make one value
_SHAPES = {"point": 3, "box": 6, "sphere": 4, "all": 0}  # numbers that make one region
MAX_MOVEMENTS = 20
MAX_REGIONS = 200  # of one map
_MAX_M = 2.0
BOX_ROWS = RowKind("boxes", noun="object", width=9, named=True)  # x, y, z, roll, pitch, yaw, length, width, height


@dataclass(frozen=True)
class Region:
    """Voxels of one shape and the value that they get: "point" x y z, "box" lower upper, "sphere" centre radius."""

    shape: str
    numbers: tuple[float, ...]
    value: tuple[float, ...]

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Which points (N, 3) are in the region, (N,) bool; a point holds nothing but its own voxel."""
        if self.shape == "box":
            lower, upper = self.corners
            return np.all((points >= lower) & (points <= upper), axis=-1)
        if self.shape == "sphere":
            return np.asarray(np.linalg.norm(points - np.array(self.numbers[:3]), axis=-1) <= self.numbers[3])
        return np.full(len(points), self.shape == "all")

    @property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest corner (3,) of what encloses the region; infinite for "all"."""
        if self.shape == "all":
            return np.full(3, -np.inf), np.full(3, np.inf)
        first = np.array(self.numbers[:3])
        if self.shape == "box":
            other = np.array(self.numbers[3:])
            return np.minimum(first, other), np.maximum(first, other)
        radius = self.numbers[3] if self.shape == "sphere" else 0.0
        return first - radius, first + radius


Regions = tuple[Region, ...]


@dataclass(frozen=True)
class Movement:
    """One movement of the gripper, or of an object that is pushed; maps that were not given are empty."""

    movable: str
    affordance: Regions = ()
    avoidance: Regions = ()
    rotation: Regions = ()
    gripper: Regions = ()


@dataclass(frozen=True)
class MovementSignature(Signature):
    """compose_value_maps(object_boxes): object -> box; `movements` holds what the program returned, one run of it."""

    movements: list[Movement] = field(default_factory=list)

    def read(self, value: Any, originals: Rows, argument: Any = None) -> Reading:
        items = _sequence(value)
        if not items:
            raise Invalid(f"{self.function} returns a list of movements, [move(...), ...], with at least one")
        if len(items) > MAX_MOVEMENTS:
            raise Invalid(f"the program returned {len(items)} movements; at most {MAX_MOVEMENTS} are carried out")
        self.movements[:] = [_movement(item, originals) for item in items]
        return Reading(object=self.movements[0].movable)

    def implausible(self, reading: Reading, originals: Rows) -> str:
        return ""


def movement_signature() -> MovementSignature:
    """The contract of value maps, for one program."""
    return MovementSignature(
        name="value_maps",
        function="compose_value_maps",
        argument="object_boxes",
        returns=("movements",),
        rows=BOX_ROWS,
        prompt="value_maps",
    )


def _sequence(value: Any) -> Sequence[Any]:
    if isinstance(value, Array):
        return value.values
    return value if isinstance(value, list | tuple) else ()


def _movement(item: Any, boxes: Rows) -> Movement:
    parts = _sequence(item)
    if len(parts) != 2 or not isinstance(parts[0], str) or not isinstance(parts[1], Pairs):
        raise Invalid("a movement is what move(movable, ...) gives")
    movable, maps = parts
    if movable not in boxes:
        known = ", ".join(name for name in boxes)
        raise Invalid(f"there is no {movable[:80]!r} to move; there are: {known}")
    found = {str(name): _regions(str(name), regions) for name, regions in maps.items}
    if unknown := [name for name in found if name not in MAPS]:
        raise Invalid(f"there is no map {unknown[0][:80]!r}; there are: {', '.join(MAPS)}")
    if not any(r.value[0] > 0 for r in found.get("affordance", ())) and not found.get("gripper"):
        raise Invalid(f"a movement of {movable} has an affordance above 0 somewhere, or a map for the gripper")
    return Movement(movable, **found)


def _regions(name: str, value: Any) -> Regions:
    items = _sequence(value)
    if len(items) > MAX_REGIONS:
        raise Invalid(f"a map has at most {MAX_REGIONS} regions, not {len(items)}")
    return tuple(_region(name, item) for item in items)


def _region(name: str, item: Any) -> Region:
    parts = _sequence(item)
    shape, numbers = (parts[0], tuple(parts[1:])) if parts else ("", ())
    size = _SHAPES.get(shape) if isinstance(shape, str) else None
    width = MAPS.get(name, 1)
    if size is None or len(numbers) != size + width:
        what = "two vectors (3,), (approach, closing)" if width == 6 else "one number"
        raise Invalid(f"the value of a region of the {name} map is {what}, its places are points (3,)")
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
        raise Invalid(f"the {name} map holds a number that is not finite")
    if any(abs(v) > _MAX_M for v in numbers[:size]):
        raise Invalid(f"a region of the {name} map lies {max(numbers[:size], key=abs):g} m away; lengths are in metres")
    return Region(shape, numbers[:size], numbers[size:])
