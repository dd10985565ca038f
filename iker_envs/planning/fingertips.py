"""Keeps the fingertips off table and furniture: an arm that presses them down jams, or sees a collision.

    action, last command, measured pose, tops of the furniture  ->  next_command  ->  commanded pose
    pose, opening, tops of the furniture                        ->  lift_needed   ->  metres
    models of the furniture, and where it stands                ->  FurnitureTops ->  tops of the furniture

The same in simulation and on the arm: a command is raised until the lowest corner of the tips is clear of what stands
under it. Tops are arrays (N, B, 9) over worlds and boxes, which only this module reads by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from iker_envs.components import (
    Array,
    Components,
    body_axis,
    columns,
    corrected,
    difference,
    dot,
    namespace,
    stacked,
    transform,
)
from iker_envs.geometry import pose_compose, rotation_matrix
from iker_envs.planning.collision import collision_parts
from iker_envs.planning.hand import FINGER_HALF_SIZE_M, FINGERTIP_M
from iker_envs.scene import Scene
from iker_envs.spec import Spec, decode_action

_EDGE_M = 0.005  # a top counts this far beyond its edge
_BELOW_TOP_M = 0.03  # a tip further under a top is beside or beneath the furniture, not on it
_SURELY_M = 1e-6  # tips that are so much higher than needed are clear, whatever the rounding
_UPRIGHT = 0.99  # cosine: furniture whose box leans more has no top to glide over
_NOWHERE_M = -1.0  # a half size that nothing is within: of a box that is not there, or leans
_WIDTH = 9  # of a top: centre x, y; one side x, y; the other side x, y; half sizes along both; height
_HALF_X_M, _HALF_Y_M = FINGER_HALF_SIZE_M[:2]
_TIP_X_M = (-_HALF_X_M, _HALF_X_M) * 4
_TIP_OUTWARDS_M = (0.0, 0.0, 2 * _HALF_Y_M, 2 * _HALF_Y_M) * 2
_TIP_SIDE = (1.0,) * 4 + (-1.0,) * 4


def tip_corners(opening_m: Array) -> Array:
    """The lowest corners (N, 8, 3) of both fingers in the end-effector frame, opened by (N,) metres."""
    x, y, z = _corners(opening_m)
    return stacked((x + 0 * y, y, z + 0 * y))


def _corners(opening_m: Array) -> Components:
    """The same as components that broadcast to (N, 8); in memory the worlds lie side by side."""
    x, outwards, side = _tips(namespace(opening_m), opening_m.dtype, getattr(opening_m, "device", None))
    y = side * (opening_m[None, :] / 2 + outwards)
    return x.T, y.T, FINGERTIP_M


@cache
def _tips(xp: ModuleType, dtype: Any, device: Any) -> Components:
    """Of the corners (8, 1): x, how far outwards of the gap, and on which side; made once for every kind of array."""
    rows = (_TIP_X_M, _TIP_OUTWARDS_M, _TIP_SIDE)
    return tuple(xp.asarray(row, dtype=dtype, device=device)[:, None] for row in rows)


class FurnitureTops:
    """The tops of the furniture of some scenes that have the same furniture by name, wherever it stands.

    `scenes` are the C configurations; their furniture may differ in its models.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        made = [_local_boxes(scene) for scene in scenes]
        count = max(len(owner) for owner, _, _ in made)
        self._owner = np.zeros((len(made), count), dtype=int)
        self._pose = np.tile([0.0, 0, 0, 1, 0, 0, 0], (len(made), count, 1))
        self._half_m = np.full((len(made), count, 3), _NOWHERE_M)
        for row, (owner, pose, half) in enumerate(made):
            self._owner[row, : len(owner)] = owner
            self._pose[row, : len(owner)] = pose
            self._half_m[row, : len(owner)] = half

    def at(self, configuration: np.ndarray, furniture_pose: np.ndarray) -> np.ndarray:
        """Tops (N, B, 9) in worlds of configurations (N,) whose furniture stands at poses (N, F, 7).

        In memory the worlds lie side by side.
        """
        rows = np.arange(len(configuration))[:, None]
        if not self._owner.shape[1]:
            return np.zeros((len(configuration), 0, _WIDTH))
        pose = pose_compose(furniture_pose[rows, self._owner[configuration]], self._pose[configuration])
        axes = rotation_matrix(pose[..., 3:])  # (N, B, 3, 3), columns
        half = self._half_m[configuration]
        up = np.argmax(np.abs(axes[..., 2, :]), axis=-1)[..., None]
        upright = np.abs(np.take_along_axis(axes[..., 2, :], up, axis=-1)) >= _UPRIGHT
        height = pose[..., 2:3] + np.take_along_axis(half, up, axis=-1)
        sides = [(up + 1) % 3, (up + 2) % 3]
        directions = [np.take_along_axis(axes[..., :2, :], side[..., None], axis=-1)[..., 0] for side in sides]
        halves = [np.where(upright, np.take_along_axis(half, side, axis=-1) + _EDGE_M, _NOWHERE_M) for side in sides]
        return np.asfortranarray(np.concatenate([pose[..., :2], *directions, *halves, height], axis=-1))


