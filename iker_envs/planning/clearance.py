"""How much room there is along a direction, and how far something has to move to be free.

    boxes, others, direction  ->  way_out_m  ->  the shortest move along the direction after which nothing overlaps
    boxes, others, direction  ->  room_m     ->  how far they can move along it before they touch

Oriented boxes in the base frame, metres; directions are unit vectors (3,).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from iker_envs.planning.collision import OrientedBox

_TINY = 1e-9


def way_out_m(
    boxes: Sequence[OrientedBox], others: Sequence[OrientedBox], direction: np.ndarray, tolerance_m: float = 0.0
) -> float:
    """The shortest move along a direction after which boxes overlap the others nowhere by more than the tolerance."""
    spans = sorted(_contacts(boxes, others, direction, tolerance_m))
    moved = 0.0
    for start, end in spans:
        if start <= moved < end:
            moved = end
    return moved


def room_m(boxes: Sequence[OrientedBox], others: Sequence[OrientedBox], direction: np.ndarray) -> float:
    """How far boxes can move along a direction before they touch the others; inf if never, 0 if they touch now."""
    ahead = [max(start, 0.0) for start, end in _contacts(boxes, others, direction, 0.0) if end > 0.0]
    return min(ahead, default=np.inf)


def _contacts(
    boxes: Sequence[OrientedBox], others: Sequence[OrientedBox], direction: np.ndarray, tolerance_m: float
) -> Iterable[tuple[float, float]]:
    """For every pair that meets along the direction, the interval of moves during which it overlaps."""
    for box in boxes:
        for other in others:
            start, end = _contact(box, other, direction, tolerance_m)
            if start < end:
                yield start, end


def _contact(box: OrientedBox, other: OrientedBox, direction: np.ndarray, tolerance_m: float) -> tuple[float, float]:
    """Separating axes of two boxes, each as a condition on the move t: |offset - t * speed| < reach."""
    crossed = np.cross(box.axes.T[:, None], other.axes.T[None]).reshape(-1, 3)
    length = np.linalg.norm(crossed, axis=-1)
    edges = crossed[length > 1e-6] / length[length > 1e-6, None]
    axes = np.concatenate([box.axes.T, other.axes.T, edges])
    reach = np.abs(axes @ box.axes) @ box.half + np.abs(axes @ other.axes) @ other.half - tolerance_m
    offset = axes @ (other.centre - box.centre)
    speed = axes @ direction
    still = np.abs(speed) < _TINY
    if np.any(reach <= 0) or np.any(np.abs(offset[still]) >= reach[still]):
        return 0.0, 0.0  # apart on an axis that the move does not change
    first = (offset[~still] - reach[~still]) / speed[~still]
    second = (offset[~still] + reach[~still]) / speed[~still]
    return float(np.minimum(first, second).max()), float(np.maximum(first, second).min())
