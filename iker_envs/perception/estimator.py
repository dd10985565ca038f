"""What an estimator of object poses is given and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from iker_envs.contract import Contract
from iker_envs.scene import Scene, View


@dataclass(frozen=True, eq=False)
class Estimate(Contract):
    """Where one object is thought to be: pose (7,) in the base frame, confidence in [0, 1]."""

    SHAPES: ClassVar = {"pose": (7,)}

    pose: np.ndarray
    confidence: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"the confidence of an estimate is between 0 and 1, not {self.confidence!r}")


class Estimator(Protocol):
    """Estimates object poses from views."""

    def estimate(self, view: View, models: Scene) -> dict[str, Estimate]:
        """The pose of every movable object of `models`, by name and in scene order.

        `models` says which objects there are and where the furniture stands; the poses of its movable objects are not
        used. ValueError names an object that the view does not show.
        """
        ...
