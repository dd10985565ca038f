"""Poses that each object may have, and the joint choice of one for every object.

SurfaceModel, Cloud, shots, starts  ->  fit_candidates  ->  Candidates (matrices, scores)
{name: Candidates}, cloud           ->  choose          ->  {name: matrix}      together they explain the cloud
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from iker_envs.perception.cloud import Cloud
from iker_envs.perception.registration import distances, register
from iker_envs.perception.rigid import apply
from iker_envs.perception.scoring import agreement, colour_difference
from iker_envs.perception.shots import Shot
from iker_envs.perception.starts import distinct
from iker_envs.perception.surfaces import SurfaceModel

_BATCH = 8  # starts that lie near each other share their part of the cloud
_FEWEST_POINTS = 50
_EXPLAINED_M = 0.012
_SAME_SIDE = 0.3
_CHOSEN_FROM = 7  # candidates of each object in the joint choice
_OVERLAP_COUNTS = 1.0  # a point that two objects explain counts against them
_SCORE_COUNTS = 0.15
_OWN_M = 0.015
_COMBINATIONS = 200_000


@dataclass(frozen=True, eq=False)
class Candidates:
    """Different poses (K, 4, 4) of one object and their scores (K,)."""

    matrices: np.ndarray
    scores: np.ndarray

    def joined(self, other: Candidates) -> Candidates:
        """Both sets."""
        return Candidates(np.concatenate([self.matrices, other.matrices]), np.concatenate([self.scores, other.scores]))


NONE = Candidates(np.empty((0, 4, 4)), np.empty(0))


def fit_candidates(
    model: SurfaceModel, starts: np.ndarray, cloud: Cloud, shots: Sequence[Shot], count: int
) -> Candidates:
    """Fit the starts (H, 4, 4) to the cloud near them; the best `count` different ones are fitted again, finely."""
    tree = cKDTree(cloud.points)
    order = np.argsort(apply(starts, model.centre[None])[:, 0, 0], kind="stable")
    fitted = []
    for batch in np.array_split(starts[order], max(1, len(starts) // _BATCH)):
        near = np.unique(np.concatenate(_around(tree, model, batch, 0.03)))
        if len(near) >= _FEWEST_POINTS:
            part = cloud.part(near)
            fitted.append(register(model, part, batch, iterations=14, reach_m=(0.03, 0.010), max_points=700))
    if not fitted:
        return NONE
    matrices = np.concatenate(fitted)
    best = distinct(model, matrices, agreement(model, matrices, shots).score(), count)
    near_each = _around(tree, model, matrices[best], 0.02)
    kept = [k for k, near in zip(best, near_each, strict=True) if len(near) >= _FEWEST_POINTS]
    near_each = [near for near in near_each if len(near) >= _FEWEST_POINTS]
    if not kept:
        return NONE
    fine = [
        register(model, cloud.part(near), matrices[k, None], iterations=20, reach_m=(0.012, 0.006), max_points=2000)
        for k, near in zip(kept, near_each, strict=True)
    ]
    matrices = np.concatenate(fine)
    return Candidates(matrices, agreement(model, matrices, shots).score())


def _around(tree: cKDTree, model: SurfaceModel, matrices: np.ndarray, margin_m: float) -> list[np.ndarray]:
    """Indices of the tree's points that a model at each of the poses may touch."""
    centres = apply(matrices, model.centre[None])[:, 0]
    found = tree.query_ball_point(centres, model.diameter_m / 2 + margin_m)
    return [np.asarray(index, dtype=int) for index in found]


def choose(
    models: Mapping[str, SurfaceModel], candidates: Mapping[str, Candidates], cloud: Cloud
) -> dict[str, np.ndarray]:
    """The poses (4, 4) that explain most of the cloud together, no point by two objects, and score well."""
    names = list(candidates)
    explained = {name: [_explained(models[name], m, cloud) for m in candidates[name].matrices] for name in names}
    limit = _CHOSEN_FROM
    while limit > 1 and np.prod([float(min(limit, len(explained[n]))) for n in names]) > _COMBINATIONS:
        limit -= 1
    best: tuple[float, tuple[int, ...]] = (-np.inf, ())
    for pick in itertools.product(*(range(min(limit, len(explained[n]))) for n in names)):
        shares = np.stack([explained[name][k] for name, k in zip(names, pick, strict=True)])
        covered = shares.max(axis=0).sum()
        value = (covered - _OVERLAP_COUNTS * (shares.sum() - covered)) / len(cloud)
        value += _SCORE_COUNTS * sum(candidates[name].scores[k] for name, k in zip(names, pick, strict=True))
        best = max(best, (float(value), pick))
    return {name: candidates[name].matrices[k] for name, k in zip(names, best[1], strict=True)}


def _explained(model: SurfaceModel, matrix: np.ndarray, cloud: Cloud) -> np.ndarray:
    """How well (P,), 0 to 1, each point of the cloud is explained by a model at a pose."""
    distance, index = distances(model, cloud.points, matrix)
    facing = np.einsum("pk,pk->p", model.normals[index], cloud.normals @ matrix[:3, :3])
    colour = np.minimum(1.0, 1.5 * colour_difference(cloud.colours, model.colours[index]))
    return np.where((distance < _EXPLAINED_M) & (facing > _SAME_SIDE), 1 - 0.8 * colour, 0.0)


def refine(
    models: Mapping[str, SurfaceModel], matrices: Mapping[str, np.ndarray], cloud: Cloud
) -> dict[str, np.ndarray]:
    """Fit all objects once more, each to the points that are nearest to it."""
    found = dict(matrices)
    for _ in range(2):
        owner = owners(models, found, cloud)
        for k, name in enumerate(found):
            own = owner == k
            if own.sum() > _FEWEST_POINTS:
                fitted = register(
                    models[name], cloud.part(own), found[name][None], reach_m=(0.010, 0.006), max_points=3000
                )
                found[name] = fitted[0]
    return found


def owners(models: Mapping[str, SurfaceModel], matrices: Mapping[str, np.ndarray], cloud: Cloud) -> np.ndarray:
    """Which object (P,), by its place in `matrices`, each point of the cloud belongs to; -1 for none."""
    apart = np.stack([distances(models[name], cloud.points, m)[0] for name, m in matrices.items()])
    nearest = apart.argmin(axis=0)
    return np.where(apart.min(axis=0) < _OWN_M, nearest, -1)
