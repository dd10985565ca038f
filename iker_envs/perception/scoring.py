"""How well a model at a pose agrees with the pictures: by depth, and by colour.

    SurfaceModel, matrices (H, 4, 4), shots  ->  agreement  ->  Agreement (per shot and pose)
    SurfaceModel, matrix, shots              ->  look_difference  ->  mean difference of colours, lighting aside

A point of the model that faces a camera, and that the object itself does not hide, is seen (the depth picture agrees),
seen through (the picture shows something behind it: it is not there) or hidden (something nearer is in front of it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iker_envs.perception.rigid import inverse
from iker_envs.perception.shots import Shot, depth_std_m, in_camera
from iker_envs.perception.surfaces import DIRECTIONS, SurfaceModel

_FACING = -0.25  # cosine between ray and normal: flatter surfaces give poor depths
_TOLERANCE_M = 0.010
_HIDDEN_COUNTS = 0.5  # a hidden point says little for a pose, and little against it
_THROUGH_COUNTS = 2.0  # a point that is not there speaks against it
_FEWEST = 40.0  # points of which a share means something
COLOUR_WEIGHT = 0.5
_NEXT_PX = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))


@dataclass(frozen=True, eq=False)
class Agreement:
    """Numbers of points (S, H) in each of S shots: seen, seen through, hidden, and seen weighted by colour."""

    seen: np.ndarray
    through: np.ndarray
    hidden: np.ndarray
    alike: np.ndarray

    def score(self) -> np.ndarray:
        """Depth and colour together (H,); 1 is perfect."""
        return self._share(self.alike)

    def depth_score(self) -> np.ndarray:
        """Depth alone (H,); 1 is perfect."""
        return self._share(self.seen)

    def open_score(self) -> np.ndarray:
        """Depth alone (H,), of the points that nothing hides; 1 is perfect."""
        total = (self.seen + self.through).sum(axis=0)
        return (self.seen - _THROUGH_COUNTS * self.through).sum(axis=0) / np.maximum(total, 1.0)

    def _share(self, good: np.ndarray) -> np.ndarray:
        weight = self.seen + self.through + _HIDDEN_COUNTS * self.hidden
        return (good - _THROUGH_COUNTS * self.through).sum(axis=0) / np.maximum(weight.sum(axis=0), _FEWEST)

    def visible_fraction(self) -> np.ndarray:
        """Of what would be seen with nothing in front of it, the share (H,) that is seen."""
        total = (self.seen + self.through + self.hidden).sum(axis=0)
        return self.seen.sum(axis=0) / np.maximum(total, 1.0)

    def seen_fraction_by_shot(self) -> np.ndarray:
        """The same by shot (S, H); 0 where a shot would see fewer points than say anything."""
        total = self.seen + self.through + self.hidden
        return np.where(total >= _FEWEST / 2, self.seen / np.maximum(total, 1.0), 0.0)

    def through_fraction_by_shot(self) -> np.ndarray:
        """Of the points that nothing hides, the share (S, H) that is not there; 0 where that is too few."""
        total = self.seen + self.through
        return np.where(total >= _FEWEST / 2, self.through / np.maximum(total, 1.0), 0.0)


def agreement(
    model: SurfaceModel, matrices: np.ndarray, shots: Sequence[Shot], tolerance_m: float = _TOLERANCE_M
) -> Agreement:
    """Compare a sample of the model's points at poses (H, 4, 4) with every shot."""
    rows = [_in_shot(model, matrices, shot, tolerance_m) for shot in shots]
    return Agreement(*(np.stack(column).astype(float) for column in zip(*rows, strict=True)))


def _in_shot(model: SurfaceModel, matrices: np.ndarray, shot: Shot, tolerance_m: float):
    index = model.sample
    row, column, depth, is_facing = _facing(model, index, matrices, shot)
    measured = shot.depth[row, column]
    counts = is_facing & (measured > 0)
    margin = tolerance_m + 2 * depth_std_m(depth)
    behind = measured - depth
    seen = counts & (np.abs(behind) < margin)
    alike = np.zeros(seen.shape)
    alike[seen] = 1 - COLOUR_WEIGHT * 2 * np.minimum(
        0.5, colour_difference(shot.rgb[row[seen], column[seen]], model.colours[index][np.nonzero(seen)[1]])
    )
    through = counts & (behind >= margin)
    hidden = counts & (behind <= -margin)
    return tuple(a.sum(axis=1) for a in (seen, through, hidden, alike))


