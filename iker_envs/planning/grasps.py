"""Grasps that a parallel gripper can try: antipodal faces of an object's collision parts, or of a mesh's surface.

    Scene, object name [, target pose]  ->  GraspProposals(grasps best first, reason when there are none)

A candidate closes on two opposite faces of a box-like part, at most 80 mm apart, approaching straight down, or straight
forward where the scene's approach cone holds that. It is kept if the open fingers and the hand are free of everything
else, at the start and at the target, and the arm reaches both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import body_axis, pose_compose, pose_inverse, quaternion_from_matrix, rotation_matrix
from iker_envs.planning.clearance import room_m, way_out_m
from iker_envs.planning.collision import (
    OrientedBox,
    deepest_overlap,
    gripper_boxes,
    lowest_m,
    object_boxes,
    scene_boxes,
)
from iker_envs.planning.hand import FINGER_HALF_SIZE_M, FINGERTIP_M, MAX_OPENING_M
from iker_envs.planning.mesh_grasps import mesh_candidates
from iker_envs.reach import reach_margin, reach_range_m
from iker_envs.scene import Grasp, Scene

MAX_WIDTH_M = 0.08
DEPTH_M = 0.025  # how far the tool centre goes below the top of the part
_MIN_DEPTH_M = DEPTH_M + FINGERTIP_M  # of a part, for the fingers to hold it
_EDGE_M = 0.015  # fingers stay this far inside the part's edge
_TOLERANCE_M = 0.002
_WAY_M = (0.06, 0.12)  # behind a mesh's grasp, where the hand passes on its straight way to it
_PLACES = 5  # tried along a part
_ROUND = 1e-6  # millimetres in a sentence are whole where they are but for rounding
_LEVER_M = 0.1  # a grasp so far from the object's centre scores 1/e of one at the centre
_ANGLE_ERROR_RAD = 1e-6
_FAR_M = 0.05  # a grasp so far outside the workspace or the arm's reach is a mistake
_MOSTLY = 0.5  # of a unit vector along an axis: a direction is named by such axes, one at least
_CAUSES = ("room", "reach", "table", "cone")  # what keeps a hand away, the least first
_DOWN = np.array([0.0, 0.0, -1.0])
_FORWARD = np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True)
class Hindrance:
    """What keeps a hand from a pose: one of _CAUSES, and by how much, in metres or degrees."""

    cause: str
    amount: float
    text: str  # a clause with {where} for "start" or "target"


@dataclass(frozen=True)
class GraspProposals:
    """Grasps, best first; `reason` is one clause that says why there are none, `cause` what hinders the hand, if it is
    that: one of _CAUSES."""

    grasps: tuple[Grasp, ...]
    reason: str = ""
    cause: str = ""


def propose_grasps(scene: Scene, name: str, target_pose: np.ndarray | None = None) -> GraspProposals:
    """Grasps of one object, base frame, from above or, where the scene's tool may point so, from the front.

    With `target_pose` (7,) they are free, reachable and within the approach cone there too.
    """
    here = ObjectGrasps(scene, name)
    return here.now if target_pose is None else here.at(target_pose)


class ObjectGrasps:
    """The grasps of one object where it is, `now`, and those of them that are good at a target as well."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._object = scene.object(name)
        self._boxes = object_boxes(self._object.model, self._object.pose)
        self._others = scene_boxes(scene, skip=[name])
        self.now = self._proposals()

    def at(self, target_pose: np.ndarray) -> GraspProposals:
        """The grasps whose hand is free, reachable and within the approach cone at a target (7,) too."""
        if not self.now.grasps:
            return self.now
        move = pose_compose(np.asarray(target_pose, dtype=float), pose_inverse(self._object.pose))
        own = object_boxes(self._object.model, target_pose)
        return self._kept(self.now.grasps, [pose_compose(move, g.tcp_pose) for g in self.now.grasps], own, "target")

    def _proposals(self) -> GraspProposals:
        if not self._object.movable:
            return GraspProposals((), "it is furniture")
        directions = [a for a in (_DOWN, _FORWARD) if _within_cone(self._scene, a)]
        candidates, misfit = self._candidates(directions)
        if not candidates:
            return GraspProposals((), misfit)
        kept = self._kept(tuple(candidates), [g.tcp_pose for g in candidates], self._boxes, "start")
        if self._is_mesh:
            return self._with_free_way(kept)
        outside = tuple(g for g in kept.grasps if not self._enters(g))
        if kept.grasps and not outside:
            return GraspProposals((), "the hand would enter the object")
        return GraspProposals(outside, kept.reason, kept.cause)

    @property
    def _is_mesh(self) -> bool:
        return self._object.model.shape == "mesh"

    def _candidates(self, directions: list[np.ndarray]) -> tuple[list[Grasp], str]:
        """Grasps that the object itself leaves room for, or why there are none."""
        if self._is_mesh:
            return mesh_candidates(self._object.model, self._object.pose, directions)
        found = [g for a in directions for g in _candidates(self._boxes, self._object.pose, a)]
        return found, "" if found else _misfit(self._boxes, directions)

    def _with_free_way(self, kept: GraspProposals) -> GraspProposals:
        """Those whose open hand hits nothing as it comes straight along its approach."""
        hit = [self._on_the_way(grasp) for grasp in kept.grasps]
        free = tuple(g for g, whom in zip(kept.grasps, hit, strict=True) if not whom)
        if kept.grasps and not free:
            return GraspProposals((), f"{hit[0]} is in the hand's way to the grasp", "room")
        return GraspProposals(free, kept.reason, kept.cause)

    def _on_the_way(self, grasp: Grasp) -> str:
        for back_m in _WAY_M:
            pose = np.array(grasp.tcp_pose)
            pose[:3] -= back_m * body_axis(pose[3:], 2)
            depth, whom = deepest_overlap(gripper_boxes(pose, MAX_OPENING_M), self._others)
            if depth > _TOLERANCE_M:
                return whom
        return ""

    def _enters(self, grasp: Grasp) -> bool:
        hand, *_ = gripper_boxes(grasp.tcp_pose, MAX_OPENING_M)
        return deepest_overlap([hand], {"": self._boxes})[0] > _TOLERANCE_M

    def _kept(
        self, grasps: tuple[Grasp, ...], tcps: list[np.ndarray], own: list[OrientedBox], where: str
    ) -> GraspProposals:
        """Those grasps, best first, that nothing hinders with the tool centre at `tcps`; else the least hindrance."""
        hindrances = [hindrance(tcp, self._scene, own, self._others) for tcp in tcps]
        kept = [g for g, h in zip(grasps, hindrances, strict=True) if h is None]
        if kept:
            return GraspProposals(tuple(sorted(kept, key=lambda g: -g.score)))
        least = min((h for h in hindrances if h is not None), key=lambda h: (_CAUSES.index(h.cause), h.amount))
        return GraspProposals((), least.text.format(where=where), least.cause)


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


