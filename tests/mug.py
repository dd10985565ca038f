"""A mug with a handle as one closed surface, from its distance function."""

import numpy as np

from iker_envs.objects.triangles import Mesh
from iker_envs.perception.surface_nets import surface_of
from iker_envs.perception.tsdf import Solid

RADIUS_M = 0.041
HEIGHT_M = 0.095
WALL_M = 0.005
_CELL_M = 0.002


def mug() -> Mesh:
    """Vertices and faces in metres, the handle towards +x, standing on z = 0."""
    low = np.array([-0.05, -0.05, -0.01])
    axes = [np.arange(a, b, _CELL_M) for a, b in zip(low, (0.085, 0.05, 0.11), strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    around = np.hypot(x, y)
    outer = np.maximum(around - RADIUS_M, np.abs(z - HEIGHT_M / 2) - HEIGHT_M / 2)
    hollow = np.maximum(around - RADIUS_M + WALL_M, WALL_M - z)
    ring = np.hypot(x - RADIUS_M, z - HEIGHT_M / 2) - 0.026
    handle = np.maximum(np.hypot(ring, y) - 0.005, RADIUS_M - 0.003 - around)
    field = np.maximum(np.minimum(outer, handle), -hollow)
    solid = Solid(field.astype(np.float32), np.full((*field.shape, 3), 0.5, np.float32), low, _CELL_M)
    vertices, faces, _ = surface_of(solid)
    return vertices, faces
