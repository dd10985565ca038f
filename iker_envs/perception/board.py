"""The printed marker board for calibrating cameras and scanning objects: its look, and where a picture shows it.

    Board  ->  board_points (corners in its own frame)
    picture  ->  detect_board  ->  Sighting (points on the board, pixels)  ->  board_pose  ->  where it is (4, 4)

A ChArUco board: a chessboard whose white squares carry numbered markers, so that a part of it is enough (markers:
Garrido-Jurado et al. 2014). Board frame: origin in its middle, x to the right and y up as it is read, z out of it.
Pixel centres are at half-integers, as everywhere here and unlike in OpenCV. Needs opencv (extra `calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

PIP = "python -m pip install 'iker[calibration]'"
_MARKER_SHARE = 0.74  # of a square's side that its marker fills
_FEWEST = 6  # corners from which a pose is told
_SPREAD_M = 0.02  # standard deviation of the corners across their longest direction: on one line they say no pose
_HALF_TURN = np.diag([1.0, -1.0, -1.0])  # OpenCV's board has y down and z into the paper


@dataclass(frozen=True)
class Board:
    """`columns` x `rows` squares of `square_m`; the default, 245 x 175 mm, fits on A4 and on letter paper."""

    columns: int = 7
    rows: int = 5
    square_m: float = 0.035

    def __post_init__(self) -> None:
        if not (2 < self.columns < 15 and 2 < self.rows < 15):
            raise ValueError(f"a board has 3 to 14 columns and rows, not {self.columns} x {self.rows}")
        if not 0.005 <= self.square_m <= 0.2:
            raise ValueError(f"the squares of a board are 5 to 200 mm large, not {1000 * self.square_m:g} mm")

    @property
    def size_m(self) -> np.ndarray:
        """Width and height (2,)."""
        return np.array([self.columns, self.rows]) * self.square_m

    @property
    def marker_m(self) -> float:
        return _MARKER_SHARE * self.square_m

    @property
    def text(self) -> str:
        """How it is called in files."""
        return f"ChArUco {self.columns}x{self.rows}, {1000 * self.square_m:g} mm"

    def from_top_left(self, points: np.ndarray) -> np.ndarray:
        """Points (K, 2) counted right and down from the upper left corner, in metres, in the board frame (K, 3)."""
        flat = np.asarray(points, dtype=float)
        x = flat[:, 0] - self.size_m[0] / 2
        y = self.size_m[1] / 2 - flat[:, 1]
        return np.column_stack([x, y, np.zeros(len(flat))])


class Sighting(NamedTuple):
    """Points (K, 3) in the board frame and the pixels (K, 2) where a picture shows them."""

    points: np.ndarray
    pixels: np.ndarray


def opencv() -> Any:
    """The module cv2; ImportError with the pip line if it is not installed."""
    if find_spec("cv2") is None:
        raise ImportError(f"marker boards need opencv; {PIP}")
    import cv2

    return cv2


@lru_cache(4)
def _detector(board: Board) -> tuple[Any, Any]:
    cv2 = opencv()
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
    charuco = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square_m, board.marker_m, dictionary)
    return charuco, cv2.aruco.CharucoDetector(charuco)


def marker_cells(board: Board) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every marker the upper left corner (2,) in metres from the board's, and its cells (7, 7), True black."""
    cv2 = opencv()
    charuco, _ = _detector(board)
    markers = []
    for corners, number in zip(charuco.getObjPoints(), charuco.getIds().ravel(), strict=True):
        picture = cv2.aruco.generateImageMarker(charuco.getDictionary(), int(number), 7)
        markers.append((np.asarray(corners)[:, :2].min(axis=0), picture < 128))
    return markers


def detect_board(picture: np.ndarray, board: Board) -> Sighting | str:
    """Where a picture, (H, W) or RGB (H, W, 3) uint8, shows the board; else one clause that says why not."""
    cv2 = opencv()
    charuco, detector = _detector(board)
    picture = np.ascontiguousarray(picture)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
    corners, numbers, _, _ = detector.detectBoard(grey)
    if numbers is None or len(numbers) == 0:
        return "it shows no board"
    if len(numbers) < _FEWEST:
        return f"it shows {len(numbers)} corners of the board, {_FEWEST} are needed"
    flat = np.asarray(charuco.getChessboardCorners())[np.asarray(numbers).ravel(), :2]
    if np.linalg.svd(flat - flat.mean(axis=0))[1][1] / np.sqrt(len(flat)) < _SPREAD_M * board.square_m / 0.035 / 2:
        return "it shows corners on one line of the board only"
    return Sighting(board.from_top_left(flat), np.asarray(corners, dtype=float).reshape(-1, 2) + 0.5)


def undistorted(pixels: np.ndarray, K: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """Pixels (P, 2) where a camera without distortion would see the same; `distortion` (5,) is OpenCV's."""
    if not np.any(distortion):
        return pixels
    cv2 = opencv()
    shifted = _opencv_K(K)
    moved = cv2.undistortPoints((pixels - 0.5).reshape(-1, 1, 2), shifted, np.asarray(distortion), P=shifted)
    return np.asarray(moved).reshape(-1, 2) + 0.5


def _opencv_K(K: np.ndarray) -> np.ndarray:
    shifted = np.array(K, dtype=float)
    shifted[:2, 2] -= 0.5
    return shifted


def board_pose(sighting: Sighting, K: np.ndarray) -> np.ndarray:
    """Board to camera (4, 4), from undistorted pixels; the camera has x right, y down, z into the scene."""
    cv2 = opencv()
    points = sighting.points @ _HALF_TURN
    shifted = _opencv_K(K)
    pixels = np.ascontiguousarray(sighting.pixels - 0.5)
    _, turn, shift = cv2.solvePnP(points, pixels, shifted, None, flags=cv2.SOLVEPNP_IPPE)
    turn, shift = cv2.solvePnPRefineLM(points, pixels, shifted, None, turn, shift)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(np.asarray(turn).ravel()).as_matrix() @ _HALF_TURN
    pose[:3, 3] = np.asarray(shift).ravel()
    return pose
