"""Estimators by name."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from iker_envs.perception.estimator import Estimator
from iker_envs.perception.truth import PoseNoise, TruthEstimator

if TYPE_CHECKING:
    from iker_envs.perception.door import Door

RGBD_NOISE = PoseNoise(position_m=0.002, rotation_deg=1.0)  # of one look at four noisy cameras: docs/perception.md
SOURCES = ("truth", "rgbd", "server")
SERVER = "http://127.0.0.1:8765"  # where the reference server answers


def make_estimator(
    source: str = "truth",
    noise: PoseNoise | None = None,
    rng: np.random.Generator | int | None = None,
    server: str = SERVER,
    empty: str = "",
    masks: str = "",
) -> Estimator:
    """The estimator called `source`: "truth", what a simulated view carries plus `noise` (None: the default noise), or
    "rgbd", from the pictures of all cameras of the view, or "server", from them too, by a model behind a door.

    `server` is the address of that door, http://127.0.0.1:PORT, or else a command that is its process. Of "rgbd",
    `empty` is a file with a view of the scene without its objects (views.py), `masks` a door as `server` that tells
    objects apart in pictures.
    `rng` is of truth's noise: a generator, a seed, or None for a generator that no seed repeats. ValueError names the
    known sources.
    """
    if source not in SOURCES:
        raise ValueError(f"the estimator {source!r} is unknown; known: {', '.join(SOURCES)}")
    if source == "server":
        from iker_envs.perception.door_clients import DoorEstimator

        return DoorEstimator(_door(server))
    if source == "rgbd":
        from iker_envs.perception.rgbd import RgbdEstimator  # it takes a while to load, and few need it
        from iker_envs.perception.views import load_view

        segmenter = None
        if masks:
            from iker_envs.perception.door_clients import DoorSegmenter

            segmenter = DoorSegmenter(_door(masks))
        return RgbdEstimator(load_view(empty) if empty else None, segmenter)
    return TruthEstimator(PoseNoise() if noise is None else noise, np.random.default_rng(rng))


def _door(address: str) -> Door:
    from iker_envs.perception.door import Door

    return Door(address if "://" in address else shlex.split(address))
