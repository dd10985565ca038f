"""Collision boxes of many worlds at once: one scene's objects, standing elsewhere in every world.

    Shapes.of(scene)  ->  at(poses (M, O, 7))  ->  Boxes of M worlds  ->  deepest_m  ->  penetrations (M,)

What a single scene needs is in `collision`; here nothing is built per world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import norm, pose_apply, pose_compose, rotation_matrix
from iker_envs.planning.collision import box_overlaps_m, collision_parts
from iker_envs.planning.hand import FINGER_HALF_SIZE_M, FINGERTIP_M, HAND_CENTRE_M, HAND_HALF_SIZE_M
from iker_envs.scene import Scene

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])


@dataclass(frozen=True, eq=False)
class Boxes:
    """K boxes in each of M worlds: centres (M, K, 3), axes (M, K, 3, 3) as columns, half sizes (K, 3); base frame."""

    centre: np.ndarray
    axes: np.ndarray
    half: np.ndarray

    def corners(self) -> np.ndarray:
        """All corners (M, 8 * K, 3)."""
        offsets = np.sum(self.axes[:, :, None] * (_CORNERS * self.half[:, None])[None, :, :, None, :], axis=-1)
        return (self.centre[:, :, None] + offsets).reshape(len(self.centre), -1, 3)

    def only(self, chosen: np.ndarray) -> Boxes:
        """Some of the K boxes, by (K,) bool."""
        return Boxes(self.centre[:, chosen], self.axes[:, chosen], self.half[chosen])

    def of(self, worlds: np.ndarray) -> Boxes:
        """The boxes of some of the worlds."""
        return Boxes(self.centre[worlds], self.axes[worlds], self.half)


def boxes_at(poses: np.ndarray, half: np.ndarray) -> Boxes:
    """Boxes of half sizes (K, 3) at poses (M, K, 7)."""
    return Boxes(poses[..., :3], rotation_matrix(poses[..., 3:]), half)


def deepest_m(boxes: Boxes, others: Boxes) -> np.ndarray:
    """The largest penetration (M,) in metres of any box into any other one of the same world; -inf where none is near.

    Pairs whose enclosing spheres are apart are not looked at: nearly all of them.
    """
    between = boxes.centre[:, :, None] - others.centre[:, None]
    reach = norm(boxes.half)[:, None] + norm(others.half)
    world, a, b = np.nonzero(np.sum(between**2, axis=-1) < reach**2)
    one = (boxes.centre[world, a][:, None], boxes.axes[world, a][:, None], boxes.half[a][:, None])
    other = (others.centre[world, b][:, None], others.axes[world, b][:, None], others.half[b][:, None])
    deepest = np.full(len(boxes.centre), -np.inf)
    np.maximum.at(deepest, world, box_overlaps_m(one, other)[:, 0, 0])
    return deepest


@dataclass(frozen=True, eq=False)
class Shapes:
    """The collision boxes of a scene's O objects in their body frames: poses (K, 7), half sizes and owners (K,)."""

    local: np.ndarray
    half: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, scene: Scene) -> Shapes:
        """Of all objects, in the scene's order."""
        found = [collision_parts(o.model) for o in scene.objects]
        owner = np.repeat(np.arange(len(found)), [len(half) for _, half in found])
        return cls(np.concatenate([p for p, _ in found]), np.concatenate([h for _, h in found]), owner)

    def at(self, poses: np.ndarray) -> Boxes:
        """The boxes in M worlds whose objects stand at poses (M, O, 7)."""
        return boxes_at(pose_compose(poses[:, self.owner], self.local), self.half)


def hands_at(tcp_pose: np.ndarray, opening_m: float) -> Boxes:
    """Hand and fingers in M worlds whose tool centres are at poses (M, 7), open by `opening_m`."""
    half_y, half_z = FINGER_HALF_SIZE_M[1:]
    offsets = [(0.0, s * (opening_m / 2 + half_y), FINGERTIP_M - half_z) for s in (1.0, -1.0)]
    centres = pose_apply(tcp_pose, np.array([HAND_CENTRE_M, *offsets]))
    turned = np.broadcast_to(tcp_pose[:, None, 3:], (*centres.shape[:2], 4))
    half = np.array([HAND_HALF_SIZE_M, FINGER_HALF_SIZE_M, FINGER_HALF_SIZE_M])
    return boxes_at(np.concatenate([centres, turned], axis=-1), half)
