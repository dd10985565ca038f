"""What things of a household look like: round mugs, bottles and bowls, studded toy bricks, folders with a label.

ObjectModel  ->  visual geoms in the body frame, within the bounding box, `rgba` the main colour
"""

from __future__ import annotations

from functools import cache

import numpy as np

from iker_envs.objects.geom import INK, PAPER, Geom, block, opaque
from iker_envs.objects.household import BOTTLE_BODY, BOTTLE_NECK, MUG_HANDLE, WALL_M
from iker_envs.objects.shapes import parts
from iker_envs.objects.triangles import Mesh, fan_mesh, grid_mesh, join
from iker_envs.scene import ObjectModel

_COFFEE = np.array([0.16, 0.09, 0.05])
_AROUND = 40  # facets of what is round
_EDGE_M = 0.003
_STUD_PITCH_M = 0.03


def mug_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A round mug full of coffee, its handle on +x."""
    main = model.rgba[:3]
    x, y, z = model.size_m / 2
    radius = min(y, (1 - MUG_HANDLE) * x)
    centre = -x + (1 - MUG_HANDLE) * x
    low, high = 0.64 * z, 0.44 * z
    thick = 0.16 * y
    inner = centre + 0.9 * radius
    return (
        _upright(radius, -z, z - 0.001, main, centre),
        _upright(radius - 0.005, 0.0, z, _COFFEE, centre),
        block((inner, -thick, high), (x, thick, low), 0.85 * main),
        block((inner, -thick, -low), (x, thick, -high), 0.85 * main),
        block((x - 0.2 * z, -thick, -low), (x, thick, low), 0.85 * main),
    )


def bottle_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A round bottle with a paper label around it and a light cap."""
    main = model.rgba[:3]
    x, _, z = model.size_m / 2
    body = (2 * BOTTLE_BODY - 1) * z
    neck = BOTTLE_NECK * x
    cap = z - 0.16 * z
    return (
        _upright(x - 0.001, -z, body, main),
        _upright(0.5 * (x + neck), body, body + 0.12 * z, main),
        _upright(0.85 * neck, body, cap, main),
        _upright(neck, cap, z, PAPER),
        _upright(x, -0.6 * z, 0.5 * body, PAPER),
    )


def tray_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A light floor in a darker rim."""
    floor, *rim = parts(model).collision
    main = model.rgba[:3]
    return (_coloured(floor, main), *(_coloured(side, 0.7 * main) for side in rim))


def bowl_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A round bowl, wide above, with a darker inside."""
    x, _, z = model.size_m / 2
    main = model.rgba[:3]
    outer, inner = _bowl_meshes(float(WALL_M / z - 1))
    scale = np.array([x, x, z])
    geoms = []
    for (vertices, faces), rgb in ((outer, main), (inner, 0.75 * main)):
        geoms.append(Geom("mesh", (1.0, 1.0, 1.0), rgba=opaque(rgb), vertices_m=vertices * scale, faces=faces))
    return tuple(geoms)


def brick_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A toy brick in one colour, round studs in rows on its top."""
    main = model.rgba[:3]
    x, y, z = model.size_m / 2
    stud = 0.005
    rows, columns = (max(1, round(2 * side / _STUD_PITCH_M)) for side in (x, y))
    radius = 0.3 * 2 * min(x / rows, y / columns)
    places = [
        (x * (2 * i + 1 - rows) / rows, y * (2 * j + 1 - columns) / columns)
        for i in range(rows)
        for j in range(columns)
    ]
    studs = tuple(_upright(radius, z - stud, z, 0.8 * main, cx, cy) for cx, cy in places)
    return (block((-x, -y, -z), (x, y, z - stud), main), *studs)


def folder_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A ring binder: covers and spine in the main colour, light sheets, on the spine (-x) a label and a dark hole."""
    main = model.rgba[:3]
    x, y, z = model.size_m / 2
    skin = 0.0008
    hole = 0.4 * y
    return (
        *(block((-x + skin, side - _EDGE_M, -z), (x, side + _EDGE_M, z), main) for side in (_EDGE_M - y, y - _EDGE_M)),
        block((-x + skin, -y, -z), (-x + 2 * _EDGE_M, y, z), 0.8 * main),
        block((-x + _EDGE_M, -y + _EDGE_M, -z + _EDGE_M), (x - _EDGE_M, y - _EDGE_M, z - _EDGE_M), PAPER),
        block((-x, -0.6 * y, 0.1 * z), (-x + _EDGE_M, 0.6 * y, 0.75 * z), PAPER),
        block((-x, -hole, -0.5 * z - hole), (-x + _EDGE_M, hole, -0.5 * z + hole), INK),
    )


@cache
def _bowl_meshes(floor: float) -> tuple[Mesh, Mesh]:
    """Outside and inside of a bowl of radius 1 between z = -1 and 1, its flat floor at a height."""
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)

    def rings(radii: list[float], heights: list[float]) -> np.ndarray:
        return np.stack([ring * [r, r, 0] + [0, 0, h] for r, h in zip(radii, heights, strict=True)])

    up = rings([0.8, 0.9, 0.97, 1.0], [-1.0, floor, 0.0, 1.0])
    down = rings([1.0, 0.93, 0.84, 0.0], [1.0, 0.0, floor, floor])
    base = fan_mesh(up[0][::-1], np.array([0.0, 0.0, -1.0]))
    return join(grid_mesh(up[::-1], closed=True), base), grid_mesh(down[::-1], closed=True)


def _upright(radius: float, low: float, high: float, rgb: np.ndarray, x: float = 0.0, y: float = 0.0) -> Geom:
    """A cylinder about a vertical axis through (x, y)."""
    size = (float(radius), float(high - low) / 2, 0.0)
    return Geom("cylinder", size, (float(x), float(y), float(high + low) / 2), rgba=opaque(rgb))


def _coloured(geom: Geom, rgb: np.ndarray) -> Geom:
    return Geom(geom.kind, geom.half_size_m, geom.position_m, geom.quaternion, opaque(rgb))
