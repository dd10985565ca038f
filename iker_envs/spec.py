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
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from iker_envs.components import (
    Array,
    Components,
    aligned,
    beside,
    body_axis,
    clipped,
    columns,
    conjugate,
    corrected,
    cross,
    difference,
    dot,
    from_rotvec,
    multiply,
    namespace,
    norm,
    stacked,
    to_rotvec,
)
from iker_envs.geometry import IDENTITY_QUATERNION, pose_apply
from iker_envs.reach import margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Scene

NUM_KEYPOINTS = 4
POSITION_BOUND_M = 2.0
_MAX_BELOW_TABLE_M = 0.05  # a target further under the table, which is z = 0, is a mistake and no error of an estimate
_CONE_MARGIN = 1e-6  # of a cosine: an approach axis that is further inside of the cone has surely not left it
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
    n = gripper_pose.shape[0]
    rows = {
        "gripper_position": gripper_pose[:, :3],
        "gripper_quaternion": _aligned(gripper_pose, HOME_GRIPPER_QUATERNION),
        "object_position": object_pose[:, :3],
        "object_quaternion": _aligned(object_pose, IDENTITY_QUATERNION),
    }
    if spec.observation == "keypoints":
        rows |= {"keypoints": xp.reshape(keypoints_m, (n, -1)), "targets": xp.reshape(targets_m, (n, -1))}
    else:
        rows["target_position"] = target_pose[:, :3]
        rows["target_quaternion"] = _aligned(target_pose, IDENTITY_QUATERNION)
    parts = [rows[name] for name, *_ in LAYOUTS[spec.observation]]
    if type(gripper_pose) is np.ndarray:  # in one pass
        return np.concatenate(parts, axis=-1, dtype=np.float32)
    return xp.astype(xp.concat(parts, axis=-1), xp.float32)


def unpack_observation(spec: Spec, observation: Array) -> ObservedKeypoints | ObservedPose:
    """The named parts of observations (N, observation_dim): what `pack_observation` was given, in their own dtype.

    Quaternions keep the sign that they were packed with. ValueError if the observations have another shape.
    """
    if spec.observation == "keypoints":
        return unpack_keypoints(spec, observation)
    rows = _rows(spec, observation)
    return ObservedPose(
        gripper_pose=_pose(rows, "gripper"),
        object_pose=_pose(rows, "object"),
        keypoints_m=None,
        targets_m=None,
        target_pose=_pose(rows, "target"),
    )


def unpack_keypoints(spec: Spec, observation: Array) -> ObservedKeypoints:
    """As `unpack_observation`, for a spec of the layout "keypoints"; ValueError for another one."""
    if spec.observation != "keypoints":
        raise ValueError(f"keypoints are in observations of the layout 'keypoints', not of {spec.observation!r}")
    rows = _rows(spec, observation)
    xp = namespace(observation)
    shape = (observation.shape[0], NUM_KEYPOINTS, 3)
    return ObservedKeypoints(
        gripper_pose=_pose(rows, "gripper"),
        object_pose=_pose(rows, "object"),
        keypoints_m=xp.reshape(rows["keypoints"], shape),
        targets_m=xp.reshape(rows["targets"], shape),
        target_pose=None,
    )


def decode_action(spec: Spec, action: Array, commanded_pose: Array, measured_pose: Array, workspace_m: Array) -> Array:
    """The next commanded pose (N, 7).

    `action` (N, 6) is clipped to [-1, 1], scaled and added to the last commanded pose (N, 7); the result is kept near
    the measured pose (N, 7), inside the workspace box (2, 3), inside the approach cone and within the arm's reach:
    of a step that would leave reach without bringing the arm nearer to it, the displacement alone is taken, or what of
    it leads around the base, level and with the rotation if it must be, or nothing.
    """
    xp = namespace(action, commanded_pose)
    *step, roll, pitch, yaw = columns(clipped(xp.astype(action, commanded_pose.dtype), -1.0, 1.0))
    commanded = columns(commanded_pose)
    measured = columns(measured_pose)
    position = tuple(c + spec.position_step_m * d for c, d in zip(commanded[:3], step, strict=True))
    away_m = _shorten(difference(position, measured[:3]), spec.position_leash_m)
    position = tuple(m + d for m, d in zip(measured[:3], away_m, strict=True))
    position = tuple(clipped(p, workspace_m[0, k], workspace_m[1, k]) for k, p in enumerate(position))
    turn = from_rotvec(tuple(spec.rotation_step_rad * c for c in (roll, pitch, yaw)))
    rotation = multiply(turn, commanded[3:])
    away = to_rotvec(multiply(rotation, conjugate(measured[3:])))
    rotation = multiply(from_rotvec(_shorten(away, spec.rotation_leash_rad)), measured[3:])
    rotation = _into_cone(spec, rotation)
    length = norm(rotation)
    pose = (*position, *(c / length for c in rotation))
    return beside(corrected(~(margin(pose) >= 0), _within_reach, pose, commanded))


