"""Estimators by name."""

from __future__ import annotations

import numpy as np

from iker_envs.perception.estimator import Estimator
from iker_envs.perception.truth import PoseNoise, TruthEstimator

SOURCES = ("truth",)


def make_estimator(
    source: str = "truth", noise: PoseNoise | None = None, rng: np.random.Generator | int | None = None
) -> Estimator:
    """The estimator called `source`: "truth", what a simulated view carries plus `noise` (None: the default noise).

    `rng` is a generator, a seed, or None for a generator that no seed repeats. ValueError names the known sources.
    """
    if source not in SOURCES:
        raise ValueError(f"the estimator {source!r} is unknown; known: {', '.join(SOURCES)}")
    return TruthEstimator(PoseNoise() if noise is None else noise, np.random.default_rng(rng))