def tool_directions(scene: Scene) -> dict[str, np.ndarray]:
    """Where the tool may point when it grasps, "down" or "forward", and an orientation (4,) for each."""
    both = {"down": _DOWN, "forward": _FORWARD}
    return {name: _tool_rotation(a, np.array([0.0, -1.0, 0.0])) for name, a in both.items() if _within_cone(scene, a)}


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
        position = position + (position @ approach + near - DEPTH_M) * -approach
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


def _in_words(direction: np.ndarray) -> str:
    """A direction (3,) by the axes that it has most of: "forward and down"."""
    names = (("forward", "back"), ("left", "right"), ("up", "down"))
    words = [pair[int(value < 0)] for pair, value in zip(names, direction, strict=True) if abs(value) > _MOSTLY]
    return " and ".join(words)


def hindrance(
    tcp_pose: np.ndarray, scene: Scene, own: list[OrientedBox], others: Mapping[str, Sequence[OrientedBox]]
) -> Hindrance | None:
    """Why an open hand cannot be at a pose (7,) where it holds the boxes `own`; None if it can."""
    if not _within_cone(scene, body_axis(tcp_pose[3:], 2)):
        off = float(np.rad2deg(np.arccos(np.clip(body_axis(tcp_pose[3:], 2) @ scene.approach_axis, -1, 1))))
        far = f"{off:.0f} degrees away from {_in_words(scene.approach_axis)} at the {{where}}"
        return Hindrance("cone", off, f"the hand would point {far}, at most {np.rad2deg(scene.approach_cone_rad):.0f}")
    margin = float(reach_margin(tcp_pose))
    if margin < 0:
        return Hindrance("reach", -margin, f"the arm does not reach the grasp at the {{where}}: {_too_far(tcp_pose)}")
    boxes = [*gripper_boxes(tcp_pose, MAX_OPENING_M), _between_fingers(tcp_pose)]
    bottom = lowest_m(boxes)
    if bottom < -_TOLERANCE_M:
        below = f"the fingers would enter the table at the {{where}}, by {-100 * bottom:.1f} cm"
        return Hindrance("table", -bottom, below)
    depth, whom = deepest_overlap(boxes, others)
    return _no_room(tcp_pose, boxes, own, others[whom], whom) if depth > _TOLERANCE_M else None


