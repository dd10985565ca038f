"""What a shoe looks like: a low trainer lofted from the outline of a foot.

    ObjectModel (size, side, colour)  ->  shoe_look  ->  visual mesh geoms in the body frame

The outline is a left foot's, straight along the inner side, full at the outer ball, the toe tip towards the big toe;
a right shoe is its mirror image. Toe and heel differ by width, by the light toe cap and by the open collar. Everything
is built in a unit box (x, y in [-0.5, 0.5], z in [0, 1]) and scaled to the model's bounding box.

Two coordinates run over the upper: `u` once around, 0 at the back of the heel, 0.25 on the outer side, 0.5 at the toe;
`s` upwards, 0 at the sole, 1 at the collar.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

from iker_envs.objects.geom import Geom
from iker_envs.objects.triangles import Mesh, fan_mesh, grid_mesh, join, mirrored
from iker_envs.scene import ObjectModel

# Plan of a left shoe from above, heel to toe along the outer side (+y) and back along the inner side.
_OUTLINE = np.array(
    [
        (-0.500, 0.00),
        (-0.470, 0.22),
        (-0.38, 0.34),
        (-0.22, 0.385),
        (-0.05, 0.43),
        (0.10, 0.485),
        (0.24, 0.495),
        (0.36, 0.435),
        (0.445, 0.28),
        (0.490, 0.07),
        (0.500, -0.14),
        (0.482, -0.31),
        (0.42, -0.435),
        (0.32, -0.495),
        (0.20, -0.49),
        (0.07, -0.425),
        (-0.06, -0.345),
        (-0.20, -0.305),
        (-0.36, -0.32),
        (-0.46, -0.22),
    ]
)
_TOE_INDEX = 10
_AROUND = 56
_UP = 15
_SOLE_TOP = 0.29  # height of the sole, as a share of the shoe's
_WELT = 0.95  # the upper starts a little inside the sole's edge
_COLLAR_CENTRE = (-0.235, 0.02)
_COLLAR_HALF = (0.195, 0.245)
_LIFT = 0.012  # of the height: how far trim lies above the upper
_LIGHT = (0.93, 0.92, 0.88)
_DARK = (0.16, 0.16, 0.20)
_INSIDE = (0.07, 0.06, 0.06)


def shoe_look(model: ObjectModel) -> tuple[Geom, ...]:
    """The visual geoms of a shoe; a model without a side looks like a left one."""
    main = np.asarray(model.rgba[:3], dtype=float)
    trim = np.array(_LIGHT if main.mean() < 0.6 else _DARK)
    parts = (
        (_upper_mesh(), main),
        (_sole_mesh(), np.array(_LIGHT) * 0.97),
        (_outsole_mesh(), np.array(_DARK) + 0.12),
        (_inside_mesh(), np.array(_INSIDE)),
        (_collar_mesh(), 0.55 * main),
        (_toe_cap_mesh(), np.array(_LIGHT)),
        (_tongue_mesh(), 0.45 * main),
        (_laces_mesh(), trim),
        (_stripes_mesh(), trim),
        (_heel_tab_mesh(), trim),
    )
    return tuple(_geom(model, mesh, rgb) for mesh, rgb in parts)


def _geom(model: ObjectModel, mesh: Mesh, rgb: np.ndarray) -> Geom:
    vertices, faces = mirrored(mesh) if model.side == "right" else mesh
    inside = np.clip(vertices, (-0.5, -0.5, 0.0), (0.5, 0.5, 1.0))  # trim must not stick out of the bounding box
    scaled = (inside - np.array([0.0, 0.0, 0.5])) * model.size_m
    return Geom("mesh", tuple(model.size_m / 2), rgba=(*(float(c) for c in rgb), 1.0), vertices_m=scaled, faces=faces)


@cache
def _outline_spline() -> CubicSpline:
    closed = np.vstack([_OUTLINE, _OUTLINE[:1]])
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0) * [2.8, 1.0], axis=1))])
    toe = chord[_TOE_INDEX]
    u = np.where(chord <= toe, 0.5 * chord / toe, 0.5 + 0.5 * (chord - toe) / (chord[-1] - toe))
    return CubicSpline(u, closed, bc_type="periodic")


def _outline(u: np.ndarray) -> np.ndarray:
    """Points (..., 2) of the plan; the spline's slight overshoot is cut at the bounding box."""
    return np.clip(_outline_spline()(np.mod(u, 1.0)), -0.5, 0.5)


def _collar(u: np.ndarray) -> np.ndarray:
    """Points (..., 3) of the opening: high at the heel and the tongue, low at the ankles."""
    angle = 2 * np.pi * u
    x = _COLLAR_CENTRE[0] - _COLLAR_HALF[0] * np.cos(angle)
    y = _COLLAR_CENTRE[1] + _COLLAR_HALF[1] * np.sin(angle)
    return np.stack([x, y, 0.86 + 0.12 * np.cos(2 * angle)], axis=-1)


