"""What objects look like to the camera: an ObjectModel becomes visual geoms (no physics).

    ObjectModel  ->  visual_geoms  ->  Geoms in the body frame, metres, colours RGBA in [0, 1]

Each look keeps to the model's bounding box, takes `rgba` as its main colour and is built of one colour per geom, so
that every renderer shows the same. A shape without a look of its own shows its collision parts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from iker_envs.objects.footwear import shoe_look
from iker_envs.objects.geom import INK, PAPER, Geom, block, opaque
from iker_envs.objects.household_looks import bottle_look, bowl_look, brick_look, folder_look, mug_look, tray_look
from iker_envs.objects.own_mesh import mesh_look
from iker_envs.objects.shapes import parts
from iker_envs.scene import ObjectModel

_BOOK_THICKNESS_RATIO = 0.4  # a movable block thinner than this share of its middle side is a book
_SKIN_M = 0.0008  # print and labels stand out by this much


def visual_geoms(model: ObjectModel) -> tuple[Geom, ...]:
    """The geoms that the camera sees."""
    return LOOKS.get(model.shape, _plain)(model)


def block_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A box: furniture (no mass) is a plain board, a flat one a book, any other a shoe box."""
    if model.mass_kg == 0:
        return _plain(model)
    thickness, middle, _ = np.sort(model.size_m)
    return book_look(model) if thickness < _BOOK_THICKNESS_RATIO * middle else shoe_box_look(model)


def shoe_box_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A carton with a lid over it; a printed label on the end that faces -x, a band and a mark on the lid."""
    main = model.rgba[:3]
    half = model.size_m / 2
    lid = half[2] * 0.42  # the lid comes down to here
    step = 0.0025
    outer = half - _SKIN_M
    body = block((-outer[0] + step, -outer[1] + step, -half[2]), (outer[0] - step, outer[1] - step, lid), 0.72 * main)
    cover = block((-outer[0], -outer[1], lid), (outer[0], outer[1], outer[2]), main)
    bright = PAPER if main.mean() < 0.7 else INK
    band = block((0.30 * half[0], -half[1], lid), (0.42 * half[0], half[1], half[2]), bright)
    mark = Geom(
        "cylinder",
        (0.34 * half[1], half[2] / 2, 0.0),
        (-0.25 * half[0], 0.0, half[2] / 2),
        rgba=opaque(bright),
    )
    return (body, cover, band, mark, *_label(half, lid, step))


def _label(half: np.ndarray, lid: float, step: float) -> tuple[Geom, ...]:
    """White paper with lines of print and a bar code on the carton's -x end."""
    width = 0.42 * half[1]
    top = lid - 0.12 * half[2]
    bottom = -0.72 * half[2]
    x = -half[0] + step
    sheet = block((x, -width, bottom), (x + 0.01, width, top), PAPER)
    marks = []
    for row in range(3):
        z = top - (0.16 + 0.2 * row) * (top - bottom)
        marks.append(block((x - _SKIN_M, -0.8 * width, z), (x, (0.7 - 0.35 * row) * width, z + 0.08 * half[2]), INK))
    for k in range(6):
        y = (-0.8 + 0.28 * k) * width
        high = bottom + 0.32 * (top - bottom)
        marks.append(block((x - _SKIN_M, y, bottom + 0.06 * half[2]), (x, y + 0.12 * width, high), INK))
    return (sheet, *marks)


