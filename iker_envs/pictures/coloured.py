"""Colours of scanned surfaces in a picture: what a ray met is nearest to which of the surface's coloured vertices?

points that rays met, by object  ->  paint_scanned  ->  their colours, where the object has any
"""

from __future__ import annotations

from functools import lru_cache

import mujoco
import numpy as np
from scipy.spatial import cKDTree

from iker_envs.objects.looks import visual_geoms
from iker_envs.physics.mujoco_model import VISUAL_GROUP
from iker_envs.scene import Scene

_NEIGHBOURS = 3
_NEAR_M = 1e-4


def paint_scanned(
    model: mujoco.MjModel, data: mujoco.MjData, scene: Scene, geom: np.ndarray, points: np.ndarray, albedo: np.ndarray
) -> None:
    """Replace colours `albedo` (P, 3) where a ray met a geom (P,) of a scanned object at `points` (P, 3)."""
    for obj in scene.objects:
        if not obj.model.mesh:  # what is not scanned has no mesh
            continue
        looks = [g for g in visual_geoms(obj.model) if g.colours is not None]
        if not looks:
            continue
        body = model.body(obj.name).id
        shown = np.flatnonzero((model.geom_bodyid == body) & (model.geom_group == VISUAL_GROUP))
        pixels = np.flatnonzero(np.isin(geom, shown))
        if not len(pixels):
            continue
        places = (points[pixels] - data.xpos[body]) @ data.xmat[body].reshape(3, 3)
        (look,) = looks
        assert look.vertices_m is not None and look.colours is not None
        tree = _tree((look.vertices_m + np.asarray(look.position_m)).astype(np.float32).tobytes())
        distance, nearest = tree.query(places, _NEIGHBOURS)
        weight = 1.0 / (distance + _NEAR_M)
        weight /= weight.sum(axis=1, keepdims=True)
        albedo[pixels] = np.einsum("pk,pkc->pc", weight, look.colours[nearest])


@lru_cache(16)
def _tree(vertices: bytes) -> cKDTree:
    return cKDTree(np.frombuffer(vertices, np.float32).reshape(-1, 3))
