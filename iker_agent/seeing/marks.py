"""Numbered marks on the query image: what the vision-language model is shown.

    image, keypoints  ->  layout      ->  where labels and the axis glyph go
                      ->  draw_marks  ->  rgb (H, W, 3) uint8

A yellow dot with a black rim lies exactly on each drawn keypoint; its number stands beside it, white on a black chip
(the style that was read best on clutter), tied to the dot by a thin leader. The glyph at the bottom right shows the
base frame's +x and +y as the camera sees them, since prompts speak of up and left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from iker_agent.seeing.keypoints import Keypoints
from iker_agent.seeing.label_layout import Box, place_labels
from iker_envs.geometry import rotation_matrix
from iker_envs.scene import Image

MIN_FONT_PX = 18  # smaller numbers were misread
MAX_AXIS_ERROR_RAD = np.deg2rad(20.0)
DOT_RADIUS_PX = 5.0
DOT_RGB = (255, 221, 0)
_BLACK = (0, 0, 0)
_WHITE = (255, 255, 255)
_X_RGB = (200, 0, 0)
_Y_RGB = (0, 120, 0)
_Z_RGB = (0, 60, 200)
_GLYPH_SIDE_EM = 4.6  # of the font size
_SHORT_EM = 1.4  # length of three axes, which need room on both sides


class Layout(NamedTuple):
    """Pixel boxes (left, top, right, bottom): the chip of each drawn label, and the axis glyph."""

    labels: dict[str, Box]
    glyph: Box


def draw_marks(
    image: Image, keypoints: Keypoints, font_px: int = MIN_FONT_PX, *, from_above: bool = True
) -> np.ndarray:
    """The image's rgb (H, W, 3) uint8 with the drawn keypoints marked and the axes shown; the input is left as it is.

    `font_px` is the numbers' font size. ValueError if that is below 18, or, unless `from_above` is False (then all
    three axes are shown), if the camera shows +x more than 20 degrees off image-up or +y more than that off image-left.
    """
    axes = _axes_in_image(image) if from_above else _all_axes(image)
    plan = _layout(image, keypoints, font_px)
    canvas = np.array(image.rgb, dtype=np.float32)
    dots = _drawn_pixels(keypoints)
    for label, box in plan.labels.items():
        _stroke(canvas, dots[label], _centre(box), 1.5, _BLACK)
        _stroke(canvas, dots[label], _centre(box), 0.7, _WHITE)
    for dot in dots.values():
        _stroke(canvas, dot, dot, DOT_RADIUS_PX + 1.5, _BLACK)
        _stroke(canvas, dot, dot, DOT_RADIUS_PX, DOT_RGB)
    picture = PillowImage.fromarray((canvas + 0.5).astype(np.uint8))
    for label, box in plan.labels.items():
        _draw_chip(picture, box, label, font_px)
    _draw_glyph(picture, plan.glyph, axes, font_px)
    return np.asarray(picture)


def layout(image: Image, keypoints: Keypoints, font_px: int = MIN_FONT_PX) -> Layout:
    """Where the labels and the glyph go; a function of its arguments alone. Errors as in `draw_marks`."""
    _axes_in_image(image)
    return _layout(image, keypoints, font_px)


def _layout(image: Image, keypoints: Keypoints, font_px: int) -> Layout:
    if font_px < MIN_FONT_PX:
        raise ValueError(f"numbers of {font_px} px cannot be read reliably; use at least {MIN_FONT_PX}")
    height, width = image.rgb.shape[:2]
    dots = _drawn_pixels(keypoints)
    glyph = _glyph_box(np.array(list(dots.values())).reshape(-1, 2), width, height, _GLYPH_SIDE_EM * font_px)
    sizes = {label: _chip_size(label, font_px) for label in dots}
    return Layout(
        place_labels(dots, sizes, (width, height), _outward(keypoints, dots), (glyph,), DOT_RADIUS_PX + 2),
        glyph,
    )


def _drawn_pixels(keypoints: Keypoints) -> dict[str, np.ndarray]:
    drawn = zip(keypoints.labels, keypoints.pixels, keypoints.drawn, strict=True)
    return {label: np.array(pixel) for label, pixel, is_drawn in drawn if is_drawn}


def _outward(keypoints: Keypoints, dots: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For every drawn label the direction (2,) from the middle of its object's drawn dots."""
    owner = dict(zip(keypoints.labels, keypoints.objects, strict=True))
    middle = {
        o: np.mean([d for label, d in dots.items() if owner[label] == o], axis=0)
        for o in {owner[label] for label in dots}
    }
    return {label: dot - middle[owner[label]] for label, dot in dots.items()}