def _within_reach(pose: Components, commanded: Components) -> Components:
    """As much of steps between poses (N,) as the arm can follow, see `decode_action`."""
    xp = namespace(*pose)
    share = norm(commanded[:2]) / (norm(pose[:2]) + _TINY)
    level = tuple(c * share for c in pose[:2])
    choices = (  # the last one that can be followed is taken
        commanded,
        (*level, *commanded[2:]),
        (*level, commanded[2], *pose[3:]),
        (*level, pose[2], *commanded[3:]),
        (*level, *pose[2:]),
        (*pose[:3], *commanded[3:]),
        pose,
    )
    grid = xp.stack([beside(choice) for choice in choices])  # (choices, N, 7)
    margins = margin(columns(grid))
    follows = (margins >= 0) | (margins > margins[0, :])
    number = xp.arange(len(choices), device=margins.device)[:, None]
    taken = xp.max(xp.where(follows, number, 0), axis=0)
    return columns(xp.take_along_axis(grid, taken[None, :, None], axis=0)[0, ...])


def _rows(spec: Spec, observation: Array) -> dict[str, Array]:
    """The rows of the layout by name, (N, width) each; ValueError if the observations have another shape."""
    if len(observation.shape) != 2 or observation.shape[1] != spec.observation_dim:
        raise ValueError(
            f"observations of the layout {spec.observation!r} are an array (N, {spec.observation_dim}), "
            f"not {tuple(observation.shape)}"
        )
    return {name: observation[:, place] for name, place in _places(LAYOUTS[spec.observation]).items()}


def _pose(rows: dict[str, Array], body: str) -> Array:
    """The pose (N, 7) of a body from its two rows."""
    position = rows[f"{body}_position"]
    return namespace(position).concat([position, rows[f"{body}_quaternion"]], axis=-1)


def _places(rows: Rows) -> dict[str, slice]:
    """Which columns of a vector each row takes."""
    stops = np.cumsum([width for _, width, _, _ in rows]).tolist()
    return {name: slice(stop - width, stop) for (name, width, _, _), stop in zip(rows, stops, strict=True)}


def _aligned(pose: Array, reference: Components) -> Array:
    """The quaternions (N, 4) of poses, signs nearest the reference."""
    return stacked(aligned(columns(pose)[3:], reference))


def _shorten(v: Components, limit: float) -> Components:
    """Vectors, those that are longer than the limit cut to it."""
    xp = namespace(*v)
    length = norm(v)
    too_long = length > limit
    scale = limit / (length + _TINY)
    return tuple(xp.where(too_long, c * scale, c) for c in v)


def _into_cone(spec: Spec, rotation: Components) -> Components:
    """Turn the approach axis back onto the cone about `spec.approach_axis` if it has left it."""
    inside = math.cos(spec.approach_cone_rad) + _CONE_MARGIN

    def back(rotation: Components) -> Components:
        xp = namespace(*rotation)
        approach = body_axis(rotation, 2)
        axis = cross(approach, spec.approach_axis)
        sine = norm(axis)
        excess = xp.atan2(sine, dot(approach, spec.approach_axis)) - spec.approach_cone_rad
        excess = xp.where(excess > 0, excess, 0.0)
        return multiply(from_rotvec(tuple(c / (sine + _TINY) * excess for c in axis)), rotation)

    return corrected(~(dot(body_axis(rotation, 2), spec.approach_axis) > inside), back, rotation)


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
