"""Where are the objects? Poses estimated from a view.

    View, scene template  ->  estimate_poses  ->  {object: (pose, confidence)}

In simulation a view carries the true poses and the estimate is truth plus noise; estimating them from the images takes
the same place on hardware.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import quaternion_from_rotvec, quaternion_multiply
from iker_envs.scene import Scene, View


@dataclass(frozen=True)
class PoseNoise:
    """Standard deviations of simulated pose estimates: position per axis, rotation about a random axis."""

    position_m: float = 0.005  # per axis
    rotation_deg: float = 2.0  # about a random axis


def estimate_poses(
    view: View, models: Scene, noise: PoseNoise, rng: np.random.Generator
) -> dict[str, tuple[np.ndarray, float]]:
    """Pose (7,) in the base frame and confidence in [0, 1] of every movable object of `models`.

    ValueError if the view does not show one of them.
    """
    estimates = {}
    for name in models.movable:
        if name not in view.true_poses:
            raise ValueError(f"the view has no pose of {name!r}; it has: {', '.join(view.true_poses) or 'none'}")
        pose = np.array(view.true_poses[name])
        pose[:3] += rng.normal(0.0, noise.position_m, 3)
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        rotvec = axis * rng.normal(0.0, np.deg2rad(noise.rotation_deg))
        pose[3:] = quaternion_multiply(quaternion_from_rotvec(rotvec), pose[3:])
        estimates[name] = pose, 1.0
    return estimates
