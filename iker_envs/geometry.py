"""Rigid-body geometry on batches: quaternions, poses, keypoints.

Everything takes and gives arrays of any array-API library (numpy and torch alike) and broadcasts over leading axes.
Quaternions are (w, x, y, z) of unit length; poses are (x, y, z, qw, qx, qy, qz) in metres; `pose * point` maps a
point of the body frame to the frame that the pose is given in. Nothing here knows about physics or learning.
"""

from __future__ import annotations

import numpy as np

from iker_envs import components
from iker_envs.components import Array, clipped, columns, namespace, stacked

IDENTITY_QUATERNION = (1.0, 0.0, 0.0, 0.0)


def cross(a: Array, b: Array) -> Array:
    """Cross product over the last axis, (..., 3) x (..., 3) with broadcasting."""
    return stacked(components.cross(columns(a), columns(b)))


def dot(a: Array, b: Array) -> Array:
    """Dot product over the last axis, (..., D) x (..., D) -> (...) with broadcasting, D at least 1."""
    return components.dot(columns(a), columns(b))


def norm(v: Array) -> Array:
    """Euclidean length over the last axis, (..., D) -> (...)."""
    return components.norm(columns(v))


def quaternion_multiply(a: Array, b: Array) -> Array:
    """Rotation b followed by rotation a, (..., 4)."""
    return stacked(components.multiply(columns(a), columns(b)))


def quaternion_conjugate(q: Array) -> Array:
    """The inverse rotation, (..., 4)."""
    return namespace(q).concat([q[..., :1], -q[..., 1:]], axis=-1)


def quaternion_rotate(q: Array, v: Array) -> Array:
    """Rotate vectors (..., 3) by quaternions (..., 4)."""
    return stacked(components.rotate(columns(q), columns(v)))


def quaternion_from_rotvec(rotvec: Array) -> Array:
    """Axis times angle in radians (..., 3) -> quaternion (..., 4); exact near zero through sinc."""
    return stacked(components.from_rotvec(columns(rotvec)))


def rotvec_from_quaternion(q: Array) -> Array:
    """Quaternion (..., 4) -> axis times angle (..., 3), angle in [0, pi]."""
    return stacked(components.to_rotvec(columns(q)))


def quaternion_from_yaw(yaw_rad: Array) -> Array:
    """Rotation about +z by an angle (...) -> quaternion (..., 4)."""
    xp = namespace(yaw_rad)
    half = 0.5 * yaw_rad
    zero = xp.zeros_like(yaw_rad)
    return xp.stack([xp.cos(half), zero, zero, xp.sin(half)], axis=-1)


def align_sign(q: Array, reference: Array) -> Array:
    """Of q and -q, the same rotation, the one whose dot product with `reference` (4,) is not negative."""
    return stacked(components.aligned(columns(q), columns(reference)))


def rotation_angle(a: Array, b: Array) -> Array:
    """Angle in radians of the rotation between two quaternions (..., 4)."""
    return norm(rotvec_from_quaternion(quaternion_multiply(quaternion_conjugate(a), b)))


def body_axis(q: Array, axis: int) -> Array:
    """World direction (..., 3) of body axis 0 (x), 1 (y) or 2 (z)."""
    return stacked(components.body_axis(columns(q), axis))


def tilt_angle(a: Array, b: Array) -> Array:
    """Angle in radians between the body z axes of two quaternions (..., 4): 0 when equally upright."""
    upright = components.dot(components.body_axis(columns(a), 2), components.body_axis(columns(b), 2))
    return namespace(upright).acos(clipped(upright, -1.0, 1.0))


def heading_angle(a: Array, b: Array) -> Array:
    """Angle in radians left between two quaternions (..., 4) once their z axes are brought together.

    This is the twist of the relative rotation about the body z axis: what the eye calls "turned".
    """
    return components.heading_angle(components.multiply(components.conjugate(columns(a)), columns(b)))


def pose_apply(pose: Array, points: Array) -> Array:
    """Map body points (..., K, 3) by poses (..., 7) into the pose's frame, (..., K, 3)."""
    return stacked(components.transform(columns(pose[..., None, :]), columns(points)))


def pose_compose(a: Array, b: Array) -> Array:
    """The pose of frame b, given in frame a, seen from where a is given, (..., 7)."""
    xp = namespace(a, b)
    position = a[..., :3] + quaternion_rotate(a[..., 3:], b[..., :3])
    return xp.concat([position, quaternion_multiply(a[..., 3:], b[..., 3:])], axis=-1)


def pose_inverse(pose: Array) -> Array:
    """The pose that undoes `pose`, (..., 7)."""
    inverse = quaternion_conjugate(pose[..., 3:])
    return namespace(pose).concat([-quaternion_rotate(inverse, pose[..., :3]), inverse], axis=-1)


def rotation_matrix(q: Array) -> Array:
    """Quaternion (..., 4) -> matrix (..., 3, 3) whose columns are the body axes."""
    return namespace(q).stack([body_axis(q, 0), body_axis(q, 1), body_axis(q, 2)], axis=-1)


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3), numpy -> quaternion (4,) with w >= 0."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(matrix).as_quat(canonical=True)
    return np.array([w, x, y, z])


def fit_rigid(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """The pose that best maps `source` (K, 3) onto `target` (K, 3), K >= 3, and the RMS residual in metres.

    Least squares over proper rotations (Kabsch 1976, with the determinant corrected so that a mirror image is never
    returned).
    """
    centre_source = source.mean(axis=0)
    centre_target = target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - centre_source).T @ (target - centre_target))
    sign = np.sign(np.linalg.det(vt.T @ u.T))
    rotation = vt.T @ np.diag([1.0, 1.0, sign]) @ u.T
    residual = target - centre_target - (source - centre_source) @ rotation.T
    pose = np.concatenate([centre_target - rotation @ centre_source, quaternion_from_matrix(rotation)])
    return pose, float(np.sqrt(np.mean(np.sum(residual**2, axis=-1))))
