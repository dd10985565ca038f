"""Write docs/loop.png, the picture of README.md, from a run folder: `python docs/make_picture.py runs/shoe_rack_001`.

One row per stage: the marked image, the learning curve, three moments of the motion.
"""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v2 as imageio
from PIL import Image

PICTURE = Path(__file__).with_name("loop.png")
_HEIGHT = 240
_GAP = 6
_MOMENTS = (0.0, 0.35, 1.0)


def _row(stage: Path) -> Image.Image:
    frames = imageio.mimread(stage / "rollout.mp4", memtest=False)
    tiles = [Image.open(stage / name).convert("RGB") for name in ("marked.png", "curve.png")]
    tiles += [Image.fromarray(frames[round(t * (len(frames) - 1))]) for t in _MOMENTS]
    return _join([t.resize((round(t.width * _HEIGHT / t.height), _HEIGHT), Image.Resampling.LANCZOS) for t in tiles], 0)


def _join(tiles: list[Image.Image], axis: int) -> Image.Image:
    """Tiles in a row (axis 0) or a column (axis 1) on white."""
    along, across = ("width", "height") if axis == 0 else ("height", "width")
    length = sum(getattr(t, along) for t in tiles) + _GAP * (len(tiles) - 1)
    breadth = max(getattr(t, across) for t in tiles)
    canvas = Image.new("RGB", (length, breadth) if axis == 0 else (breadth, length), "white")
    at = 0
    for tile in tiles:
        canvas.paste(tile, (at, 0) if axis == 0 else (0, at))
        at += getattr(tile, along) + _GAP
    return canvas


if __name__ == "__main__":
    run = Path(sys.argv[1])
    stages = sorted(s.parent for s in run.glob("stage_*/rollout.mp4"))
    picture = _join([_row(stage) for stage in stages], 1)
    picture.quantize(256, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
