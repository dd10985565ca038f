"""The two contracts that a program may fulfil, and the check of what the caller hands in.

In: a contract's name and the caller's mapping of keypoints or poses. Out: a `Contract` row and plain float tuples.
Sources of both contracts: the IKER paper, Appendix B (keypoints) and its pose baseline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_LABELS = 1_000
MAX_LABEL_LENGTH = 200

Rows = dict[str, tuple[float, ...]]  # label -> numbers, metres (and radians for poses), world frame


@dataclass(frozen=True)
class Contract:
    """Which function a program defines, what it is given and what it returns.

    noun: what one row of the argument is; width: numbers per row; returns: names of the returned values in order.
    """

    name: str
    function: str
    argument: str
    noun: str
    width: int
    returns: tuple[str, ...]


CONTRACTS = {
    c.name: c
    for c in (
        Contract(
            name="keypoints",
            function="get_interaction_data",
            argument="keypoint_coordinates",
            noun="keypoint",
            width=3,
            returns=("object_to_interact", "keypoint_indices_to_interact", "grasp_mode", "keypoint_coordinates"),
        ),
        Contract(
            name="poses",
            function="get_final_poses",
            argument="object_poses",
            noun="object",
            width=6,
            returns=("object_to_interact", "grasp_mode", "object_poses"),
        ),
    )
}


def contract_named(name: str) -> Contract:
    """The contract of that name; ValueError lists the valid names."""
    if name not in CONTRACTS:
        raise ValueError(f"unknown contract {name!r}; valid are {sorted(CONTRACTS)}")
    return CONTRACTS[name]


def read_rows(rows: Mapping[str, Any], contract: Contract) -> Rows:
    """The caller's rows as tuples of floats; ValueError says which label is wrong and why."""
    if not isinstance(rows, Mapping):
        raise ValueError(f"{contract.argument} must be a mapping, got {type(rows).__name__}")
    if not 0 < len(rows) <= MAX_LABELS:
        raise ValueError(f"{contract.argument} has {len(rows)} entries; 1 to {MAX_LABELS} are possible")
    return {_read_label(label): _read_row(label, row, contract) for label, row in rows.items()}


def _read_label(label: Any) -> str:
    if not isinstance(label, str) or not 0 < len(label) <= MAX_LABEL_LENGTH:
        raise ValueError(f"label {label!r} is not a text of 1 to {MAX_LABEL_LENGTH} characters")
    return str(label)


def _read_row(label: str, row: Any, contract: Contract) -> tuple[float, ...]:
    wrong = f"{contract.noun} {label!r}: expected {contract.width} finite numbers, got {row!r:.200}"
    try:
        array = np.asarray(row, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(wrong) from error
    values = tuple(map(float, array.ravel())) if array.shape == (contract.width,) else ()
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(wrong)
    return values
