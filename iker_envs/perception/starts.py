"""Where a search for an object's pose begins.

SurfaceModel, Cloud, levels  ->  cold_starts     every side down, every heading, every occupied place and height
SurfaceModel, last matrix    ->  warm_starts     the last known pose and its neighbours
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from iker_envs.perception.cloud import Cloud, Field
from iker_envs.perception.rigid import apply, motion, turned_about
from iker_envs.perception.scoring import colour_difference
from iker_envs.perception.surfaces import SurfaceModel

_NUM_HEADINGS = 12
_PLACE_M = 0.03  # spacing of places
_COARSE_POINTS = 48
_COARSE_STD_M = 0.014
_COARSE_KEPT = 14  # of each side and heading
_FINE_POINTS = 220
_FINE_STD_M = 0.012
_FINE_KEPT = 700
_COLOUR_COUNTS = 0.7
_UNDERSIDE = -0.25  # vertical part of the normal of points that no camera sees
APART_M = 0.02  # mean distance of the extremities of poses that are different ones
_WARM_TURNS_RAD = (-0.35, -0.17, 0.0, 0.17, 0.35)
_WARM_SHIFTS_M = ((0.0, 0.0), (0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02))

SIDES = tuple(
    Rotation.from_euler(axis, angle, degrees=True).as_matrix()
    for axis, angle in (("x", 0), ("x", 90), ("x", 180), ("x", 270), ("y", 90), ("y", 270))
)


def cold_starts(model: SurfaceModel, field: Field, cloud: Cloud, levels: Sequence[float], count: int = 48):
    """Different poses (H, 4, 4), at most `count`, that explain the cloud best; `levels` are heights of supports."""
    low = cloud.points[:, :2].min(axis=0)
    cells = np.unique(np.floor((cloud.points[:, :2] - low) / _PLACE_M).astype(int), axis=0)
    places = low + (cells + 0.5) * _PLACE_M
    best = [
        _best_places(model, field, turn @ side, places, levels)
        for side in SIDES
        for turn in Rotation.from_euler("z", 2 * np.pi / _NUM_HEADINGS * np.arange(_NUM_HEADINGS)[:, None]).as_matrix()
    ]
    matrices, scores = (np.concatenate(parts) for parts in zip(*best, strict=True))
    matrices = matrices[np.argsort(-scores)[:_FINE_KEPT]]
    return matrices[distinct(model, matrices, _fine_scores(model, field, matrices), count)]


def _best_places(model, field: Field, turn: np.ndarray, places: np.ndarray, levels: Sequence[float]):
    """The best places of one orientation (3, 3): matrices (K, 4, 4) and scores (K,)."""
    box = np.array(list(itertools.product(*zip(model.points.min(axis=0), model.points.max(axis=0), strict=True))))
    corners = box @ turn.T
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    shifts = np.concatenate(
        [np.column_stack([places - middle[:2], np.full(len(places), z - corners[:, 2].min())]) for z in levels]
    )
    sample = model.sample[:110]
    sample = sample[model.normals[sample] @ turn[2] > -0.2][:_COARSE_POINTS]
    distance, _ = field((model.points[sample] @ turn.T)[None] + shifts[:, None])
    scores = np.exp(-0.5 * (distance / _COARSE_STD_M) ** 2).mean(axis=1)
    best = np.argsort(-scores)[:_COARSE_KEPT]
    return motion(np.tile(turn, (len(best), 1, 1)), shifts[best]), scores[best]


def _fine_scores(model: SurfaceModel, field: Field, matrices: np.ndarray) -> np.ndarray:
    """Share (H,) of the model's upper points that the cloud has, in the right colour."""
    sample = model.sample[:_FINE_POINTS]
    distance, cell = field(apply(matrices, model.points[sample]))
    near = np.exp(-0.5 * (distance / _FINE_STD_M) ** 2)
    near *= 1 - _COLOUR_COUNTS * colour_difference(field.colours(cell), model.colours[sample][None])
    is_upper = np.einsum("hj,pj->hp", matrices[:, 2, :3], model.normals[sample]) > _UNDERSIDE
    return (near * is_upper).sum(axis=1) / np.maximum(is_upper.sum(axis=1), 1)


def warm_starts(model: SurfaceModel, last: np.ndarray) -> np.ndarray:
    """The last pose (4, 4) and poses 2 cm and 20 degrees around it (H, 4, 4)."""
    grid = list(itertools.product(_WARM_TURNS_RAD, _WARM_SHIFTS_M))
    turns = np.array([[0.0, 0.0, turn] for turn, _ in grid])
    shifts = np.array([[*shift, 0.0] for _, shift in grid])
    centre = apply(last, model.centre[None])
    return turned_about(np.tile(centre, (len(grid), 1)), turns, shifts) @ last


def distance_between(model: SurfaceModel, matrices: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean distance (...,) of the extremities of a model at poses (..., 4, 4) and at another (4, 4)."""
    ends = apply(matrices, model.extremities) - apply(other, model.extremities)
    return np.linalg.norm(ends, axis=-1).mean(axis=-1)


def distinct(model: SurfaceModel, matrices: np.ndarray, scores: np.ndarray, count: int) -> list[int]:
    """Indices of the best poses that differ from each other, at most `count`, the best one first."""
    ends = apply(matrices, model.extremities)
    kept: list[int] = []
    for candidate in np.argsort(-scores):
        apart = np.linalg.norm(ends[kept] - ends[candidate], axis=-1).mean(axis=-1)
        if (apart > APART_M).all():
            kept.append(int(candidate))
        if len(kept) == count:
            break
    return kept
