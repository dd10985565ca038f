"""Labelled rows of numbers: what a program is given, and what its answer is compared with.

In: the caller's mapping of keypoints or object poses. Out: plain float tuples, or ValueError naming the label that is
wrong. A `RowKind` holds the words and sizes that belong to one kind of row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_LABELS = 1_000
MAX_LABEL_LENGTH = 200
STILL_M = 1e-3  # a row that changed by less than this (metres, radians) has not moved

Rows = dict[str, tuple[float, ...]]  # label -> numbers, metres (and radians for poses), world frame


@dataclass(frozen=True)
class RowKind:
    """One kind of row.

    name: which rows of a look these are; noun: what one row is called; width: numbers per row; named: labels are names
    of objects, which may be spelled loosely, and not numbers.
    """

    name: str
    noun: str
    width: int
    named: bool


KEYPOINT_ROWS = RowKind("keypoints", noun="keypoint", width=3, named=False)  # x, y, z
POSE_ROWS = RowKind("poses", noun="object", width=6, named=True)  # x, y, z, roll, pitch, yaw


def read_rows(rows: Mapping[str, Any], kind: RowKind, argument: str) -> Rows:
    """The caller's rows as tuples of floats; ValueError says which label is wrong and why."""
    if not isinstance(rows, Mapping):
        raise ValueError(f"{argument} must be a mapping, got {type(rows).__name__}")
    if not 0 < len(rows) <= MAX_LABELS:
        raise ValueError(f"{argument} has {len(rows)} entries; 1 to {MAX_LABELS} are possible")
    return {_read_label(label): _read_row(label, row, kind) for label, row in rows.items()}


def _read_label(label: Any) -> str:
    if not isinstance(label, str) or not 0 < len(label) <= MAX_LABEL_LENGTH:
        raise ValueError(f"label {label!r} is not a text of 1 to {MAX_LABEL_LENGTH} characters")
    return str(label)


def _read_row(label: str, row: Any, kind: RowKind) -> tuple[float, ...]:
    wrong = f"{kind.noun} {label!r}: expected {kind.width} finite numbers, got {row!r:.200}"
    try:
        array = np.asarray(row, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(wrong) from error
    values = tuple(map(float, array.ravel())) if array.shape == (kind.width,) else ()
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(wrong)
    return values


def row_distance(row: tuple[float, ...], original: tuple[float, ...]) -> float:
    """The largest change of any number, metres or radians; angles modulo a full turn."""
    changes = [abs(a - b) for a, b in zip(row, original, strict=True)]
    return max([*changes[:3], *(abs(math.remainder(change, 2 * math.pi)) for change in changes[3:])])


def has_moved(row: tuple[float, ...], original: tuple[float, ...]) -> bool:
    """Whether a row differs from its original by more than rounding."""
    return row_distance(row, original) > STILL_M
