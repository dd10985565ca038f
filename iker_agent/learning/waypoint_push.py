"""How the waypoint rule pushes: where the fingers touch, which way they push, how they get there.

    observation  ->  outline       ->  Outline, the object seen from above as a rectangle
                 ->  next_contact  ->  Contact: a point on a side of it, a direction, a distance
    a point      ->  way_around    ->  the next place on a way to it that keeps off the rectangle
    observation  ->  push          ->  displacement and rotation vector of the tool centre

Base frame, N rows at once, metres and radians. Tall objects are pushed by waypoint_tall.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from iker_agent.learning.waypoint_parameters import WaypointParameters
from iker_envs.geometry import norm, quaternion_conjugate, quaternion_multiply, rotvec_from_quaternion
from iker_envs.planning.hand import FINGER_HALF_SIZE_M
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION
from iker_envs.spec import ObservedKeypoints, Spec

# Moving the hand
DONE_M = 0.008  # a push stops here
GOOD_M = 0.020  # so near, the fingers do not go round to another side any more
BRAKE = 0.6  # of what is left, per tick: the object slides on a little
SLOWEST_M = 0.004  # per tick: the fingers never push slower
PAST_M = 0.02  # the fingers count as behind the contact up to so far beyond it,
_LANE_M = 0.02  # within this lateral distance,
LOW_M = 0.03  # and up to so high above pushing height
CENTRE = 0.5  # share of the lateral distance that is taken back per tick
_REACH_LEFT_M = 0.005  # of the arm where it touches
_SLIDES_M = (0.0, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12)  # that a contact out of reach is moved along its side
_RUN_UP_M = 0.03  # a push begins so far behind the contact
ABOVE_M = 0.02  # so far under the height for passing over, the hand still counts as up there
OVER_M = 0.012  # horizontal distance from a place at which the hand is lowered onto it
# Choosing where to push
_SLANT = 4.0  # share of the straight way to the target in the push direction
_TURN_FIRST_RAD = np.deg2rad(10.0)  # larger heading errors are pushed away at an end of the object
_TURN_ONLY_M = 0.01  # an object so near its target, seen from above, is only turned
_END_SHARE = 0.75  # how far from the middle of a side a push to turn touches, at most: share of the half side
_SAME_M = 0.01  # half sides that differ by less are the same: the fingers stay where they are
_SIDE_SHARE = 0.5  # the same for a push to move
_END_SHIFT_M = 10.0  # per radian of heading error, from the middle of a side: to turn is to push at the end
_SIDE_SHIFT_M = 0.25  # the same for a push to move
_AWAY_M = 0.02  # so much away from the robot is pushed before anything else
_AWAY_COSINE = 0.7  # of the angle between such a push and straight forward: within 45 degrees
_FACE_DONE_M = 0.006  # a face that has been pushed so near is left for the other one
_FACE_NEARLY_DONE_M = 0.012  # the same while the other one still has
_MUCH_LEFT_M = 0.03  # so far to go: time is short
_BESIDE_M = 0.01  # fingers so far inside a face still count as outside it
_STAY_M = 1.0  # bonus of the face where the fingers are: more than any face can have to go
_FINISH_M = 3.0  # the same once they are down at pushing height: more than that and the 1 of a push away from the robot
# From the tool centre to the side of two closed fingers, and what a pose may be off: past a corner that is nearer, a
# stiff hand takes the object along.
_CLEAR_M = 2 * FINGER_HALF_SIZE_M[1] + 0.003
_PASS_M = 0.02  # between the fingers and the corners that they go around
_CLOSE = 0.3  # share of that distance: fingers nearer to a face than this first move straight off it
_SAMPLES = 17  # of a straight way, to see whether it crosses the rectangle
# Lengths in metres that a way around a corner is thought longer when it crosses the rectangle: before the corner never
# if there is another one, after it only if the others are much longer, since there may be a second corner.
_BLOCKED_BEFORE_M = 10.0
_BLOCKED_AFTER_M = 0.5
_CORNERS = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])  # signs along the two axes
_TINY = 1e-9  # metres; keeps a division by a length of zero finite


Reached = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Outline:
    """The object seen from above: a rectangle along its two most horizontal axes, N rows."""

    centre: np.ndarray  # (N, 2)
    axes: np.ndarray  # (N, 2, 2), unit directions as rows
    half: np.ndarray  # (N, 2), half lengths along them

    def local(self, points: np.ndarray) -> np.ndarray:
        """Coordinates (N, 2) of points (N, 2) along the two axes, from the centre."""
        return np.einsum("nij,nj->ni", self.axes, points - self.centre)

    def world(self, places: np.ndarray) -> np.ndarray:
        """The points (N, 2) that have such coordinates (N, 2)."""
        return self.centre + np.einsum("nij,ni->nj", self.axes, places)


@dataclass(frozen=True)
class Contact:
    """The next push, N rows."""

    point: np.ndarray  # (N, 2), where the tool centre is when the fingers touch
    normal: np.ndarray  # (N, 2), unit, into the side that they touch
    direction: np.ndarray  # (N, 2), unit, of the push
    left_m: np.ndarray  # (N,), how far the object has to go in it
    face: np.ndarray  # (N,) int, the axis of the outline that the side is square to


def push(seen: ObservedKeypoints, parameters: WaypointParameters, spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """Go behind the object, then push it along its error; ends are pushed where the heading is off.

    Displacements (N, 3) and rotation vectors (N, 3) of the tool centre; the hand stays upright.
    """
    gripper = seen.gripper_pose[:, :3]
    shape = outline(seen, parameters.third_half_m)
    low = seen.object_pose[:, 2] + parameters.push_height_m
    contact = _reachable(next_contact(seen, shape, FINGER_HALF_SIZE_M[0], low), shape, low)
    error = norm(seen.keypoints_m - seen.targets_m).mean(axis=-1)
    offset = gripper[:, :2] - contact.point
    behind = -np.sum(offset * contact.direction, axis=-1)
    aside = offset + behind[:, None] * contact.direction
    high = seen.object_pose[:, 2] + parameters.over_height_m
    lane = (behind > -PAST_M) & (norm(aside) < _LANE_M) & (gripper[:, 2] < low + LOW_M)
    wanted = np.maximum(BRAKE * contact.left_m, SLOWEST_M) + np.maximum(behind, 0.0)
    step = np.minimum(spec.position_step_m, wanted)
    level = (low - gripper[:, 2])[:, None]
    pushing = np.concatenate([step[:, None] * contact.direction - CENTRE * aside, level], axis=-1)
    approach = _approach(seen, shape, contact.point - _RUN_UP_M * contact.direction, low, high)
    move = np.where(lane[:, None], pushing, approach)
    move[error < np.where(lane, DONE_M, GOOD_M)] = 0.0
    return move, turn_to(np.array(HOME_GRIPPER_QUATERNION), seen.gripper_pose[:, 3:])


def _reachable(contact: Contact, shape: Outline, low: np.ndarray) -> Contact:
    """The contact, moved along its side towards the arm's base as far as the arm needs it, if it stays on the side.

    A command out of reach is not carried out at all: the hand would wait beside the object until the time is up.
    """
    rows = np.arange(len(low))
    tangent = shape.axes[rows, 1 - contact.face]
    inward = tangent * -np.sign(np.sum(tangent * contact.point, axis=-1))[:, None]
    point = contact.point
    reached = np.zeros(len(low), dtype=bool)
    for slide_m in _SLIDES_M:
        moved = contact.point + slide_m * inward
        on_side = np.abs(shape.local(moved)[rows, 1 - contact.face]) <= _END_SHARE * shape.half[rows, 1 - contact.face]
        better = ~reached & ((on_side & _in_reach(moved, contact.direction, low)) | (slide_m == 0.0))
        point = np.where(better[:, None], moved, point)
        reached |= better & _in_reach(moved, contact.direction, low)
    return replace(contact, point=point)


def _in_reach(point: np.ndarray, direction: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Does the arm reach points (N, 2) at heights (N,), and where the run-up to them begins? (N,) bool."""
    reached = np.ones(len(low), dtype=bool)
    for place in (point, point - _RUN_UP_M * direction):
        home = np.tile(HOME_GRIPPER_QUATERNION, (len(low), 1))
        reached &= reach_margin(np.concatenate([place, low[:, None], home], axis=-1)) > _REACH_LEFT_M
    return reached


