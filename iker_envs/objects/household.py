"""Things of a household as few boxes to collide with: mug, bottle, tray or crate, bowl.

    ObjectModel  ->  Parts in the body frame (origin at the centre of the bounding box), metres

What is hollow stays hollow where something may be put in (tray, bowl); a mug is taken for full. Round walls are boxes
around them, so that every engine and every check knows the same few parts.
"""

from __future__ import annotations

import numpy as np

from iker_envs.objects.geom import Geom, Parts, box_geom
from iker_envs.scene import ObjectModel

MUG_HANDLE = 0.3  # of the mug's length along x, on +x
BOTTLE_BODY = 0.62  # of the bottle's height; the neck is above
BOTTLE_NECK = 0.45  # of the bottle's width
WALL_M = 0.01  # of trays and bowls, floor and rim
HOLLOW = ("tray", "bowl")  # shapes that things are put into


def mug(model: ObjectModel) -> Parts:
    """A full mug: the block around its round body, and a handle on the side of +x."""
    length, width, height = (float(s) for s in model.size_m)
    body = (1 - MUG_HANDLE) * length
    low = (-length / 2, -width / 2, -height / 2)
    handle = (MUG_HANDLE * length, 0.16 * width, 0.64 * height)
    return Parts(
        (
            box_geom((body, width, height), low, model.rgba),
            box_geom(handle, (length / 2 - handle[0], -handle[1] / 2, -handle[2] / 2), model.rgba),
        ),
        (0.92, 0.08),
    )


def bottle(model: ObjectModel) -> Parts:
    """A standing bottle: the blocks around its body and its neck."""
    length, width, height = (float(s) for s in model.size_m)
    body = BOTTLE_BODY * height
    neck = np.array([BOTTLE_NECK * length, BOTTLE_NECK * width, height - body])
    return Parts(
        (
            box_geom((length, width, body), (-length / 2, -width / 2, -height / 2), model.rgba),
            box_geom(neck, (-neck[0] / 2, -neck[1] / 2, body - height / 2), model.rgba),
        ),
        (0.85, 0.15),
    )


def tray(model: ObjectModel) -> Parts:
    """A floor with a rim on all four sides; a high one is a crate."""
    length, width, height = (float(s) for s in model.size_m)
    x, y, z = -length / 2, -width / 2, -height / 2
    rim = height - WALL_M
    sides = (
        ((WALL_M, width, rim), (x, y)),
        ((WALL_M, width, rim), (-x - WALL_M, y)),
        ((length - 2 * WALL_M, WALL_M, rim), (x + WALL_M, y)),
        ((length - 2 * WALL_M, WALL_M, rim), (x + WALL_M, -y - WALL_M)),
    )
    walls = tuple(box_geom(size, (*low, z + WALL_M), model.rgba) for size, low in sides)
    return Parts((box_geom((length, width, WALL_M), (x, y, z), model.rgba), *walls), (0.6, 0.1, 0.1, 0.1, 0.1))


def bowl(model: ObjectModel) -> Parts:
    """A round bowl as an octagon: a floor of two crossed blocks and eight walls. It is as wide as it is long."""
    size, _, height = (float(s) for s in model.size_m)
    side = size * np.tan(np.pi / 8)
    rim = height - WALL_M
    low = -height / 2 + WALL_M / 2
    floors = tuple(_turned((size, side, WALL_M), (0.0, 0.0, low), k * np.pi / 4, model.rgba) for k in range(4))
    walls = tuple(
        _turned((WALL_M, side, rim), (size / 2 - WALL_M / 2, 0.0, WALL_M / 2), k * np.pi / 4, model.rgba)
        for k in range(8)
    )
    return Parts((*floors, *walls), (*(0.1,) * 4, *(0.075,) * 8))


def _turned(size: tuple[float, ...], centre: tuple[float, ...], yaw_rad: float, rgba: np.ndarray) -> Geom:
    """A box of a size (3,) about a centre (3,), then turned about the body's vertical axis."""
    x, y, z = centre
    cos, sin = float(np.cos(yaw_rad)), float(np.sin(yaw_rad))
    half = tuple(float(s) / 2 for s in size)
    turn = (float(np.cos(yaw_rad / 2)), 0.0, 0.0, float(np.sin(yaw_rad / 2)))
    return Geom("box", half, (cos * x - sin * y, sin * x + cos * y, z), turn, tuple(rgba))
