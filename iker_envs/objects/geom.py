"""The parts of an object: what it collides with and what it looks like, in its body frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import IDENTITY_QUATERNION


@dataclass(frozen=True, eq=False)
class Geom:
    """One convex or visual part: kind is "box", "ellipsoid", "cylinder" (half sizes, as MuJoCo) or "mesh"."""

    kind: str
    half_size_m: tuple[float, float, float]
    position_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quaternion: tuple[float, float, float, float] = IDENTITY_QUATERNION
    rgba: tuple[float, float, float, float] = (0.6, 0.6, 0.6, 1.0)
    vertices_m: np.ndarray | None = None  # (V, 3), meshes only
    faces: np.ndarray | None = None  # (F, 3) int, meshes only


@dataclass(frozen=True)
class Parts:
    """The geoms of one object; `collision[i]` carries `mass_share[i]` of the object's mass."""

    collision: tuple[Geom, ...]
    mass_share: tuple[float, ...]