def outline(seen: ObservedKeypoints, third_half_m: float) -> Outline:
    """The object's rectangle; `third_half_m` is its half length along the axis that has no control keypoints.

    Of the object's three axes the most vertical one is left out: two remain that are within 45 degrees of horizontal.
    """
    k = seen.keypoints_m
    first = k[:, 0] - k[:, 1]
    second = k[:, 2] - k[:, 3]
    unit = np.cross(_units(first), _units(second))
    lengths = np.stack([norm(first), norm(second), np.full(len(k), 2.0 * third_half_m)], axis=-1)
    units = np.stack([_units(first), _units(second), unit], axis=1)
    vertical = np.argmax(np.abs(units[..., 2]), axis=-1)
    kept = np.array([[1, 2], [0, 2], [0, 1]])[vertical]  # the other two, in their order
    axes = np.take_along_axis(np.stack([first, second, unit], axis=1), kept[..., None], axis=1)[..., :2]
    half = 0.5 * np.take_along_axis(lengths, kept, axis=1)
    return Outline(seen.object_pose[:, :2], _units(axes), half)


def next_contact(
    seen: ObservedKeypoints, shape: Outline, reach_m: float, low: np.ndarray, reached: Reached | None = None
) -> Contact:
    """Which side is pushed next, and where; the hand touches what is `reach_m` before the tool centre.

    `low` (N,) is the height of the tool centre when it pushes. `reached` says of places (N, 2) and normals (N, 2)
    whether the arm gets there, (N,) bool: a side that it does not get to waits for the other one.
    """
    turn = turn_left(seen)[:, 2]
    motion = (seen.targets_m.mean(axis=1) - seen.object_pose[:, :3])[:, :2]
    left = np.einsum("nij,nj->ni", shape.axes, motion)  # how far each face has to go
    away = _away(shape, left) | _near(seen, shape, left)
    turn_first = ((np.abs(turn) > _TURN_FIRST_RAD) & ~_away(shape, left).any(axis=-1)) | (norm(motion) < _TURN_ONLY_M)
    urgent = np.argmax(_urgency(seen, shape, left, low) + away, axis=-1)
    broad = np.argmax(_SAME_M * _beside(seen, shape, left) - shape.half, axis=-1)
    face = np.where(turn_first, broad, urgent)
    rows = np.arange(len(face))
    if reached is not None:
        normals = shape.axes * np.where(left < 0, -1.0, 1.0)[..., None]
        places = shape.centre[:, None] - (shape.half + reach_m)[..., None] * normals
        ready = np.stack([reached(places[:, k], normals[:, k]) for k in (0, 1)], axis=-1)
        useful = turn_first | (np.abs(left[rows, 1 - face]) > _FACE_DONE_M)
        face = np.where(~ready[rows, face] & ready[rows, 1 - face] & useful, 1 - face, face)
    normal = shape.axes[rows, face] * np.where(left[rows, face] < 0, -1.0, 1.0)[:, None]
    tangent = shape.axes[rows, 1 - face]
    across = shape.half[rows, 1 - face]
    # torque of a force along `normal` at offset s on `tangent`: s * (tangent x normal)
    sign = tangent[:, 0] * normal[:, 1] - tangent[:, 1] * normal[:, 0]
    reach = np.where(turn_first, _END_SHARE, _SIDE_SHARE) * across
    shift = np.clip(sign * np.where(turn_first, _END_SHIFT_M, _SIDE_SHIFT_M) * turn, -reach, reach)
    contact = shape.centre - (shape.half[rows, face] + reach_m)[:, None] * normal
    to_go = np.where(turn_first, np.abs(turn) * across, np.abs(left[rows, face]))
    along = motion / (norm(motion)[:, None] + _TINY)
    slant = np.where(turn_first[:, None], normal, normal + _SLANT * along)  # friction takes the side along
    return Contact(contact + shift[:, None] * tangent, normal, slant / norm(slant)[:, None], to_go, face)


