"""Takes the robot out of its own pictures: depth that lies on the arm, as its joints say, becomes "nothing measured".

    depth_m (H, W), K, camera pose, joints, opening  ->  SelfFilter.without_arm  ->  depth_m (H, W)

An estimator of poses would take the arm for something unknown on the table.
"""

from __future__ import annotations

import mujoco
import numpy as np

from iker_envs.geometry import rotation_matrix
from real_env.arm_model import FINGERS, add_arm
from real_env.xarm7 import JOINTS

_MARGIN_M = 0.03  # of the model, whose capsules are simpler than the arm, of the calibration and of the depth's noise
_FAR_M = 1.2  # from the base's axis; the arm reaches no further
_CENTRE = 0.5  # of a pixel


class SelfFilter:
    """The arm's geometry at given joints."""

    def __init__(self) -> None:
        spec = mujoco.MjSpec()
        add_arm(spec)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._joints = np.array([self._model.joint(name).qposadr[0] for name in JOINTS])
        self._fingers = np.array([self._model.joint(name).qposadr[0] for name in FINGERS])

    def without_arm(
        self, depth_m: np.ndarray, K: np.ndarray, T_world_cam: np.ndarray, joints_rad: np.ndarray, opening_m: float
    ) -> np.ndarray:
        """The depth image (H, W) with 0 where it shows the arm at joints (7,); pixel centres at half-integers."""
        self._data.qpos[self._joints] = joints_rad
        self._data.qpos[self._fingers] = opening_m / 2
        mujoco.mj_kinematics(self._model, self._data)
        rows, columns = np.nonzero(depth_m > 0)
        z = depth_m[rows, columns].astype(float)
        x = (columns + _CENTRE - K[0, 2]) / K[0, 0] * z
        y = (rows + _CENTRE - K[1, 2]) / K[1, 1] * z
        points = np.stack([x, y, z], axis=-1) @ rotation_matrix(T_world_cam[3:]).T + T_world_cam[:3]
        near = np.hypot(points[:, 0], points[:, 1]) < _FAR_M
        is_arm = np.zeros(len(points), dtype=bool)
        is_arm[near] = self._on_arm(points[near])
        filtered = np.array(depth_m)
        filtered[rows[is_arm], columns[is_arm]] = 0
        return filtered

    def _on_arm(self, points: np.ndarray) -> np.ndarray:
        """Which points (P, 3) are within 3 cm of a part of the arm."""
        found = np.zeros(len(points), dtype=bool)
        for geom in range(self._model.ngeom):
            local = (points - self._data.geom_xpos[geom]) @ self._data.geom_xmat[geom].reshape(3, 3)
            found |= _distance(self._model.geom_type[geom], self._model.geom_size[geom], local) < _MARGIN_M
        return found


def _distance(kind: int, size: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Distance (P,) of points (P, 3) in a geom's frame from it; at most 0 inside."""
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return np.linalg.norm(np.maximum(np.abs(local) - size, 0.0), axis=-1)
    radial = np.linalg.norm(local[:, :2], axis=-1)
    along = np.maximum(np.abs(local[:, 2]) - size[1], 0.0)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return np.hypot(radial, along) - size[0]
    return np.hypot(np.maximum(radial - size[0], 0.0), along)  # a cylinder