def _axes_in_image(image: Image) -> np.ndarray:
    """Image directions (2, 2) of the base's +x and +y, unit vectors right and down, at the image's centre."""
    seen = rotation_matrix(image.T_world_cam[3:])[:2, :2]  # rows: world x and y; columns: right and down
    wanted = np.array([[0.0, -1.0], [-1.0, 0.0]])
    names = (("+x", "up"), ("+y", "left"))
    axes = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-12)
    for axis, want, (name, side) in zip(axes, wanted, names, strict=True):
        error = np.arccos(np.clip(axis @ want, -1.0, 1.0))
        if error > MAX_AXIS_ERROR_RAD:
            raise ValueError(
                f"the camera shows {name} {np.rad2deg(error):.0f} degrees off image-{side}, but prompts say that "
                f"{name} is {side}; use a camera within {np.rad2deg(MAX_AXIS_ERROR_RAD):.0f} degrees or turn the image."
            )
    return axes


def _all_axes(image: Image) -> np.ndarray:
    """Image directions (3, 2) of the base's +x, +y and +z, right and down, as long as the camera sees them."""
    return np.array(rotation_matrix(image.T_world_cam[3:])[:, :2])


def _glyph_box(dots: np.ndarray, width: int, height: int, side: float) -> Box:
    """A square at the bottom right; where dots lie there, moved left along the edge, else up along the right edge."""
    gap = 4.0
    step = side / 4
    rights = np.arange(width - gap, side + gap, -step)
    bottoms = np.arange(height - gap, side + gap, -step)
    places = [(r, height - gap) for r in rights] + [(width - gap, b) for b in bottoms]
    clear = 2 * DOT_RADIUS_PX

    def covered(corner: tuple[float, float]) -> int:
        low = np.array(corner) - side - clear
        high = np.array(corner) + clear
        return int(np.sum(np.all((dots > low) & (dots < high), axis=1)))

    right, bottom = min(places, key=covered)  # the first of the best
    return (right - side, bottom - side, right, bottom)


def _chip_size(label: str, font_px: int) -> tuple[float, float]:
    left, _, right, _ = _font(font_px).getbbox(label, stroke_width=_weight(font_px))
    return float(round(right - left + 0.55 * font_px)), float(round(1.25 * font_px))


def _font(font_px: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=font_px)


def _weight(font_px: float) -> float:
    return font_px / 36  # Pillow's own font is a thin one


def _centre(box: Box) -> np.ndarray:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def _stroke(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float, rgb: tuple[int, int, int]) -> None:
    """Blend a line with round ends into the canvas (H, W, 3), exact to a fraction of a pixel; start = end is a dot."""
    height, width = canvas.shape[:2]
    low = np.floor(np.minimum(start, end) - radius - 1).astype(int)
    high = np.ceil(np.maximum(start, end) + radius + 2).astype(int)
    (x0, y0) = np.clip(low, 0, [width, height])
    (x1, y1) = np.clip(high, 0, [width, height])
    u, v = np.meshgrid(np.arange(x0, x1) + 0.5 - start[0], np.arange(y0, y1) + 0.5 - start[1])
    along = end - start
    share = np.clip((u * along[0] + v * along[1]) / max(along @ along, 1e-9), 0, 1)
    distance = np.hypot(u - share * along[0], v - share * along[1])
    cover = np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    canvas[y0:y1, x0:x1] += cover * (np.array(rgb) - canvas[y0:y1, x0:x1])


def _draw_chip(picture: PillowImage.Image, box: Box, text: str, font_px: int) -> None:
    pen = ImageDraw.Draw(picture)
    left, top, right, bottom = (round(b) for b in box)
    pen.rounded_rectangle((left, top, right - 1, bottom - 1), 4, fill=_BLACK, outline=_WHITE, width=1)
    x, y = _centre(box)
    pen.text((x, y), text, font=_font(font_px), fill=_WHITE, anchor="mm", stroke_width=_weight(font_px))


def _draw_glyph(picture: PillowImage.Image, box: Box, axes: np.ndarray, font_px: int) -> None:
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle(box, 6, fill=_WHITE, outline=_BLACK, width=2)
    middle = _centre(box) - 0.5 * _SHORT_EM * font_px * (axes.min(axis=0).clip(max=0) + axes.max(axis=0).clip(min=0))
    is_above = len(axes) == 2
    origin = np.array([box[2], box[3]]) - 1.1 * font_px if is_above else middle
    text_at = ((-1.0, 0.2), (0.35, -0.9))  # beside each tip, in font sizes
    for k, (axis, name, rgb) in enumerate(zip(axes, ("+x", "+y", "+z"), (_X_RGB, _Y_RGB, _Z_RGB), strict=False)):
        length = max(float(np.linalg.norm(axis)), 1e-6)
        along = axis / length
        tip = origin + (2.9 if is_above else _SHORT_EM) * font_px * axis
        side = np.array([-along[1], along[0]])
        neck = tip - 0.6 * font_px * along
        pen.line((*origin, *neck), fill=rgb, width=max(3, font_px // 6))
        pen.polygon([tuple(p) for p in (tip, neck + 0.32 * font_px * side, neck - 0.32 * font_px * side)], fill=rgb)
        place = tip + font_px * (np.array(text_at[k]) if is_above else 0.75 * along)
        pen.text(place, name, font=_font(font_px), fill=rgb, anchor="mm", stroke_width=_weight(font_px))
