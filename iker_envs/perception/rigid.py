"""Rigid motions as matrices (..., 4, 4), the form in which poses are searched for: body frame to base frame.

pose (7,)  <->  matrix (4, 4);  inverse, apply and small turns of many at once. Numpy and scipy alone, metres, radians.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from iker_envs.geometry import quaternion_from_matrix, rotation_matrix


def matrix_of(pose: np.ndarray) -> np.ndarray:
    """The matrix (4, 4) of a pose (7,)."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_matrix(np.asarray(pose[3:], dtype=float))
    matrix[:3, 3] = pose[:3]
    return matrix


def pose_of(matrix: np.ndarray) -> np.ndarray:
    """The pose (7,) of a matrix (4, 4)."""
    return np.concatenate([matrix[:3, 3], quaternion_from_matrix(matrix[:3, :3])])


def motion(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Matrices (..., 4, 4) of rotations (..., 3, 3) followed by translations (..., 3)."""
    shape = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    matrix = np.zeros((*shape, 4, 4))
    matrix[..., :3, :3] = rotation
    matrix[..., :3, 3] = translation
    matrix[..., 3, 3] = 1.0
    return matrix


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The motions (..., 4, 4) that undo the given ones."""
    back = np.swapaxes(matrix[..., :3, :3], -1, -2)
    return motion(back, -(back @ matrix[..., :3, 3:])[..., 0])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., P, 3) moved by motions (..., 4, 4)."""
    return points @ np.swapaxes(matrix[..., :3, :3], -1, -2) + matrix[..., None, :3, 3]


def turned_about(point: np.ndarray, rotvec: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Motions (..., 4, 4) that turn by vectors (..., 3) about a point (..., 3), then shift by (..., 3)."""
    flat = np.asarray(rotvec, dtype=float).reshape(-1, 3)
    rotation = Rotation.from_rotvec(flat).as_matrix().reshape(*np.shape(rotvec)[:-1], 3, 3)
    return motion(rotation, point + shift - (rotation @ np.asarray(point)[..., None])[..., 0])


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    """The angle in radians between the orientations of two motions (4, 4)."""
    return float(Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).magnitude())
