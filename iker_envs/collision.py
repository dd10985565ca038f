"""Oriented boxes: does a hand, an object or a target overlap what stands around it? No physics needed.

SceneObject, Grasp or pose  ->  boxes  ->  overlap depth in metres
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import pose_apply, pose_compose, rotation_matrix
from iker_envs.gripper import FINGER_HALF_SIZE_M, FINGERTIP_M, HAND_CENTRE_M, HAND_HALF_SIZE_M
from iker_envs.scene import ObjectModel, Scene
from iker_envs.shapes import parts


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """Centre (3,), axes (3, 3) as columns and half sizes (3,), base frame, metres."""

    centre: np.ndarray
    axes: np.ndarray
    half: np.ndarray

    def corners(self) -> np.ndarray:
        """The 8 corners (8, 3)."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        return self.centre + (signs * self.half) @ self.axes.T


def make_box(pose: np.ndarray, half: Iterable[float]) -> OrientedBox:
    """A box of half sizes (3,) centred on a pose (7,)."""
    return OrientedBox(np.asarray(pose[:3]), rotation_matrix(np.asarray(pose[3:])), np.asarray(half, dtype=float))


def object_boxes(model: ObjectModel, pose: np.ndarray) -> list[OrientedBox]:
    """The bounding boxes of a model's collision parts at a pose (7,)."""
    boxes = []
    for geom in parts(model).collision:
        local = np.concatenate([geom.position_m, geom.quaternion])
        half = geom.half_size_m if geom.kind != "mesh" else np.abs(geom.vertices_m).max(axis=0)
        boxes.append(make_box(pose_compose(np.asarray(pose, dtype=float), local), half))
    return boxes


def gripper_boxes(tcp_pose: np.ndarray, opening_m: float) -> list[OrientedBox]:
    """Hand and the two fingers of a gripper whose tool centre is at a pose (7,), open by `opening_m`."""
    half_y, half_z = FINGER_HALF_SIZE_M[1:]
    offsets = [(0.0, s * (opening_m / 2 + half_y), FINGERTIP_M - half_z) for s in (1.0, -1.0)]
    boxes = [_offset_box(tcp_pose, HAND_CENTRE_M, HAND_HALF_SIZE_M)]
    return boxes + [_offset_box(tcp_pose, offset, FINGER_HALF_SIZE_M) for offset in offsets]


def _offset_box(pose: np.ndarray, offset, half) -> OrientedBox:
    centre = pose_apply(pose, np.array([offset]))[0]
    return make_box(np.concatenate([centre, pose[3:]]), half)


def overlap_depth(a: OrientedBox, b: OrientedBox) -> float:
    """Penetration in metres along the least separated axis; negative when apart (separating axis theorem)."""
    axes = [*a.axes.T, *b.axes.T]
    axes += [c for u in a.axes.T for v in b.axes.T if np.linalg.norm(c := np.cross(u, v)) > 1e-6]
    directions = np.array([c / np.linalg.norm(c) for c in axes])
    reach = np.abs(directions @ a.axes) @ a.half + np.abs(directions @ b.axes) @ b.half
    return float(np.min(reach - np.abs(directions @ (b.centre - a.centre))))


def scene_boxes(scene: Scene, skip: Iterable[str] = ()) -> dict[str, list[OrientedBox]]:
    """Collision boxes of all objects but the skipped ones, by name."""
    skip = set(skip)
    return {o.name: object_boxes(o.model, o.pose) for o in scene.objects if o.name not in skip}


def deepest_overlap(boxes: Iterable[OrientedBox], others: dict[str, list[OrientedBox]]) -> tuple[float, str]:
    """The largest penetration in metres of `boxes` into `others` and whom it hits; (negative gap, "") when free."""
    boxes = list(boxes)
    worst = (-np.inf, "")
    for name, obstacles in others.items():
        depth = max(overlap_depth(a, b) for a in boxes for b in obstacles)
        worst = max(worst, (depth, name))
    return worst if worst[0] > 0 else (worst[0], "")
