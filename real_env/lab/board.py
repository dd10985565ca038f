"""The marker board in an emulated laboratory: on its table or in its hand, printed, in front of what lies behind it.

    rgb, depth of a camera without the board  ->  BoardInLab.paint  ->  with it

Colours are the mean of a few rays a pixel, so that edges of squares are as smooth as a lens makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from iker_envs.perception.board import Board
from iker_envs.perception.board_pdf import black_rectangles
from iker_envs.perception.rigid import inverse, matrix_of
from iker_envs.scene import Camera

_PER_M = 4000  # pixels of the printed page
_PAPER_M = 0.012  # white around the squares
_INK, _WHITE = 35, 225
_RAYS = 3  # a pixel, each way
_NEAR_M = 0.05


@dataclass(frozen=True, eq=False)
class BoardInLab:
    """A board at a pose (7,): in the base frame, or in the hand's while `in_hand`; its back is blank."""

    board: Board
    pose: np.ndarray
    in_hand: bool

    def paint(self, rgb: np.ndarray, depth_m: np.ndarray, camera: Camera, hand: np.ndarray):
        """The pictures with the board in them, where nothing is nearer; the hand is at a pose (7,)."""
        place = matrix_of(self.pose)
        seen = inverse(matrix_of(camera.pose_world)) @ (matrix_of(hand) @ place if self.in_hand else place)
        half = self.board.size_m / 2 + _PAPER_M
        corners = np.array([[x, y, 0.0, 1.0] for x in (-half[0], half[0]) for y in (-half[1], half[1])]) @ seen.T
        if corners[:, 2].min() < _NEAR_M:
            return rgb, depth_m
        K = camera.intrinsics()
        image = corners[:, :3] @ K.T
        pixels = image[:, :2] / image[:, 2:]
        left, top = np.clip(np.floor(pixels.min(axis=0)).astype(int), 0, (camera.width, camera.height))
        right, low = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 1, 0, (camera.width, camera.height))
        if right <= left or low <= top:
            return rgb, depth_m
        window = np.s_[top:low, left:right]
        grey, share, distance = self._rays(seen, K, (left, top, right, low), half)
        before = (share > 0) & ((depth_m[window] == 0) | (distance < depth_m[window]))
        rgb, depth_m = rgb.copy(), depth_m.copy()
        mixed = (1 - share)[..., None] * rgb[window] + grey[..., None]
        rgb[window] = np.where(before[..., None], np.round(mixed), rgb[window]).astype(np.uint8)
        depth_m[window] = np.where(before & (share > 0.5), distance, depth_m[window])
        return rgb, depth_m

    def _rays(self, seen: np.ndarray, K: np.ndarray, window: tuple[int, ...], half: np.ndarray):
        """Grey that the board adds to each pixel of a window, the share of it that it covers, its depth there."""
        left, top, right, low = window
        offsets = (np.arange(_RAYS) + 0.5) / _RAYS
        u = (np.arange(left, right)[:, None] + offsets).ravel()
        v = (np.arange(top, low)[:, None] + offsets).ravel()
        rays = np.stack(np.meshgrid((u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]), axis=-1)
        rays = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=-1)
        along = rays @ seen[:3, 2]
        distance = (seen[:3, 2] @ seen[:3, 3]) / np.where(np.abs(along) < 1e-9, np.inf, along)
        flat = (rays * distance[..., None] - seen[:3, 3]) @ seen[:3, :2]
        on = (np.abs(flat) < half).all(axis=-1) & (distance > _NEAR_M)
        is_front = seen[:3, 2] @ seen[:3, 3] < 0
        page = _printed(self.board)
        column = np.clip(((flat[..., 0] + half[0]) * _PER_M).astype(int), 0, page.shape[1] - 1)
        row = np.clip(((half[1] - flat[..., 1]) * _PER_M).astype(int), 0, page.shape[0] - 1)
        grey = np.where(on, page[row, column] if is_front else _WHITE, 0.0)
        shape = (low - top, _RAYS, right - left, _RAYS)
        grey, share = (np.asarray(x, dtype=float).reshape(shape).mean(axis=(1, 3)) for x in (grey, on))
        middle = distance[_RAYS // 2 :: _RAYS, _RAYS // 2 :: _RAYS]
        return grey, share, middle


@lru_cache(2)
def _printed(board: Board) -> np.ndarray:
    width, height = (round(s * _PER_M) for s in board.size_m + 2 * _PAPER_M)
    page = np.full((height, width), _WHITE, np.uint8)
    for left, top, w, h in black_rectangles(board):
        x, y, right, low = (round((v + _PAPER_M) * _PER_M) for v in (left, top, left + w, top + h))
        page[y:low, x:right] = _INK
    return page


def board_from(order: dict) -> BoardInLab | None:
    """What an order says: {"on": "table" | "hand" | "none", "pose": [7], "columns", "rows", "square_m"}."""
    if order["on"] == "none":
        return None
    board = Board(int(order["columns"]), int(order["rows"]), float(order["square_m"]))
    return BoardInLab(board, np.array(order["pose"], dtype=float), order["on"] == "hand")
