"""Pinhole optics: where a camera stands and where points appear in its image. No physics engine needed.

    position, target             ->  look_at          ->  Camera
    points in the base frame     ->  project          ->  pixels and depths
                                     default_cameras  ->  the cameras of our scenes

Camera axes are OpenCV's: x to the image's right, y down, z into the scene.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from iker_envs.geometry import quaternion_from_matrix, rotation_matrix
from iker_envs.scene import Camera

REALSENSE_FOV_Y_RAD = 0.743  # focal length 615 px at 640x480: colour camera of a RealSense D435
_PARALLEL = 1e-6  # the sine of an angle that is none


def look_at(
    name: str,
    position: ArrayLike,
    target: ArrayLike,
    width: int = 640,
    height: int = 480,
    fov_y_rad: float = REALSENSE_FOV_Y_RAD,
    up: ArrayLike = (1.0, 0.0, 0.0),
) -> Camera:
    """A camera at `position` (3,) that looks at `target` (3,), both in the base frame in metres.

    The image's up is as close to `up` (3,) as the view allows: by default +x, forward, so that +y is on the left.
    ValueError if the camera looks along `up` or if position and target coincide.
    """
    position = np.asarray(position, dtype=float)
    target = np.asarray(target, dtype=float)
    up = np.asarray(up, dtype=float)
    forward = target - position
    right = np.cross(forward, up)
    if np.linalg.norm(right) < _PARALLEL * max(float(np.linalg.norm(forward)), _PARALLEL):
        raise ValueError(f"camera {name!r} at {position} looks at {target}, along its own up direction {up}")
    right = right / np.linalg.norm(right)
    forward = forward / np.linalg.norm(forward)
    axes = np.column_stack([right, np.cross(forward, right), forward])
    return Camera(name, np.concatenate([position, quaternion_from_matrix(axes)]), width, height, fov_y_rad)


@cache  # every scene has them
def default_cameras() -> tuple[Camera, Camera]:
    """The cameras of a scene: "front", on which queries are drawn, and "side", for videos.

    "front" sees the table from x = 0.15 to 0.85 and |y| <= 0.45, forward is up; "side" stands upright beside it.
    """
    front = look_at("front", (0.08, 0.0, 1.0), (0.51, 0.0, 0.0))
    side = look_at("side", (-0.30, -0.80, 0.72), (0.50, 0.02, 0.07), up=(0.0, 0.0, 1.0))
    return front, side


def stationary_cameras(width: int = 640, height: int = 480) -> tuple[Camera, Camera, Camera, Camera]:
    """The four depth cameras around the table that poses are estimated from, two behind and two before it.

    They stand 0.62 to 0.66 m above the table's corners and look at its middle.
    """
    places = {
        "back_left": (0.0, 0.62, 0.62),
        "back_right": (0.0, -0.62, 0.62),
        "front_left": (1.05, 0.58, 0.66),
        "front_right": (1.05, -0.58, 0.66),
    }
    one, two, three, four = (
        look_at(name, place, (0.52, 0.0, 0.05), width, height, up=(0.0, 0.0, 1.0)) for name, place in places.items()
    )
    return one, two, three, four


def project(points_world: np.ndarray, K: np.ndarray, T_world_cam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (P, 2) and depths (P,) in metres of points (P, 3) in the base frame.

    `K` (3, 3) in pixels, `T_world_cam` (7,) the camera's pose. Pixel centres are at half-integers: the point that falls
    on row r, column c has floor(pixel) = (c, r). A point not in front of the camera has depth <= 0 and pixel NaN.
    """
    points_world = np.asarray(points_world, dtype=float).reshape(-1, 3)
    in_camera = (points_world - T_world_cam[:3]) @ rotation_matrix(T_world_cam[3:])
    depth = in_camera[:, 2]
    image = in_camera @ K.T
    pixels = image[:, :2] / np.where(depth > 0, depth, np.nan)[:, None]
    return pixels, depth