def _between_fingers(tcp_pose: np.ndarray) -> OrientedBox:
    """What closing fingers sweep: whatever else stands there is gripped too."""
    half_x, _, half_z = FINGER_HALF_SIZE_M
    axes = rotation_matrix(tcp_pose[3:])
    centre = tcp_pose[:3] + (FINGERTIP_M - half_z) * axes[:, 2]
    return OrientedBox(centre, axes, np.array([half_x, MAX_OPENING_M / 2, half_z]))


def _too_far(tcp_pose: np.ndarray) -> str:
    near, far = reach_range_m(tcp_pose)
    place = f"this is at {np.hypot(*tcp_pose[:2]):.2f} m"
    if not far:
        return f"with this orientation it reaches nothing at height {tcp_pose[2]:.2f} m"
    return f"it reaches from {near:.2f} to {far:.2f} m from its base at that height, {place}"


def _no_room(
    tcp_pose: np.ndarray,
    gripper: list[OrientedBox],
    own: list[OrientedBox],
    obstacle: Sequence[OrientedBox],
    whom: str,
) -> Hindrance:
    """How much room the hand lacks beside an obstacle, along the direction in which the fingers open."""
    closing = body_axis(tcp_pose[3:], 1)
    ways = []
    for away in (closing, -closing):
        room = room_m(own, obstacle, -away)  # towards the obstacle, finite where that stands on this side
        ways.append((not np.isfinite(room), way_out_m(gripper, obstacle, away, _TOLERANCE_M), room, away))
    _, lacking, there, away = min(ways, key=lambda way: way[:2])
    text = f"there is no room for the fingers beside {whom} at the {{where}}"
    if np.isfinite(there):
        needed = np.ceil(1000 * (there + lacking) - _ROUND) / 10
        have = np.floor(1000 * there + _ROUND) / 10
        text += f": they need {needed:.1f} cm there, on the {axis_name(-away)} side, and have {have:.1f} cm"
    else:
        text += f": they lack {100 * lacking:.1f} cm"
    return Hindrance("room", lacking, text)


def axis_name(direction: np.ndarray) -> str:
    """The base axis, with its sign, that is nearest to a direction (3,): "-y" for instance."""
    axis = int(np.argmax(np.abs(direction)))
    return f"{'+' if direction[axis] > 0 else '-'}{'xyz'[axis]}"


def free_width_m(grasp: Grasp, boxes: Sequence[OrientedBox]) -> float:
    """Room in metres that open fingers take on either side of an object of these boxes, beyond its own surface."""
    closing = body_axis(grasp.tcp_pose[3:], 1)
    along = np.concatenate([box.corners() for box in boxes]) @ closing - grasp.tcp_pose[:3] @ closing
    outer = MAX_OPENING_M / 2 + 2 * FINGER_HALF_SIZE_M[1]
    return max(0.0, outer - float(min(along.max(), -along.min())))


def grasp_in_object(grasp: Grasp, object_pose: np.ndarray) -> np.ndarray:
    """The grasp's tool-centre pose (7,) in the object's body frame."""
    return pose_compose(pose_inverse(object_pose), grasp.tcp_pose)