def _local_boxes(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of a scene's furniture: which piece (B,), poses (B, 7) in its body frame and half sizes (B, 3)."""
    boxes = [collision_parts(o.model) for o in scene.objects if not o.movable]
    owner = [np.full(len(local), piece) for piece, (local, _) in enumerate(boxes)]
    return (
        np.concatenate([*owner, np.zeros(0, dtype=int)]),
        np.concatenate([*(local for local, _ in boxes), np.zeros((0, 7))]),
        np.concatenate([*(half for _, half in boxes), np.zeros((0, 3))]),
    )


def tops_of(scene: Scene) -> np.ndarray:
    """Tops (1, B, 9) of the furniture of a scene as it stands."""
    poses = np.array([o.pose for o in scene.objects if not o.movable]).reshape(1, -1, 7)
    return FurnitureTops([scene]).at(np.zeros(1, dtype=int), poses)


def lift_needed(pose: Array, opening_m: Array, tops: Array, clearance_m: float) -> Array:
    """How far poses (N, 7) must be raised for the tips, opened by (N,), to be clear of everything under them.

    Metres (N,), 0 where they are. `tops` (N, B, 9) belongs to the furniture; the table is z = 0.
    """
    above, sideways, along = (body_axis(columns(pose)[3:], axis)[2] for axis in (2, 0, 1))
    xp = namespace(pose)
    lowest = pose[:, 2] + FINGERTIP_M * above - _HALF_X_M * xp.abs(sideways)
    lowest = lowest - (opening_m / 2 + 2 * _HALF_Y_M) * xp.abs(along)
    nothing = xp.zeros_like(opening_m)
    if tops.shape[0] != pose.shape[0]:  # one scene's, for all
        tops = xp.broadcast_to(tops, (pose.shape[0], *tops.shape[1:]))
    highest = xp.max(tops[:, :, -1], axis=1) if tops.shape[1] else nothing
    is_clear = lowest > xp.where(highest > 0, highest, 0.0) + clearance_m + _SURELY_M
    lift = corrected(
        ~is_clear, lambda _, n: (_lift(n[0], n[1], n[2], clearance_m),), (nothing,), (pose, opening_m, tops)
    )
    return lift[0]


def _lift(pose: Array, opening_m: Array, tops: Array, clearance_m: float) -> Array:
    """As `lift_needed`, computed for every pose."""
    xp = namespace(pose)
    x, y, z = transform(columns(pose[:, None, :]), _corners(opening_m))  # (N, 8) each
    floor = xp.zeros_like(x)
    for box in range(tops.shape[1]):
        top_x, top_y, *sides, half_a, half_b, height = columns(tops[:, box, None, :])
        away = difference((x, y), (top_x, top_y))
        along = xp.abs(dot(away, tuple(sides[:2])))
        across = xp.abs(dot(away, tuple(sides[2:])))
        over = (along < half_a) & (across < half_b) & (z > height - _BELOW_TOP_M)
        floor = xp.maximum(xp.where(over, height, 0.0), floor)
    lift = xp.max(floor + clearance_m - z, axis=-1)
    return xp.where(lift > 0, lift, 0.0)


def next_command(
    spec: Spec,
    action: Array,
    commanded_pose: Array,
    measured_pose: Array,
    workspace_m: Array,
    opening_m: Array,
    tops: Array,
) -> Array:
    """The next commanded pose (N, 7) of a hand opened by (N,) metres: `decode_action`, raised clear of things.

    Of every surface the tips keep `spec.fingertip_clearance_m`. `tops` (N, B, 9) belongs to the furniture.
    """
    pose = decode_action(spec, action, commanded_pose, measured_pose, workspace_m)
    pose[:, 2] += lift_needed(pose, opening_m, tops, spec.fingertip_clearance_m)
    return pose
