"""What an estimator of object poses is given and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from iker_envs.contract import Contract, check_number
from iker_envs.scene import Scene, View


@dataclass(frozen=True, eq=False)
class Estimate(Contract):
    """Where one object is thought to be, and how far that can be trusted.

    pose (7,) in the base frame; confidence in [0, 1]; residual_m, the mean distance of measured points from the model's
    surface; visible_fraction, of what the cameras would see of the object with nothing in front of it the share that
    they see, in [0, 1]; why, one sentence if the estimate cannot be trusted, else empty.
    """

    SHAPES: ClassVar = {"pose": (7,)}

    pose: np.ndarray
    confidence: float = 1.0
    residual_m: float = 0.0
    visible_fraction: float = 1.0
    why: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("confidence", "visible_fraction"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"the {name} of an estimate is between 0 and 1, not {value!r}")
        check_number("the residual_m of an estimate", self.residual_m, least=0)


class EstimateRefused(ValueError):
    """The poses cannot be trusted; the message says why and what helps.

    `estimates` has what was found all the same, by object; the untrusted ones say why.
    """

    def __init__(self, sentence: str, estimates: Mapping[str, Estimate] | None = None) -> None:
        super().__init__(sentence)
        self.estimates = dict(estimates or {})


class Estimator(Protocol):
    """Estimates object poses from views."""

    def estimate(self, view: View, models: Scene) -> dict[str, Estimate]:
        """The pose of every movable object of `models`, by name and in scene order, all to be trusted.

        `models` says which objects there are and where the furniture stands; the poses of its movable objects are not
        used. ValueError names an object that the view does not show; EstimateRefused, a ValueError, says why the
        poses cannot be trusted.
        """
        ...


class Segmenter(Protocol):
    """Tells objects apart in pictures: a door for masks that are made elsewhere, by a neural network for instance."""

    def segment(self, view: View, models: Scene) -> Mapping[str, np.ndarray]:
        """By camera a picture (H, W) of integers: the place in `models.movable` of what a pixel shows, -1 unknown.

        Cameras may be missing; their pixels are all unknown. What tells objects apart by their names needs of
        `models` no more than these; as for estimators, the poses of its movable objects say nothing.
        """
        ...
