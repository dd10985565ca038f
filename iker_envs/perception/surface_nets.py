"""A solid on a grid becomes a closed surface: one vertex in every cell that the surface crosses (Gibson 1998).

Solid  ->  surface_of  ->  vertices (V, 3), faces (F, 3) wound outwards, colours (V, 3)

Vertices are the mean of the places where the cell's edges cross zero. Two inside corners of a cell face that meet
across a diagonal would give an edge to four faces, which no solid's surface has; such corners are joined first.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_array

from iker_envs.perception.tsdf import Solid

_JOINED_M = -1e-3
_MAX_ROUNDS = 60
_SHRINK = 0.5
_GROW = -0.53
_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))


def surface_of(solid: Solid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The surface of a solid in the solid's frame, metres."""
    field = _without_diagonals(np.array(solid.distance_m))
    vertices, faces = _nets(field)
    nearest = np.clip(np.rint(vertices).astype(int), 0, np.array(field.shape) - 1)
    colours = _nearest_colours(solid, nearest)
    return vertices * solid.cell_m + solid.low, faces, colours


def smoothed(vertices: np.ndarray, faces: np.ndarray, rounds: int = 4) -> np.ndarray:
    """Vertices (V, 3) of a closed surface without the bumps of noise, its size kept (Taubin 1995)."""
    edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    count = len(vertices)
    both = np.concatenate([edges, edges[:, ::-1]])
    neighbours = csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    degree = np.maximum(np.asarray(neighbours.sum(axis=1)).reshape(-1, 1), 1)
    for _ in range(rounds):
        for step in (_SHRINK, _GROW):
            vertices = vertices + step * (neighbours @ vertices / degree - vertices)
    return vertices


def _nearest_colours(solid: Solid, cells: np.ndarray) -> np.ndarray:
    """Colours (V, 3) of grid places (V, 3); where none was seen, the nearest seen one's."""
    unseen = ~solid.colours.any(axis=-1)
    nearest = distance_transform_edt(unseen, return_distances=False, return_indices=True)
    i, j, k = (nearest[axis][tuple(cells.T)] for axis in range(3))
    return np.asarray(solid.colours[i, j, k])


def _without_diagonals(field: np.ndarray) -> np.ndarray:
    """The field with no two inside places that meet in an edge only, so that the surface is closed."""
    for _ in range(_MAX_ROUNDS):
        changed = 0
        for a, b in ((0, 1), (0, 2), (1, 2)):
            p, q, r, t = (_shifted(field, a, b, i, j) for i, j in ((0, 0), (1, 1), (0, 1), (1, 0)))
            first = (p < 0) & (q < 0) & (r >= 0) & (t >= 0)
            second = (p >= 0) & (q >= 0) & (r < 0) & (t < 0)
            r[first] = _JOINED_M
            p[second] = _JOINED_M
            changed += int(first.sum() + second.sum())
        if not changed:
            break
    return field


def _shifted(field: np.ndarray, a: int, b: int, i: int, j: int) -> np.ndarray:
    """A view of the field, shifted by i along axis a and by j along axis b, one smaller along both."""
    where: list[slice] = [slice(None)] * 3
    where[a] = slice(i, field.shape[a] - 1 + i)
    where[b] = slice(j, field.shape[b] - 1 + j)
    return field[tuple(where)]


def _nets(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cells = np.array(field.shape) - 1
    values = np.stack([field[tuple(slice(o, o + n) for o, n in zip(c, cells, strict=True))] for c in _CORNERS], -1)
    count = (values < 0).sum(axis=-1)
    crossed = (count > 0) & (count < 8)
    number = np.full(cells, -1)
    number[crossed] = np.arange(crossed.sum())
    vertices = np.argwhere(crossed) + _means(values[crossed])
    return vertices, np.concatenate([_quads(field, number, axis) for axis in range(3)])


def _means(values: np.ndarray) -> np.ndarray:
    """Mean place (K, 3) within a cell of the zero crossings on its edges, from the values (K, 8) at its corners."""
    total = np.zeros((len(values), 3))
    count = np.zeros(len(values))
    for i, j in itertools.combinations(range(8), 2):
        if np.abs(_CORNERS[i] - _CORNERS[j]).sum() == 1:
            crosses = (values[:, i] < 0) != (values[:, j] < 0)
            share = values[crosses, i] / (values[crosses, i] - values[crosses, j])
            total[crosses] += _CORNERS[i] + share[:, None] * (_CORNERS[j] - _CORNERS[i])
            count[crosses] += 1
    return total / count[:, None]


def _quads(field: np.ndarray, number: np.ndarray, axis: int) -> np.ndarray:
    """Two triangles for every grid edge along an axis that the surface crosses."""
    inside = field < 0
    low: list[slice] = [slice(None)] * 3
    high = list(low)
    low[axis] = slice(0, -1)
    high[axis] = slice(1, None)
    edges = np.argwhere(inside[tuple(low)] != inside[tuple(high)])
    b, c = (k for k in range(3) if k != axis)
    limits = np.array(number.shape)
    within = (edges[:, b] > 0) & (edges[:, c] > 0) & (edges[:, b] < limits[b]) & (edges[:, c] < limits[c])
    edges = edges[within]
    corners = []
    for back_b, back_c in ((1, 1), (0, 1), (0, 0), (1, 0)):
        cell = np.array(edges)
        cell[:, b] -= back_b
        cell[:, c] -= back_c
        corners.append(number[tuple(cell.T)])
    quads = np.stack(corners, axis=1)
    turned = inside[tuple(edges.T)] ^ (axis == 1)
    quads = np.where(turned[:, None], quads, quads[:, ::-1])
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
