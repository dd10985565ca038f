"""Estimates over several looks: what did not move is known better with each, and stays where it was thought to be.

    Tracks, estimates of one look, their noise  ->  fuse  ->  Tracks          (a function of its arguments alone)
    FusingEstimator(inner, noise).estimate(view, models)  ->  {object: FusedEstimate}

The mean of n looks has the noise of one divided by sqrt(n). A new estimate belongs to the same place if it differs from
that mean by no more than their joint noise explains; else the object was moved and starts anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from iker_envs.geometry import (
    quaternion_conjugate,
    quaternion_from_rotvec,
    quaternion_multiply,
    rotation_angle,
    rotvec_from_quaternion,
)
from iker_envs.perception.estimator import Estimate, Estimator
from iker_envs.perception.truth import PoseNoise
from iker_envs.scene import Scene, View

MAX_LOOKS = 8  # more change little: sqrt(8) is a third of the noise, and a creeping object is followed
# 99 % of what noise alone does: the distance of three normal axes (chi-square, 3 degrees of freedom: 11.34), and the
# angle of a turn about a random axis (normal). So of a hundred looks at what stands still, two start anew.
_POSITION_GATE = 3.37
_ROTATION_GATE = 2.58
# What an object does without being moved, such as settling: counts as noise even where the noise is said to be 0.
_REST = PoseNoise(position_m=0.0005, rotation_deg=0.1)


@dataclass(frozen=True, eq=False)
class FusedEstimate(Estimate):
    """The mean of `looks` estimates of an object that stood still; its noise is that of one, over sqrt(looks)."""

    looks: int = 1

    def noise(self, of_one: PoseNoise) -> PoseNoise:
        """Standard deviations of this estimate, from those of one look."""
        share = self.looks**-0.5
        return PoseNoise(share * of_one.position_m, share * of_one.rotation_deg)


def fuse(
    before: Mapping[str, FusedEstimate], now: Mapping[str, Estimate], noise: PoseNoise, max_looks: int = MAX_LOOKS
) -> dict[str, FusedEstimate]:
    """What is known of the objects of `now`, given what was known before; `noise` is that of one look."""
    return {
        name: _continued(before[name], estimate, max_looks)
        if name in before and is_unmoved(before[name], estimate, noise)
        else _fused(estimate, estimate.pose, 1)
        for name, estimate in now.items()
    }


def is_unmoved(before: FusedEstimate, now: Estimate, noise: PoseNoise) -> bool:
    """Does noise alone explain that an object seems to be elsewhere than the mean of the looks before?"""
    joint = (1 + 1 / before.looks) ** 0.5
    position_m = _POSITION_GATE * joint * max(noise.position_m, _REST.position_m)
    rotation_deg = _ROTATION_GATE * joint * max(noise.rotation_deg, _REST.rotation_deg)
    shift_m = np.linalg.norm(now.pose[:3] - before.pose[:3])
    turn_deg = np.rad2deg(rotation_angle(now.pose[3:], before.pose[3:]))
    return bool(shift_m <= position_m and turn_deg <= rotation_deg)


def _continued(before: FusedEstimate, now: Estimate, max_looks: int) -> FusedEstimate:
    """The mean with one more look in it; beyond `max_looks` the oldest ones fade."""
    looks = min(before.looks + 1, max_looks)
    position = before.pose[:3] + (now.pose[:3] - before.pose[:3]) / looks
    turn = rotvec_from_quaternion(quaternion_multiply(now.pose[3:], quaternion_conjugate(before.pose[3:])))
    rotation = quaternion_multiply(quaternion_from_rotvec(turn / looks), before.pose[3:])
    return _fused(now, np.concatenate([position, rotation]), looks)


def _fused(now: Estimate, pose: np.ndarray, looks: int) -> FusedEstimate:
    """What one look said of an object, with the pose of all of them."""
    said = {f.name: getattr(now, f.name) for f in fields(Estimate) if f.name != "pose"}
    return FusedEstimate(pose, **said, looks=looks)


class FusingEstimator:
    """Remembers what another estimator saw and gives the mean over the looks at what stood still.

    `noise` is that of one look. With `max_looks=1` every look stands alone. ValueError if that is below 1.
    """

    def __init__(self, inner: Estimator, noise: PoseNoise, max_looks: int = MAX_LOOKS) -> None:
        if max_looks < 1:
            raise ValueError(f"at least 1 look is used, not {max_looks}")
        self.inner = inner
        self.noise = noise
        self.max_looks = max_looks
        self._known: dict[str, FusedEstimate] = {}

    def estimate(self, view: View, models: Scene) -> dict[str, Estimate]:
        """See `Estimator`; what is remembered is kept where the inner estimator raises."""
        self._known = fuse(self._known, self.inner.estimate(view, models), self.noise, self.max_looks)
        return {**self._known}

    def forget(self, name: str) -> None:
        """The object is known to have been touched: the next look at it stands alone, however little it moved."""
        self._known.pop(name, None)
