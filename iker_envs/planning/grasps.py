"""Grasps that a parallel gripper can try: antipodal faces of an object's collision parts, or of a mesh's surface.

    Scene, object name [, target pose]  ->  GraspProposals(grasps best first, reason when there are none)

A candidate closes on two opposite faces of a box-like part, at most 80 mm apart, approaching straight down, or straight
forward where the scene's approach cone holds that. It is kept if the open fingers and the hand are free of everything
else, at the start and at the target, and the arm reaches both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import body_axis, pose_compose, pose_inverse, quaternion_from_matrix
from iker_envs.planning.collision import (
    OrientedBox,
    deepest_overlap,
    gripper_boxes,
    lowest_m,
    object_boxes,
    scene_boxes,
)
from iker_envs.planning.hand import FINGERTIP_M, MAX_OPENING_M
from iker_envs.planning.mesh_grasps import mesh_candidates
from iker_envs.reach import reach_margin, reachable
from iker_envs.scene import Grasp, Scene

MAX_WIDTH_M = 0.08
_DEPTH_M = 0.025  # how far the tool centre goes below the top of the part
_MIN_DEPTH_M = _DEPTH_M + FINGERTIP_M  # of a part, for the fingers to hold it
_EDGE_M = 0.015  # fingers stay this far inside the part's edge
_TOLERANCE_M = 0.002
_WAY_M = (0.06, 0.12)  # behind the grasp, where the hand passes on its straight way to it
_PLACES = 5  # tried along a part
_LEVER_M = 0.1  # a grasp so far from the object's centre scores 1/e of one at the centre
_ANGLE_ERROR_RAD = 1e-6
_FAR_M = 0.05  # a grasp so far outside the workspace or the arm's reach is a mistake
_DOWN = np.array([0.0, 0.0, -1.0])
_FORWARD = np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True)
class GraspProposals:
    """Grasps, best first; `reason` is one clause that says why there are none."""

    grasps: tuple[Grasp, ...]
    reason: str = ""


def propose_grasps(scene: Scene, name: str, target_pose: np.ndarray | None = None) -> GraspProposals:
    """Grasps of one object, base frame, from above or, where the scene's tool may point so, from the front.

    With `target_pose` (7,) they are free, reachable and within the approach cone there too.
    """
    obj = scene.object(name)
    if not obj.movable:
        return GraspProposals((), "it is furniture")
    boxes = object_boxes(obj.model, obj.pose)
    directions = [a for a in (_DOWN, _FORWARD) if _within_cone(scene, a)]
    if obj.model.shape == "mesh":
        candidates, misfit = mesh_candidates(obj.model, obj.pose, directions)
        boxes = []  # its surface and parts left room for the hand already; their boxes are fatter
    else:
        candidates = [g for a in directions for g in _candidates(boxes, obj.pose, a)]
        misfit = "" if candidates else _misfit(boxes, directions)
    if not candidates:
        return GraspProposals((), misfit)
    others = scene_boxes(scene, skip=[name])
    moves = [np.array([0, 0, 0, 1.0, 0, 0, 0])]
    if target_pose is not None:
        moves.append(pose_compose(np.asarray(target_pose), pose_inverse(obj.pose)))
    reasons = []
    kept = []
    for grasp in candidates:
        why = _obstacle(grasp, scene, boxes, moves, others)
        if not why and obj.model.shape == "mesh":
            why = _on_the_way(grasp, others)
        reasons.append(why) if why else kept.append(grasp)
    if not kept:
        return GraspProposals((), reasons[0])
    return GraspProposals(tuple(sorted(kept, key=lambda g: -g.score)))


def check_grasp(grasp: Grasp, workspace_m: np.ndarray) -> None:
    """ValueError if the hand cannot try this grasp: too wide, or far from the workspace (2, 3) or the arm's reach."""
    if not 0.0 <= grasp.width_m <= MAX_OPENING_M:
        raise ValueError(f"the grasp's width_m is between 0 and {MAX_OPENING_M} m, not {grasp.width_m!r}")
    position = np.array(grasp.tcp_pose[:3])
    outside = float(np.linalg.norm(position - np.clip(position, *workspace_m)))
    if outside > _FAR_M or reach_margin(grasp.tcp_pose) < -_FAR_M:
        low, high = (np.round(corner, 3).tolist() for corner in workspace_m)
        raise ValueError(
            f"the grasp at {np.round(position, 3).tolist()} is far from where the hand can go: the workspace, "
            f"{low} to {high} m, and what the arm reaches"
        )


def _within_cone(scene: Scene, approach: np.ndarray) -> bool:
    """May the tool point along a unit vector (3,)?"""
    return bool(np.arccos(np.clip(approach @ scene.approach_axis, -1, 1)) <= scene.approach_cone_rad + _ANGLE_ERROR_RAD)


def _cross_sizes(part: OrientedBox, approach: np.ndarray) -> tuple[float, ...]:
    """Extents of a part along its two axes that are most square to the approach."""
    return tuple(2 * float(part.half[i]) for i in _square(part, approach))


def _square(part: OrientedBox, approach: np.ndarray) -> np.ndarray:
    return np.argsort(np.abs(approach @ part.axes), kind="stable")[:2]


