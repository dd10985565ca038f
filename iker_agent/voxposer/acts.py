"""From movements to what a hand can do in our worlds: carries, from closing to opening fingers, and pushes.

scene, movements  ->  acts_of  ->  Carry(object, grasp, waypoints, target) | Push(object, path, target), ...

The fingers close or open at the end of a movement, where its gripper map says so. The way to a grasp and back up is
the grasp subroutine's of our worlds, as for every other method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_agent.voxposer.follower import Waypoint
from iker_agent.voxposer.maps import VoxelGrid, value_at
from iker_agent.voxposer.movements import GRIPPER, Movement
from iker_agent.voxposer.planner import NoTarget, plan_path
from iker_envs.geometry import pose_compose, pose_inverse, quaternion_from_matrix, rotation_matrix
from iker_envs.planning.collision import OrientedBox, object_boxes
from iker_envs.planning.hand import FINGERTIP_M, MAX_OPENING_M
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Grasp, Scene

LIFT_M = 0.12  # that the grasp subroutine of our worlds backs off with what it holds
_OVERWRITE_M = 0.025  # a gripper value counts within so far of a movement's end: 3 voxels in the published code
_CLOSED = 0.5  # below it the fingers close
_LAST_M = 0.004  # how near the last waypoint of a path counts as reached
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Carry:
    """Grasp an object, follow waypoints, let go; the target (7,) is where the object then is if nothing slips."""

    object: str
    grasp: Grasp
    waypoints: tuple[Waypoint, ...]
    target_pose: np.ndarray


@dataclass(frozen=True, eq=False)
class Push:
    """Push an object along a path (N, 3) of its centre; the target (7,) is its end, not turned."""

    object: str
    path_m: np.ndarray
    target_pose: np.ndarray


Act = Carry | Push


def acts_of(scene: Scene, movements: Sequence[Movement]) -> tuple[Act, ...]:
    """What the movements do, one after the other; NoTarget says in one sentence what cannot be done."""
    hand = _Hand(scene)
    for movement in movements:
        if movement.movable == GRIPPER:
            hand.follow(movement)
        else:
            hand.let_go()
            hand.acts.append(_push(hand.scene, movement))
            hand.put(movement.movable, hand.acts[-1].target_pose)
    hand.let_go()
    if not hand.acts:
        raise NoTarget("no movement closes the fingers on an object or pushes one; nothing would move")
    return tuple(hand.acts)


def _push(scene: Scene, movement: Movement) -> Push:
    if movement.movable not in scene.movable:
        movable = ", ".join(scene.movable)
        raise NoTarget(f"{movement.movable} is furniture and cannot be moved; movable: {movable}")
    pose = np.array(scene.object(movement.movable).pose)
    grid = VoxelGrid.over(scene)
    path = plan_path(grid, movement, pose[:3], grid.obstacles(scene, without=(movement.movable,)))
    return Push(movement.movable, path, np.concatenate([path[-1], pose[3:]]))


class _Hand:
    """Where the hand is, what it holds, and what it has been told to do, in a scene that follows along."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.acts: list[Act] = []
        top = float(scene.workspace_m[1][2])
        centre = np.mean(scene.workspace_m, axis=0)
        self._pose = np.array([*centre[:2], top, *HOME_GRIPPER_QUATERNION])
        self._held: tuple[str, Grasp, np.ndarray] | None = None  # object, grasp, the object's pose in the hand
        self._sign = 1.0  # fingers are alike: their closing direction is read with the sign nearer to home
        self._waypoints: list[Waypoint] = []

    def put(self, name: str, pose: np.ndarray) -> None:
        """An object is at a pose (7,) from now on."""
        self.scene = self.scene.with_poses({name: pose})

    def follow(self, movement: Movement) -> None:
        """Take in a movement of the gripper."""
        poses = self._path(movement) if movement.affordance else [self._pose]
        value = value_at(movement.gripper, poses[-1][:3], _OVERWRITE_M)
        closes = value is not None and value[0] < _CLOSED
        if self._held is None:
            self._pose = poses[-1]
            if closes:
                self._take()
            return
        self._waypoints += [Waypoint(pose) for pose in poses]
        self._pose = poses[-1]
        if value is not None and not closes:
            self.let_go()

    def _path(self, movement: Movement) -> list[np.ndarray]:
        """Hand poses (7,) of a movement."""
        grid = VoxelGrid.over(self.scene)
        held = (self._held[0],) if self._held else ()
        points = plan_path(grid, movement, self._pose[:3], grid.obstacles(self.scene, without=held))
        poses = []
        turn = self._pose[3:]
        for point in points:
            value = value_at(movement.rotation, point, float(grid.voxel_m.max()))
            turn = turn if value is None else self._orientation(np.array(value))
            poses.append(np.concatenate([point, turn]))
        return poses

    def _orientation(self, value: np.ndarray) -> np.ndarray:
        """The quaternion (4,) of a hand that points and closes along two vectors (6,)."""
        approach, closing = value[:3], value[3:]
        approach = approach / max(float(np.linalg.norm(approach)), _TINY)
        across = closing - (closing @ approach) * approach
        if np.linalg.norm(across) < 1e-3 or np.linalg.norm(approach) < _TINY:
            raise NoTarget("a rotation is (approach, closing): two directions, square to each other, not parallel")
        across = across / np.linalg.norm(across)
        if self._held is None:
            self._sign = 1.0 if tuple(np.round(across[[1, 0, 2]], 9)) <= (0.0, 0.0, 0.0) else -1.0
        across = self._sign * across
        return quaternion_from_matrix(np.column_stack([np.cross(across, approach), across, approach]))

    def _take(self) -> None:
        """The fingers close where the hand is."""
        name, width_m = between_fingers(self.scene, self._pose)
        margin = float(reach_margin(self._pose))
        if margin < 0:
            place = np.round(self._pose[:3], 3).tolist()
            raise NoTarget(f"the arm does not reach the grasp at {place}, by {-100 * margin:.1f} cm")
        inside = pose_compose(pose_inverse(self._pose), np.array(self.scene.object(name).pose))
        self._held = (name, Grasp(self._pose, width_m), inside)
        self._pose = pose_compose(self._pose, np.array([0.0, 0.0, -LIFT_M, 1.0, 0.0, 0.0, 0.0]))

    def let_go(self) -> None:
        """The fingers open, if they hold something that has been moved."""
        if self._held is None:
            return
        name, grasp, inside = self._held
        if not self._waypoints:
            raise NoTarget(f"the fingers close on {name}, and no movement of the gripper follows")
        target = pose_compose(self._pose, inside)
        last = replace(self._waypoints[-1], reached_m=_LAST_M)
        self.acts.append(Carry(name, grasp, (*self._waypoints[:-1], last), target))
        self.put(name, target)
        self._held = None
        self._waypoints = []


