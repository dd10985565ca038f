"""The parts of an object: what it collides with and what it looks like, in its body frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import IDENTITY_QUATERNION

GREY = (0.6, 0.6, 0.6, 1.0)


@dataclass(frozen=True, eq=False)
class Geom:
    """One convex or visual part: kind is "box", "ellipsoid", "cylinder" (half sizes, as MuJoCo) or "mesh"."""

    kind: str
    half_size_m: tuple[float, ...]  # (3,)
    position_m: tuple[float, ...] = (0.0, 0.0, 0.0)  # (3,)
    quaternion: tuple[float, ...] = IDENTITY_QUATERNION  # (4,)
    rgba: tuple[float, ...] = GREY  # (4,), in [0, 1]
    vertices_m: np.ndarray | None = None  # (V, 3), meshes only
    faces: np.ndarray | None = None  # (F, 3) int, meshes only
    colours: np.ndarray | None = None  # (V, 3) of the vertices in [0, 1], scanned meshes only


@dataclass(frozen=True)
class Parts:
    """The geoms of one object; `collision[i]` carries `mass_share[i]` of the object's mass."""

    collision: tuple[Geom, ...]
    mass_share: tuple[float, ...]