def _depth(part: OrientedBox, approach: np.ndarray) -> float:
    """Extent of a part along the approach."""
    return 2 * float(np.abs(approach @ part.axes) @ part.half)


def _misfit(boxes: list[OrientedBox], directions: list[np.ndarray]) -> str:
    """Why no part of an object offers two faces to the fingers, however much room there is."""
    sizes = [(min(_cross_sizes(b, a)), _depth(b, a)) for b in boxes for a in directions]
    narrowest = min(width for width, _ in sizes)
    if narrowest > MAX_WIDTH_M:
        return f"its narrowest side is {1000 * narrowest:.0f} mm, the fingers hold {1000 * MAX_WIDTH_M:.0f} mm"
    deepest = max(depth for width, depth in sizes if width <= MAX_WIDTH_M)
    if deepest < _MIN_DEPTH_M:
        need = f"the fingers need {1000 * _MIN_DEPTH_M:.0f} mm"
        return f"where it is narrow enough it is only {1000 * deepest:.0f} mm deep, {need}"
    return "what the fingers could hold lies behind its other parts"


def _candidates(boxes: list[OrientedBox], pose: np.ndarray, approach: np.ndarray) -> list[Grasp]:
    grasps = []
    near = max((b.corners() @ -approach).max() for b in boxes)  # where the tool arrives, measured against its way
    for part in boxes:
        part_near = (part.corners() @ -approach).max()
        if _depth(part, approach) < _MIN_DEPTH_M or part_near < near - 1e-6:
            continue  # nothing for the fingers to hold, or hidden behind another part
        square = _square(part, approach)
        for closing, along in (square, square[::-1]):
            width = 2 * float(part.half[closing])
            if width <= MAX_WIDTH_M:
                grasps += _along_part(part, closing, along, approach, pose)
    return grasps


def _along_part(part: OrientedBox, closing: int, along: int, approach: np.ndarray, pose: np.ndarray) -> list[Grasp]:
    """Grasps at some places along a part; those nearer to the object's centre score higher."""
    span = max(0.0, float(part.half[along]) - _EDGE_M)
    near = (part.corners() @ -approach).max()
    rotation = _tool_rotation(approach, part.axes[:, closing])
    grasps = []
    for offset in np.linspace(-span, span, _PLACES):
        position = part.centre + offset * part.axes[:, along]
        position = position + (position @ approach + near - _DEPTH_M) * -approach
        offset_m = position - pose[:3]
        lever = float(np.linalg.norm(offset_m - (offset_m @ approach) * approach))
        width = 2 * float(part.half[closing])
        grasps.append(Grasp(np.concatenate([position, rotation]), width, score=float(np.exp(-lever / _LEVER_M))))
    return grasps


def _tool_rotation(approach: np.ndarray, closing: np.ndarray) -> np.ndarray:
    """Quaternion (4,) of a tool that approaches and closes along the given axes; of two, the one nearer to home."""
    closing = closing - (closing @ approach) * approach
    closing = closing / np.linalg.norm(closing)
    if tuple(np.round(closing[[1, 0, 2]], 9)) > (0.0, 0.0, 0.0):  # the closing axis at home is -y
        closing = -closing
    return quaternion_from_matrix(np.column_stack([np.cross(closing, approach), closing, approach]))


def _obstacle(grasp: Grasp, scene: Scene, own: list[OrientedBox], moves, others) -> str:
    """Why the grasp cannot be used; empty when it can."""
    for move, where in zip(moves, ("start", "target"), strict=False):
        tcp = pose_compose(move, grasp.tcp_pose)
        if not _within_cone(scene, body_axis(tcp[3:], 2)):
            return f"the tool would point out of its cone at the {where}"
        if not bool(reachable(tcp)):
            return f"the arm does not reach the grasp at the {where}"
        boxes = gripper_boxes(tcp, MAX_OPENING_M)
        if lowest_m(boxes) < -_TOLERANCE_M:
            return f"the fingers would enter the table at the {where}"
        depth, whom = deepest_overlap(boxes, others)
        if depth > _TOLERANCE_M:
            return f"there is no room for the fingers beside {whom} at the {where}"
    hand, *_ = gripper_boxes(grasp.tcp_pose, MAX_OPENING_M)
    if deepest_overlap([hand], {"": own})[0] > _TOLERANCE_M:
        return "the hand would enter the object"
    return ""


def _on_the_way(grasp: Grasp, others) -> str:
    """Whom the open hand would hit as it comes along its approach; empty when nobody."""
    for back_m in _WAY_M:
        pose = np.array(grasp.tcp_pose)
        pose[:3] -= back_m * body_axis(pose[3:], 2)
        depth, whom = deepest_overlap(gripper_boxes(pose, MAX_OPENING_M), others)
        if depth > _TOLERANCE_M:
            return f"{whom} is in the hand's way to the grasp"
    return ""


def grasp_in_object(grasp: Grasp, object_pose: np.ndarray) -> np.ndarray:
    """The grasp's tool-centre pose (7,) in the object's body frame."""
    return pose_compose(pose_inverse(object_pose), grasp.tcp_pose)