def between_fingers(scene: Scene, tcp_pose: np.ndarray) -> tuple[str, float]:
    """The movable object on which fingers at a tool-centre pose (7,) close, and how wide it is there, metres.

    NoTarget if there is none, or if it is wider than the fingers open.
    """
    closing = rotation_matrix(tcp_pose[3:])[:, 1]
    found: dict[str, tuple[float, float]] = {}
    for obj in scene.objects:
        spans = [_span(box, tcp_pose[:3], closing) for box in object_boxes(obj.model, obj.pose) if obj.movable]
        hit = [
            span for span in spans if span is not None and span[0] < MAX_OPENING_M / 2 and span[1] > -MAX_OPENING_M / 2
        ]
        if hit:
            found[obj.name] = (min(s[0] for s in hit), max(s[1] for s in hit))
    place = np.round(tcp_pose[:3], 3).tolist()
    if not found:
        raise NoTarget(f"the fingers close on nothing at {place}")
    name = min(found, key=lambda n: abs(sum(found[n])))
    low, high = found[name]
    if max(-low, high) > MAX_OPENING_M / 2:
        raise NoTarget(
            f"the fingers open {100 * MAX_OPENING_M:.1f} cm, and {name} reaches from {100 * low:.1f} to "
            f"{100 * high:.1f} cm of their middle at {place}"
        )
    return name, high - low


def _span(box: OrientedBox, point: np.ndarray, direction: np.ndarray) -> tuple[float, float] | None:
    """Where a line through a point (3,) enters and leaves a box, along the line; None if it misses the box.

    The line is as thick as a fingertip is long: the tool centre may lie just over the top.
    """
    start = (point - box.centre) @ box.axes
    way = direction @ box.axes
    half = box.half + np.where(np.abs(way) < 0.5, FINGERTIP_M / 2, 0.0)
    safe = np.where(np.abs(way) < _TINY, _TINY, way)
    ends = np.sort(np.stack([(-half - start) / safe, (half - start) / safe]), axis=0)
    enter, leave = float(ends[0].max()), float(ends[1].min())
    return (enter, leave) if enter < leave else None
