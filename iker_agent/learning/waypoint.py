"""The waypoint learner: straight pushes and carries with simple feedback, under the same spec as a trained policy.

    learn(scene, goal)  ->  Learned(WaypointPolicy)  ->  act(observations)  ->  actions

It needs no training: expert, named baseline, and what makes tests of the whole loop run in seconds. A waypoint policy
is a function of the observation alone plus a few lengths of the scene, so it recovers when the object is moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from iker_agent.learning.learner import Learned, Report
from iker_agent.learning.policy import Policy, save_policy
from iker_envs.geometry import (
    norm,
    quaternion_conjugate,
    quaternion_multiply,
    rotvec_from_quaternion,
)
from iker_envs.planning.collision import object_boxes
from iker_envs.planning.hand import FINGER_HALF_SIZE_M
from iker_envs.planning.nearby import objects_near_motion
from iker_envs.planning.push import push_height
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, ObjectModel, Scene
from iker_envs.spec import Spec, spec_of

_CLEARANCE_M = 0.03  # between a carried object and what it passes over
_NEAR_M = 0.02  # horizontal distance at which a carried object is lowered
_TURNED_RAD = np.deg2rad(12.0)  # a carried object is lowered once it is turned so far
_DONE_M = 0.008  # a push stops here
_GOOD_M = 0.020  # so near, the fingers do not go round to another side any more
_SLANT = 4.0  # share of the straight way to the target in the push direction
_BRAKE = 0.6  # of what is left, per tick: the object slides on a little
_TURN_FIRST_RAD = np.deg2rad(10.0)  # larger heading errors are pushed away at an end of the object
_AWAY_M = 0.02  # so much away from the robot is pushed before anything else
_LANE_M = 0.02  # the fingers count as behind the contact within this lateral distance
_FACE_DONE_M = 0.006  # a face that has been pushed so near is left for the other one
_PASS_M = 0.02  # between the fingers and the corners that they go around


@dataclass(frozen=True)
class WaypointParameters:
    """Lengths in metres that the observation does not tell; heights are relative to the object's centre."""

    grasp: bool
    carry_height_m: float  # height of the object's centre at which it clears everything on the way
    push_height_m: float  # of the tool centre above the object's centre
    over_height_m: float  # of the tool centre above the object's centre when the hand passes over it


class WaypointPolicy:
    """Acts on keypoint observations; see the module docstring."""

    def __init__(self, parameters: WaypointParameters, spec: Spec) -> None:
        if spec.observation != "keypoints":
            raise ValueError(f"the waypoint policy reads keypoint observations, not {spec.observation!r}")
        self.parameters = parameters
        self.spec = spec

    @classmethod
    def from_header(cls, header: Mapping[str, Any], spec: Spec) -> WaypointPolicy:
        """The policy that `save` wrote."""
        return cls(WaypointParameters(**header["parameters"]), spec)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions (N, 6) for keypoint observations (N, 38)."""
        o = np.asarray(observations, dtype=float)
        seen = _Seen(
            o[:, :3], o[:, 3:7], o[:, 7:10], o[:, 10:14], o[:, 14:26].reshape(-1, 4, 3), o[:, 26:].reshape(-1, 4, 3)
        )
        position, rotvec = self._carry(seen) if self.parameters.grasp else self._push(seen)
        action = np.concatenate([position / self.spec.position_step_m, rotvec / self.spec.rotation_step_rad], axis=-1)
        scale = np.abs(action).max(axis=-1, keepdims=True)
        return (action / np.maximum(scale, 1.0)).astype(np.float32)

    def _carry(self, seen: _Seen) -> tuple[np.ndarray, np.ndarray]:
        """Lift straight up, move across, lower; turn on the way. Displacements (N, 3) and rotation vectors (N, 3)."""
        centre = seen.targets.mean(axis=1)
        turn = _turn(seen)
        # the object turns about the tool centre: where it would be once turned
        arm = seen.object_position - seen.gripper_position
        turned = seen.gripper_position + Rotation.from_rotvec(turn).apply(arm)
        error = centre - turned
        across = norm(error[:, :2])
        height = self.parameters.carry_height_m - seen.object_position[:, 2]
        away = (across > _NEAR_M) | (norm(turn) > _TURNED_RAD)
        lift = away & (height > 0.015)
        error[:, 2] = np.where(away, height, error[:, 2])
        error[lift, :2] = 0.0
        return error, np.where(lift[:, None], 0.0, turn)

    def _push(self, seen: _Seen) -> tuple[np.ndarray, np.ndarray]:
        """Go behind the object, then push it along its error; ends are pushed where the heading is off."""
        contact, direction, left = _contact(seen)
        error = norm(seen.keypoints - seen.targets).mean(axis=-1)
        offset = seen.gripper_position[:, :2] - contact
        behind = -np.sum(offset * direction, axis=-1)
        aside = offset + behind[:, None] * direction
        low = seen.object_position[:, 2] + self.parameters.push_height_m
        high = seen.object_position[:, 2] + self.parameters.over_height_m
        lane = (behind > -0.02) & (norm(aside) < _LANE_M) & (seen.gripper_position[:, 2] < low + 0.03)
        step = np.minimum(self.spec.position_step_m, np.maximum(_BRAKE * left, 0.004) + np.maximum(behind, 0.0))
        pushing = np.concatenate(
            [step[:, None] * direction - 0.5 * aside, (low - seen.gripper_position[:, 2])[:, None]], -1
        )
        approach = self._approach(seen, contact - 0.03 * direction, low, high)
        move = np.where(lane[:, None], pushing, approach)
        move[error < np.where(lane, _DONE_M, _GOOD_M)] = 0.0
        home = np.array(HOME_GRIPPER_QUATERNION)
        upright = rotvec_from_quaternion(quaternion_multiply(home, quaternion_conjugate(seen.gripper_quaternion)))
        return move, upright

    def _approach(self, seen: _Seen, point: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Towards a point (N, 2) beside the object: high up straight over it, low down around its corners."""
        z = seen.gripper_position[:, 2]
        above = z > high - 0.02
        way = np.where(above[:, None], point, _around(seen, point)) - seen.gripper_position[:, :2]
        near = norm(point - seen.gripper_position[:, :2]) < 0.012
        goal_z = np.where(above & ~near, high, low)
        return np.concatenate([np.where((above & near)[:, None], 0.0, way), (goal_z - z)[:, None]], axis=-1)

    def save(self, path: str | Path) -> None:
        """Write the parameters as a policy file."""
        save_policy(path, "waypoint", self.spec, {"none": np.zeros(1)}, {"parameters": asdict(self.parameters)})


