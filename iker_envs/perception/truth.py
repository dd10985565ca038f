"""The simulator's estimator: true poses, which a simulated view carries, plus noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.contract import check_number
from iker_envs.geometry import quaternion_from_rotvec, quaternion_multiply
from iker_envs.perception.estimator import Estimate
from iker_envs.scene import Scene, View


@dataclass(frozen=True)
class PoseNoise:
    """Standard deviations of simulated pose estimates: position per axis, rotation about a random axis."""

    position_m: float = 0.005  # per axis
    rotation_deg: float = 2.0  # about a random axis


class TruthEstimator:
    """Truth plus normally distributed noise, drawn anew at every call; the confidence is always 1.

    ValueError if a standard deviation of the noise is below 0 or not finite.
    """

    def __init__(self, noise: PoseNoise, rng: np.random.Generator) -> None:
        for name, deviation in vars(noise).items():
            if check_number(f"{name} of the pose noise", deviation) < 0:
                raise ValueError(f"{name} of the pose noise is at least 0, not {deviation!r}")
        self._noise = noise
        self._rng = rng

    def estimate(self, view: View, models: Scene) -> dict[str, Estimate]:
        """See `Estimator`; ValueError, before anything is drawn, if the view carries no truth for an object."""
        for name in models.movable:
            if name not in view.true_poses:
                known = ", ".join(view.true_poses) or "none"
                raise ValueError(
                    f"the view carries no true pose of {name!r}, only of: {known}; the estimator 'truth' needs a "
                    "simulated view of all movable objects"
                )
        return {name: Estimate(self._perturbed(view.true_poses[name])) for name in models.movable}

    def _perturbed(self, pose: np.ndarray) -> np.ndarray:
        position = pose[:3] + self._rng.normal(0.0, self._noise.position_m, 3)
        axis = self._rng.normal(size=3)
        angle_rad = self._rng.normal(0.0, np.deg2rad(self._noise.rotation_deg))
        turn = quaternion_from_rotvec(axis / np.linalg.norm(axis) * angle_rad)
        return np.concatenate([position, quaternion_multiply(turn, pose[3:])])
