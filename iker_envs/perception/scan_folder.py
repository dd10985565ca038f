"""What an object is scanned from: a folder of colour and depth pictures, taken around it on the marker board.

    folder/scan.yaml + pictures  ->  load_scan  ->  ScanPictures
    save_scan writes such a folder

`scan.yaml` holds K, frames (a list of {picture, depth}), and may hold distortion, depth_unit_m (of the 16-bit depth
pictures, default 0.001) and board. Depth is aligned to colour.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from iker_envs.contract import check_fields, check_number
from iker_envs.documents import read_document, shown
from iker_envs.perception.board import Board

FILE = "scan.yaml"
_MAX_FRAMES = 2000
_DEPTH_UNIT_M = 0.001
DEPTH_UNIT_M = 1e-4  # of what `save_scan` writes


@dataclass(frozen=True, eq=False)
class ScanPicture:
    """One colour picture (H, W, 3) uint8 and depths (H, W) in metres, 0 where nothing was measured."""

    name: str
    rgb: np.ndarray
    depth_m: np.ndarray


@dataclass(frozen=True, eq=False)
class ScanPictures:
    """Names of files and what they need to be read; pictures are opened one at a time."""

    folder: Path
    files: tuple[tuple[str, str], ...]  # picture, depth
    K: np.ndarray
    board: Board = field(default_factory=Board)
    depth_unit_m: float = _DEPTH_UNIT_M
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(5))

    def picture(self, index: int) -> ScanPicture:
        """Open a pair; ValueError names the file that cannot be read or does not fit."""
        name, depth_name = self.files[index]
        rgb = np.asarray(opened_picture(self.folder / name).convert("RGB"))
        raw = np.asarray(opened_picture(self.folder / depth_name))
        if raw.ndim != 2 or raw.shape != rgb.shape[:2]:
            raise ValueError(
                f"{shown(depth_name)} is a picture of {raw.shape}, not one number a pixel of {rgb.shape[:2]}; align "
                "depth to colour"
            )
        return ScanPicture(name, rgb, raw.astype(np.float32) * np.float32(self.depth_unit_m))


def opened_picture(path: Path) -> PillowImage.Image:
    """The picture in a file; ValueError names the file if it cannot be read."""
    try:
        return PillowImage.open(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"the picture {shown(str(path))} cannot be read: {error}") from None


def load_scan(folder: str | Path) -> ScanPictures:
    """Read a folder; ValueError names the file and what is wrong in it."""
    path = Path(folder) / FILE
    content = read_document(path)
    try:
        return _pictures(content, Path(folder))
    except (ValueError, TypeError) as error:
        raise ValueError(f"the scan {shown(str(path))}: {error}") from None


@dataclass(frozen=True, eq=False)
class ScanHead:
    """What every form of a recording says of its camera and of the board under the object."""

    K: np.ndarray  # (3, 3), pixel centres at half-integers
    board: Board
    depth_unit_m: float
    distortion: np.ndarray  # (5,) OpenCV's


def read_head(content: Any, *more: str) -> ScanHead:
    """The head in a mapping that somebody wrote, which holds the fields `more` beside it; ValueError if not."""
    if not isinstance(content, Mapping):
        raise ValueError(f"it is a mapping of K, {', '.join(more)} and the other fields")
    check_fields("a scan", content, ("K", *more, "distortion", "depth_unit_m", "board"))
    for name in ("K", *more):
        if name not in content:
            raise ValueError(f"{name} is missing")
    board = content.get("board", {})
    if not isinstance(board, Mapping):
        raise ValueError("board is a mapping of columns, rows and square_m")
    check_fields("board", board, ("columns", "rows", "square_m"))
    return ScanHead(
        _numbers("K", content["K"], (3, 3)),
        Board(**board),
        check_number("depth_unit_m", content.get("depth_unit_m", _DEPTH_UNIT_M), above=0),
        _numbers("distortion", content.get("distortion", [0.0] * 5), (5,)),
    )


def _pictures(content: Any, folder: Path) -> ScanPictures:
    head = read_head(content, "frames")
    frames = content["frames"]
    if not isinstance(frames, list) or not 0 < len(frames) <= _MAX_FRAMES:
        raise ValueError(f"frames is a list of 1 to {_MAX_FRAMES} entries")
    files = tuple(_pair(number, frame) for number, frame in enumerate(frames))
    return ScanPictures(folder, files, head.K, head.board, head.depth_unit_m, head.distortion)


def _pair(number: int, frame: Any) -> tuple[str, str]:
    if not isinstance(frame, Mapping):
        raise ValueError(f"frame {number} has a picture and a depth")
    check_fields(f"frame {number}", frame, ("picture", "depth"))
    names = []
    for key in ("picture", "depth"):
        name = frame.get(key)
        if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{key} of frame {number} is the name of a file in the folder, not {shown(name)}")
        names.append(name)
    return names[0], names[1]


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} is {' x '.join(map(str, shape))} finite numbers, not {shown(value)}")
    return array


def save_scan(
    folder: str | Path,
    pictures: Iterable[tuple[np.ndarray, np.ndarray]],
    K: np.ndarray,
    board: Board,
    distortion: np.ndarray | None = None,
) -> ScanPictures:
    """Write pairs of colour (H, W, 3) uint8 and depth (H, W) in metres, depths in steps of 0.1 mm."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for number, (rgb, depth_m) in enumerate(pictures):
        frames.append({"picture": f"{number:03d}.png", "depth": f"{number:03d}_depth.png"})
        PillowImage.fromarray(rgb).save(folder / frames[-1]["picture"])
        PillowImage.fromarray(np.round(depth_m / DEPTH_UNIT_M).astype(np.uint16)).save(folder / frames[-1]["depth"])
    head = {
        "K": np.asarray(K).tolist(),
        "distortion": [0.0] * 5 if distortion is None else np.asarray(distortion).tolist(),
        "depth_unit_m": DEPTH_UNIT_M,
        "board": {"columns": board.columns, "rows": board.rows, "square_m": board.square_m},
        "frames": frames,
    }
    (folder / FILE).write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")  # JSON is YAML
    return load_scan(folder)
