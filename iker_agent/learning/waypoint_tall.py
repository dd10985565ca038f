"""How the waypoint rule pushes what a push at the usual height would tip over: low down, the hand leaning back.

    observation  ->  push_tall  ->  displacement and rotation vector of the tool centre

The hand goes round the object to the side that is pushed next, or passes over it where something stands around. Behind
it the hand leans back once the arm reaches that pose: its fingers touch the object near its foot, and the hand stays
clear of its top. Where the arm does not reach it (behind a far object, that is to be drawn near), the hand waits. Base
frame, N rows, metres and radians.
"""

from __future__ import annotations

import numpy as np

from iker_agent.learning.waypoint_parameters import LEANING_TCP_M, WaypointParameters
from iker_agent.learning.waypoint_push import (
    ABOVE_M,
    BRAKE,
    CENTRE,
    DONE_M,
    GOOD_M,
    LOW_M,
    OVER_M,
    PAST_M,
    SLOWEST_M,
    next_contact,
    outline,
    shortened,
    turn_to,
    way_around,
)
from iker_envs.geometry import (
    norm,
    quaternion_from_rotvec,
    quaternion_from_yaw,
    quaternion_multiply,
    rotation_matrix,
)
from iker_envs.planning.hand import FINGER_HALF_SIZE_M, FINGERTIP_M, HAND_HALF_SIZE_M
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION
from iker_envs.spec import ObservedKeypoints, Spec

_LANE_M = 0.04  # the fingers count as behind the contact within this lateral distance
_STEP_M = 0.015  # per tick: what stands tall is pushed no faster,
# and what is thin no faster than so many half depths over the root of its half height: when it stops, its foot stops
# first. A block of half depth d and half height h falls over its edge from about 3.6 d / sqrt(h) m/s on (energy to lift
# its centre over the edge); this is 0.6 of that, per tick of 0.1 s.
_GENTLE = 0.22
_FEEL_M = 0.012  # before the contact the hand is as slow as it pushes: what it meets at speed, it knocks over,
_HASTE = 0.5  # and farther back it goes on by such a share of the way that is left
_RUN_UP_M = 0.06  # a push begins so far behind the contact: an upright hand finds room there
_LEANING_RAD = 0.25  # the hand counts as leaning when it is so near to the wanted pose
_TIPPED = np.cos(np.deg2rad(25.0))  # what leans more is falling, or lies against something: it is not pressed on
_ROOM_M = 0.05  # so far from the object the hand turns freely
REACH_M = 0.01  # left before a pose is out of reach


