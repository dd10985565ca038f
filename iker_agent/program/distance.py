"""`scipy.spatial.distance` for programs: distances between points, written out because only numpy is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def euclidean(u: ArrayLike, v: ArrayLike) -> float:
    """The straight distance of two points."""
    return float(np.sqrt(sqeuclidean(u, v)))


def sqeuclidean(u: ArrayLike, v: ArrayLike) -> float:
    """The square of the straight distance."""
    return float(np.sum(_differences(u, v) ** 2))


def cityblock(u: ArrayLike, v: ArrayLike) -> float:
    """The sum of the distances along the axes."""
    return float(np.sum(np.abs(_differences(u, v))))


def chebyshev(u: ArrayLike, v: ArrayLike) -> float:
    """The largest distance along an axis."""
    return float(np.max(np.abs(_differences(u, v))))


def cosine(u: ArrayLike, v: ArrayLike) -> float:
    """One minus the cosine of the angle between two vectors."""
    a = np.asarray(u, dtype=float)
    b = np.asarray(v, dtype=float)
    return float(1.0 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


_METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "euclidean": euclidean,
    "sqeuclidean": sqeuclidean,
    "cityblock": cityblock,
    "chebyshev": chebyshev,
    "cosine": cosine,
}


def cdist(a: ArrayLike, b: ArrayLike, metric: Any = "euclidean") -> Array:
    """Distances (M, N) between the rows of a (M, K) and of b (N, K); `metric` is a name or a function of two rows."""
    first = _points(a)
    second = _points(b)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"cdist needs points of equal length, got {first.shape[1]} and {second.shape[1]} numbers")
    measure = _measure(metric)
    return np.array([[measure(u, v) for v in second] for u in first], dtype=float).reshape(len(first), len(second))


def pdist(points: ArrayLike, metric: Any = "euclidean") -> Array:
    """Distances between all pairs of rows of points (N, K), in the order (0, 1), (0, 2), ..."""
    rows = _points(points)
    measure = _measure(metric)
    return np.array([measure(u, v) for i, u in enumerate(rows) for v in rows[i + 1 :]], dtype=float)


def squareform(distances: ArrayLike) -> Array:
    """The distances of `pdist` as a symmetric matrix (N, N), or such a matrix as the distances of `pdist`."""
    given = np.asarray(distances, dtype=float)
    if given.ndim == 2:
        return given[np.triu_indices(len(given), 1)]
    count = round((1 + np.sqrt(1 + 8 * len(given))) / 2)
    if count * (count - 1) // 2 != len(given):
        raise ValueError(f"{len(given)} distances are not those between all pairs of some points")
    matrix = np.zeros((count, count))
    matrix[np.triu_indices(count, 1)] = given
    return matrix + matrix.T


def _measure(metric: Any) -> Callable[[ArrayLike, ArrayLike], float]:
    if callable(metric):
        return metric
    if metric not in _METRICS:
        raise ValueError(f"unknown metric {metric!r:.40}; valid are {sorted(_METRICS)} and functions of two points")
    return _METRICS[metric]


def _points(value: ArrayLike) -> Array:
    points = np.asarray(value, dtype=float)
    if points.ndim != 2:
        raise ValueError(f"points must be an array of shape (N, K), got {points.shape}")
    return points


def _differences(u: ArrayLike, v: ArrayLike) -> Array:
    return np.asarray(u, dtype=float) - np.asarray(v, dtype=float)
