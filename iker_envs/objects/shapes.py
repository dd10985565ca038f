"""Parametric shapes: an ObjectModel becomes geoms to collide with and geoms to look at.

Each shape is one function `ObjectModel -> Parts`, in the body frame (origin at the centre of the bounding box), in
metres. Collision geoms are few and convex; visual geoms exist for the camera alone (see looks.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from iker_envs.objects.geom import Geom, Parts, box_geom
from iker_envs.objects.household import bottle, bowl, mug, tray
from iker_envs.objects.own_mesh import mesh_parts, mesh_size_m
from iker_envs.scene import ObjectModel


def box(model: ObjectModel) -> Parts:
    """A solid box: shoe box, book, board."""
    return Parts((box_geom(model.size_m, -model.size_m / 2, model.rgba),), (1.0,))


def shoe(model: ObjectModel) -> Parts:
    """A low shoe: sole over the whole outline, vamp over the front, a flat-sided heel block that fingers can hold.

    Proportions for 28 x 10 x 9 cm: sole 3 cm, heel block 9 x 6.2 cm up to the collar, vamp 3.5 cm above the sole.
    """
    length, width, height = (float(s) for s in model.size_m)
    sole = height / 3
    heel_length = 0.32 * length
    heel_width = 0.62 * width
    x0 = -length / 2
    z0 = -height / 2
    collision = (
        box_geom((length, width, sole), (x0, -width / 2, z0), model.rgba),
        box_geom((heel_length, heel_width, height - sole), (x0 + 0.01, -heel_width / 2, z0 + sole), model.rgba),
        box_geom(
            (0.45 * length, 0.75 * width, 0.39 * height),
            (length / 2 - 0.02 - 0.45 * length, -0.375 * width, z0 + sole),
            model.rgba,
        ),
    )
    return Parts(collision, (0.5, 0.25, 0.25))


def rack(model: ObjectModel) -> Parts:
    """A low rack: a 2 cm board on four legs, open underneath."""
    length, width, height = (float(s) for s in model.size_m)
    board = 0.02
    leg = 0.03
    corners = [(sx, sy) for sx in (-1, 1) for sy in (-1, 1)]
    legs = tuple(
        Geom(
            "box",
            (leg / 2, leg / 2, (height - board) / 2),
            (sx * (length - leg) / 2, sy * (width - leg) / 2, -board / 2),
            rgba=tuple(model.rgba),
        )
        for sx, sy in corners
    )
    top = box_geom((length, width, board), (-length / 2, -width / 2, height / 2 - board), model.rgba)
    return Parts((top, *legs), (0.8, 0.05, 0.05, 0.05, 0.05))


def mesh(model: ObjectModel) -> Parts:
    """A user's own mesh in convex parts; ValueError if the model's size_m is not the mesh's, to 1 mm."""
    size = mesh_size_m(model.mesh, model.mesh_scale)
    if np.abs(model.size_m - size).max() > 0.001:
        raise ValueError(
            f"size_m of {model.name!r} is that of its mesh, {np.round(size, 4).tolist()}, not {model.size_m.tolist()}"
        )
    return mesh_parts(model.mesh, model.mesh_scale)


SHAPES: dict[str, Callable[[ObjectModel], Parts]] = {
    "box": box,
    "book": box,
    "shoe": shoe,
    "rack": rack,
    "mesh": mesh,
    "mug": mug,
    "bottle": bottle,
    "tray": tray,
    "bowl": bowl,
    "brick": box,
    "folder": box,
}


def parts(model: ObjectModel) -> Parts:
    """The geoms of a model; ValueError names the known shapes."""
    if model.shape not in SHAPES:
        raise ValueError(f"object {model.name!r} has the unknown shape {model.shape!r}; known: {', '.join(SHAPES)}")
    return SHAPES[model.shape](model)