def push_tall(seen: ObservedKeypoints, parameters: WaypointParameters, spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """Displacements (N, 3) and rotation vectors (N, 3) of the tool centre, each at most what a tick allows."""
    gripper = seen.gripper_pose[:, :3]
    shape = outline(seen, parameters.third_half_m)
    low = seen.object_pose[:, 2] + parameters.push_height_m
    lean_rad = parameters.lean_rad

    def reached(place: np.ndarray, normal: np.ndarray) -> np.ndarray:
        return reach_margin(leaning_hand(place, normal, low, lean_rad, seen.gripper_pose[:, 3:])) > REACH_M

    contact = next_contact(seen, shape, touch_m(lean_rad), low, reached)
    offset = gripper[:, :2] - contact.point
    behind = -np.sum(offset * contact.normal, axis=-1)
    aside = offset + behind[:, None] * contact.normal
    high = seen.object_pose[:, 2] + parameters.over_height_m
    leaning = _leaning_back(seen.gripper_pose[:, 3:], contact.normal, lean_rad)
    turn = turn_to(leaning, seen.gripper_pose[:, 3:])
    leans = norm(turn) < _LEANING_RAD
    lane = leans & (behind > -PAST_M) & (norm(aside) < _LANE_M) & (gripper[:, 2] < low + LOW_M)
    depth = shape.half[np.arange(len(contact.face)), contact.face]
    fastest = np.clip(_GENTLE * depth / np.sqrt(LEANING_TCP_M - parameters.push_height_m), SLOWEST_M, _STEP_M)
    run_up = _HASTE * np.maximum(behind - _FEEL_M, 0.0)
    step = np.minimum(fastest, np.maximum(BRAKE * contact.left_m, SLOWEST_M)) + run_up
    pushing = np.concatenate(
        [step[:, None] * contact.direction - CENTRE * aside, (low - gripper[:, 2])[:, None]], axis=-1
    )
    point = contact.point - _RUN_UP_M * contact.normal
    above = gripper[:, 2] > high - ABOVE_M
    near = (norm(point - gripper[:, :2]) < OVER_M) | (norm(aside) < OVER_M) & (behind > 0.0) & (behind < _RUN_UP_M)
    free = lane | above | near | leans  # to turn, with nothing beside the hand
    if parameters.around:
        way = way_around(seen, shape, point, HAND_HALF_SIZE_M[1]) - gripper[:, :2]
        across = np.ones(len(gripper), dtype=bool)
        height = low
        free |= (np.abs(shape.local(gripper[:, :2])) > shape.half + _ROOM_M).any(axis=-1)
    else:
        way = np.where(above[:, None], point, way_around(seen, shape, point)) - gripper[:, :2]
        across = np.where(above, ~near, near | leans)  # else straight down, or straight up
        height = np.where(near | (leans & ~above), low, high)
    approach = np.concatenate([np.where(across[:, None], way, 0.0), (height - gripper[:, 2])[:, None]], axis=-1)
    move = np.where(lane[:, None], pushing, approach)
    # a hand that leans back where the arm does not reach so far waits with it until it is behind the object
    reachable = reached(contact.point, contact.normal) & (lane | near | reached(point, contact.normal))
    home = turn_to(np.array(HOME_GRIPPER_QUATERNION), seen.gripper_pose[:, 3:])
    turn = np.where(free[:, None], np.where(reachable[:, None], turn, home), 0.0)
    done = norm(seen.keypoints_m - seen.targets_m).mean(axis=-1) < np.where(lane, DONE_M, GOOD_M)
    done |= np.abs(rotation_matrix(seen.object_pose[:, 3:])[:, 2]).max(axis=-1) < _TIPPED
    move[done] = 0.0
    turn[done] = 0.0
    return shortened(move, spec.position_step_m), shortened(turn, spec.rotation_step_rad)


def touch_m(lean_rad: float) -> float:
    """How far before the tool centre the fingers of a leaning hand touch."""
    return float(np.sin(lean_rad) * FINGERTIP_M + np.cos(lean_rad) * FINGER_HALF_SIZE_M[0])


def leaning_hand(
    place: np.ndarray, normal: np.ndarray, height_m: np.ndarray, lean_rad: float, now: np.ndarray
) -> np.ndarray:
    """Poses (N, 7) of a hand at places (N, 2) and heights (N,) that leans away from `normal` (N, 2).

    `now` (N, 4) is its orientation, from which it turns no further than it has to.
    """
    return np.concatenate([place, height_m[:, None], _leaning_back(now, normal, lean_rad)], axis=-1)


def _leaning_back(now: np.ndarray, normal: np.ndarray, lean_rad: float) -> np.ndarray:
    """Orientations (N, 4) of a hand whose broad side faces `normal` (N, 2) and that leans away from it by an angle.

    Of the two, half a turn about the tool axis apart, the one nearer to the orientation `now` (N, 4).
    """
    axis = np.stack([normal[:, 1], -normal[:, 0], np.zeros(len(normal))], axis=-1)
    lean = quaternion_from_rotvec(lean_rad * axis)
    heading = np.arctan2(normal[:, 1], normal[:, 0])
    facing = [
        quaternion_multiply(quaternion_from_yaw(heading + flip), np.array(HOME_GRIPPER_QUATERNION))
        for flip in (0.0, np.pi)
    ]
    first, second = (quaternion_multiply(lean, orientation) for orientation in facing)
    nearer = norm(turn_to(first, now)) < norm(turn_to(second, now))
    return np.where(nearer[:, None], first, second)
