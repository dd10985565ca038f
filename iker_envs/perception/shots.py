"""One camera's picture as poses are estimated from it: smaller, in arrays, with what is known of the empty scene.

    Image  ->  shot_of  ->  Shot        furniture boxes  ->  empty_depth        Shot, empty depth  ->  foreground

What stands in front of the empty scene is foreground. The empty scene's depth comes from a picture that was taken of
it, or is computed from the table (z = 0) and boxes of known furniture. Numpy and scipy alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, maximum_filter, minimum_filter

from iker_envs.perception.rigid import apply, inverse, matrix_of
from iker_envs.planning.collision import OrientedBox
from iker_envs.scene import Image

WORKING_WIDTH_PX = 320  # larger pictures are thinned: more pixels cost time and give no better poses
_STEP_M = 0.020  # neighbours that differ by more lie across an edge
_IN_FRONT_M = 0.008  # of the empty scene: less is noise, or furniture that stands elsewhere by a little
_CALIBRATION_PX = 5  # window in which the empty scene may be off, at the working width
_REFERENCE_STD_M = 0.0012


def depth_std_m(depth_m: np.ndarray) -> np.ndarray:
    """Noise of a depth: 1.2 mm at 0.5 m, growing with its square (D435: 0.09 px of disparity, baseline 50 mm)."""
    return _REFERENCE_STD_M * (depth_m / 0.5) ** 2


class Region(NamedTuple):
    """Where objects are looked for: corners (3,) of an upright box in the base frame."""

    low: np.ndarray
    high: np.ndarray

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Which points (..., 3) lie in it."""
        return np.all((points >= self.low) & (points <= self.high), axis=-1)


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture at working size: rgb (H, W, 3) float32 in [0, 1], depth (H, W) float32 in metres (0: none), K (3, 3),
    T (4, 4) camera to base."""

    name: str
    rgb: np.ndarray
    depth: np.ndarray
    K: np.ndarray
    T: np.ndarray

    @property
    def eye(self) -> np.ndarray:
        """Where the camera is (3,)."""
        return self.T[:3, 3]

    def rays(self) -> np.ndarray:
        """Rays (H, W, 3) through the pixels' centres in the camera frame, of depth 1."""
        height, width = self.depth.shape
        u = (np.arange(width) + 0.5 - self.K[0, 2]) / self.K[0, 0]
        v = (np.arange(height) + 0.5 - self.K[1, 2]) / self.K[1, 1]
        return np.stack(np.broadcast_arrays(u, v[:, None], 1.0), axis=-1)

    def points(self, mask: np.ndarray) -> np.ndarray:
        """Points (P, 3) in the base frame of the pixels of a mask (H, W), in row order."""
        return apply(self.T, self.rays()[mask] * self.depth[mask][:, None])

    def project(self, in_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row and column (...,) of the pixels onto which points (..., 3) of the camera frame fall, and which do."""
        height, width = self.depth.shape
        z = np.maximum(in_camera[..., 2], 1e-6)
        column = np.floor(in_camera[..., 0] / z * self.K[0, 0] + self.K[0, 2])
        row = np.floor(in_camera[..., 1] / z * self.K[1, 1] + self.K[1, 2])
        is_inside = (in_camera[..., 2] > 0.1) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column = np.where(is_inside, column, 0).astype(np.int32)
        row = np.where(is_inside, row, 0).astype(np.int32)
        return row, column, is_inside


def shot_of(name: str, image: Image, width_px: int = WORKING_WIDTH_PX) -> Shot:
    """The image thinned to about `width_px`: every n-th depth (a mean would invent surfaces), mean colours."""
    n = max(1, round(image.depth_m.shape[1] / width_px))
    first = n // 2
    depth = np.asarray(image.depth_m[first::n, first::n], dtype=np.float32)
    depth = np.where(np.isfinite(depth), depth, np.float32(0.0))  # some drivers say inf where there is none
    height, width = depth.shape
    K = np.array(image.K, dtype=float)
    K[:2, 2] -= first + 0.5 - n / 2  # the kept pixel is not the middle one of an even number
    K[:2] /= n
    even = image.rgb[: height * n, : width * n].astype(np.float32)
    if even.shape[:2] == (height * n, width * n):
        rgb = even.reshape(height, n, width, n, 3).mean(axis=(1, 3)) / 255
    else:  # a size that n does not divide
        rgb = image.rgb[first::n, first::n].astype(np.float32) / 255
    return Shot(name, rgb, depth, K, matrix_of(image.T_world_cam))


def thinned(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels (H, W) of a full picture that a shot of shape (H, W) keeps."""
    n = max(1, round(picture.shape[1] / shape[1]))
    return picture[n // 2 :: n, n // 2 :: n]


def empty_depth(shot: Shot, boxes: Iterable[OrientedBox]) -> np.ndarray:
    """Depth (H, W) that the camera would see of the table and of boxes alone, inf where there is neither."""
    return box_depth(shot.eye, shot.rays() @ shot.T[:3, :3].T, boxes)


def box_depth(eyes: np.ndarray, rays: np.ndarray, boxes: Iterable[OrientedBox]) -> np.ndarray:
    """Depth (...) at which rays (..., 3) of depth 1 from eyes (3,) or (..., 3) meet the table or a box, else inf."""
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(rays[..., 2] < 0, -eyes[..., 2] / rays[..., 2], np.inf)
        for box in boxes:
            start = (eyes - box.centre) @ box.axes
            along = rays @ box.axes
            enter = np.nanmax((-np.sign(along) * box.half - start) / along, axis=-1)
            leave = np.nanmin((np.sign(along) * box.half - start) / along, axis=-1)
            depth = np.where((enter > 0) & (enter < leave), np.minimum(depth, enter), depth)
    return depth.astype(np.float32)


def foreground(shot: Shot, empty: np.ndarray, region: Region, *, is_picture: bool = False) -> np.ndarray:
    """Which pixels (H, W) show something in front of the empty scene, whose depth (H, W) is 0 where unknown."""
    seen = shot.depth > 0
    known = np.where(empty > 0, empty, np.inf)
    nearest = known if is_picture else minimum_filter(known, _CALIBRATION_PX)
    nearest = np.where(empty > 0, nearest, 0.0) if is_picture else nearest
    margin = np.maximum(_IN_FRONT_M, 3 * depth_std_m(shot.depth))
    mask = seen & (nearest - shot.depth > margin)
    if is_picture:  # where the empty picture has a hole, beside what is in front
        mask |= seen & (empty <= 0) & binary_dilation(mask, iterations=2)
    mask[mask] = region.holds(shot.points(mask))
    return mask


def is_smooth(depth: np.ndarray) -> np.ndarray:
    """Which pixels (H, W) have neighbours of about their depth: at an edge, depths are in-between or wrong."""
    far = maximum_filter(depth, 3)
    near = minimum_filter(np.where(depth > 0, depth, np.inf), 3)
    return (depth > 0) & (far - near < _STEP_M)


def in_camera(shot: Shot, matrices: np.ndarray) -> np.ndarray:
    """Motions (..., 4, 4) into the base frame as motions into the camera's, float32."""
    return (inverse(shot.T) @ matrices).astype(np.float32)
