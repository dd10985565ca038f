"""Oriented boxes: does a hand, an object or a target overlap what stands around it? No physics needed.

SceneObject, Grasp or pose  ->  boxes  ->  overlap depth in metres
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import pose_apply, pose_compose, rotation_matrix
from iker_envs.objects.shapes import parts
from iker_envs.planning.hand import FINGER_HALF_SIZE_M, FINGERTIP_M, HAND_CENTRE_M, HAND_HALF_SIZE_M
from iker_envs.scene import ObjectModel, Scene

_PARALLEL = 1e-6  # the sine of an angle between edges that is none
_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])  # of the corners of a box
# Edge i of one box against edge j of another, (3, 3) each: the axis of the edge and the two others, in turn.
_EDGES = tuple((axis, (axis + 1) % 3, (axis + 2) % 3) for axis in np.indices((3, 3)))


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """Centre (3,), axes (3, 3) as columns and half sizes (3,), base frame, metres."""

    centre: np.ndarray
    axes: np.ndarray
    half: np.ndarray

    def corners(self) -> np.ndarray:
        """The 8 corners (8, 3)."""
        return self.centre + (_SIGNS * self.half) @ self.axes.T


def lowest_m(boxes: Iterable[OrientedBox]) -> float:
    """Height in metres of the lowest corner of some boxes."""
    return float(min(box.corners()[:, 2].min() for box in boxes))


def highest_m(boxes: Iterable[OrientedBox]) -> float:
    """Height in metres of the highest corner of some boxes."""
    return float(max(box.corners()[:, 2].max() for box in boxes))


def object_boxes(model: ObjectModel, pose: np.ndarray) -> list[OrientedBox]:
    """The bounding boxes of a model's collision parts at a pose (7,)."""
    local, half = collision_parts(model)
    return _boxes(pose_compose(np.asarray(pose, dtype=float), local), half)


def collision_parts(model: ObjectModel) -> tuple[np.ndarray, np.ndarray]:
    """Poses (K, 7) in the body frame and half sizes (K, 3) of the bounding boxes of a model's collision parts."""
    geoms = parts(model).collision
    local = np.array([[*g.position_m, *g.quaternion] for g in geoms])
    half = np.array([g.half_size_m if g.vertices_m is None else np.abs(g.vertices_m).max(axis=0) for g in geoms])
    return local, half


def _boxes(poses: np.ndarray, half: np.ndarray) -> list[OrientedBox]:
    """Boxes of half sizes (K, 3) at poses (K, 7)."""
    axes = rotation_matrix(poses[:, 3:])
    return [OrientedBox(p[:3], a, h) for p, a, h in zip(poses, axes, half, strict=True)]


def gripper_boxes(tcp_pose: np.ndarray, opening_m: float) -> list[OrientedBox]:
    """Hand and the two fingers of a gripper whose tool centre is at a pose (7,), open by `opening_m`."""
    half_y, half_z = FINGER_HALF_SIZE_M[1:]
    offsets = [(0.0, s * (opening_m / 2 + half_y), FINGERTIP_M - half_z) for s in (1.0, -1.0)]
    centres = pose_apply(tcp_pose, np.array([HAND_CENTRE_M, *offsets]))
    poses = np.concatenate([centres, np.tile(tcp_pose[3:], (len(centres), 1))], axis=-1)
    return _boxes(poses, np.array([HAND_HALF_SIZE_M, FINGER_HALF_SIZE_M, FINGER_HALF_SIZE_M]))


def overlap_depth(a: OrientedBox, b: OrientedBox) -> float:
    """Penetration in metres along the least separated axis; negative when apart (separating axis theorem)."""
    return float(_overlap_depths([a], [b])[0, 0])


def _overlap_depths(boxes: Sequence[OrientedBox], others: Sequence[OrientedBox]) -> np.ndarray:
    """Penetrations (A, B) of every box into every other, all axes of all pairs at once."""
    one, other = (
        tuple(np.array([getattr(box, name) for box in group]) for name in ("centre", "axes", "half"))
        for group in (boxes, others)
    )
    return box_overlaps_m(one, other)


