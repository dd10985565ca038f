"""Antipodal grasps of a surface given as points: two patches that face away from each other, and how to reach them.

    points, normals (K, 3), approach directions  ->  antipodal_pairs  ->  Pairs
    Pairs  ->  place_tools  ->  Candidates: tool poses, widths, scores, and how much surface the pads meet

The hand closes along the line between two points whose normals lie along that line (Nguyen 1988, two hard fingers with
friction). Here the object alone counts: whether its own surface leaves room for open fingers and the hand. Neighbours,
table, arm and target are `grasps.py`'s business. Numpy and one KD-tree; no loop over candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from iker_envs.planning.hand import (
    FINGER_HALF_SIZE_M,
    FINGERTIP_M,
    HAND_CENTRE_M,
    HAND_HALF_SIZE_M,
    MAX_OPENING_M,
)

MIN_WIDTH_M = 0.003
MAX_WIDTH_M = 0.08
_STEP_M = 0.004  # along the line through the object on which the other side is sought
_NEAR_M = 0.004  # a point so near to that line is on it
_FACING = 0.93  # cosine between a normal and the closing line: within 21 degrees, inside the cone of friction 0.4
_PAD_M = 0.004  # surface so near to a pad's plane touches it
_PAD_FACING = 0.85
_SHALLOW_M = 0.025  # of the tool centre below the nearest material between the pads
_DEEP_M = 0.050
MIN_DEPTH_M = _SHALLOW_M + FINGERTIP_M  # of what is held
_WAY_M = 0.12  # the hand comes straight from so far
_FEW = 3  # points in the way of a finger that may be noise
_LEVER_M = 0.1  # a grasp so far from the object's centre scores 1/e of one at the centre
_GOOD_AREA_M2 = 1.5e-4  # of surface under the emptier pad: a fifth of it
_MIN_AREA_M2 = 5e-5
_FINGER = np.array(FINGER_HALF_SIZE_M)
_HAND = np.array(HAND_HALF_SIZE_M)
_HAND_CENTRE = np.array(HAND_CENTRE_M)


class Pairs(NamedTuple):
    """P pairs: middle (P, 3), unit closing axis (P, 3), width (P,) in metres."""

    middle: np.ndarray
    closing: np.ndarray
    width_m: np.ndarray


class Candidates(NamedTuple):
    """C tool placements: position (C, 3), axes (C, 3, 3) as columns, width (C,), score (C,), why not (C,) or ""."""

    position: np.ndarray
    axes: np.ndarray
    width_m: np.ndarray
    score: np.ndarray
    why: np.ndarray


def antipodal_pairs(points: np.ndarray, normals: np.ndarray, max_width_m: float = MAX_WIDTH_M) -> Pairs:
    """Pairs of a point and the farthest one that faces away from it along its normal, at most `max_width_m` apart.

    `points` and outward unit `normals` (K, 3), metres.
    """
    offsets = np.arange(MIN_WIDTH_M, max_width_m + _STEP_M, _STEP_M)
    lines = points[:, None] - normals[:, None] * offsets[:, None]
    _, other = cKDTree(points).query(lines, distance_upper_bound=_NEAR_M)
    found = other < len(points)
    other = np.where(found, other, 0)
    line = points[other] - points[:, None]
    length = np.linalg.norm(line, axis=-1)
    line = line / np.maximum(length, 1e-9)[..., None]
    facing = np.minimum(-np.einsum("kwi,ki->kw", line, normals), np.einsum("kwi,kwi->kw", line, normals[other]))
    good = found & (facing > _FACING) & (length >= MIN_WIDTH_M) & (length <= max_width_m)
    first = np.flatnonzero(good.any(axis=1))
    farthest = np.argmax(np.where(good, length, -1.0)[first], axis=1)
    second = other[first, farthest]
    closing = (
        normals[second] - normals[first]
    )  # between the two, not along the line: points are where they happen to be
    closing /= np.linalg.norm(closing, axis=1, keepdims=True)
    width = length[first, farthest] * np.einsum("pi,pi->p", line[first, farthest], closing)
    return Pairs((points[first] + points[second]) / 2, closing, width)


def place_tools(
    points: np.ndarray,
    normals: np.ndarray,
    pairs: Pairs,
    directions: Sequence[np.ndarray],
    *,
    area_m2: float,
    tilts_rad: Sequence[float] = (0.0, 0.35, -0.35),
) -> Candidates:
    """Every pair approached along every direction (3,), tilted about the closing axis, as deep as the hand goes.

    `area_m2` is the surface that one point stands for.
    """
    approach = np.concatenate([_approaches(pairs.closing, d, t) for d in directions for t in tilts_rad])
    count = len(directions) * len(tilts_rad)
    middle = np.tile(pairs.middle, (count, 1))
    closing = np.tile(pairs.closing, (count, 1))
    width = np.tile(pairs.width_m, count)
    possible = np.isfinite(approach[:, 0])
    axes = tool_axes(approach[possible], closing[possible])
    return _judged(points, normals, middle[possible], axes, width[possible], area_m2)


def _approaches(closing: np.ndarray, direction: np.ndarray, tilt_rad: float) -> np.ndarray:
    """Unit vectors (P, 3) square to the closing axes, nearest to a direction, tilted about the axes, or NaN."""
    square = direction - (closing @ direction)[:, None] * closing
    length = np.linalg.norm(square, axis=1, keepdims=True)
    square = np.where(length > 0.5, square, np.nan) / np.maximum(length, 0.5)
    return np.cos(tilt_rad) * square + np.sin(tilt_rad) * np.cross(closing, square)


def tool_axes(approach: np.ndarray, closing: np.ndarray) -> np.ndarray:
    """Axes (C, 3, 3), columns x, closing, approach; of two symmetric hands the one nearer to home (-y)."""
    key = np.round(closing[:, [1, 0, 2]], 9)
    first = np.where(key[:, 0] != 0, key[:, 0], np.where(key[:, 1] != 0, key[:, 1], key[:, 2]))
    closing = np.where(first[:, None] > 0, -closing, closing)
    return np.stack([np.cross(closing, approach), closing, approach], axis=-1)


def _judged(points, normals, middle, axes, width, area_m2) -> Candidates:
    local = np.einsum("ckj,cji->cki", points[None] - middle[:, None], axes)
    slab = (np.abs(local[..., 0]) < _FINGER[0]) & (np.abs(local[..., 1]) < width[:, None] / 2 + _PAD_M)
    nearest = np.where(slab, local[..., 2], np.inf).min(axis=1)
    # The pair itself between the pads, but not so high that little is held nor so low that the palm arrives first.
    depth = np.clip(-nearest, _SHALLOW_M, _DEEP_M)
    shift = np.where(np.isfinite(nearest), nearest + depth, 0.0)
    position = middle + shift[:, None] * axes[..., 2]
    local[..., 2] -= shift[:, None]
    facing = np.einsum("kj,cj->ck", normals, axes[..., 1])
    area = area_m2 * _pad_counts(local, facing, width)
    in_way = blocked_by_points(local, behind_m=_WAY_M)
    why = np.full(len(middle), "", dtype=object)
    why[area < _MIN_AREA_M2] = "its facing sides are too small or too round for the fingers"
    why[in_way] = "there is no room for the open fingers beside the part that they would hold"
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    offset = centre - position
    lever = np.linalg.norm(offset - np.einsum("ci,ci->c", offset, axes[..., 2])[:, None] * axes[..., 2], axis=1)
    score = np.exp(-lever / _LEVER_M) * np.minimum(1.0, area / _GOOD_AREA_M2)
    return Candidates(position, axes, width, score, why)


def _pad_counts(local: np.ndarray, facing: np.ndarray, width: np.ndarray) -> np.ndarray:
    """How many points (C,) the emptier of the two pads touches; `local` (C, K, 3) in tool frames."""
    high = FINGERTIP_M
    low = FINGERTIP_M - 2 * _FINGER[2]
    in_pad = (np.abs(local[..., 0]) < _FINGER[0]) & (local[..., 2] > low) & (local[..., 2] < high)
    in_pad &= np.abs(np.abs(local[..., 1]) - width[:, None] / 2) < _PAD_M
    sides = [(in_pad & (sign * facing > _PAD_FACING) & (sign * local[..., 1] > 0)).sum(axis=1) for sign in (1, -1)]
    return np.minimum(*sides)


def blocked_by_points(local: np.ndarray, opening_m: float = MAX_OPENING_M, behind_m: float = 0.0) -> np.ndarray:
    """Bool (C,): do points (C, K, 3) in tool frames lie in the open fingers or the hand?

    `behind_m` lengthens both against the approach, by the way that the hand comes along.
    """
    back = FINGERTIP_M - 2 * _FINGER[2] - behind_m
    across = np.abs(np.abs(local[..., 1]) - opening_m / 2 - _FINGER[1]) < _FINGER[1]
    in_finger = across & (np.abs(local[..., 0]) < _FINGER[0]) & (local[..., 2] < FINGERTIP_M) & (local[..., 2] > back)
    from_hand = np.abs(local - _HAND_CENTRE)
    in_hand = (from_hand[..., :2] < _HAND[:2]).all(axis=-1)
    depth = local[..., 2] - _HAND_CENTRE[2]
    in_hand &= (depth < _HAND[2]) & (depth > -_HAND[2] - behind_m)
    return (in_finger | in_hand).sum(axis=1) > _FEW


def spread(candidates: Candidates, most: int, apart_m: float = 0.012, apart_rad: float = 0.3) -> np.ndarray:
    """Indices of at most `most` usable candidates, best first, that differ in place or direction."""
    usable = np.flatnonzero(candidates.why == "")
    order = usable[np.argsort(-candidates.score[usable], kind="stable")]
    turns = Rotation.from_matrix(candidates.axes[order]).as_rotvec() if len(order) else np.zeros((0, 3))
    cells = np.column_stack([np.round(candidates.position[order] / apart_m), np.round(turns / apart_rad)]).astype(int)
    _, first = np.unique(cells, axis=0, return_index=True)
    return order[np.sort(first)][:most]