@dataclass(frozen=True)
class _Seen:
    """The observation taken apart, N rows each."""

    gripper_position: np.ndarray
    gripper_quaternion: np.ndarray
    object_position: np.ndarray
    object_quaternion: np.ndarray
    keypoints: np.ndarray
    targets: np.ndarray


def _frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (N, 3) and quaternion (N, 4) of the frame that control keypoints (N, 4, 3) span."""
    x = points[:, 0] - points[:, 1]
    y = points[:, 2] - points[:, 3]
    x = x / norm(x)[:, None]
    y = y - np.sum(x * y, axis=-1, keepdims=True) * x
    y = y / norm(y)[:, None]
    matrices = np.stack([x, y, np.cross(x, y)], axis=-1)
    quaternion = np.roll(Rotation.from_matrix(matrices).as_quat(), 1, axis=-1)
    return points.mean(axis=1), quaternion


def _half_sizes(seen: _Seen) -> np.ndarray:
    """Half lengths (N, 2) of the object along its two keypoint axes."""
    k = seen.keypoints
    return 0.5 * np.stack([norm(k[:, 0] - k[:, 1]), norm(k[:, 2] - k[:, 3])], axis=-1)


def _axes(seen: _Seen) -> np.ndarray:
    """Horizontal unit directions (N, 2, 2) of the two keypoint axes, rows."""
    k = seen.keypoints
    axes = np.stack([k[:, 0] - k[:, 1], k[:, 2] - k[:, 3]], axis=1)[..., :2]
    return axes / norm(axes)[..., None]


def _contact(seen: _Seen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the tool centre touches (N, 2), the push direction (N, 2), and how far it has to go in it (N,)."""
    motion = (seen.targets.mean(axis=1) - seen.object_position)[:, :2]
    axes = _axes(seen)
    half = _half_sizes(seen)
    turn = _turn(seen)[:, 2]
    left = np.einsum("nij,nj->ni", axes, motion)  # how far each face has to go
    away = _away(seen, left)
    turn_first = ((np.abs(turn) > _TURN_FIRST_RAD) & ~away.any(axis=-1)) | (norm(motion) < 0.01)
    face = np.where(turn_first, np.argmin(half, axis=-1), np.argmax(_urgency(seen, left) + away, axis=-1))
    rows = np.arange(len(face))
    normal = axes[rows, face] * np.sign(left[rows, face] + 1e-12)[:, None]
    tangent = axes[rows, 1 - face]
    # torque of a force along `normal` at offset s on `tangent`: s * (tangent x normal)
    sign = tangent[:, 0] * normal[:, 1] - tangent[:, 1] * normal[:, 0]
    reach = np.where(turn_first, 0.75, 0.5) * half[rows, 1 - face]
    gain = np.where(turn_first, 10.0, 0.25)
    shift = np.clip(sign * gain * turn, -reach, reach)
    contact = seen.object_position[:, :2] - (half[rows, face] + FINGER_HALF_SIZE_M[0])[:, None] * normal
    to_go = np.where(turn_first, np.abs(turn) * half[rows, 1 - face], np.abs(left[rows, face]))
    along = motion / (norm(motion)[:, None] + 1e-9)
    slant = np.where(turn_first[:, None], normal, normal + _SLANT * along)  # friction takes the side along
    return contact + shift[:, None] * tangent, slant / norm(slant)[:, None], to_go


