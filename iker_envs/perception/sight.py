"""A view prepared for estimating: pictures at working size, foreground, the fused cloud, models of what is looked for.

View, Scene  ->  prepare  ->  Sight        EstimateRefused if the pictures cannot be used
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iker_envs.perception.candidates import owners
from iker_envs.perception.cloud import Cloud, fuse
from iker_envs.perception.estimator import EstimateRefused, Segmenter
from iker_envs.perception.pictures import picture_problem
from iker_envs.perception.shots import Region, Shot, empty_depth, foreground, shot_of, thinned
from iker_envs.perception.surfaces import SurfaceModel, surface_model
from iker_envs.planning.collision import OrientedBox, object_boxes
from iker_envs.scene import Scene, View

_FEWEST_POINTS = 60  # of foreground, in cells of 4 mm
_MOST_POINTS = 24_000
_AROUND_WORKSPACE_M = 0.2
_SKIN_M = 0.004  # above the table
_CEILING_M = 0.6


@dataclass(frozen=True, eq=False)
class Sight:
    """What the cameras see of a scene: shots, the foreground's cloud, also by camera, surface models of the movable
    objects by name, and the cloud of each object that a segmenter found."""

    scene: Scene
    shots: Sequence[Shot]
    cloud: Cloud
    by_camera: Sequence[Cloud]
    models: Mapping[str, SurfaceModel]
    segmented: Mapping[str, Cloud]

    @property
    def furniture(self) -> dict[str, list[OrientedBox]]:
        """Boxes of what does not move, by name."""
        return furniture_boxes(self.scene)

    def parts(self, matrices: Mapping[str, np.ndarray]) -> dict[str, Cloud]:
        """The points of the cloud that belong to each object at poses (4, 4)."""
        owner = owners(self.models, matrices, self.cloud)
        return {name: self.cloud.part(owner == k) for k, name in enumerate(matrices)}


def furniture_boxes(scene: Scene) -> dict[str, list[OrientedBox]]:
    """Boxes of what does not move, by name."""
    return {o.name: object_boxes(o.model, o.pose) for o in scene.objects if not o.movable}


def region_of(scene: Scene) -> Region:
    """Where objects are looked for: over the workspace and 20 cm around it."""
    low, high = scene.workspace_m
    around = _AROUND_WORKSPACE_M
    return Region(
        np.array([low[0] - around, low[1] - around, _SKIN_M]),
        np.array([high[0] + around, high[1] + around, _CEILING_M]),
    )


def prepare(view: View, scene: Scene, empty: View | None = None, segmenter: Segmenter | None = None) -> Sight:
    """The foreground, from an empty view where there is one, else from the table and the known furniture."""
    region = region_of(scene)
    shots = [shot_of(name, image) for name, image in view.cameras.items()]
    boxes = [box for group in furniture_boxes(scene).values() for box in group]
    known = {shot.name: empty_depth(shot, boxes) for shot in shots}
    if problem := picture_problem(view, shots, known, region):
        raise EstimateRefused(problem)
    masks = [_foreground(shot, known[shot.name], region, empty) for shot in shots]
    models = {name: surface_model(scene.object(name).model) for name in scene.movable}
    cloud = fuse(shots, masks)
    if models and len(cloud) < _FEWEST_POINTS:
        raise EstimateRefused(
            "the cameras see nothing on the table and the furniture; put the objects there, and if an empty picture is "
            "used take it again without them"
        )
    segmented = _segmented(view, shots, masks, scene, segmenter) if segmenter else {}
    by_camera = [fuse([shot], [mask]) for shot, mask in zip(shots, masks, strict=True)]
    return Sight(scene, shots, cloud.thinned(_MOST_POINTS), by_camera, models, segmented)


def _foreground(shot: Shot, known: np.ndarray, region: Region, empty: View | None) -> np.ndarray:
    if empty is not None and shot.name in empty.cameras:
        picture = shot_of(shot.name, empty.cameras[shot.name])
        return foreground(shot, picture.depth, region, is_picture=True)
    return foreground(shot, known, region)


def _segmented(view: View, shots, masks, scene: Scene, segmenter: Segmenter) -> dict[str, Cloud]:
    """The cloud of every object of which the segmenter shows enough."""
    labels = segmenter.segment(view, scene)
    nobody = np.full(1, -1)
    found = [thinned(np.asarray(labels[s.name]), s.depth.shape) if s.name in labels else nobody for s in shots]
    clouds = {
        name: fuse(shots, [m & (label == k) for m, label in zip(masks, found, strict=True)])
        for k, name in enumerate(scene.movable)
    }
    return {name: cloud for name, cloud in clouds.items() if len(cloud) >= _FEWEST_POINTS}
