"""An object on the marker board becomes a mesh at true scale.

    ScanPictures  ->  scan_object  ->  Scanned (vertices, faces, colours in the object's frame, how it was made)

The board says where the camera was; its plane says how far the depths are off and where the floor is. The object stands
in the board's middle, its front towards the board's right edge, alone. Body frame: origin in the middle of the bounding
box, +x to the front, +z up. The surface that it stands on is not seen: there it is flat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_opening, label
from scipy.spatial import ConvexHull

from iker_envs.perception.board import Sighting, board_pose, detect_board, undistorted
from iker_envs.perception.box_fit import box_of
from iker_envs.perception.rigid import apply, inverse
from iker_envs.perception.scan_folder import ScanPicture, ScanPictures
from iker_envs.perception.shots import is_smooth
from iker_envs.perception.surface_nets import smoothed, surface_of
from iker_envs.perception.tsdf import Tsdf

CELL_M = 0.0025
FEWEST_PICTURES = 8
MOST_PICTURES = 48
_MIN_AROUND_RAD = float(np.deg2rad(200.0))  # of the camera's way around the object
_ABOVE_M = 0.006  # the board; what is lower is noise of it
_TALL_M = 0.40
_MARGIN_M = 0.015
_GRID_M = 0.005
_MAX_SCALE_ERROR = 0.03
_FEWEST_DEPTHS = 200
_RECTANGULAR = 0.93  # of its tightest rectangle that the outline of something rectangular fills
_LONG = 1.1  # inertia about one axis over that about the other, for the axes to mean something
_PAPER = 0.9  # how bright paper is: colours are measured against the board's own white
_WHITE_SHARE = 0.065  # of a square, from its corner: there a white square has paper and no marker
_WHITES = (0.25, 1.0)  # of a picture's range, between which the paper's brightness says anything
_BLUR = 0.6  # a picture whose corners fit so many pixels worse than the middle one is blurred
_DIAGONALS = np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]], dtype=float)


@dataclass(frozen=True, eq=False)
class Scanned:
    """Vertices (V, 3) in metres, faces (F, 3), colours (V, 3) in [0, 1]; pictures used, left out, and depth scale."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    used: tuple[str, ...]
    left_out: dict[str, str]
    depth_scale: float


@dataclass(frozen=True, eq=False)
class _Placed:
    """A picture and where its camera was: camera to board (4, 4)."""

    picture: ScanPicture
    T: np.ndarray
    sighting: Sighting


def scan_object(
    pictures: ScanPictures, front_rad: float = 0.0, progress: Callable[[str], None] = lambda sentence: None
) -> Scanned:
    """Make the mesh; `front_rad` turns the front from the board's right edge counter-clockwise.

    ValueError says why there is none, and what to do.
    """
    placed, left_out = _placed(pictures, progress)
    scale = _depth_scale(placed, pictures.K)
    progress(f"{len(placed)} pictures show the board; depths are {100 * (scale - 1):+.2f} % off and are corrected")
    low, high = _bounds(placed, pictures, scale)
    grid = Tsdf(low, high, CELL_M)
    for item in placed:
        grid.integrate(item.picture.depth_m / scale, item.picture.rgb.astype(np.float32) / 255, pictures.K, item.T)
    vertices, faces, colours = surface_of(grid.solid())
    vertices = smoothed(vertices, faces)
    progress(f"a surface of {len(faces)} faces")
    return Scanned(
        _in_body_frame(vertices, front_rad),
        faces,
        np.clip(_PAPER * colours / _white(placed, pictures), 0, 1),
        tuple(item.picture.name for item in placed),
        left_out,
        scale,
    )


def _placed(pictures: ScanPictures, progress: Callable[[str], None]) -> tuple[list[_Placed], dict[str, str]]:
    """The pictures that show the board, from all around; at most 48 of them, evenly chosen."""
    count = len(pictures.files)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_PICTURES)).round().astype(int))
    found: list[_Placed] = []
    left_out: dict[str, str] = {}
    for index in chosen:
        picture = pictures.picture(int(index))
        sighting = detect_board(picture.rgb, pictures.board)
        if isinstance(sighting, str):
            left_out[picture.name] = sighting
            continue
        straight = Sighting(sighting.points, undistorted(sighting.pixels, pictures.K, pictures.distortion))
        found.append(_Placed(picture, inverse(board_pose(straight, pictures.K)), straight))
    found = _sharp(found, pictures.K, left_out)
    if len(found) < FEWEST_PICTURES:
        why = Counter(left_out.values()).most_common(1)
        told = f"; most often: {why[0][0]}" if why else ""
        raise ValueError(
            f"{len(found)} of {len(chosen)} pictures can be used, {FEWEST_PICTURES} are needed{told}; is it the board "
            f"{pictures.board.text}, well lit, with its rim in sight?"
        )
    _check_around(found)
    return found, left_out


def _sharp(found: list[_Placed], K: np.ndarray, left_out: dict[str, str]) -> list[_Placed]:
    """Without those whose corners fit their own board badly: blurred, or a mirror solution."""
    errors = []
    for item in found:
        image = apply(inverse(item.T), item.sighting.points) @ K.T
        errors.append(float(np.sqrt(((image[:, :2] / image[:, 2:] - item.sighting.pixels) ** 2).mean())))
    limit = (float(np.median(errors)) if errors else 0.0) + _BLUR
    for item, error in zip(found, errors, strict=True):
        if error > limit or item.T[2, 3] < 0:
            left_out[item.picture.name] = f"the board's corners fit to {error:.1f} px only; it may be blurred"
    return [item for item in found if item.picture.name not in left_out]


