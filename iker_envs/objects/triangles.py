"""Small mesh-making tools for visual geoms: grids of points become triangles. Numpy only, metres, body frame."""

from __future__ import annotations

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]  # vertices (V, 3) and faces (F, 3), counter-clockwise seen from outside


def grid_mesh(points: np.ndarray, *, closed: bool = False) -> Mesh:
    """A surface through a grid of points (R, C, 3); `closed` joins the last column to the first.

    Outside is where (next row) x (next column) points.
    """
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1) if closed else index[:, 1:]
    left = index if closed else index[:, :-1]
    a = left[:-1]
    b = left[1:]
    c = right[1:]
    d = right[:-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return points.reshape(-1, 3), faces


def fan_mesh(ring: np.ndarray, centre: np.ndarray) -> Mesh:
    """Triangles from a ring of points (C, 3) to a centre (3,), wound as in a grid whose second row is the centre."""
    count = len(ring)
    around = np.arange(count)
    faces = np.stack([around, np.full(count, count), np.roll(around, -1)], axis=-1)
    return np.vstack([ring, centre]), faces


def join(*meshes: Mesh) -> Mesh:
    """Several meshes as one."""
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in meshes[:-1])])
    faces = [f + offset for (_, f), offset in zip(meshes, offsets, strict=True)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)


def mirrored(mesh: Mesh) -> Mesh:
    """The mesh with +y and -y exchanged, wound so that its outside stays outside."""
    vertices, faces = mesh
    return vertices * np.array([1.0, -1.0, 1.0]), faces[:, ::-1]
