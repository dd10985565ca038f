"""The interface of a policy: how observations and actions are laid out, in simulation and on the robot alike.

    gripper pose, object pose, keypoints, targets  ->  pack_observation    ->  float32 vectors
    float32 vectors                                ->  unpack_observation  ->  Observed (named arrays)
    action in [-1, 1]^6, last commanded pose       ->  decode_action       ->  next commanded pose

`LAYOUTS` and `ACTION_ROWS` say which number stands where, and this module is the only one that reads them by position.
A policy stores `spec_hash` and refuses to run under another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from iker_envs.geometry import (
    IDENTITY_QUATERNION,
    Array,
    align_sign,
    body_axis,
    cross,
    namespace,
    norm,
    pose_apply,
    quaternion_conjugate,
    quaternion_from_rotvec,
    quaternion_multiply,
    rotvec_from_quaternion,
)
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Scene

NUM_KEYPOINTS = 4
POSITION_BOUND_M = 2.0
_MAX_BELOW_TABLE_M = 0.05  # a target further under the table, which is z = 0, is a mistake and no error of an estimate
_TINY = 1e-12  # keeps a division by a length of zero finite

Rows = tuple[tuple[str, int, str, str], ...]  # name, width, unit, meaning
_POSE_ROWS: Rows = (
    ("gripper_position", 3, "m", "end-effector position, base frame"),
    ("gripper_quaternion", 4, "", "end-effector orientation (w, x, y, z), sign nearest the home pose"),
    ("object_position", 3, "m", "manipulated object's centre, base frame"),
    ("object_quaternion", 4, "", "its orientation (w, x, y, z), sign nearest the identity"),
)
LAYOUTS: dict[str, Rows] = {
    "keypoints": (
        *_POSE_ROWS,
        ("keypoints", 3 * NUM_KEYPOINTS, "m", "its 4 control keypoints, base frame"),
        ("targets", 3 * NUM_KEYPOINTS, "m", "where the 4 control keypoints should go, base frame"),
    ),
    "pose": (
        *_POSE_ROWS,
        ("target_position", 3, "m", "where the object's centre should go, base frame"),
        ("target_quaternion", 4, "", "how it should be turned, sign nearest the identity"),
    ),
}
ACTION_ROWS: Rows = (
    ("position", 3, "0.03 m", "displacement of the commanded tool centre per tick, base axes"),
    ("rotation", 3, "0.15 rad", "rotation vector of the commanded orientation per tick, base axes"),
)


@dataclass(frozen=True)
class Spec:
    """The numbers that fix what a policy sees and does."""

    observation: str = "keypoints"  # or "pose"
    control_hz: float = 10.0
    position_step_m: float = 0.03  # full scale of one action component
    rotation_step_rad: float = 0.15
    position_leash_m: float = 0.03  # the command stays this near to the measured pose
    rotation_leash_rad: float = 0.2
    approach_cone_rad: float = float(np.deg2rad(40.0))
    approach_axis: tuple[float, float, float] = (0.0, 0.0, -1.0)
    fingertip_clearance_m: float = 0.003  # commands keep the tips this far above table and furniture

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():  # 10 and 10.0 are one number and one hash
            if isinstance(value, (int, np.floating)):
                object.__setattr__(self, name, float(value))
        object.__setattr__(self, "approach_axis", tuple(float(v) for v in self.approach_axis))
        if not isinstance(self.observation, str) or self.observation not in LAYOUTS:
            raise ValueError(f"observation {self.observation!r} is unknown; known: {', '.join(LAYOUTS)}")

    @property
    def observation_dim(self) -> int:
        return sum(width for _, width, _, _ in LAYOUTS[self.observation])

    @property
    def action_dim(self) -> int:
        return sum(width for _, width, _, _ in ACTION_ROWS)

    def spec_hash(self) -> str:
        """12 hex digits over every number and the layout: equal for two programs that understand each other."""
        return hash_of(asdict(self))

    def observation_bound(self) -> np.ndarray:
        """Largest absolute value (observation_dim,) of each component: 2 m for positions, 1 for quaternions."""
        rows = [np.full(w, 1.0 if "quaternion" in n else POSITION_BOUND_M) for n, w, _, _ in LAYOUTS[self.observation]]
        return np.concatenate(rows).astype(np.float32)


def hash_of(values: Mapping[str, Any]) -> str:
    """The hash of a spec's fields by name, those of a spec of another version of this package, too."""
    content = {"spec": values, "layout": LAYOUTS[values["observation"]], "action": ACTION_ROWS}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def spec_of(scene: Scene, observation: str = "keypoints") -> Spec:
    """The spec for a scene: its tool points where the scene's task needs it."""
    x, y, z = (float(c) for c in scene.approach_axis)
    return Spec(observation, approach_cone_rad=float(scene.approach_cone_rad), approach_axis=(x, y, z))


