"""Of a recording, however long it is, the sharpest pictures of evenly long stretches: what a scan is made from.

    frame after frame  ->  Sharpest.add  ->  Sharpest.save  ->  a folder as scan_folder.py reads it

A hand that carries a camera moves it: of neighbouring pictures one is usually sharp. How many there will be need not be
known, and no more than 72 are held at a time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iker_envs.perception.board import Board
from iker_envs.perception.scan_folder import DEPTH_UNIT_M, ScanPictures, save_scan

FEWEST_KEPT = 36  # of a recording with as many pictures or more
_STEP = 2  # pixels between those that sharpness is measured at


class Sharpest:
    """Keeps the sharpest picture of every stretch; stretches double in length when there are too many of them."""

    def __init__(self, fewest: int = FEWEST_KEPT) -> None:
        self._most = 2 * fewest
        self._kept: list[tuple[float, np.ndarray, np.ndarray]] = []  # sharpness, rgb, depth in steps of 0.1 mm
        self._stride = 1
        self.num_seen = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, rgb: np.ndarray, depth_m: np.ndarray) -> None:
        """The next picture: colour (H, W, 3) uint8 and depth (H, W) in metres aligned to it, 0 where there is none."""
        depth = np.clip(np.round(depth_m / DEPTH_UNIT_M), 0, np.iinfo(np.uint16).max).astype(np.uint16)
        frame = sharpness(rgb), np.array(rgb), depth
        stretch = self.num_seen // self._stride
        self.num_seen += 1
        if stretch < len(self._kept):
            self._kept[stretch] = max(self._kept[stretch], frame, key=_by_sharpness)
            return
        self._kept.append(frame)
        if len(self._kept) > self._most:
            pairs = [self._kept[k : k + 2] for k in range(0, len(self._kept), 2)]
            self._kept = [max(pair, key=_by_sharpness) for pair in pairs]
            self._stride *= 2

    def save(self, folder: Path, K: np.ndarray, board: Board, distortion: np.ndarray) -> ScanPictures:
        """Write them with the camera's K (3, 3), pixel centres at half-integers, and its distortion (5,)."""
        pictures = ((rgb, depth.astype(np.float32) * np.float32(DEPTH_UNIT_M)) for _, rgb, depth in self._kept)
        return save_scan(folder, pictures, K, board, distortion)


def _by_sharpness(frame: tuple[float, np.ndarray, np.ndarray]) -> float:
    return frame[0]


def sharpness(rgb: np.ndarray) -> float:
    """Mean squared step from pixel to pixel of the green of a picture (H, W, 3): blur takes the steep ones away."""
    green = rgb[..., 1].astype(np.float32)
    across = np.diff(green[::_STEP], axis=1)
    down = np.diff(green[:, ::_STEP], axis=0)
    return float(np.square(across).mean() + np.square(down).mean())
