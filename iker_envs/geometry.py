"""Rigid-body geometry on batches: quaternions, poses, keypoints.

Everything takes and gives arrays of any array-API library (numpy and torch alike) and broadcasts over leading axes.
Quaternions are (w, x, y, z) of unit length; poses are (x, y, z, qw, qx, qy, qz) in metres; `pose * point` maps a
point of the body frame to the frame that the pose is given in. Nothing here knows about physics or learning.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import array_api_compat.numpy
import numpy as np

Array = Any
IDENTITY_QUATERNION = (1.0, 0.0, 0.0, 0.0)


def namespace(*arrays: Array) -> Any:
    """The array-API namespace (numpy, torch, ...) that the arrays belong to."""
    if all(type(a) is np.ndarray for a in arrays):  # the usual case, without array_api_compat's inspection
        return array_api_compat.numpy
    return array_api_compat.array_namespace(*arrays)


def columns(v: Array) -> tuple[Array, ...]:
    """The components (...) of vectors (..., D). Sums over a short last axis are slow, those of components are not."""
    return tuple(v[..., k] for k in range(v.shape[-1]))


def cross(a: Array, b: Array) -> Array:
    """Cross product over the last axis, (..., 3) x (..., 3) with broadcasting."""
    return namespace(a, b).stack(_cross(columns(a), columns(b)), axis=-1)


def _cross(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, Array, Array]:
    a0, a1, a2 = a
    b0, b1, b2 = b
    return a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0


def dot(a: Array, b: Array) -> Array:
    """Dot product over the last axis, (..., D) x (..., D) -> (...) with broadcasting, D at least 1."""
    first, *rest = (x * y for x, y in zip(columns(a), columns(b), strict=True))
    return sum(rest, start=first)


def norm(v: Array) -> Array:
    """Euclidean length over the last axis, (..., D) -> (...)."""
    return namespace(v).sqrt(dot(v, v))


def quaternion_multiply(a: Array, b: Array) -> Array:
    """Rotation b followed by rotation a, (..., 4)."""
    aw, ax, ay, az = columns(a)
    bw, bx, by, bz = columns(b)
    cx, cy, cz = _cross((ax, ay, az), (bx, by, bz))
    w = aw * bw - (ax * bx + ay * by + az * bz)
    parts = [w, aw * bx + bw * ax + cx, aw * by + bw * ay + cy, aw * bz + bw * az + cz]
    return namespace(a, b).stack(parts, axis=-1)


def quaternion_conjugate(q: Array) -> Array:
    """The inverse rotation, (..., 4)."""
    return namespace(q).concat([q[..., :1], -q[..., 1:]], axis=-1)


def quaternion_rotate(q: Array, v: Array) -> Array:
    """Rotate vectors (..., 3) by quaternions (..., 4)."""
    w, *u = columns(q)
    vx, vy, vz = columns(v)
    tx, ty, tz = (2.0 * c for c in _cross(tuple(u), (vx, vy, vz)))
    cx, cy, cz = _cross(tuple(u), (tx, ty, tz))
    return namespace(q, v).stack([vx + w * tx + cx, vy + w * ty + cy, vz + w * tz + cz], axis=-1)


def quaternion_from_rotvec(rotvec: Array) -> Array:
    """Axis times angle in radians (..., 3) -> quaternion (..., 4); exact near zero through sinc."""
    xp = namespace(rotvec)
    half = 0.5 * norm(rotvec)[..., None]
    safe = xp.where(half > 1e-9, half, xp.ones_like(half))
    sinc = xp.where(half > 1e-9, xp.sin(safe) / safe, xp.ones_like(half))
    return xp.concat([xp.cos(half), 0.5 * sinc * rotvec], axis=-1)


def rotvec_from_quaternion(q: Array) -> Array:
    """Quaternion (..., 4) -> axis times angle (..., 3), angle in [0, pi]."""
    xp = namespace(q)
    q = xp.where(q[..., :1] < 0, -q, q)
    length = norm(q[..., 1:])[..., None]
    angle = 2.0 * xp.atan2(length, q[..., :1])
    scale = xp.where(length > 1e-9, angle / xp.where(length > 1e-9, length, xp.ones_like(length)), 2.0 + 0 * length)
    return scale * q[..., 1:]


def quaternion_from_yaw(yaw_rad: Array) -> Array:
    """Rotation about +z by an angle (...) -> quaternion (..., 4)."""
    xp = namespace(yaw_rad)
    half = 0.5 * yaw_rad
    zero = xp.zeros_like(yaw_rad)
    return xp.stack([xp.cos(half), zero, zero, xp.sin(half)], axis=-1)


def align_sign(q: Array, reference: Array) -> Array:
    """Of q and -q, the same rotation, the one whose dot product with `reference` (4,) is not negative."""
    xp = namespace(q)
    return xp.where(dot(q, reference)[..., None] < 0, -q, q)


def rotation_angle(a: Array, b: Array) -> Array:
    """Angle in radians of the rotation between two quaternions (..., 4)."""
    return norm(rotvec_from_quaternion(quaternion_multiply(quaternion_conjugate(a), b)))


def body_axis(q: Array, axis: int) -> Array:
    """World direction (..., 3) of body axis 0 (x), 1 (y) or 2 (z)."""
    w = q[..., 0]
    x = q[..., 1]
    y = q[..., 2]
    z = q[..., 3]
    columns = (
        (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)),
        (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)),
        (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)),
    )
    return namespace(q).stack(columns[axis], axis=-1)


def tilt_angle(a: Array, b: Array) -> Array:
    """Angle in radians between the body z axes of two quaternions (..., 4): 0 when equally upright."""
    xp = namespace(a, b)
    return xp.acos(xp.clip(dot(body_axis(a, 2), body_axis(b, 2)), -1.0, 1.0))


def heading_angle(a: Array, b: Array) -> Array:
    """Angle in radians left between two quaternions (..., 4) once their z axes are brought together.

    This is the twist of the relative rotation about the body z axis: what the eye calls "turned".
    """
    xp = namespace(a, b)
    relative = quaternion_multiply(quaternion_conjugate(a), b)
    return 2.0 * xp.abs(xp.atan(relative[..., 3] / (xp.abs(relative[..., 0]) + 1e-12)))


def pose_apply(pose: Array, points: Array) -> Array:
    """Map body points (..., K, 3) by poses (..., 7) into the pose's frame, (..., K, 3)."""
    return pose[..., None, :3] + quaternion_rotate(pose[..., None, 3:], points)


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