def way_around(seen: ObservedKeypoints, shape: Outline, point: np.ndarray, clear_m: float = _CLEAR_M) -> np.ndarray:
    """The next place (N, 2) on a way from the fingers to a point (N, 2) that keeps off the object's rectangle.

    `clear_m` is the least distance from the rectangle: that of the fingers, or of the hand beside a tall object.
    """
    start = shape.local(seen.gripper_pose[:, :2])
    goal = shape.local(point)
    half = shape.half + clear_m
    margin = half + _PASS_M
    corners = margin[:, None] * _CORNERS
    cost = norm(corners - start[:, None]) + norm(corners - goal[:, None])
    ways = range(len(_CORNERS))
    cost += _BLOCKED_BEFORE_M * np.stack([_blocked(start, corners[:, k], half) for k in ways], axis=-1)
    cost += _BLOCKED_AFTER_M * np.stack([_blocked(corners[:, k], goal, half) for k in ways], axis=-1)
    corner = corners[np.arange(len(start)), np.argmin(cost, axis=-1)]
    blocked = _blocked(start, goal, half)
    place = np.where(blocked[:, None], corner, goal)
    # too near for any way: first straight off the nearest face
    gap = np.abs(start) - half - _CLOSE * _PASS_M
    off = np.where(np.arange(2) == np.argmax(gap, axis=-1)[:, None], np.sign(start) * margin, start)
    return shape.world(np.where(((gap < 0).all(axis=-1) & blocked)[:, None], off, place))


