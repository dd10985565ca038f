"""Pictures of the marker board as a camera takes them: exact geometry, blur, noise, a background."""

from functools import cache

import cv2
import numpy as np

from iker_envs.perception.board import Board
from iker_envs.perception.board_pdf import black_rectangles

_PER_M = 6000
_PAPER_M = 0.015
_SUPER = 3


@cache
def printed(board: Board) -> np.ndarray:
    """The board with a white margin, pixels of 1/6 mm."""
    width, height = (round(s * _PER_M) for s in board.size_m + 2 * _PAPER_M)
    page = np.full((height, width), 255, np.uint8)
    for left, top, w, h in black_rectangles(board):
        x, y, right, low = (round((v + _PAPER_M) * _PER_M) for v in (left, top, left + w, top + h))
        page[y:low, x:right] = 0
    return page


def picture_of(
    board: Board, board_in_camera: np.ndarray, K: np.ndarray, size: tuple[int, int], rng=None, background=None
) -> np.ndarray:
    """A picture (H, W, 3) uint8 of a board at a pose (4, 4) in the camera frame, with optics' blur and noise."""
    width, height = size
    page = printed(board)
    corners = np.array([[0, 0], [page.shape[1], 0], [page.shape[1], page.shape[0]], [0, page.shape[0]]], float)
    flat = board.from_top_left(corners / _PER_M - _PAPER_M)
    image = (flat @ board_in_camera[:3, :3].T + board_in_camera[:3, 3]) @ K.T
    assert (image[:, 2] > 0.05).all(), "the board is behind the camera"
    pixels = image[:, :2] / image[:, 2:]
    transform = cv2.getPerspectiveTransform(
        (corners - 0.5).astype(np.float32), (pixels * _SUPER - 0.5).astype(np.float32)
    )
    large = (width * _SUPER, height * _SUPER)
    behind = np.full((height, width), 120, np.uint8) if background is None else background
    canvas = cv2.resize(behind, large, interpolation=cv2.INTER_LINEAR)
    cv2.warpPerspective(page, transform, large, dst=canvas, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT)
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA).astype(float)
    blurred = cv2.GaussianBlur(small, (0, 0), 0.7) * 0.8 + 15
    if rng is not None:
        blurred = blurred + rng.normal(0, 3, blurred.shape)
    return np.repeat(np.clip(blurred, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
