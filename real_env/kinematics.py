"""Kinematics of the xArm7 from its DH table: numpy only, no engine. Metres, radians, 4x4 matrices.

    joint angles (7,)  ->  forward   ->  pose (4, 4) of the flange in the base frame
                       ->  jacobian  ->  (6, 7)
    pose (4, 4)        ->  solve     ->  joint angles, and whether they reach it

The vendor writes orientations as roll, pitch, yaw with R = Rz(yaw) Ry(pitch) Rx(roll), or as a rotation vector.
"""

from __future__ import annotations

import numpy as np

from real_env.xarm7 import DH, JOINT_LIMITS_RAD, NUM_JOINTS

_POSITION_TOLERANCE_M = 1e-6
_ANGLE_TOLERANCE_RAD = 1e-5
_STEP_RAD = 0.3  # most that a joint turns in one iteration
_DAMPING = 1e-3  # of the squared error
_LEAST_DAMPING = 1e-9
_POSTURE_GAIN = 0.05  # of the pull towards a posture in the null space
_STILL_RAD = 1e-12


def matrix(position_m: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """A pose (4, 4) of a position (3,) and a rotation matrix (3, 3)."""
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = position_m
    return pose


def _before_joint(alpha_rad: float, a_m: float, d_m: float) -> np.ndarray:
    """Rot_x(alpha) Trans_x(a) Trans_z(d): what precedes a joint's own rotation."""
    c = np.cos(alpha_rad)
    s = np.sin(alpha_rad)
    return matrix(np.array([a_m, -s * d_m, c * d_m]), np.array([[1, 0, 0], [0, c, -s], [0, s, c]]))


_LINKS = tuple(_before_joint(row.alpha_rad, row.a_m, row.d_m) for row in DH)


def link_poses(angles_rad: np.ndarray) -> np.ndarray:
    """Poses (7, 4, 4) of the links' DH frames in the base frame; the last one is the flange."""
    poses = np.empty((NUM_JOINTS, 4, 4))
    turn = np.eye(4)
    pose = np.eye(4)
    for i, (link, angle) in enumerate(zip(_LINKS, angles_rad, strict=True)):
        c = np.cos(angle)
        s = np.sin(angle)
        turn[:2, :2] = [[c, -s], [s, c]]
        pose = pose @ link @ turn
        poses[i] = pose
    return poses


def forward(angles_rad: np.ndarray) -> np.ndarray:
    """Pose (4, 4) of the flange."""
    return link_poses(angles_rad)[-1]


def jacobian(angles_rad: np.ndarray, tool: np.ndarray | None = None) -> np.ndarray:
    """(6, 7): linear and angular velocity of the tool (a pose (4, 4) in the flange frame), in base axes, by joint."""
    links = link_poses(angles_rad)
    return _jacobian(links, (links[-1] if tool is None else links[-1] @ tool)[:3, 3])


def _jacobian(links: np.ndarray, point: np.ndarray) -> np.ndarray:
    axes = links[:, :3, 2]
    return np.concatenate([np.cross(axes, point - links[:, :3, 3]), axes], axis=1).T


def rotvec(rotation: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) of a rotation matrix, length in [0, pi]."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    angle = np.arctan2(np.linalg.norm(skew), np.trace(rotation) - 1)
    if angle < 1e-9:
        return skew / 2
    if np.pi - angle < 1e-4:  # the skew part vanishes; the axis is in the symmetric one
        outer = (rotation + np.eye(3)) / 2
        k = int(np.argmax(np.diag(outer)))
        axis = outer[:, k] / np.sqrt(outer[k, k])
        return angle * axis * (1.0 if skew @ axis >= 0 else -1.0)
    return skew * angle / (2 * np.sin(angle))


def rotation_from_rotvec(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) of a rotation vector (3,), Rodrigues' formula."""
    angle = float(np.linalg.norm(vector))
    if angle < _STILL_RAD:
        return np.eye(3)
    x, y, z = np.asarray(vector, dtype=float) / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_from_rpy(rpy_rad: np.ndarray) -> np.ndarray:
    """Rotation matrix of roll, pitch, yaw: Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy_rad), np.sin(rpy_rad)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def rpy(rotation: np.ndarray) -> np.ndarray:
    """Roll, pitch, yaw (3,) of a rotation matrix; yaw is 0 where pitch is +-90 degrees."""
    pitch = np.arctan2(-rotation[2, 0], np.hypot(rotation[0, 0], rotation[1, 0]))
    if abs(np.cos(pitch)) < 1e-6:
        return np.array([np.arctan2(-rotation[1, 2], rotation[1, 1]), pitch, 0.0])
    roll = np.arctan2(rotation[2, 1], rotation[2, 2])
    return np.array([roll, pitch, np.arctan2(rotation[1, 0], rotation[0, 0])])


def difference(pose: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """(6,) from one pose to another: metres and a rotation vector, both in base axes."""
    return np.concatenate([goal[:3, 3] - pose[:3, 3], rotvec(goal[:3, :3] @ pose[:3, :3].T)])


def between(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The pose (4, 4) a share of the way from one to another, straight in position, by the shortest turn."""
    step = difference(a, b) * share
    return matrix(a[:3, 3] + step[:3], rotation_from_rotvec(step[3:]) @ a[:3, :3])


def solve(
    goal: np.ndarray,
    start_rad: np.ndarray,
    tool: np.ndarray | None = None,
    *,
    iterations: int = 60,
    posture_rad: np.ndarray | None = None,
    limits_rad: np.ndarray = JOINT_LIMITS_RAD,
) -> tuple[np.ndarray, bool]:
    """Joint angles (7,) that bring the tool to a pose (4, 4), and whether they do, to 0.001 mm and 0.01 mrad.

    Damped least squares from `start_rad`, clipped to the limits (7, 2); `posture_rad` (7,) pulls in the null space.
    """
    angles = np.array(start_rad, dtype=float)
    low, high = limits_rad.T
    for _ in range(iterations):
        links = link_poses(angles)
        pose = links[-1] if tool is None else links[-1] @ tool
        error = difference(pose, goal)
        if np.linalg.norm(error[:3]) < _POSITION_TOLERANCE_M and np.linalg.norm(error[3:]) < _ANGLE_TOLERANCE_RAD:
            return angles, True
        jac = _jacobian(links, pose[:3, 3])
        pull = None if posture_rad is None else _POSTURE_GAIN * (posture_rad - angles)
        step = _step(jac, error, pull)
        blocked = ((angles <= low) & (step < 0)) | ((angles >= high) & (step > 0))
        if blocked.any():  # without them the others find the way along the limit
            step = _step(np.where(blocked, 0.0, jac), error, pull)
        angles = np.clip(angles + np.clip(step, -_STEP_RAD, _STEP_RAD), low, high)
    return angles, False


def _step(jac: np.ndarray, error: np.ndarray, pull: np.ndarray | None) -> np.ndarray:
    """One step (7,) of damped least squares, with a pull (7,) in the null space."""
    square = jac @ jac.T + (_DAMPING * min(1.0, float(error @ error)) + _LEAST_DAMPING) * np.eye(6)
    step = jac.T @ np.linalg.solve(square, error)
    return step if pull is None else step + pull - jac.T @ np.linalg.solve(square, jac @ pull)
