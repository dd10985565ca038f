"""Poses that fit nearly as well: turned, mirrored, exchanged with a twin. A score does not tell them apart.

turns        colours decide: spine and title of a book, label of a carton
mirrors      the mean distance from the surface decides between a left and a right shoe (right by about 1 mm)
twins        objects of one size, told apart by colours
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iker_envs.perception.cloud import Cloud
from iker_envs.perception.registration import plane_residual_m, register
from iker_envs.perception.rigid import angle_between, motion
from iker_envs.perception.scoring import agreement, look_difference
from iker_envs.perception.shots import Shot
from iker_envs.perception.surfaces import SurfaceModel

_SAME_SIZE_M = 0.006
_SAME_POINT_M = 0.003
_SAME_COLOUR = 0.05
_SAME_SHARE = 0.01
_DEPTH_APART = 0.15  # a rival whose depth score is lower by more is none
_RESIDUAL_APART_M = 0.0010  # nor one whose surface lies further off by more


def _quarter_turns() -> np.ndarray:
    """The 24 rotations (24, 3, 3) that bring axes onto axes."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                found.append(matrix)
    return np.array(found)


_TURNS = _quarter_turns()


@dataclass(frozen=True, eq=False)
class Turned:
    """The best of the poses that differ by a turn of the bounding box onto itself, and by how much it is the best:
    lead of its colours over the next one's, in standard errors (inf if no other fits)."""

    matrix: np.ndarray
    lead: float
    rival: np.ndarray | None = None


def best_turn(model: SurfaceModel, matrix: np.ndarray, own: Cloud, shots: Sequence[Shot]) -> Turned:
    """Compare the pose (4, 4) with its turns; `own` is the cloud's part that belongs to the object."""
    fitted = [matrix, *(_turned(model, matrix, turn, own) for turn in _same_box(model))]
    scores = agreement(model, np.stack(fitted), shots).depth_score()
    residuals = np.array([plane_residual_m(model, own, m) for m in fitted])
    fits = (scores > scores.max() - _DEPTH_APART) & (residuals < residuals.min() + _RESIDUAL_APART_M)
    possible = [m for m, is_possible in zip(fitted, fits, strict=True) if is_possible]
    looks = [look_difference(model, m, shots) for m in possible]
    order = np.argsort([look.mean for look in looks])
    best = int(order[0])
    if len(possible) == 1:
        return Turned(possible[best], np.inf)
    second = int(order[1])
    error = max(float(np.hypot(looks[best].error, looks[second].error)), 1e-6)
    return Turned(possible[best], (looks[second].mean - looks[best].mean) / error, possible[second])


def _same_box(model: SurfaceModel) -> list[np.ndarray]:
    """Turns (3, 3), none aside, that bring the bounding box onto itself and change what is seen."""
    return [turn for turn in _box_turns(model) if not _changes_nothing(model, turn)]


def _box_turns(model: SurfaceModel) -> list[np.ndarray]:
    return [
        turn
        for turn in _TURNS
        if np.abs(np.abs(turn) @ model.size_m - model.size_m).max() < _SAME_SIZE_M and np.trace(turn) < 2.9
    ]


def _changes_nothing(model: SurfaceModel, turn: np.ndarray) -> bool:
    """Does the object look the same after the turn, in shape and in colour?"""
    index = model.sample
    moved = (model.points[index] - model.centre) @ turn.T + model.centre
    nearest, is_near = model.nearest(moved.astype(np.float32))
    apart = np.linalg.norm(moved - model.points[nearest], axis=1)
    repainted = np.abs(model.colours[index] - model.colours[nearest]).max(axis=1)
    return bool(is_near.all() and apart.mean() < _SAME_POINT_M and (repainted > _SAME_COLOUR).mean() < _SAME_SHARE)


def usual_turn(model: SurfaceModel, matrix: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Of the poses (4, 4) that look the same, the one whose orientation is nearest to that of a reference (4, 4)."""
    same = [turn for turn in _box_turns(model) if _changes_nothing(model, turn)]
    poses = [matrix, *(matrix @ motion(turn, model.centre - turn @ model.centre) for turn in same)]
    return min(poses, key=lambda pose: angle_between(pose, reference))


def _turned(model: SurfaceModel, matrix: np.ndarray, turn: np.ndarray, own: Cloud) -> np.ndarray:
    about_centre = motion(turn, model.centre - turn @ model.centre)
    return _refitted(model, matrix @ about_centre, own)


def _refitted(model: SurfaceModel, matrix: np.ndarray, own: Cloud) -> np.ndarray:
    return register(model, own, matrix[None], iterations=12, reach_m=(0.015, 0.008), max_points=1500)[0]


def mirror_lead_m(model: SurfaceModel, matrix: np.ndarray, own: Cloud) -> float:
    """How much nearer (mean, metres) the cloud's part lies to the model than to its mirror image there."""
    image = model.mirrored()
    straight = _refitted(model, matrix, own)
    return plane_residual_m(image, own, _refitted(image, matrix, own)) - plane_residual_m(model, own, straight)


def are_twins(one: SurfaceModel, other: SurfaceModel) -> bool:
    """Could one be taken for the other by its size?"""
    return bool(np.abs(np.sort(one.size_m) - np.sort(other.size_m)).max() < _SAME_SIZE_M)
