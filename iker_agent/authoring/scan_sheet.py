"""The contact sheet of a scan: some of its pictures, the scan from six sides with its keypoints, what was measured.

ScannedObject, ObjectModel, ScanPictures, notes  ->  scan_sheet  ->  picture
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from iker_agent.authoring.scanned import ScannedObject
from iker_envs.perception.scan_folder import ScanPictures
from iker_envs.scene import ObjectModel

_CELL_PX = 360
_GAP_PX = 10
_TITLE_PX = 34
_FONT_PX = 15
_PAPER = (255, 255, 255)
_INK = (25, 25, 25)
_POINT = (220, 30, 90)
_SAMPLES = 120_000
_FILL = 0.86  # of a cell that the mesh takes
_LIGHT = np.array([0.3, 0.4, 0.87])
# Name, the direction that is right and the one that is up.
_VIEWS = (
    ("from its left", (1, 0, 0), (0, 0, 1)),
    ("from its front", (0, 1, 0), (0, 0, 1)),
    ("from above", (0, -1, 0), (1, 0, 0)),
    ("from its right", (-1, 0, 0), (0, 0, 1)),
    ("from behind", (0, -1, 0), (0, 0, 1)),
    ("from below", (0, 1, 0), (1, 0, 0)),
)


def scan_sheet(
    made: ScannedObject, model: ObjectModel, pictures: ScanPictures, used: Sequence[str], notes: Sequence[str]
) -> PillowImage.Image:
    """Three rows of three cells: pictures, then views of the mesh; a title above, notes below."""
    step = _CELL_PX + _GAP_PX
    text_px = (_FONT_PX + 7) * (len(notes) + 1)
    sheet = PillowImage.new("RGB", (3 * step + _GAP_PX, _TITLE_PX + 3 * step + text_px), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_FONT_PX)
    size = " x ".join(f"{100 * s:.1f}" for s in model.size_m)
    title = f"{model.name}: {size} cm, {model.mass_kg:g} kg, {len(made.faces)} faces, {model.shape}"
    pen.text((_GAP_PX, 9), title, fill=_INK, font=ImageFont.load_default(size=19))
    cells = [_picture(pictures, name) for name in _spread(used, 3)]
    cells += [_view(made, model, np.array(right), np.array(up)) for _, right, up in _VIEWS]
    names = [*_spread(used, 3), *(name for name, _, _ in _VIEWS)]
    for index, (cell, name) in enumerate(zip(cells, names, strict=True)):
        place = (_GAP_PX + index % 3 * step, _TITLE_PX + index // 3 * step)
        sheet.paste(cell, place)
        pen.text((place[0] + 6, place[1] + 5), name, fill=_INK, font=font)
    for line, note in enumerate(notes):
        pen.text((_GAP_PX, _TITLE_PX + 3 * step + line * (_FONT_PX + 7)), note, fill=_INK, font=font)
    return sheet


def _spread(names: Sequence[str], count: int) -> list[str]:
    return [names[int(i)] for i in np.linspace(0, len(names) - 1, count + 1)[:count]]


def _picture(pictures: ScanPictures, name: str) -> PillowImage.Image:
    index = [file for file, _ in pictures.files].index(name)
    rgb = PillowImage.fromarray(pictures.picture(index).rgb)
    side = min(rgb.size)
    left = (rgb.width - side) // 2
    top = (rgb.height - side) // 2
    return rgb.crop((left, top, left + side, top + side)).resize((_CELL_PX, _CELL_PX))


def _view(made: ScannedObject, model: ObjectModel, right: np.ndarray, up: np.ndarray) -> PillowImage.Image:
    """The scan without perspective: a dense sample of its surface, the nearest point of every pixel."""
    points, normals, colours = _sample(made)
    towards = np.cross(right, up)
    scale = _FILL * _CELL_PX / float(np.ptp(made.vertices, axis=0).max())
    column, row = _pixels(points, right, up, scale)
    shade = 0.6 + 0.4 * np.clip(normals @ (_LIGHT @ np.stack([right, towards, up])), 0, 1)
    order = np.argsort(points @ towards)  # the nearest are drawn last
    order = order[normals[order] @ towards > 0]
    picture = np.full((_CELL_PX, _CELL_PX, 3), 243, np.uint8)
    lit = np.clip(255 * colours[order] * shade[order, None], 0, 255).astype(np.uint8)
    down, across = (np.tile(offset.ravel(), len(order)) for offset in np.mgrid[-1:2, -1:2])
    rows = np.clip(np.repeat(row[order], 9) + down, 0, _CELL_PX - 1)
    columns = np.clip(np.repeat(column[order], 9) + across, 0, _CELL_PX - 1)
    picture[rows, columns] = np.repeat(lit, 9, axis=0)
    cell = PillowImage.fromarray(picture)
    pen = ImageDraw.Draw(cell)
    for number, point in enumerate(model.control_keypoints_m(), 1):
        x, y = (int(v[0]) for v in _pixels(point[None], right, up, scale))
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_POINT)
        pen.text((x + 7, y - 8), str(number), fill=_POINT, font=ImageFont.load_default(size=_FONT_PX))
    return cell


def _pixels(points: np.ndarray, right: np.ndarray, up: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    column = _CELL_PX / 2 + scale * (points @ right)
    row = _CELL_PX / 2 - scale * (points @ up)
    return np.round(column).astype(int), np.round(row).astype(int)


def _sample(made: ScannedObject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, normals and colours (K, 3) spread over the scan as it will be drawn."""
    look = made.look
    corners = look.vertices[look.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    rng = np.random.default_rng(0)
    face = rng.choice(len(area), _SAMPLES, p=area / area.sum())
    u, v = rng.random((2, _SAMPLES, 1))
    flip = u + v > 1
    weights = np.hstack([1 - np.where(flip, 2 - u - v, u + v), np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)])
    normals = cross / np.maximum(area, 1e-18)[:, None]
    points = np.einsum("kc,kci->ki", weights, corners[face])
    colours = np.einsum("kc,kci->ki", weights, look.colours[look.faces[face]])
    return points, normals[face], colours