def _check_around(found: list[_Placed]) -> None:
    angles = np.array([np.arctan2(item.T[1, 3], item.T[0, 3]) for item in found])
    order = np.sort(angles)
    gap = float(np.max(np.diff(np.concatenate([order, order[:1] + 2 * np.pi]))))
    if 2 * np.pi - gap < _MIN_AROUND_RAD:
        raise ValueError(
            f"the camera saw the object from {np.rad2deg(2 * np.pi - gap):.0f} degrees around only, of at least "
            f"{np.rad2deg(_MIN_AROUND_RAD):.0f}; turn the board once around, or walk around it"
        )


def _depth_scale(placed: list[_Placed], K: np.ndarray) -> float:
    """Measured over true depth of the board itself, where its corners are."""
    ratios = []
    for item in placed:
        true = apply(inverse(item.T), item.sighting.points)[:, 2]
        column, row = np.floor(item.sighting.pixels).astype(int).T
        measured = item.picture.depth_m[row, column]
        ratios.append((measured / true)[measured > 0])
    every = np.concatenate(ratios)
    if len(every) < _FEWEST_DEPTHS:
        raise ValueError(f"{len(every)} corners of the board have a depth, {_FEWEST_DEPTHS} are needed; come nearer")
    scale = float(np.median(every))
    if abs(scale - 1) > _MAX_SCALE_ERROR:
        raise ValueError(
            f"the board is measured {100 * (scale - 1):+.1f} % too far away, of at most {100 * _MAX_SCALE_ERROR:.0f} "
            "%; are K and depth_unit_m the camera's, and a square of the board as large as it says?"
        )
    return scale


def _white(placed: list[_Placed], pictures: ScanPictures) -> np.ndarray:
    """How the board's paper looks in the pictures (3,), of 1: the light's colour and the exposure."""
    seen = []
    for item in placed:
        corners = item.sighting.points[:, None] + _WHITE_SHARE * pictures.board.square_m * _DIAGONALS
        image = apply(inverse(item.T), corners.reshape(-1, 3)) @ pictures.K.T
        column, row = np.floor(image[:, :2] / image[:, 2:]).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < item.picture.rgb.shape[1]) & (row < item.picture.rgb.shape[0])
        rgb = np.zeros((len(column), 3))
        rgb[inside] = item.picture.rgb[row[inside], column[inside]] / 255
        around = rgb.reshape(-1, len(_DIAGONALS), 3)
        brightest = around.sum(axis=2).argmax(axis=1)
        seen.append(around[np.arange(len(around)), brightest])
    return np.clip(np.median(np.concatenate(seen), axis=0), *_WHITES)


def _bounds(placed: list[_Placed], pictures: ScanPictures, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A box (3,), (3,) around what stands on the board's middle."""
    half = pictures.board.size_m / 2 + 0.05
    shape = np.ceil(2 * half / _GRID_M).astype(int)
    votes = np.zeros(shape, dtype=int)
    tops: list[np.ndarray] = []
    for item in placed:
        points = _points(item, pictures.K, scale)
        inside = (np.abs(points[:, :2]) < half).all(axis=1) & (points[:, 2] > _ABOVE_M) & (points[:, 2] < _TALL_M)
        points = points[inside]
        seen = np.zeros(shape, dtype=bool)
        cell = np.floor((points[:, :2] + half) / _GRID_M).astype(int)
        seen[tuple(np.minimum(cell, shape - 1).T)] = True
        votes += seen
        tops.append(points)
    stands = binary_opening(votes >= max(2, len(placed) // 6))
    pieces, count = label(stands, np.ones((3, 3)))
    if count == 0:
        raise ValueError("nothing stands on the board; put the object into its middle")
    largest = int(np.argmax(np.bincount(pieces.ravel())[1:])) + 1
    cells = np.argwhere(pieces == largest)
    low = cells.min(axis=0) * _GRID_M - half - _MARGIN_M
    high = (cells.max(axis=0) + 1) * _GRID_M - half + _MARGIN_M
    points = np.concatenate(tops)
    points = points[((points[:, :2] > low) & (points[:, :2] < high)).all(axis=1)]
    top = float(np.percentile(points[:, 2], 99.8)) + _MARGIN_M
    return np.array([*low, -2 * CELL_M]), np.array([*high, top])


def _points(item: _Placed, K: np.ndarray, scale: float) -> np.ndarray:
    depth = item.picture.depth_m / scale
    row, column = np.nonzero(is_smooth(item.picture.depth_m))
    z = depth[row, column]
    ray = np.column_stack([(column + 0.5 - K[0, 2]) / K[0, 0], (row + 0.5 - K[1, 2]) / K[1, 1], np.ones(len(z))])
    return np.asarray(apply(item.T, ray * z[:, None]))


def _axis_rad(points: np.ndarray) -> float | None:
    """Direction of an axis of points (V, 2) seen from above; None for what is round.

    Something rectangular has the axes of its tightest rectangle. A shoe or a mug with a handle, whose tightest
    rectangle lies askew, has those of its inertia.
    """
    outline = box_of(points, trim=0.2)
    if ConvexHull(points).volume > _RECTANGULAR * outline.area_m2:
        return outline.yaw_rad
    spread, axes = np.linalg.eigh(np.cov(points.T))
    return float(np.arctan2(axes[1, 1], axes[0, 1])) if spread[1] > _LONG * spread[0] else None


def _in_body_frame(vertices: np.ndarray, front_rad: float) -> np.ndarray:
    """Turned so that +x is the axis of its outline that is nearest to the front, centred."""
    quarter = np.pi / 2
    axis = _axis_rad(vertices[:, :2])
    yaw = front_rad if axis is None else axis + quarter * round((front_rad - axis) / quarter)
    c, s = np.cos(yaw), np.sin(yaw)
    turned = vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return np.asarray(turned - (turned.min(axis=0) + turned.max(axis=0)) / 2)