def box_overlaps_m(boxes: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...]) -> np.ndarray:
    """Penetrations (..., A, B) in metres of every box into every other, all axes of all pairs at once.

    Boxes are given by their centres (..., A, 3), axes (..., A, 3, 3) as columns and half sizes (..., A, 3).
    """
    centre_a, axes_a, half_a = boxes
    centre_b, axes_b, half_b = others
    cosines = np.einsum("...aki,...bkj->...abij", axes_a, axes_b)  # axis i of a against axis j of b
    between = centre_b[..., None, :, :] - centre_a[..., None, :]
    local = np.einsum("...aki,...abk->...abi", axes_a, between), np.einsum("...bkj,...abk->...abj", axes_b, between)
    size = np.abs(cosines)
    faces_a = half_a[..., None, :] + np.einsum("...abij,...bj->...abi", size, half_b) - np.abs(local[0])
    faces_b = half_b[..., None, :, :] + np.einsum("...abij,...ai->...abj", size, half_a) - np.abs(local[1])
    depths = np.minimum(faces_a.min(axis=-1), faces_b.min(axis=-1))
    return np.minimum(depths, _edge_depths(cosines, half_a, half_b, local[0]))


def _edge_depths(cosines: np.ndarray, half_a: np.ndarray, half_b: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Penetrations (..., A, B) along the cross products of two edges; parallel edges say nothing.

    In the frame of box a, with `cosines` (..., A, B, 3, 3), half sizes (..., A, 3) and (..., B, 3) and centre offsets
    (..., A, B, 3) (Gottschalk, Lin, Manocha 1996).
    """
    size = np.abs(cosines)
    (i, i1, i2), (j, j1, j2) = _EDGES
    reach_a = half_a[..., None, i1] * size[..., i2, j] + half_a[..., None, i2] * size[..., i1, j]
    reach_b = half_b[..., None, :, j1] * size[..., i, j2] + half_b[..., None, :, j2] * size[..., i, j1]
    apart = np.abs(offset[..., i2] * cosines[..., i1, j] - offset[..., i1] * cosines[..., i2, j])
    sine = np.sqrt(np.maximum(1.0 - cosines**2, 0.0))
    depth = np.where(sine > _PARALLEL, (reach_a + reach_b - apart) / np.maximum(sine, _PARALLEL), np.inf)
    return depth.min(axis=(-2, -1))


def scene_boxes(scene: Scene, skip: Iterable[str] = ()) -> dict[str, list[OrientedBox]]:
    """Collision boxes of all objects but the skipped ones, by name."""
    skip = set(skip)
    return {o.name: object_boxes(o.model, o.pose) for o in scene.objects if o.name not in skip}


def deepest_overlap(boxes: Iterable[OrientedBox], others: Mapping[str, Sequence[OrientedBox]]) -> tuple[float, str]:
    """The largest penetration in metres of `boxes` into `others` and whom it hits; (negative gap, "") when free."""
    boxes = list(boxes)
    names = [name for name, obstacles in others.items() for _ in obstacles]
    if not boxes or not names:
        return -np.inf, ""
    depths = _overlap_depths(boxes, [box for obstacles in others.values() for box in obstacles]).max(axis=0)
    worst = int(np.argmax(depths))
    return float(depths[worst]), names[worst] if depths[worst] > 0 else ""


def support_height(others: Mapping[str, Sequence[OrientedBox]], position: np.ndarray, below_m: float) -> float:
    """Height in metres of the highest of the others' boxes under a point (at least 2,) and not above `below_m`.

    A box is taken for its upright bounding box; 0, the table, where there is none.
    """
    height = 0.0
    for box in (box for boxes in others.values() for box in boxes):
        corners = box.corners()
        low = corners.min(axis=0)
        high = corners.max(axis=0)
        inside = np.all(low[:2] <= position[:2]) and np.all(position[:2] <= high[:2])
        if inside and high[2] <= below_m:
            height = max(height, float(high[2]))
    return height
