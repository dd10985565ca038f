"""The parts of an object: what it collides with and what it looks like, in its body frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import IDENTITY_QUATERNION

GREY = (0.6, 0.6, 0.6, 1.0)
PAPER = np.array([0.95, 0.93, 0.87])
INK = np.array([0.15, 0.15, 0.17])


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


@dataclass(frozen=True)
class Parts:
    """The geoms of one object; `collision[i]` carries `mass_share[i]` of the object's mass."""

    collision: tuple[Geom, ...]
    mass_share: tuple[float, ...]


def box_geom(size, low, rgba) -> Geom:
    """A box from its extents (3,) and its lowest corner (3,)."""
    half = tuple(float(s) / 2 for s in size)
    return Geom("box", half, tuple(float(c) + h for c, h in zip(low, half, strict=True)), rgba=tuple(rgba))


def block(low, high, rgb: np.ndarray) -> Geom:
    """A box between two corners (3,) in a colour (3,)."""
    low = np.asarray(low, dtype=float)
    high = np.asarray(high, dtype=float)
    return Geom("box", tuple((high - low) / 2), tuple((high + low) / 2), rgba=opaque(rgb))


def opaque(rgb: np.ndarray) -> tuple[float, float, float, float]:
    """A colour (3,) as RGBA within [0, 1]."""
    red, green, blue = (float(c) for c in np.clip(rgb, 0, 1))
    return (red, green, blue, 1.0)