def _turn(seen: _Seen) -> np.ndarray:
    """Rotation vector (N, 3) that is left to the target, base axes."""
    _, now = _frame(seen.keypoints)
    _, then = _frame(seen.targets)
    return rotvec_from_quaternion(quaternion_multiply(then, quaternion_conjugate(now)))


def _urgency(seen: _Seen, left: np.ndarray) -> np.ndarray:
    """Which of the two faces (N, 2) to push: the one with more to go, but first finish where the fingers are."""
    place = _in_object(seen, seen.gripper_position[:, :2])
    half = _half_sizes(seen)
    outside = -np.sign(left) * place > half - 0.01
    beside = np.abs(place[:, ::-1]) < half[:, ::-1]
    return np.abs(left) + np.where(outside & beside & (np.abs(left) > _FACE_DONE_M), 1.0, 0.0)


def _away(seen: _Seen, left: np.ndarray) -> np.ndarray:
    """Which faces (N, 2) still have to go away from the robot: first, while the arm reaches the place behind them.

    Once such an object has been pushed in front of the robot, that place may lie too near the base.
    """
    outward = left * _axes(seen)[..., 0] > 0.7 * np.abs(left)
    return outward & (np.abs(left) > _AWAY_M)


def _in_object(seen: _Seen, point: np.ndarray) -> np.ndarray:
    """Horizontal coordinates (N, 2) of points (N, 2) along the object's two keypoint axes."""
    return np.einsum("nij,nj->ni", _axes(seen), point - seen.object_position[:, :2])


def _around(seen: _Seen, point: np.ndarray) -> np.ndarray:
    """The next place (N, 2) on a way from the fingers to a point (N, 2) that keeps off the object's rectangle."""
    start = _in_object(seen, seen.gripper_position[:, :2])
    goal = _in_object(seen, point)
    half = _half_sizes(seen) + FINGER_HALF_SIZE_M[1]
    margin = half + _PASS_M
    corners = margin[:, None] * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    cost = norm(corners - start[:, None]) + norm(corners - goal[:, None])
    cost += 10.0 * np.stack([_blocked(start, corners[:, k], half) for k in range(4)], axis=-1)
    cost += 0.5 * np.stack([_blocked(corners[:, k], goal, half) for k in range(4)], axis=-1)
    corner = corners[np.arange(len(start)), np.argmin(cost, axis=-1)]
    place = np.where(_blocked(start, goal, half)[:, None], corner, goal)
    # too near for any way: first straight off the nearest face
    gap = np.abs(start) - half - 0.3 * _PASS_M
    off = np.where(np.arange(2) == np.argmax(gap, axis=-1)[:, None], np.sign(start) * margin, start)
    place = np.where(((gap < 0).all(axis=-1) & _blocked(start, goal, half))[:, None], off, place)
    return seen.object_position[:, :2] + np.einsum("nij,ni->nj", _axes(seen), place)


def _blocked(start: np.ndarray, end: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Does the straight way from start to end (N, 2) cross the rectangle of half sizes (N, 2)? (N,) bool."""
    inside = np.zeros(len(start), dtype=bool)
    for t in np.linspace(0.0, 1.0, 17):
        inside |= (np.abs(start + t * (end - start)) < half).all(axis=-1)
    return inside


@dataclass(frozen=True)
class WaypointLearner:
    """Makes a WaypointPolicy from a scene and a goal; nothing is trained."""

    def learn(
        self,
        scene: Scene,
        goal: Goal,
        *,
        stage: int = 1,
        init: Policy | None = None,
        seed: int = 0,
        report: Report | None = None,
    ) -> Learned:
        """The rule for one stage, from the scene and the goal alone: the other arguments do not matter to it."""
        obj = scene.object(goal.object)
        return Learned(WaypointPolicy(waypoint_parameters(scene, obj, goal), spec_of(scene)))


def waypoint_parameters(scene: Scene, obj, goal: Goal) -> WaypointParameters:
    """The lengths that a WaypointPolicy needs, from the scene's geometry."""
    passed = objects_near_motion(scene, goal, margin_m=_CLEARANCE_M)
    boxes = [b for o in scene.objects if o.name in passed for b in object_boxes(o.model, o.pose)]
    highest = max([0.0, *(b.corners()[:, 2].max() for b in boxes)])
    below = max(_half_height(obj.model, pose) for pose in (obj.pose, goal.target_pose))
    push = push_height(obj.model, obj.pose) - obj.pose[2]
    return WaypointParameters(
        grasp=goal.grasp,
        carry_height_m=float(max(highest + below, goal.target_pose[2]) + _CLEARANCE_M),
        push_height_m=float(push),
        over_height_m=float(_half_height(obj.model, obj.pose) + 0.07),
    )


def _half_height(model: ObjectModel, pose: np.ndarray) -> float:
    """From an object's centre at a pose (7,) down to its lowest point, metres."""
    return float(pose[2] - min(b.corners()[:, 2].min() for b in object_boxes(model, pose)))
