"""Grasps that a parallel gripper can try: antipodal faces of an object's collision parts.

    Scene, object name [, target pose]  ->  GraspProposals(grasps best first, reason when there are none)

A candidate closes on two opposite faces of a box-like part, at most 80 mm apart, approaching straight down. It is kept
if the open fingers and the hand are free of everything else, at the start and at the target, and the arm reaches both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.collision import deepest_overlap, gripper_boxes, object_boxes, scene_boxes
from iker_envs.geometry import (
    pose_compose,
    pose_inverse,
    quaternion_from_yaw,
    quaternion_multiply,
)
from iker_envs.gripper import FINGERTIP_M, MAX_OPENING_M
from iker_envs.reach import reachable
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Grasp, ObjectModel, Scene

MAX_WIDTH_M = 0.08
_DEPTH_M = 0.025  # how far the tool centre goes below the top of the part
_EDGE_M = 0.015  # fingers stay this far inside the part's edge
_TOLERANCE_M = 0.002


@dataclass(frozen=True)
class GraspProposals:
    """Grasps, best first; `reason` is one clause that says why there are none."""

    grasps: tuple[Grasp, ...]
    reason: str = ""


def propose_grasps(scene: Scene, name: str, target_pose: np.ndarray | None = None) -> GraspProposals:
    """Top-down grasps of one object, base frame; with `target_pose` (7,) also free and reachable there."""
    obj = scene.object(name)
    candidates = _candidates(obj.model, obj.pose)
    if not candidates:
        narrowest = min(min(sizes) for sizes in _plan_sizes(obj.model, obj.pose))
        reason = f"its narrowest side is {1000 * narrowest:.0f} mm, the fingers hold {1000 * MAX_WIDTH_M:.0f} mm"
        return GraspProposals((), reason)
    others = scene_boxes(scene, skip=[name])
    moves = [np.array([0, 0, 0, 1.0, 0, 0, 0])]
    if target_pose is not None:
        moves.append(pose_compose(np.asarray(target_pose), pose_inverse(obj.pose)))
    reasons, kept = [], []
    for grasp in candidates:
        why = _obstacle(grasp, obj.model, obj.pose, moves, others)
        reasons.append(why) if why else kept.append(grasp)
    if not kept:
        return GraspProposals((), reasons[0])
    return GraspProposals(tuple(sorted(kept, key=lambda g: -g.score)))


def _plan_sizes(model: ObjectModel, pose: np.ndarray) -> list[tuple[float, float]]:
    """Horizontal extents of each part's two most level axes."""
    sizes = []
    for b in object_boxes(model, pose):
        level = np.argsort(np.abs(b.axes[2]))[:2]
        sizes.append(tuple(2 * float(b.half[i]) for i in level))
    return sizes


def _candidates(model: ObjectModel, pose: np.ndarray) -> list[Grasp]:
    grasps = []
    top = max(b.corners()[:, 2].max() for b in object_boxes(model, pose))
    for part in object_boxes(model, pose):
        part_top = part.corners()[:, 2].max()
        height = 2 * float(np.abs(part.axes[2]) @ part.half)
        if height < _DEPTH_M + FINGERTIP_M or part_top < top - 1e-6:
            continue  # nothing for the fingers to hold, or hidden under another part
        level = np.argsort(np.abs(part.axes[2]))[:2]
        for closing, along in (level, level[::-1]):
            width = 2 * float(part.half[closing])
            if width <= MAX_WIDTH_M:
                grasps += _along_part(part, closing, along, width, part_top, pose)
    return grasps


def _along_part(part, closing: int, along: int, width: float, top: float, pose: np.ndarray) -> list[Grasp]:
    """Grasps at five places along a part, scored by how near the object's centre they are."""
    span = max(0.0, float(part.half[along]) - _EDGE_M)
    axis = part.axes[:, closing]
    yaw = np.arctan2(axis[1], axis[0]) - np.pi / 2
    yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2  # of the two symmetric grasps, the one nearer to home
    rotation = quaternion_multiply(quaternion_from_yaw(np.array(yaw)), np.array(HOME_GRIPPER_QUATERNION))
    grasps = []
    for offset in np.linspace(-span, span, 5):
        position = part.centre + offset * part.axes[:, along]
        position = np.array([position[0], position[1], top - _DEPTH_M])
        lever = float(np.linalg.norm(position[:2] - pose[:2]))
        grasps.append(Grasp(np.concatenate([position, rotation]), width, score=float(np.exp(-lever / 0.1))))
    return grasps


def _obstacle(grasp: Grasp, model: ObjectModel, pose: np.ndarray, moves, others) -> str:
    """Why the grasp cannot be used; empty when it can."""
    for move, where in zip(moves, ("start", "target"), strict=False):
        tcp = pose_compose(move, grasp.tcp_pose)
        if not bool(reachable(tcp)):
            return f"the arm does not reach the grasp at the {where}"
        boxes = gripper_boxes(tcp, MAX_OPENING_M)
        if min(b.corners()[:, 2].min() for b in boxes) < -_TOLERANCE_M:
            return f"the fingers would enter the table at the {where}"
        depth, whom = deepest_overlap(boxes, others)
        if depth > _TOLERANCE_M:
            return f"there is no room for the fingers beside {whom} at the {where}"
    hand, *_ = gripper_boxes(grasp.tcp_pose, MAX_OPENING_M)
    if deepest_overlap([hand], {"": object_boxes(model, pose)})[0] > _TOLERANCE_M:
        return "the hand would enter the object"
    return ""


def grasp_in_object(grasp: Grasp, object_pose: np.ndarray) -> np.ndarray:
    """The grasp's tool-centre pose (7,) in the object's body frame."""
    return pose_compose(pose_inverse(object_pose), grasp.tcp_pose)
