"""Triangles as they come in files become closed surfaces wound outwards. Numpy and scipy only; any unit of length.

    vertices, faces  ->  merged, without_useless_faces, wound_outwards  ->  vertices, faces

A body is a part whose faces hang together. Every edge of a closed surface belongs to two faces; it is wound alike when
the two run through their edge in opposite directions.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from iker_envs.objects.triangles import Mesh

_SAME_POINT = 1e-6  # of the largest side: points nearer to each other are one
_NO_AREA = 1e-12  # of the largest side squared


def merged(mesh: Mesh) -> Mesh:
    """The mesh with vertices at one place made one, in the order of their first, and without unused ones."""
    vertices, faces = mesh
    used, corners = np.unique(faces, return_inverse=True)
    points = vertices[used]
    size = float(np.ptp(points, axis=0).max())
    cells = np.round((points - points.min(axis=0)) / (_SAME_POINT * size or 1.0)).astype(np.int64)
    _, first, place = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    return points[first[order]], rank[place.reshape(-1)][corners.reshape(-1, 3)]


def without_useless_faces(mesh: Mesh) -> np.ndarray:
    """The faces (F, 3) without those of one or two corners, doubled ones and ones without area.

    What is left out is as little as makes the surface closed; if nothing does, everything of the kinds named.
    """
    vertices, faces = mesh
    proper = faces[(np.diff(np.sort(faces, axis=1), axis=1) > 0).all(axis=1)]
    corners = np.sort(proper, axis=1)
    _, first, group, count = np.unique(corners, axis=0, return_index=True, return_inverse=True, return_counts=True)
    once = np.zeros(len(proper), dtype=bool)
    once[first] = True
    single = count[group.reshape(-1)] == 1  # two faces on one place, back to back, may enclose nothing
    size = float(np.ptp(vertices, axis=0).max())
    solid = _areas(vertices, proper) > _NO_AREA * size**2
    for kept in (once, once & solid, single, single & solid):
        if is_closed(proper[kept]):
            return proper[kept]
    return proper[once & solid]


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2


def edge_counts(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges (E, 2) as pairs of vertices, and to how many faces (E,) each belongs."""
    return np.unique(np.sort(_directed_edges(faces), axis=1), axis=0, return_counts=True)


def is_closed(faces: np.ndarray) -> bool:
    """Does every edge belong to two faces?"""
    return len(faces) > 0 and bool((edge_counts(faces)[1] == 2).all())


def _directed_edges(faces: np.ndarray) -> np.ndarray:
    """Edges (3 F, 2) in the direction that each face runs through them; those of one face stand together."""
    return faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)


def wound_outwards(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The faces (F, 3) of a closed mesh, turned so that all bodies are wound outwards, and the bodies' volumes (B,).

    A body inside out within the bounding box of the largest one is a cavity: it stays, and its volume is below 0.
    ValueError if a surface has no outside, as that of a Klein bottle.
    """
    vertices, faces = mesh
    faces, body = _wound_alike(faces)
    volume = _volumes(vertices, faces, body)
    largest = int(np.argmax(np.abs(volume)))
    if volume[largest] < 0:
        faces = faces[:, ::-1]
        volume = -volume
    low, high = _bounds(vertices, faces, body)
    inside = (low > low[largest]).all(axis=1) & (high < high[largest]).all(axis=1)
    turned = (volume < 0) & ~inside
    faces = np.where(turned[body][:, None], faces[:, ::-1], faces)
    return faces, np.where(turned, -volume, volume)


def _wound_alike(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces of a closed mesh, those of one body wound alike, and which body (F,) each belongs to.

    Every face is two nodes of a graph, as it is and turned. Neighbours that are wound alike are joined as they are,
    others with one of them turned; so a connected part of the graph holds the faces of a body wound alike.
    """
    edges = _directed_edges(faces)
    forward = edges[:, 0] < edges[:, 1]
    order = np.lexsort(np.sort(edges, axis=1).T)
    first = order[0::2]
    second = order[1::2]
    one = first // 3
    other = second // 3
    turned = forward[first] == forward[second]
    count = len(faces)
    rows = np.concatenate([one, one + count])
    columns = np.concatenate([other + count * turned, other + count * ~turned])
    _, part = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape=(2 * count, 2 * count)))
    if np.any(part[:count] == part[count:]):
        raise ValueError("its surface has no outside: it passes through itself like a Klein bottle's")
    _, body = connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(count, count)))
    _, start = np.unique(body, return_index=True)
    alike = part[:count] == part[start[body]]
    return np.where(alike[:, None], faces, faces[:, ::-1]), body


def _volumes(vertices: np.ndarray, faces: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Volume (B,) of each body, below 0 where it is wound inwards."""
    a, b, c = (vertices[faces[:, k]] - vertices.mean(axis=0) for k in range(3))
    return np.bincount(body, weights=np.einsum("ij,ij->i", a, np.cross(b, c)) / 6)


def _bounds(vertices: np.ndarray, faces: np.ndarray, body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corners (B, 3) of the bodies' bounding boxes."""
    count = int(body.max()) + 1
    low = np.full((count, 3), np.inf)
    high = np.full((count, 3), -np.inf)
    for corner in range(3):
        np.minimum.at(low, body, vertices[faces[:, corner]])
        np.maximum.at(high, body, vertices[faces[:, corner]])
    return low, high
