"""Poses of known objects from RGB-D pictures of several cameras, on a CPU: the estimator "rgbd".

    View  ->  foreground  ->  cloud  ->  candidates of each object  ->  joint choice  ->  rivals  ->  support  ->  trust

A cold start tries every place and side; an object whose last pose still fits is not searched for. What cannot be
trusted is refused with its reason. Numpy and scipy alone; models are the looks of `iker_envs.objects.looks`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iker_envs.perception.candidates import Candidates, choose, fit_candidates, owners, refine
from iker_envs.perception.cloud import Cloud, Field
from iker_envs.perception.comparing import compare
from iker_envs.perception.estimator import Estimate, EstimateRefused, Segmenter
from iker_envs.perception.mixups import mixup
from iker_envs.perception.pictures import frozen_camera
from iker_envs.perception.rigid import matrix_of, pose_of
from iker_envs.perception.shots import shot_of
from iker_envs.perception.sight import Sight, furniture_boxes, prepare, region_of
from iker_envs.perception.starts import cold_starts, warm_starts
from iker_envs.perception.support import levels
from iker_envs.perception.trust import Finding, TrustLimits, doubt, stranger
from iker_envs.scene import Scene, View

_SEARCHED_POINTS = 6000
_CANDIDATES = 6
_WARM_CANDIDATES = 3
_WARM_SCORE = 0.55  # a warm fit that scores less is searched for anew


class RgbdEstimator:
    """Estimates poses from pictures; keeps the poses that it last trusted, to begin the next look from.

    Args:
        empty: a view of the scene without its movable objects, from the same cameras; without one the foreground is
            what stands out from the table and the known furniture.
        segmenter: masks from elsewhere; without one colours and shapes alone tell the objects apart.
        limits: from where on a pose is trusted.
    """

    def __init__(
        self,
        empty: View | None = None,
        segmenter: Segmenter | None = None,
        limits: TrustLimits | None = None,
    ) -> None:
        self._empty = empty
        self._segmenter = segmenter
        self._limits = TrustLimits() if limits is None else limits
        self._last: dict[str, np.ndarray] = {}
        self._depths: dict[str, np.ndarray] = {}  # by camera, of the look before

    def forget(self) -> None:
        """Begin the next look without knowing where anything was."""
        self._last = {}

    def remember(self, poses: Mapping[str, np.ndarray]) -> None:
        """Begin the next look from poses {name: (7,)}, such as those of an earlier run."""
        self._last = {name: matrix_of(pose) for name, pose in poses.items()}

    def estimate(self, view: View, models: Scene) -> dict[str, Estimate]:
        """See `Estimator`; EstimateRefused says what cannot be trusted, and why."""
        shots = [shot_of(name, image) for name, image in view.cameras.items()]
        frozen = frozen_camera(shots, self._depths)
        self._depths = {shot.name: shot.depth for shot in shots}
        if frozen:
            raise EstimateRefused(frozen)
        try:
            return self._estimated(view, models) if models.movable else {}
        except EstimateRefused as refusal:
            boxes = [box for group in furniture_boxes(models).values() for box in group]
            if mixed := mixup(shots, boxes, region_of(models)):
                raise EstimateRefused(f"{mixed}; {refusal}", refusal.estimates) from None
            raise

    def _estimated(self, view: View, models: Scene) -> dict[str, Estimate]:
        sight = prepare(view, models, self._empty, self._segmenter)
        findings = compare(sight, self._searched(sight), self._last)
        cameras = [shot.name for shot in sight.shots]
        estimates = {n: _estimate(found, doubt(n, found, cameras, self._limits)) for n, found in findings.items()}
        matrices = {name: found.matrix for name, found in findings.items()}
        unowned = sight.cloud.part(owners(sight.models, matrices, sight.cloud) < 0)
        problems = [e.why for e in estimates.values()] + [stranger(unowned, sight.shots)]
        if any(problems):
            raise EstimateRefused("; ".join(filter(None, problems)), estimates)
        self._last = matrices
        return estimates

    def _searched(self, sight: Sight) -> dict[str, np.ndarray]:
        """One pose (4, 4) for every object, all together the best explanation of the cloud."""
        cloud = sight.cloud.thinned(_SEARCHED_POINTS)
        field = Field(sight.cloud.points, sight.cloud.colours)
        heights = levels(box for boxes in sight.furniture.values() for box in boxes)
        candidates = {}
        for name in sight.models:
            candidates[name] = self._candidates(name, sight, cloud, field, heights)
            if not len(candidates[name].scores):
                raise EstimateRefused(f"{name} was not found: nothing that the cameras see is of its size")
        return refine(sight.models, choose(sight.models, candidates, cloud), cloud)

    def _candidates(self, name: str, sight: Sight, cloud: Cloud, field: Field, heights: list[float]) -> Candidates:
        """Poses of one object: around the last one if it fits there, else anywhere."""
        model = sight.models[name]
        if name in sight.segmented:
            cloud = sight.segmented[name].thinned(_SEARCHED_POINTS)
            field = Field(cloud.points, cloud.colours)
        warm = None
        if name in self._last:
            starts = warm_starts(model, self._last[name])
            warm = fit_candidates(model, starts, cloud, sight.shots, _WARM_CANDIDATES)
            if len(warm.scores) and warm.scores.max() >= _WARM_SCORE:
                return warm
        starts = cold_starts(model, field, cloud, heights)
        cold = fit_candidates(model, starts, cloud, sight.shots, _CANDIDATES)
        return cold if warm is None else cold.joined(warm)


def _estimate(found: Finding, why: str) -> Estimate:
    score = float(found.agreement.depth_score()[0])
    return Estimate(
        pose_of(found.matrix),
        confidence=0.0 if why else float(np.clip(score, 0.0, 1.0)),
        residual_m=found.residual_m,
        visible_fraction=float(found.agreement.visible_fraction()[0]),
        why=why,
    )
