"""One object followed at 10 Hz while hand and arm move before it.

    images, gripper  ->  Tracker.update  ->  Tracked (pose, age, trusted)        lost: Tracker.search, outside the tick

Each tick: predict (the gripper's motion for a grasped object, else its own), cut out the pictures around it, take away
furniture and gripper by their known shapes, fit in a few steps, check the fit and its neighbours against the pictures.
A pose that the pictures do not confirm is not trusted, and the last one that was grows old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from iker_envs.geometry import pose_apply, pose_inverse
from iker_envs.perception.candidates import fit_candidates
from iker_envs.perception.cloud import Cloud, fuse
from iker_envs.perception.registration import register
from iker_envs.perception.rigid import apply, inverse, matrix_of, pose_of, turned_about
from iker_envs.perception.scoring import agreement
from iker_envs.perception.shots import Shot, depth_std_m, shot_of
from iker_envs.perception.starts import distance_between, warm_starts
from iker_envs.perception.surfaces import SurfaceModel, surface_model
from iker_envs.planning.collision import OrientedBox, gripper_boxes
from iker_envs.planning.hand import WRIST_RADIUS_M, WRIST_TO_M
from iker_envs.scene import Image, ObjectModel

_FEWEST_POINTS = 60
_SKIN_M = 0.006  # of table and furniture
_HAND_SKIN_M = 0.010
_AROUND_M = 0.03
_CELL_M = 0.006
_CROP_PX = 2500  # of each picture: more say no more
_SPEED_KEPT = 0.7  # of the last motion, in the prediction
_MOST_M = 0.03  # a tick
_MOST_RAD = 0.25
_BETTER = 0.02  # of the score: a neighbour that leads by more takes over
_NEIGHBOURS = ((0.008, 0, 0), (-0.008, 0, 0), (0, 0.008, 0), (0, -0.008, 0), (0, 0, 0.07), (0, 0, -0.07))  # x, y, yaw
_TICK_S = 0.1


@dataclass(frozen=True)
class TrackingLimits:
    """From where on a tracked pose is trusted; see `Tracker`."""

    score: float = 0.45  # at least
    jump_m: float = 0.05  # at most, in one tick
    kinematic_s: float = 1.0  # how long a grasped object is believed to move with the hand, unseen
    lost_ticks: int = 3  # so many in a row without trust: search


@dataclass(frozen=True, eq=False)
class GripperPose:
    """Where the hand is: tool-centre pose (7,), opening in metres, and whether it holds the object."""

    tcp_pose: np.ndarray
    opening_m: float = 0.0
    holds: bool = False


@dataclass(frozen=True, eq=False)
class Tracked:
    """A pose (7,), how many seconds ago pictures last confirmed it, whether it can be trusted, and why not."""

    pose: np.ndarray
    age_s: float
    trusted: bool
    why: str = ""

    def info(self) -> dict[str, float | bool]:
        """What `info` of a step says of it: "pose_age_s" and "pose_trusted"."""
        return {"pose_age_s": self.age_s, "pose_trusted": self.trusted}


class Tracker(Protocol):
    """Follows one object from picture to picture."""

    def update(self, images: Mapping[str, Image], gripper: GripperPose | None = None) -> Tracked:
        """The pose in these images by camera, taken one tick after the last ones."""
        ...

    @property
    def is_lost(self) -> bool:
        """Has the pose been without trust for so long that a search is due?"""
        ...

    def search(self, images: Mapping[str, Image], gripper: GripperPose | None = None) -> Tracked:
        """Look around the last trusted pose; takes several ticks. Not found: drive the hand away and look anew."""
        ...


class ModelTracker:
    """A `Tracker` by registration of the object's surface.

    Args:
        model: the object; furniture: boxes of what does not move; pose: where it is (7,) when tracking begins.
        limits: from where on a pose is trusted.
    """

    def __init__(
        self,
        model: ObjectModel,
        furniture: Sequence[OrientedBox],
        pose: np.ndarray,
        limits: TrackingLimits | None = None,
    ) -> None:
        self._model = surface_model(model)
        self._furniture = tuple(furniture)
        self._limits = TrackingLimits() if limits is None else limits
        self._now = self._before = matrix_of(pose)
        self._gripper: GripperPose | None = None
        self._lost_ticks = 0

    @property
    def is_lost(self) -> bool:
        """Has the pose been without trust for so long that a search is due?"""
        return self._lost_ticks >= self._limits.lost_ticks

    def update(self, images: Mapping[str, Image], gripper: GripperPose | None = None) -> Tracked:
        """See `Tracker`."""
        predicted, is_carried = self._predicted(gripper)
        self._gripper = gripper
        shots = [shot_of(name, image) for name, image in images.items()]
        cloud = _around(shots, self._model, predicted, self._furniture, gripper)
        if len(cloud) < _FEWEST_POINTS:
            return self._unseen(predicted, is_carried, "too little of the object is seen")
        fitted = register(self._model, cloud, predicted[None], iterations=6, reach_m=(0.022, 0.010), max_points=500)[0]
        matrix, score = self._checked(fitted, predicted, cloud, shots)
        jump_m = float(distance_between(self._model, matrix, predicted if is_carried else self._now))
        if score < self._limits.score:
            return self._unseen(
                predicted, is_carried, f"the pictures confirm {100 * max(score, 0.0):.0f} % of the pose"
            )
        if jump_m > self._limits.jump_m:
            return self._unseen(predicted, is_carried, f"the pose jumped by {100 * jump_m:.0f} cm within a tick")
        self._before, self._now = self._now, matrix
        self._lost_ticks = 0
        return Tracked(pose_of(matrix), 0.0, True)

    def search(self, images: Mapping[str, Image], gripper: GripperPose | None = None) -> Tracked:
        """See `Tracker`."""
        shots = [shot_of(name, image) for name, image in images.items()]
        cloud = _around(shots, self._model, self._now, self._furniture, gripper, margin_m=0.10)
        if len(cloud) < _FEWEST_POINTS:
            return self._unseen(self._now, False, "the object is not near where it was last seen")
        found = fit_candidates(self._model, warm_starts(self._model, self._now), cloud, shots, 3)
        if not len(found.scores) or found.scores.max() < self._limits.score:
            return self._unseen(self._now, False, "nothing near the last place looks like the object")
        self._now = self._before = found.matrices[int(found.scores.argmax())]
        self._gripper = gripper
        self._lost_ticks = 0
        return Tracked(pose_of(self._now), 0.0, True)

    def _predicted(self, gripper: GripperPose | None) -> tuple[np.ndarray, bool]:
        """Where the object (4, 4) should be now, and whether that is so because the hand carries it."""
        if gripper is not None and gripper.holds and self._gripper is not None and self._gripper.holds:
            moved = matrix_of(gripper.tcp_pose) @ inverse(matrix_of(self._gripper.tcp_pose))
            return moved @ self._now, True
        centres = [apply(m, self._model.centre[None])[0] for m in (self._before, self._now)]
        shift = _SPEED_KEPT * (centres[1] - centres[0])
        turn = _SPEED_KEPT * Rotation.from_matrix(self._now[:3, :3] @ self._before[:3, :3].T).as_rotvec()
        shift *= min(1.0, _MOST_M / max(float(np.linalg.norm(shift)), 1e-9))
        turn *= min(1.0, _MOST_RAD / max(float(np.linalg.norm(turn)), 1e-9))
        return turned_about(centres[1], turn, shift) @ self._now, False

    def _checked(self, fitted: np.ndarray, predicted: np.ndarray, cloud: Cloud, shots: Sequence[Shot]):
        """The fit, or a neighbour that the pictures confirm better: pose (4, 4) and score."""
        centre = apply(fitted, self._model.centre[None])[0]
        turns = np.array([[0, 0, yaw] for _, _, yaw in _NEIGHBOURS], dtype=float)
        shifts = np.array([[x, y, 0] for x, y, _ in _NEIGHBOURS], dtype=float)
        around = turned_about(np.tile(centre, (len(turns), 1)), turns, shifts) @ fitted
        poses = np.concatenate([[fitted, predicted, self._now], around])
        scores = agreement(self._model, poses, shots, tolerance_m=0.008).score()
        best = int(scores.argmax())
        if scores[best] < scores[0] + _BETTER:
            return fitted, float(scores[0])
        again = register(self._model, cloud, poses[best, None], iterations=4, reach_m=(0.012, 0.008), max_points=500)
        pair = np.stack([again[0], poses[best]])
        scores = agreement(self._model, pair, shots, tolerance_m=0.008).score()
        return pair[int(scores.argmax())], float(scores.max())

    def _unseen(self, predicted: np.ndarray, is_carried: bool, why: str) -> Tracked:
        """No pictures confirm a pose: a carried object moves with the hand for a while, another one stays."""
        self._lost_ticks += 1
        self._before = self._now
        age_s = self._lost_ticks * _TICK_S
        if is_carried:
            self._before = self._now = predicted
        is_trusted = is_carried and age_s <= self._limits.kinematic_s
        return Tracked(pose_of(self._now), age_s, is_trusted, "" if is_trusted else why)


def _around(
    shots: Sequence[Shot],
    model: SurfaceModel,
    matrix: np.ndarray,
    furniture: Sequence[OrientedBox],
    gripper: GripperPose | None,
    margin_m: float = _AROUND_M,
) -> Cloud:
    """The cloud around an object at a pose (4, 4), without table, furniture and gripper."""
    centre = apply(matrix, model.centre[None])[0]
    radius_m = model.diameter_m / 2 + margin_m
    crops = [crop for shot in shots if (crop := _cropped(shot, centre, radius_m)) is not None]
    masks = [_unknown(crop, centre, radius_m, furniture, gripper) for crop in crops]
    return fuse(crops, masks, _CELL_M)


def _cropped(shot: Shot, centre: np.ndarray, radius_m: float) -> Shot | None:
    """The part of a picture that shows a ball; None if it shows none of it."""
    x, y, z = apply(inverse(shot.T), centre[None])[0]
    if z < radius_m:
        return None
    height, width = shot.depth.shape
    u, v = shot.K[0, 0] * x / z + shot.K[0, 2], shot.K[1, 1] * y / z + shot.K[1, 2]
    reach = radius_m / z * shot.K[0, 0]
    left, right = (int(np.clip(side, 0, width)) for side in (u - reach, u + reach))
    top, bottom = (int(np.clip(side, 0, height)) for side in (v - reach, v + reach))
    if right - left < 5 or bottom - top < 5:
        return None
    n = max(1, int(np.sqrt((right - left) * (bottom - top) / _CROP_PX)))
    rows, columns = slice(top + n // 2, bottom, n), slice(left + n // 2, right, n)
    K = shot.K.copy()
    K[:2, 2] = (K[:2, 2] - (columns.start + 0.5, rows.start + 0.5)) / n + 0.5
    K[(0, 1), (0, 1)] /= n
    return replace(shot, rgb=shot.rgb[rows, columns], depth=shot.depth[rows, columns], K=K)


def _unknown(shot: Shot, centre, radius_m: float, furniture: Sequence[OrientedBox], gripper: GripperPose | None):
    """Pixels (H, W) near the object that neither table nor furniture nor gripper explains."""
    mask = shot.depth > 0
    points = shot.points(mask)
    skin = np.maximum(_SKIN_M, 2 * depth_std_m(shot.depth[mask]))
    kept = (points[:, 2] > skin) & (np.linalg.norm(points - centre, axis=1) < radius_m)
    for box in furniture:
        kept &= ~_inside(box, points, skin[:, None])
    if gripper is not None:
        for box in gripper_boxes(gripper.tcp_pose, gripper.opening_m):
            kept &= ~_inside(box, points, _HAND_SKIN_M)
        local = pose_apply(pose_inverse(np.asarray(gripper.tcp_pose, dtype=float)), points)
        in_wrist = np.hypot(local[:, 0], local[:, 1]) < WRIST_RADIUS_M + _HAND_SKIN_M
        kept &= ~(in_wrist & (local[:, 2] < WRIST_TO_M + 0.06))
    mask[mask] = kept
    return mask


def _inside(box: OrientedBox, points: np.ndarray, skin) -> np.ndarray:
    return (np.abs((points - box.centre) @ box.axes) < box.half + skin).all(axis=1)