@dataclass(frozen=True, eq=False)
class Observed:
    """The named parts of N observations, base frame; what a layout does not hold is None."""

    gripper_pose: Array  # (N, 7)
    object_pose: Array  # (N, 7)
    keypoints_m: Array | None  # (N, 4, 3), layout "keypoints"
    targets_m: Array | None  # (N, 4, 3), layout "keypoints"
    target_pose: Array | None  # (N, 7), layout "pose"


@dataclass(frozen=True, eq=False)
class ObservedKeypoints(Observed):
    """Observations of the layout "keypoints"."""

    keypoints_m: Array
    targets_m: Array
    target_pose: None


@dataclass(frozen=True, eq=False)
class ObservedPose(Observed):
    """Observations of the layout "pose"."""

    keypoints_m: None
    targets_m: None
    target_pose: Array


def pack_observation(
    spec: Spec,
    gripper_pose: Array,
    object_pose: Array,
    keypoints_m: Array,
    targets_m: Array,
    target_pose: Array,
) -> Array:
    """Observations (N, observation_dim) float32 from poses (N, 7) and keypoints and targets (N, 4, 3), base frame."""
    xp = namespace(gripper_pose, object_pose)
    home, identity = (_constant(xp, q, object_pose) for q in (HOME_GRIPPER_QUATERNION, IDENTITY_QUATERNION))
    n = gripper_pose.shape[0]
    columns = {
        "gripper_position": gripper_pose[:, :3],
        "gripper_quaternion": align_sign(gripper_pose[:, 3:], home),
        "object_position": object_pose[:, :3],
        "object_quaternion": align_sign(object_pose[:, 3:], identity),
    }
    if spec.observation == "keypoints":
        columns |= {"keypoints": xp.reshape(keypoints_m, (n, -1)), "targets": xp.reshape(targets_m, (n, -1))}
    else:
        columns["target_position"] = target_pose[:, :3]
        columns["target_quaternion"] = align_sign(target_pose[:, 3:], identity)
    packed = xp.concat([columns[name] for name, *_ in LAYOUTS[spec.observation]], axis=-1)
    return xp.astype(packed, xp.float32)


def unpack_observation(spec: Spec, observation: Array) -> ObservedKeypoints | ObservedPose:
    """The named parts of observations (N, observation_dim): what `pack_observation` was given, in their own dtype.

    Quaternions keep the sign that they were packed with. ValueError if the observations have another shape.
    """
    if spec.observation == "keypoints":
        return unpack_keypoints(spec, observation)
    columns = _columns(spec, observation)
    return ObservedPose(
        gripper_pose=_pose(columns, "gripper"),
        object_pose=_pose(columns, "object"),
        keypoints_m=None,
        targets_m=None,
        target_pose=_pose(columns, "target"),
    )


def unpack_keypoints(spec: Spec, observation: Array) -> ObservedKeypoints:
    """As `unpack_observation`, for a spec of the layout "keypoints"; ValueError for another one."""
    if spec.observation != "keypoints":
        raise ValueError(f"keypoints are in observations of the layout 'keypoints', not of {spec.observation!r}")
    columns = _columns(spec, observation)
    xp = namespace(observation)
    shape = (observation.shape[0], NUM_KEYPOINTS, 3)
    return ObservedKeypoints(
        gripper_pose=_pose(columns, "gripper"),
        object_pose=_pose(columns, "object"),
        keypoints_m=xp.reshape(columns["keypoints"], shape),
        targets_m=xp.reshape(columns["targets"], shape),
        target_pose=None,
    )


def decode_action(spec: Spec, action: Array, commanded_pose: Array, measured_pose: Array, workspace_m: Array) -> Array:
    """The next commanded pose (N, 7).

    `action` (N, 6) is clipped to [-1, 1], scaled and added to the last commanded pose (N, 7); the result is kept near
    the measured pose (N, 7), inside the workspace box (2, 3), inside the approach cone and within the arm's reach:
    of a step that would leave reach without bringing the arm nearer to it, the displacement alone is taken, or else the
    rotation alone, or else nothing.
    """
    xp = namespace(action, commanded_pose)
    action = xp.clip(xp.astype(action, commanded_pose.dtype), -1.0, 1.0)
    position = commanded_pose[:, :3] + spec.position_step_m * action[:, :3]
    position = measured_pose[:, :3] + _shorten(position - measured_pose[:, :3], spec.position_leash_m)
    position = xp.clip(position, workspace_m[0, :], workspace_m[1, :])
    turn = quaternion_from_rotvec(spec.rotation_step_rad * action[:, 3:])
    rotation = quaternion_multiply(turn, commanded_pose[:, 3:])
    away = rotvec_from_quaternion(quaternion_multiply(rotation, quaternion_conjugate(measured_pose[:, 3:])))
    rotation = quaternion_multiply(
        quaternion_from_rotvec(_shorten(away, spec.rotation_leash_rad)), measured_pose[:, 3:]
    )
    rotation = _into_cone(spec, rotation)
    rotation = rotation / norm(rotation)[:, None]
    pose = xp.concat([position, rotation], axis=-1)
    return _within_reach(pose, commanded_pose)