def _facing(model: SurfaceModel, index: np.ndarray, matrices: np.ndarray, shot: Shot):
    """Row, column and depth (H, I) of the model's points in a shot, and which face it and are not self-hidden."""
    local = in_camera(shot, matrices)
    turn = np.swapaxes(local[:, :3, :3], 1, 2)
    points = model.points[index] @ turn + local[:, None, :3, 3]
    normals = model.normals[index] @ turn
    ray = np.einsum("hik,hik->hi", normals, points)
    is_facing = ray < _FACING * np.sqrt(np.einsum("hik,hik->hi", points, points))
    from_where = inverse(matrices)[:, :3, :3] @ shot.eye + inverse(matrices)[:, :3, 3] - model.centre
    is_facing &= model.seen_from[index].T[(from_where @ DIRECTIONS.T).argmax(axis=1)]
    row, column, is_inside = shot.project(points)
    return row, column, points[..., 2], is_facing & is_inside


def colour_difference(seen: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """How differently coloured (...,), 0 to 1, colours (..., 3) of pictures and of models are.

    The shares of red, green and blue count most: they hardly change with light; brightness counts a little.
    """
    brightness = np.abs(np.log((seen.sum(axis=-1) + 0.15) / (painted.sum(axis=-1) + 0.15)))
    return np.minimum(1.0, 2 * np.abs(_shares(seen) - _shares(painted)).sum(axis=-1) + 0.35 * brightness)


@dataclass(frozen=True, eq=False)
class LookDifference:
    """Differences of colour at the points that a model at a pose shows: mean, its standard error, how many points."""

    mean: float
    error: float
    count: int


def look_difference(model: SurfaceModel, matrix: np.ndarray, shots: Sequence[Shot]) -> LookDifference:
    """Compare all visible points' colours, each camera and side of the object with a light of its own.

    How bright a side is depends on lamp and exposure; dividing by its median leaves the pattern on it.
    """
    rows = [_pattern(model, matrix, shot) for shot in shots]
    differences = np.concatenate(rows) if rows else np.empty(0)
    if len(differences) < _FEWEST:
        return LookDifference(1.0, 1.0, len(differences))
    # Neighbours err together: about every eighth point is worth one.
    error = float(differences.std() / np.sqrt(len(differences) / 8))
    return LookDifference(float(differences.mean()), error, len(differences))


def _pattern(model: SurfaceModel, matrix: np.ndarray, shot: Shot) -> np.ndarray:
    """Differences (P,) of colour at the points that the shot sees, each with the best of its pixel and the next ones:
    a camera that stands a few millimetres off moves print by a pixel."""
    row, column, depth, is_facing = _facing(model, np.arange(len(model.points)), matrix[None], shot)
    measured = shot.depth[row[0], column[0]]
    margin = _TOLERANCE_M + 2 * depth_std_m(depth[0])
    is_seen = is_facing[0] & (measured > 0) & (np.abs(measured - depth[0]) < margin)
    painted = model.colours[is_seen]
    light = _light(shot.rgb[row[0], column[0]][is_seen], painted, model.normals[is_seen])
    expected = painted * np.exp(np.clip(light, -3.0, 3.0))[:, None]
    height, width = shot.depth.shape
    best = np.full(len(painted), np.inf)
    for down, right in _NEXT_PX:
        pixels = np.clip(row[0, is_seen] + down, 0, height - 1), np.clip(column[0, is_seen] + right, 0, width - 1)
        seen = shot.rgb[pixels]
        brightness = np.abs(_log_brightness(seen) - _log_brightness(painted) - light)
        shares = np.abs(_shares(seen) - _shares(expected)).sum(axis=1)
        best = np.minimum(best, np.minimum(1.0, 2 * shares) + 0.5 * np.minimum(1.0, brightness))
    return best


def _light(seen: np.ndarray, painted: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Logarithm (P,) of how much brighter than painted the object is on the side that each point lies on."""
    axis = np.abs(normals).argmax(axis=1)
    side = 2 * axis + (np.take_along_axis(normals, axis[:, None], 1)[:, 0] > 0)
    brighter = _log_brightness(seen) - _log_brightness(painted)
    light = np.zeros(len(side))
    for k in np.unique(side):
        light[side == k] = np.median(brighter[side == k])
    return light


def _log_brightness(colours: np.ndarray) -> np.ndarray:
    return np.log(colours.sum(axis=-1) + 0.05)


def _shares(colours: np.ndarray) -> np.ndarray:
    """Red, green and blue (..., 3) as shares of their sum, dark ones less."""
    return colours / (colours.sum(axis=-1, keepdims=True) + 0.15)
