"""May an object be taken to a pose? Every check of a target in the scene, each with its limit and the value it met.

    Placement(scene, object, grasp).fault(pose)  ->  Fault (kind, one clause), or None where the target is accepted

Order: flip and tilt -> movement -> graspable at all -> travel -> workspace -> support -> reach -> collision -> room for
the hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from iker_envs.geometry import (
    quaternion_conjugate,
    quaternion_from_yaw,
    quaternion_multiply,
    quaternion_rotate,
    rotation_angle,
    rotation_matrix,
    tilt_angle,
)
from iker_envs.planning.collision import (
    OrientedBox,
    deepest_overlap,
    lowest_m,
    object_boxes,
    scene_boxes,
    support_height,
)
from iker_envs.planning.grasps import ObjectGrasps
from iker_envs.planning.push import push_height
from iker_envs.reach import reach_range_m, reachable
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Scene, SceneObject

PUSH_TILT_RAD = np.deg2rad(20.0)
LEANING_RAD = np.deg2rad(10.0)  # so far from resting on a side, an object leans on something
FLIP_RAD = np.deg2rad(100.0)
MIN_TRAVEL_M = 0.005
MIN_TURN_RAD = np.deg2rad(5.0)
MAX_TRAVEL_M = 1.0
MAX_SUPPORT_GAP_M = 0.04
MAX_STEP_M = 0.03  # up or down by a push: more is another surface, and what is pushed over an edge tips over
MAX_BELOW_TABLE_M = 0.02
MAX_OVERLAP_M = 0.01
_CLEAR_M = 0.002
_BESIDE_M = 0.01
_ASIDE = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
_FOOT = 0.6  # what stands has a surface under so much of its length and width
_INTO_SUPPORT_M = 0.03  # a target so far inside what is under it still stands on it


@dataclass(frozen=True)
class Fault:
    """Why a target is not accepted: a clause, and which check said so ("workspace", "overlap", ...)."""

    kind: str
    text: str


class Placement:
    """The checks of targets for one object of a scene, carried by pushing or by grasping.

    `middle_m` (3,) is the point of its body frame that sentences speak of: the middle of the keypoints that a program
    moves, the origin for programs that move poses.
    """

    def __init__(self, scene: Scene, obj: SceneObject, grasp: bool, middle_m: np.ndarray | None = None) -> None:
        self.middle_m = middle_m
        self.scene = scene
        self.object = obj
        self.grasp = grasp
        self.others = scene_boxes(scene, skip=[obj.name])
        self.furniture = {o.name: self.others[o.name] for o in scene.objects if not o.movable}
        self.bottom_m = lowest_m(object_boxes(obj.model, obj.pose))
        self._grasps: ObjectGrasps | None = None

    @property
    def grasps(self) -> ObjectGrasps:
        """The grasps of the object where it is."""
        self._grasps = self._grasps or ObjectGrasps(self.scene, self.object.name)
        return self._grasps

    def fault(self, pose: np.ndarray) -> Fault | None:
        """What is wrong with a target (7,), None if nothing is."""
        boxes = object_boxes(self.object.model, pose)
        return (
            self._turned(pose)
            or self._stays(pose)
            or self._never_grasped()
            or self._too_far(pose)
            or self._outside(pose)
            or self._held(pose, boxes)
            or self._out_of_reach(pose, boxes)
            or self._overlapping(pose, boxes)
            or self._not_graspable(pose)
        )

    def offset_m(self, orientation: np.ndarray) -> np.ndarray:
        """From the origin of the body frame to the point that sentences speak of (3,), at an orientation (4,)."""
        return np.zeros(3) if self.middle_m is None else quaternion_rotate(orientation, self.middle_m)

    @property
    def point(self) -> str:
        """That point in words."""
        return "position" if self.middle_m is None else "middle of its keypoints"

    def supports_m(self, position: np.ndarray) -> list[float]:
        """Heights of the surfaces of furniture under a point (at least 2,), the table's among them."""
        tops = {0.0}
        below = np.inf
        while (top := support_height(self.furniture, position, below)) > 0.0:
            tops.add(top)
            below = top - 1e-3
        return sorted(tops)

    def stands(self, pose: np.ndarray) -> bool:
        """Is a target (7,) clear of the others, with one surface of table or furniture under its middle and around it?

        Checks of a target look at the middle alone and let it touch; this is what an advice looks at as well. What is
        set down keeps off what stands beside it, since estimates are off.
        """
        boxes = object_boxes(self.object.model, pose)
        shifts = _BESIDE_M * _ASIDE if self.grasp else np.zeros((1, 3))
        for shift in shifts:
            moved = [replace(box, centre=box.centre + shift) for box in boxes]
            if deepest_overlap(moved, self.others)[0] > _CLEAR_M:
                return False
        corners = np.concatenate([box.corners() for box in boxes])
        half = _FOOT * (corners.max(axis=0) - corners.min(axis=0))[:2] / 2
        places = pose[:2] + half * np.array([[0, 0], [1, 1], [1, -1], [-1, 1], [-1, -1]])
        bottom = float(corners[:, 2].min())
        gaps = [bottom - support_height(self.furniture, place, bottom + _INTO_SUPPORT_M) for place in places]
        return max(gaps) <= MAX_SUPPORT_GAP_M

    # -- one check each ------------------------------------------------------------------------------------------------

    def _turned(self, pose: np.ndarray) -> Fault | None:
        name = self.object.name
        tilt = tilt_between_rad(pose[3:], self.object.pose[3:])
        degrees = f"{np.rad2deg(tilt):.0f} degrees"
        if tilt > FLIP_RAD:
            limit = f"{np.rad2deg(FLIP_RAD):.0f}"
            advice = "if its ends change places, move its sides with them"
            return Fault("flip", f"{name} would be turned over (tilted by {degrees}, at most {limit}); {advice}")
        if self.grasp or tilt <= PUSH_TILT_RAD:
            return None
        limit = f"at most {np.rad2deg(PUSH_TILT_RAD):.0f}"
        text = f"pushing cannot tilt {name} by {degrees} ({limit}); a push keeps its present tilt"
        lean = leaning_rad(self.object.pose)
        if lean > LEANING_RAD:
            text += f": it leans by {np.rad2deg(lean):.0f} degrees now, and no push levels it"
        return Fault("tilt", text)

    def _stays(self, pose: np.ndarray) -> Fault | None:
        name = self.object.name
        travel = float(np.linalg.norm(pose[:3] - self.object.pose[:3]))
        turn = float(rotation_angle(pose[3:], self.object.pose[3:]))
        if travel < MIN_TRAVEL_M and turn < MIN_TURN_RAD:
            moves = f"it moves {100 * travel:.1f} cm and turns {np.rad2deg(turn):.0f} degrees"
            least = f"at least {100 * MIN_TRAVEL_M:.1f} cm or {np.rad2deg(MIN_TURN_RAD):.0f} degrees"
            text = f"{name} would stay where it is ({moves}, {least}); return None if the instruction is fulfilled"
            return Fault("stays", text)
        return None

    def _never_grasped(self) -> Fault | None:
        if not self.grasp or self.grasps.now.grasps:
            return None
        return Fault("grasp now", f"{self.object.name} cannot be grasped for this: {self.grasps.now.reason}")

    def _too_far(self, pose: np.ndarray) -> Fault | None:
        travel = float(np.linalg.norm(pose[:3] - self.object.pose[:3]))
        if travel <= MAX_TRAVEL_M:
            return None
        return Fault("travel", f"{self.object.name} would travel {travel:.2f} m, at most {MAX_TRAVEL_M:.2f}")

    def _outside(self, pose: np.ndarray) -> Fault | None:
        low, high = self.scene.workspace_m
        if np.all(pose[:2] >= low[:2]) and np.all(pose[:2] <= high[:2]):
            return None
        box = f"x {low[0]:.2f} to {high[0]:.2f}, y {low[1]:.2f} to {high[1]:.2f} m"
        place = f"{self.object.name} at x {pose[0]:.3f}, y {pose[1]:.3f} m"
        return Fault("workspace", f"the target of {place} is outside the workspace ({box})")

    def _held(self, pose: np.ndarray, boxes: list[OrientedBox]) -> Fault | None:
        name = self.object.name
        bottom = lowest_m(boxes)
        support = support_height(self.others, pose[:2], bottom + _INTO_SUPPORT_M)
        gap = bottom - support
        if gap > MAX_SUPPORT_GAP_M and not (self.grasp and self._bridges(pose, boxes, bottom)):
            if sunk := self._sunk(pose, boxes, bottom):
                return sunk
            hint = "nothing there would hold it" if self.grasp else "a push keeps it on its surface"
            right = f"z of its bottom is {bottom:z.3f}, should be {support:z.3f}"
            return Fault("support", f"{name} would end {100 * gap:.0f} cm above what is under it ({right}); {hint}")
        if bottom < -MAX_BELOW_TABLE_M:
            right = f"z of its bottom is {bottom:z.3f}, should be 0.000"
            return Fault("below", f"{name} would end {-100 * bottom:.0f} cm below the table ({right})")
        change = bottom - self.bottom_m
        if not self.grasp and abs(change) > MAX_STEP_M:
            now = f"z of its bottom is {self.bottom_m:z.3f} and would be {bottom:z.3f}"
            way = "lift it" if change > 0 else "let it down"
            return Fault(
                "step", f"a push keeps {name} on its surface and cannot {way} {100 * abs(change):.0f} cm: {now}"
            )
        return None

    def _bridges(self, pose: np.ndarray, boxes: list[OrientedBox], bottom: float) -> bool:
        """Would it lie across things on opposite sides of its middle, though there is nothing under that?"""
        corners = np.concatenate([box.corners() for box in boxes])[:, :2]
        low, high = corners.min(axis=0), corners.max(axis=0)
        places = [np.array([x, y]) for x in np.linspace(low[0], high[0], 7) for y in np.linspace(low[1], high[1], 7)]
        tops = [support_height(self.others, place, bottom + _INTO_SUPPORT_M) for place in places]
        held = [p - pose[:2] for p, top in zip(places, tops, strict=True) if bottom - top <= MAX_SUPPORT_GAP_M]
        angles = np.linspace(0.0, 2 * np.pi, 16, endpoint=False)
        ways = np.stack([np.cos(angles), np.sin(angles)])
        return bool(held) and bool(((np.array(held) @ ways).max(axis=0) > 0).all())

    def _sunk(self, pose: np.ndarray, boxes: list[OrientedBox], bottom: float) -> Fault | None:
        """Is it in what it should stand on, rather than above what is below that?"""
        depth, whom = deepest_overlap(boxes, self.furniture)
        if depth <= MAX_OVERLAP_M:
            return None
        top = support_height({whom: self.furniture[whom]}, pose[:2], np.inf)
        if top <= bottom:  # it is beside the target's middle, not under it
            return None
        inside = f"the target of {self.object.name} is {np.ceil(1000 * depth) / 10:.1f} cm inside {whom}"
        heights = f"z of its bottom is {bottom:z.3f}, the top of {whom} there at {top:z.3f}"
        return Fault("sunk", f"{inside} (at most {100 * MAX_OVERLAP_M:.1f}): {heights}")

    def _out_of_reach(self, pose: np.ndarray, boxes: list[OrientedBox]) -> Fault | None:
        if self.grasp:  # the grasps know where the tool has to be
            return None
        tcp = np.array([*pose[:2], push_height(boxes), *HOME_GRIPPER_QUATERNION])
        if bool(reachable(tcp)):
            return None
        near, far = reach_range_m(tcp)
        where = f"{self.object.name} at its target (x {pose[0]:.3f}, y {pose[1]:.3f})"
        limit = f"it reaches from {near:.2f} to {far:.2f} m from its base here, this is at {np.hypot(*pose[:2]):.3f} m"
        return Fault("reach", f"the arm does not reach {where}: {limit}")

    def _overlapping(self, pose: np.ndarray, boxes: list[OrientedBox]) -> Fault | None:
        depth, whom = deepest_overlap(boxes, self.others)
        if depth <= MAX_OVERLAP_M:
            return None
        if self.grasp and whom in self.furniture and self._would_stand_on(whom, pose, boxes):
            return self._sunk(pose, boxes, lowest_m(boxes))
        inside = f"the target of {self.object.name} is {np.ceil(1000 * depth) / 10:.1f} cm inside {whom}"
        return Fault("overlap", f"{inside} (at most {100 * MAX_OVERLAP_M:.1f}); leave room between them")

    def _would_stand_on(self, whom: str, pose: np.ndarray, boxes: list[OrientedBox]) -> bool:
        """Is a target that is inside furniture only too low: lifted onto its top, would the object stand there?"""
        top = support_height({whom: self.furniture[whom]}, pose[:2], np.inf)
        lifted = np.array(pose)
        lifted[2] += top - lowest_m(boxes)
        return lifted[2] > pose[2] and self.stands(lifted)

    def _not_graspable(self, pose: np.ndarray) -> Fault | None:
        if not self.grasp:
            return None
        found = self.grasps.at(pose)
        if found.grasps:
            return None
        told = f"{self.object.name} cannot be grasped for this: {found.reason}"
        if found.cause == "cone":
            return Fault("cone", f"{told}; turn it less, or another way round, or in two stages")
        return Fault("grasp", told)


def tilt_between_rad(one: np.ndarray, other: np.ndarray) -> float:
    """The angle out of the vertical of the turn between two orientations (4,): 0 for turns about the vertical."""
    turn = quaternion_multiply(one, quaternion_conjugate(other))
    return float(tilt_angle(turn, np.array([1.0, 0.0, 0.0, 0.0])))


def leaning_rad(pose: np.ndarray) -> float:
    """How far a pose (7,) is from resting on a side: the angle between the vertical and the nearest body axis."""
    upright = float(np.abs(rotation_matrix(np.asarray(pose)[3:])[2]).max())
    return float(np.arccos(np.clip(upright, -1.0, 1.0)))


def turned_only(obj: SceneObject, orientation: np.ndarray) -> tuple[float, np.ndarray]:
    """The angle in radians about the vertical, and the orientation (4,) it gives, that come nearest to `orientation`
    (4,) with the object's present tilt."""
    w, _, _, z = quaternion_multiply(orientation, quaternion_conjugate(obj.pose[3:]))
    yaw = float(2.0 * np.arctan2(z, w))
    yaw = (yaw + np.pi) % (2.0 * np.pi) - np.pi
    return yaw, quaternion_multiply(quaternion_from_yaw(np.array(yaw)), obj.pose[3:])