def _upper(u: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Points (..., 3) of the upper: steep walls around the heel, a toe box and a rising instep in front."""
    u, s = np.broadcast_arrays(u, s)
    inward = (s**1.3)[..., None]
    collar = _collar(u)
    plan = (1 - inward) * _WELT * _outline(u) + inward * collar[..., :2]
    front = np.sin(np.pi * u) ** 2
    rise = (1 - front) * (1 - (1 - s) ** 1.5) + front * (0.34 * (1 - (1 - s) ** 4) + 0.66 * s**1.9)
    z = _SOLE_TOP - 0.03 + (collar[..., 2] - _SOLE_TOP + 0.03) * rise
    return np.concatenate([plan, z[..., None]], axis=-1)


def _patch(u: np.ndarray, s: np.ndarray, lift: float = _LIFT) -> Mesh:
    """A piece of trim over the upper at a grid of coordinates u, s (R, C), lifted along the surface's normal."""
    step = 1e-3
    along_u = _upper(u + step, s) - _upper(u - step, s)
    along_s = _upper(u, np.minimum(s + step, 1.0)) - _upper(u, np.maximum(s - step, 0.0))
    normal = np.cross(along_s * [2.8, 1.0, 0.9], along_u * [2.8, 1.0, 0.9])  # about right for a 28 x 10 x 9 shoe
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-12
    return grid_mesh(_upper(u, s) + lift * normal / [2.8, 1.0, 0.9])


def _grid(u_from: float, u_to: float, s_from: float, s_to: float, columns: int, rows: int):
    return np.meshgrid(np.linspace(u_from, u_to, columns), np.linspace(s_from, s_to, rows))


def _around() -> np.ndarray:
    return np.arange(_AROUND) / _AROUND


def _ring(scale: float, z: float) -> np.ndarray:
    """The plan (C, 3), scaled, at a height; the sole springs up under the toes."""
    plan = scale * _outline(_around())
    spring = 0.09 * np.clip((plan[:, 0] - 0.2) / 0.3, 0, 1) ** 2 * (1 - z / _SOLE_TOP)
    return np.column_stack([plan, z + spring])


def _upper_mesh() -> Mesh:
    s = np.linspace(0, 1, _UP) ** 1.2  # finer where the toe box bends
    return grid_mesh(_upper(*np.meshgrid(_around(), s)), closed=True)


def _sole_mesh() -> Mesh:
    rings = [_ring(1.0, 0.07), _ring(1.0, _SOLE_TOP - 0.03), _ring(0.985, _SOLE_TOP), _ring(0.9, _SOLE_TOP)]
    return grid_mesh(np.array(rings), closed=True)


def _outsole_mesh() -> Mesh:
    bottom = _ring(0.95, 0.0)
    floor = fan_mesh(bottom[::-1], bottom.mean(axis=0))
    return join(grid_mesh(np.array([bottom, _ring(0.985, 0.03), _ring(0.985, 0.08)]), closed=True), floor)


def _inside_mesh() -> Mesh:
    """Lining and insole, seen through the collar."""
    rim = _collar(_around())
    centre = np.array(_COLLAR_CENTRE)
    low = np.column_stack([centre + 0.8 * (rim[:, :2] - centre), np.full(_AROUND, _SOLE_TOP + 0.06)])
    rim = rim - np.array([0.0, 0.0, 0.02])
    wall = grid_mesh(np.array([rim, low]), closed=True)
    return join(wall, fan_mesh(low, low.mean(axis=0)))


def _collar_mesh() -> Mesh:
    """The padded rim: a tube around the opening."""
    ring = _collar(_around())
    outward = (ring[:, :2] - np.array(_COLLAR_CENTRE)) / np.array(_COLLAR_HALF)
    angle = np.linspace(0, 2 * np.pi, 9)
    tube = [
        np.column_stack([ring[:, :2] + np.cos(a) * outward * [0.014, 0.04], ring[:, 2] - 0.03 + 0.045 * np.sin(a)])
        for a in angle
    ]
    return grid_mesh(np.array(tube), closed=True)


def _toe_cap_mesh() -> Mesh:
    return _patch(*_grid(0.36, 0.64, 0.0, 0.32, 19, 8))


def _tongue_mesh() -> Mesh:
    return _patch(*_grid(0.462, 0.538, 0.5, 1.0, 7, 9))


def _laces_mesh() -> Mesh:
    bars = (_grid(0.5 - half, 0.5 + half, s - 0.022, s + 0.022, 7, 2) for s, half in _LACES)
    return join(*(_patch(u, s, lift=3 * _LIFT) for u, s in bars))


_LACES = ((0.55, 0.058), (0.65, 0.066), (0.75, 0.076), (0.85, 0.09))  # s, half width in u


def _stripes_mesh() -> Mesh:
    """Two slanting stripes on the outer side."""
    stripes = []
    for start in (0.235, 0.285):
        u, s = _grid(start, start + 0.022, 0.05, 0.8, 3, 8)
        stripes.append(_patch(u - 0.05 * s, s))
    return join(*stripes)


def _heel_tab_mesh() -> Mesh:
    return _patch(*_grid(-0.05, 0.05, 0.35, 0.98, 7, 6))
