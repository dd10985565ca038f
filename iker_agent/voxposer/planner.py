"""From maps to a path: VoxPoser's greedy walk down a cost map, smoothed.

grid, start, affordance, obstacles  ->  plan_path  ->  points (N, 3), the last one the target's voxel

Weights, window and smoothing are those of the published code (huangwl18/VoxPoser, planners.py and its configuration):
the distance to the target counts 2, obstacles blurred by 10 voxels count 1, steps reach 2 voxels along each axis, at
most 300 of them, a Savitzky-Golay filter of 20 points and degree 3. Obstacles within 15 voxels of start and target are
forgotten.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.signal import savgol_filter

from iker_agent.voxposer.maps import NUM_VOXELS, VoxelGrid
from iker_agent.voxposer.movements import Movement

_TARGET_WEIGHT = 2.0
_OBSTACLE_WEIGHT = 1.0
_BLUR_VOXELS = 10.0
_FREE_VOXELS = 15
_WINDOW = 2
_MAX_STEPS = 300
_LEAST_RISE = 0.001  # of the cost at which the walk ends
_VISITED = 1.0  # a voxel that was visited costs so much more
_SMOOTH_POINTS = 20
_SMOOTH_DEGREE = 3
_SPACING_M = 0.03  # between the points of the path that is given back: what a hand moves in one tick
_TINY = 1e-9
_OFFSETS = np.array([o for o in product(range(-_WINDOW, _WINDOW + 1), repeat=3) if any(o)])
_PLANAR = _OFFSETS[_OFFSETS[:, 2] == 0]


class NoTarget(ValueError):
    """A movement has no target that can be gone to; the message says why."""


def plan_path(grid: VoxelGrid, movement: Movement, start: np.ndarray, obstacles: np.ndarray) -> np.ndarray:
    """Points (N, 3) from a start (3,) to the highest affordance; an object that is pushed keeps its height.

    NoTarget if the highest affordance is not above 0, or lies outside the grid.
    """
    planar = movement.movable != "gripper"
    for region in movement.affordance:
        if region.shape == "point" and region.value[0] > 0 and not grid.holds(np.array(region.numbers)):
            low, high = (np.round(corner, 2).tolist() for corner in (grid.lower_m, grid.upper_m))
            place = np.round(region.numbers, 3).tolist()
            raise NoTarget(f"the affordance at {place} is outside the maps, which reach from {low} to {high} m")
    affordance = grid.map_of(movement.affordance)
    if affordance.max() <= 0:
        raise NoTarget(f"the affordance map of the movement of {movement.movable} is nowhere above 0")
    targets = affordance == affordance.max()
    first = grid.index(start)
    if planar:
        targets = np.repeat(targets.any(axis=2, keepdims=True), NUM_VOXELS, axis=2)
    distance = distance_transform_edt(~targets, sampling=grid.voxel_m)
    cost = _cost(distance, _avoided(grid, movement, obstacles, targets, first))
    path = _walk(cost, first, _PLANAR if planar else _OFFSETS)
    goals = np.argwhere(targets)
    last = goals[np.argmin(np.linalg.norm((goals - path[-1]) * grid.voxel_m, axis=1))]
    points = grid.centre(np.vstack([path, last]))
    points[0] = start
    if planar:
        points[:, 2] = start[2]
    return _spaced(_smoothed(points))


def _avoided(
    grid: VoxelGrid, movement: Movement, obstacles: np.ndarray, targets: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """What is to be avoided: the obstacles away from start and target, and what the program says."""
    near_target = distance_transform_edt(~targets) < _FREE_VOXELS
    axes = np.ogrid[tuple(slice(0, n) for n in obstacles.shape)]
    near_start = sum((axis - at) ** 2 for axis, at in zip(axes, first, strict=True)) < _FREE_VOXELS**2
    scene = obstacles & ~near_target & ~near_start
    return np.clip(scene + grid.map_of(movement.avoidance), 0.0, 1.0)


def _cost(distance: np.ndarray, avoided: np.ndarray) -> np.ndarray:
    blurred = gaussian_filter(avoided, _BLUR_VOXELS)
    far, near = (part / max(float(part.max()), _TINY) for part in (distance, blurred))
    total = _TARGET_WEIGHT * far + _OBSTACLE_WEIGHT * near
    spread = float(np.ptp(total))
    return np.asarray((total - total.min()) / (spread or 1.0))


def _walk(cost: np.ndarray, first: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Indices (N, 3) from a voxel on, each the cheapest of those around the last one, until none is cheaper."""
    cost = cost.copy()
    path = [np.asarray(first)]
    for _ in range(_MAX_STEPS):
        here = path[-1]
        around = np.unique(np.clip(here + offsets, 0, NUM_VOXELS - 1), axis=0)
        prices = cost[tuple(around.T)]
        if prices.min() >= cost[tuple(here)] + _LEAST_RISE:
            break
        cost[tuple(here)] += _VISITED
        path.append(around[int(np.argmin(prices))])
    return np.array(path)


def _smoothed(points: np.ndarray) -> np.ndarray:
    """The points with what lies between the first and the last smoothed."""
    length = min(_SMOOTH_POINTS, len(points))
    if length <= _SMOOTH_DEGREE:
        return points
    inner = savgol_filter(points, length, _SMOOTH_DEGREE, axis=0)
    return np.vstack([points[:1], inner[1:-1], points[-1:]])


def _spaced(points: np.ndarray) -> np.ndarray:
    """Points on the same line, at most a tick's way apart, the last one included."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if along[-1] == 0.0:
        return points[-1:]
    places = np.linspace(0.0, along[-1], int(np.ceil(along[-1] / _SPACING_M)) + 1)
    return np.stack([np.interp(places, along, points[:, axis]) for axis in range(3)], axis=-1)[1:]