def _within_reach(pose: Array, commanded_pose: Array) -> Array:
    """As much of a step between poses (N, 7) as the arm can follow: all, the displacement, the turn, or nothing."""
    xp = namespace(pose)
    moved = xp.concat([pose[:, :3], commanded_pose[:, 3:]], axis=-1)
    turned = xp.concat([commanded_pose[:, :3], pose[:, 3:]], axis=-1)
    margin_before = reach_margin(commanded_pose)
    result = commanded_pose
    for choice in (turned, moved, pose):  # the last one that can be followed
        margin = reach_margin(choice)
        result = xp.where(((margin >= 0) | (margin > margin_before))[:, None], choice, result)
    return result


def _columns(spec: Spec, observation: Array) -> dict[str, Array]:
    """The rows of the layout by name, (N, width) each; ValueError if the observations have another shape."""
    if len(observation.shape) != 2 or observation.shape[1] != spec.observation_dim:
        raise ValueError(
            f"observations of the layout {spec.observation!r} are an array (N, {spec.observation_dim}), "
            f"not {tuple(observation.shape)}"
        )
    return {name: observation[:, place] for name, place in _places(LAYOUTS[spec.observation]).items()}


def _pose(columns: dict[str, Array], body: str) -> Array:
    """The pose (N, 7) of a body from its two rows."""
    position = columns[f"{body}_position"]
    return namespace(position).concat([position, columns[f"{body}_quaternion"]], axis=-1)


def _places(rows: Rows) -> dict[str, slice]:
    """Which columns of a vector each row takes."""
    stops = np.cumsum([width for _, width, _, _ in rows]).tolist()
    return {name: slice(stop - width, stop) for (name, width, _, _), stop in zip(rows, stops, strict=True)}


def _constant(xp, values, like: Array) -> Array:
    return xp.asarray(values, dtype=like.dtype, device=getattr(like, "device", None))


def _shorten(v: Array, limit: float) -> Array:
    length = norm(v)[..., None]
    return namespace(v).where(length > limit, v * (limit / (length + _TINY)), v)


def _into_cone(spec: Spec, rotation: Array) -> Array:
    """Turn the approach axis back onto the cone about `spec.approach_axis` if it has left it."""
    xp = namespace(rotation)
    centre = _constant(xp, spec.approach_axis, rotation) + 0 * rotation[:, :3]
    approach = body_axis(rotation, 2)
    axis = cross(approach, centre)
    sine = norm(axis)
    angle = xp.atan2(sine, xp.sum(approach * centre, axis=-1))
    excess = xp.where(angle > spec.approach_cone_rad, angle - spec.approach_cone_rad, 0 * angle)
    back = quaternion_from_rotvec(axis / (sine[:, None] + _TINY) * excess[:, None])
    return quaternion_multiply(back, rotation)


def check_target(goal: Goal, scene: Scene) -> None:
    """ValueError if a keypoint of the goal's object would end out of what can be observed, or under the table."""
    targets = pose_apply(goal.target_pose, scene.object(goal.object).model.control_keypoints_m())
    farthest = targets.flat[np.argmax(np.abs(targets))]
    lowest = float(targets[:, 2].min())
    what = f"the goal for {goal.object!r}, target_pose {np.round(goal.target_pose, 3).tolist()},"
    if lowest < -_MAX_BELOW_TABLE_M:
        raise ValueError(f"{what} has a keypoint {-lowest:.2f} m below the table; give one with all above z = 0")
    if abs(farthest) > POSITION_BOUND_M:
        raise ValueError(
            f"{what} has a keypoint at {farthest:.2f} m; give one that keeps all within {POSITION_BOUND_M:.0f} m of "
            "the robot's base along each axis"
        )


def space_tables() -> str:
    """Markdown tables of both observation layouts and of the action."""
    tables = [_table(f'Observation "{name}"', rows) for name, rows in LAYOUTS.items()]
    return "\n\n".join([*tables, _table("Action, each in [-1, 1]", ACTION_ROWS)])


def _table(title: str, rows: Rows) -> str:
    places = _places(rows)
    lines = [f"{title}:", "", "| index | name | unit | meaning |", "|---|---|---|---|"]
    for name, _, unit, meaning in rows:
        lines.append(f"| {places[name].start}:{places[name].stop} | {name} | {unit} | {meaning} |")
    return "\n".join(lines)


def document(cls: type) -> type:
    """Append the tables to a class docstring."""
    cls.__doc__ = f"{cls.__doc__}\n\n{space_tables()}\n"
    return cls