def book_look(model: ObjectModel) -> tuple[Geom, ...]:
    """Covers in the main colour, light pages on three sides, a darker spine with a title, a title on both covers.

    The thinnest side is the thickness. The spine runs along the longest side: on +y where that is x, else on the -x
    side (or +z if x is the thickness). Where that is z, as it is for a standing book, titles are near its top.
    """
    axes = np.argsort(model.size_m, kind="stable")
    thin, across, along = (int(a) for a in axes)
    main = model.rgba[:3]
    half = model.size_m / 2
    board = min(0.0035, 0.2 * half[thin])
    edge = min(0.005, 0.08 * half[across])

    def piece(span_across, span_along, span_thin, rgb) -> Geom:
        low = np.zeros(3)
        high = np.zeros(3)
        for axis, span in ((across, span_across), (along, span_along), (thin, span_thin)):
            low[axis], high[axis] = span
        return block(low, high, rgb)

    a = half[across]
    b = half[along]
    t = half[thin] - _SKIN_M
    bright = PAPER if main.mean() < 0.6 else INK
    standing = along == 2
    side = -1.0 if standing else 1.0  # where the spine is
    covers = [piece((-a, a), (-b, b), span, main) for span in ((t - board, t), (-t, board - t))]
    paper = sorted((side * (edge - a), side * (a - board)))
    pages = piece(paper, (-b + edge, b - edge), (-t + board, t - board), PAPER)

    def edge_piece(near: float, far: float, span_along, span_thin, rgb) -> Geom:
        """From `near` to `far` of the half width, measured towards the spine."""
        return piece(sorted((side * near * a, side * far * a)), span_along, span_thin, rgb)

    print_m = (-half[thin], half[thin])
    spine = edge_piece(0.95 - board / a, 1.0 - _SKIN_M / a, (-b, b), (-t - _SKIN_M / 2, t + _SKIN_M / 2), 0.6 * main)
    if standing:
        titles = [
            piece((-0.62 * a, 0.62 * a), (0.42 * b, 0.66 * b), print_m, bright),
            piece((-0.35 * a, 0.35 * a), (0.16 * b, 0.26 * b), print_m, bright),
            piece((-0.30 * a, 0.30 * a), (-0.72 * b, -0.64 * b), print_m, bright),
            edge_piece(0.9, 1.0, (-0.1 * b, 0.66 * b), (-0.45 * t, 0.45 * t), bright),
        ]
    else:
        titles = [
            piece((0.25 * a, 0.5 * a), (-0.6 * b, 0.6 * b), print_m, bright),
            piece((-0.05 * a, 0.08 * a), (-0.35 * b, 0.35 * b), print_m, bright),
        ]
    return (*covers, pages, spine, *titles)


def rack_look(model: ObjectModel) -> tuple[Geom, ...]:
    """The legs and the board of the collision shape, the board with slats along y on top."""
    main = model.rgba[:3]
    half = model.size_m / 2
    board, *legs = parts(model).collision
    slat_m = 0.004
    groove_m = 0.004
    count = max(2, round(model.size_m[0] / 0.055))
    pitch = (model.size_m[0] + groove_m) / count
    top = half[2]
    low = half[2] - 2 * board.half_size_m[2]
    under = block((-half[0], -half[1], low), (half[0], half[1], top - slat_m), 0.62 * main)
    starts = -half[0] + pitch * np.arange(count)
    slats = [block((x, -half[1], top - slat_m), (x + pitch - groove_m, half[1], top), main) for x in starts]
    return (under, *slats, *(_recoloured(leg, 0.8 * main) for leg in legs))


def own_mesh_look(model: ObjectModel) -> tuple[Geom, ...]:
    """A user's mesh in the model's colour."""
    return mesh_look(model.mesh, model.mesh_scale, tuple(model.rgba))


def _plain(model: ObjectModel) -> tuple[Geom, ...]:
    return parts(model).collision


def _recoloured(geom: Geom, rgb: np.ndarray) -> Geom:
    return Geom(geom.kind, geom.half_size_m, geom.position_m, geom.quaternion, opaque(rgb))


LOOKS: dict[str, Callable[[ObjectModel], tuple[Geom, ...]]] = {
    "shoe": shoe_look,
    "rack": rack_look,
    "box": block_look,
    "book": book_look,
    "mesh": own_mesh_look,
    "mug": mug_look,
    "bottle": bottle_look,
    "tray": tray_look,
    "bowl": bowl_look,
    "brick": brick_look,
    "folder": folder_look,
}
