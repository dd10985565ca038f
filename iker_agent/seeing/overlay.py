"""Estimated poses drawn where people can judge them: model outlines on the picture of every camera.

View, Scene, {object: Estimate}  ->  draw_overlay  ->  rgb (H, W, 3) uint8

An object that cannot be trusted has a red, broken outline. Models come from `iker_envs.perception.surfaces`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes

from iker_envs.geometry import pose_apply
from iker_envs.optics import project
from iker_envs.perception import Estimate
from iker_envs.perception.surfaces import SurfaceModel, surface_model
from iker_envs.scene import Image, Scene, View

_COLOURS = ((0, 220, 255), (255, 221, 0), (255, 120, 255), (120, 255, 120), (255, 160, 60), (160, 180, 255))
_REFUSED = (255, 40, 40)
_TILE_WIDTH = 480
_COLUMNS = 3
_FONT_PX = 14
_DASH_PX = 10


def draw_overlay(view: View, scene: Scene, estimates: Mapping[str, Estimate]) -> np.ndarray:
    """A sheet of the view's pictures, at most three in a row, with the outline and the name of every estimate."""
    tiles = [_tile(name, image, scene, estimates) for name, image in view.cameras.items()]
    columns = min(_COLUMNS, len(tiles))
    width = max(tile.width for tile in tiles)
    height = max(tile.height for tile in tiles)
    sheet = PillowImage.new("RGB", (columns * width, -(-len(tiles) // columns) * height), (32, 32, 32))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * width, number // columns * height))
    return np.array(sheet)


def _tile(camera: str, image: Image, scene: Scene, estimates: Mapping[str, Estimate]) -> PillowImage.Image:
    canvas = np.array(image.rgb)
    places = {}
    for k, (name, estimate) in enumerate(estimates.items()):
        colour = _REFUSED if estimate.why else _COLOURS[k % len(_COLOURS)]
        outline = _outline(surface_model(scene.object(name).model), estimate.pose, image, is_broken=bool(estimate.why))
        canvas[outline] = colour
        if outline.any():
            rows, columns = np.nonzero(outline)
            places[name] = (float(columns.mean()), float(rows.min()), colour)
    scale = _TILE_WIDTH / canvas.shape[1]
    tile = PillowImage.fromarray(canvas).resize((_TILE_WIDTH, round(scale * canvas.shape[0])))
    draw = ImageDraw.Draw(tile)
    font = ImageFont.load_default(_FONT_PX)
    draw.text((6, 4), camera, fill=(255, 255, 255), font=font, stroke_width=2, stroke_fill=(0, 0, 0))
    for name, (x, y, colour) in places.items():
        at = (x * scale, max(y * scale - 4, 2 * _FONT_PX))
        draw.text(at, name, fill=colour, font=font, anchor="ms", stroke_width=2, stroke_fill=(0, 0, 0))
    return tile


def _outline(model: SurfaceModel, pose: np.ndarray, image: Image, *, is_broken: bool) -> np.ndarray:
    """Pixels (H, W) around where the model at a pose (7,) would be seen with nothing in front of it."""
    height, width = image.depth_m.shape
    pixels, depth = project(pose_apply(pose, model.points.astype(float)), image.K, image.T_world_cam)
    front = pixels[depth > 0.05]
    inside = front[((front >= 0) & (front < (width, height))).all(axis=1)].astype(int)
    mask = np.zeros((height, width), dtype=bool)
    mask[inside[:, 1], inside[:, 0]] = True
    spread = max(1, round(width / 200))  # points are 4 mm apart, some pixels
    mask = binary_erosion(binary_dilation(mask, iterations=spread), iterations=spread)
    mask = binary_fill_holes(mask)
    edge = binary_dilation(mask, iterations=2) & ~mask
    if is_broken:
        rows, columns = np.indices(edge.shape)
        edge &= (rows + columns) // _DASH_PX % 2 == 0
    return edge
