"""Where numbers go, so that each can be read and is taken for its own dot.

    dots, label sizes, image size, taken boxes  ->  place_labels  ->  a box per label

Each label tries places around its dot, nearest first; a place costs for what it covers or crosses and for being nearer
to another dot. The most crowded labels choose first; all then choose again, knowing the others. Pixels everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]  # left, top, right, bottom
_DIRECTIONS = 24
_ROUNDS = 3
_GAPS = (0.25, 0.6, 1.1, 1.8, 2.8, 4.2)  # between dot and label, in label heights
# Costs: an overlap or leaving the image must never pay, a covered dot hardly ever, a crossing leader seldom.
_OVERLAP = 1e4
_OUTSIDE = 1e4
_COVERED_DOT = 300.0
_CROSSED_DOT = 30.0
_CROSSED_LABEL = 60.0
_FOREIGN = 8.0
_INWARD = 2.0
_LENGTH = 1.0


def place_labels(
    dots: dict[str, np.ndarray],
    sizes: dict[str, tuple[float, float]],
    image_size: tuple[int, int],
    outward: dict[str, np.ndarray],
    taken: Sequence[Box] = (),
    dot_radius: float = 7.0,
) -> dict[str, Box]:
    """Boxes for labels of given sizes (width, height) beside their dots (2,).

    `outward` (2,) points away from what a dot marks, where its label hides least; `taken` boxes are kept free.
    """
    positions = np.array(list(dots.values())).reshape(-1, 2)
    boxes: dict[str, Box] = {}
    for _ in range(_ROUNDS):
        for label in _most_crowded_first(dots):
            others = {name: box for name, box in boxes.items() if name != label}
            candidates = _candidates(dots[label], sizes[label], dot_radius)
            cost = _cost(candidates, dots[label], positions, image_size, dot_radius)
            cost += _inward_cost(candidates, dots[label], outward[label])
            cost += _obstacle_cost(candidates, dots[label], np.array([*taken, *others.values()]).reshape(-1, 4))
            cost += _leader_cost(candidates, [dots[name] for name in others], np.array([*others.values()]))
            left, top, right, bottom = map(float, candidates[np.argmin(cost)])
            boxes[label] = (left, top, right, bottom)
    return {label: boxes[label] for label in dots}


def overlap_area(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas (C, B) that boxes (C, 4) and others (B, 4) share."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.maximum(high - low, 0.0), axis=-1)


def _most_crowded_first(dots: dict[str, np.ndarray]) -> list[str]:
    positions = np.array(list(dots.values())).reshape(-1, 2)
    near = np.linalg.norm(positions[:, None] - positions[None], axis=-1) < 80.0
    crowd = dict(zip(dots, near.sum(axis=1), strict=True))
    return sorted(dots, key=lambda label: -crowd[label])  # stable: lower labels first among equals


def _candidates(dot: np.ndarray, size: tuple[float, float], dot_radius: float) -> np.ndarray:
    """Boxes (C, 4) on whole pixels around a dot, nearest first: clear of it by a gap, in all directions."""
    angle = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    heading = np.stack([np.cos(angle), -np.sin(angle)], axis=-1)
    half = np.array(size) / 2
    # along a heading, the distance at which the box just leaves the dot's bounding square
    reach = np.min((half + dot_radius) / np.maximum(np.abs(heading), 1e-9), axis=1, keepdims=True)
    corners = [dot + heading * (reach + gap * size[1]) - half for gap in _GAPS]
    low = np.round(np.concatenate(corners))
    return np.concatenate([low, low + np.array(size)], axis=1)


def _cost(boxes: np.ndarray, dot: np.ndarray, dots: np.ndarray, image_size, dot_radius: float) -> np.ndarray:
    """Cost (C,) of candidates against the image's border and all dots."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    own = np.linalg.norm(centre - dot, axis=1)
    foreign = dots[np.linalg.norm(dots - dot, axis=1) > 1e-6]
    outside = np.any((boxes[:, :2] < 1) | (boxes[:, 2:] > np.array(image_size) - 1), axis=1)
    covered = np.all((dots > boxes[:, None, :2] - dot_radius) & (dots < boxes[:, None, 2:] + dot_radius), axis=-1)
    nearer = np.linalg.norm(centre[:, None] - foreign, axis=-1) < 1.15 * own[:, None]
    crossed = _distance_to_segments(foreign, dot, centre) < dot_radius + 2
    return (
        _LENGTH * own / 10
        + _OUTSIDE * outside
        + _COVERED_DOT * covered.sum(axis=1)
        + _FOREIGN * nearer.sum(axis=1)
        + _CROSSED_DOT * crossed.sum(axis=1)
    )


def _inward_cost(boxes: np.ndarray, dot: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """Cost (C,) of lying on the side of the dot that `outward` (2,) points away from."""
    heading = (boxes[:, :2] + boxes[:, 2:]) / 2 - dot
    length = np.linalg.norm(heading, axis=1) * np.linalg.norm(outward)
    return -_INWARD * (heading @ outward) / np.maximum(length, 1e-9)


def _obstacle_cost(boxes: np.ndarray, dot: np.ndarray, obstacles: np.ndarray) -> np.ndarray:
    """Cost (C,) of lying on obstacles (B, 4), with two pixels of air, or of leading over them."""
    grown = obstacles + np.array([-2.0, -2.0, 2.0, 2.0])
    overlap = (overlap_area(boxes, grown) > 0).sum(axis=1)
    middle = (obstacles[:, :2] + obstacles[:, 2:]) / 2
    size = np.minimum(obstacles[:, 2] - obstacles[:, 0], obstacles[:, 3] - obstacles[:, 1])
    crossed = _distance_to_segments(middle, dot, (boxes[:, :2] + boxes[:, 2:]) / 2) < size / 2 + 2
    return _OVERLAP * overlap + _CROSSED_LABEL * crossed.sum(axis=1)


def _leader_cost(boxes: np.ndarray, dots: list[np.ndarray], placed: np.ndarray) -> np.ndarray:
    """Cost (C,) of covering the leaders of labels already placed (B, 4), which belong to `dots` (B, 2)."""
    cost = np.zeros(len(boxes))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    reach = (boxes[0, 3] - boxes[0, 1]) / 2 + 2
    for dot, box in zip(dots, placed, strict=True):
        end = np.array([[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]])
        cost += _CROSSED_LABEL * (_distance_to_segments(centre, dot, end)[0] < reach)
    return cost


def _distance_to_segments(points: np.ndarray, start: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Distances (S, P) of points (P, 2) from the segments that run from `start` (2,) to `ends` (S, 2)."""
    along = (ends - start)[:, None]
    offset = (points - start)[None]
    share = np.clip(np.sum(offset * along, axis=-1) / np.maximum(np.sum(along**2, axis=-1), 1e-9), 0, 1)
    return np.linalg.norm(offset - share[..., None] * along, axis=-1)