def _approach(
    seen: ObservedKeypoints, shape: Outline, point: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Displacements (N, 3) towards a point (N, 2) beside the object: high up straight over it, low around its corners.

    `low` and `high` (N,) are the heights of the tool centre for pushing and for passing over the object.
    """
    gripper = seen.gripper_pose[:, :3]
    above = gripper[:, 2] > high - ABOVE_M
    way = np.where(above[:, None], point, way_around(seen, shape, point)) - gripper[:, :2]
    near = norm(point - gripper[:, :2]) < OVER_M
    height = np.where(above & ~near, high, low)
    return np.concatenate([np.where((above & near)[:, None], 0.0, way), (height - gripper[:, 2])[:, None]], axis=-1)


def turn_left(seen: ObservedKeypoints) -> np.ndarray:
    """Rotation vector (N, 3) that is left to the target, base axes."""
    now = _frame(seen.keypoints_m)
    then = _frame(seen.targets_m)
    return turn_to(then, now)


def turn_to(wanted: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Rotation vector (N, 3) from one orientation (N, 4) to another (4,) or (N, 4), base axes."""
    return rotvec_from_quaternion(quaternion_multiply(wanted, quaternion_conjugate(now)))


def shortened(vectors: np.ndarray, longest: float | np.ndarray) -> np.ndarray:
    """Vectors (N, 3) no longer than `longest`, one for all or (N,)."""
    return vectors * np.minimum(1.0, longest / np.maximum(norm(vectors), longest))[:, None]


def _frame(points: np.ndarray) -> np.ndarray:
    """Quaternion (N, 4) of the frame that control keypoints (N, 4, 3) span."""
    x = points[:, 0] - points[:, 1]
    y = points[:, 2] - points[:, 3]
    x = x / norm(x)[:, None]
    y = y - np.sum(x * y, axis=-1, keepdims=True) * x
    y = y / norm(y)[:, None]
    matrices = np.stack([x, y, np.cross(x, y)], axis=-1)
    return np.roll(Rotation.from_matrix(matrices).as_quat(), 1, axis=-1)


def _units(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) of unit length; one without a length stays what it is."""
    return vectors / np.maximum(norm(vectors), _TINY)[..., None]


def _urgency(seen: ObservedKeypoints, shape: Outline, left: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Which of the two faces (N, 2) to push: the one with more to go, but first finish where the fingers are.

    Fingers that are down beside a face finish it before anything else: to change sides costs more than to push.
    """
    down = (seen.gripper_pose[:, 2] < low + LOW_M)[:, None]
    stay = np.where(down, _FINISH_M, _STAY_M)
    enough = np.where(np.abs(left[:, ::-1]) > _MUCH_LEFT_M, _FACE_NEARLY_DONE_M, _FACE_DONE_M)
    return np.abs(left) + np.where(_beside(seen, shape, left) & (np.abs(left) > enough), stay, 0.0)


def _beside(seen: ObservedKeypoints, shape: Outline, left: np.ndarray) -> np.ndarray:
    """At which of the two faces (N, 2) the fingers are, on the side from which it is pushed."""
    place = shape.local(seen.gripper_pose[:, :2])
    outside = -np.sign(left) * place > shape.half - _BESIDE_M
    return outside & (np.abs(place[:, ::-1]) < shape.half[:, ::-1])


def _away(shape: Outline, left: np.ndarray) -> np.ndarray:
    """Which faces (N, 2) still have to go away from the robot: first, while the arm reaches the place behind them.

    Once such an object has been pushed in front of the robot, that place may lie too near the base.
    """
    outward = left * shape.axes[..., 0] > _AWAY_COSINE * np.abs(left)
    return outward & (np.abs(left) > _AWAY_M)


def _near(seen: ObservedKeypoints, shape: Outline, left: np.ndarray) -> np.ndarray:
    """Which faces (N, 2) still have to come towards the robot, and first: farther out the arm may not reach behind."""
    inward = left * shape.axes[..., 0] < -_AWAY_COSINE * np.abs(left)
    outwards = np.abs(seen.targets_m[..., 1].mean(axis=-1)) > np.abs(seen.object_pose[:, 1])
    return inward & (np.abs(left) > _AWAY_M) & outwards[:, None]


def _blocked(start: np.ndarray, end: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Does the straight way from start to end (N, 2) cross the rectangle of half sizes (N, 2)? (N,) bool."""
    inside = np.zeros(len(start), dtype=bool)
    for t in np.linspace(0.0, 1.0, _SAMPLES):
        inside |= (np.abs(start + t * (end - start)) < half).all(axis=-1)
    return inside
