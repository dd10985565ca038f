"""How well a stage ended: keypoint error, tilt, heading, what else moved, and the two measures of success.

    object poses, targets  ->  errors  ->  Outcome (scene.py)

Thresholds are those of the paper (5 cm mean keypoint distance, Section IV) and the project's strict ones: four coplanar
keypoints of a shoe lying on its side are only 3.5 cm off, so the paper's measure alone accepts nonsense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from iker_envs import components
from iker_envs.components import Array, Components, columns, conjugate, difference, multiply, namespace, transform
from iker_envs.events import Event
from iker_envs.geometry import norm, pose_apply, tilt_angle
from iker_envs.scene import Goal, ObjectModel, Outcome

SUCCESS_M = 0.05
STRICT_M = 0.03
STRICT_TILT_RAD = STRICT_HEADING_RAD = float(np.deg2rad(15.0))
STRICT_OTHERS_M = 0.02
DROPPED_M = 0.05  # the object slipped this far in the hand
FALLEN_M = 0.05  # below both its start and its target
TIPPED_RAD = float(np.deg2rad(60.0))
NEAR_TILT_RAD = float(np.deg2rad(15.0))  # an object that leans further does not count as near its target


def keypoint_error(object_pose: Array, local_m: Array, targets_m: Array) -> Array:
    """Mean distance in metres (N,) of the control keypoints (4, 3) at poses (N, 7) to their targets (N, 4, 3)."""
    return namespace(object_pose).mean(norm(pose_apply(object_pose, local_m) - targets_m), axis=-1)


@dataclass(frozen=True)
class Errors:
    """Per world (N,): metres and radians."""

    goal_m: Array
    tilt_rad: Array
    heading_rad: Array
    others_m: Array

    @property
    def success(self) -> Array:
        """The paper's measure, (N,) bool."""
        return self.goal_m <= SUCCESS_M

    @property
    def strict(self) -> Array:
        """The project's measure, (N,) bool."""
        upright = (self.tilt_rad <= STRICT_TILT_RAD) & (self.heading_rad <= STRICT_HEADING_RAD)
        return (self.goal_m <= STRICT_M) & upright & (self.others_m <= STRICT_OTHERS_M)


def measure(poses: Array, index: Array, start: Array, target_pose: Array, local_m: Array) -> Errors:
    """How far one object of each of N worlds is from its target, and how far the others were moved.

    Args:
        poses: (N, O, 7) of all objects now, base frame.
        index: (N,) int, which of the O objects each world is about.
        start: (N, O, 7) of all objects when the episode began.
        target_pose: (N, 7) of the object in question.
        local_m: its control keypoints in its body frame, (K, 3), or (N, K, 3) where they differ.
    """
    now = namespace(poses).take_along_axis(poses, index[:, None, None], axis=1)[:, 0, :]
    there, wanted = (transform(columns(pose[:, None, :]), columns(local_m)) for pose in (now, target_pose))
    return compare(now, target_pose, there, wanted, others_moved_m(poses, index, start))


def others_moved_m(poses: Array, index: Array, start: Array) -> Array:
    """How far the objects of each world (N,) beside the one with `index` were moved; arguments as of `measure`."""
    xp = namespace(poses)
    moved_m = components.norm(difference(columns(poses)[:3], columns(start)[:3]))
    is_other = xp.arange(poses.shape[1], device=poses.device)[None, :] != index[:, None]
    return xp.max(xp.where(is_other, moved_m, 0.0), axis=-1)


def compare(pose: Array, target_pose: Array, keypoints_m: Components, targets_m: Components, others_m: Array) -> Errors:
    """Errors of objects at poses (N, 7) with keypoints and their targets (N, K), by component, beside `others_m`."""
    # what is left of the target, in base axes: tilt is out of the vertical and heading about it, however a body lies
    turned = multiply(columns(pose)[3:], conjugate(columns(target_pose)[3:]))
    return Errors(
        goal_m=namespace(pose).mean(components.norm(difference(keypoints_m, targets_m)), axis=-1),
        tilt_rad=components.tilt_angle(turned),
        heading_rad=components.heading_angle(turned),
        others_m=others_m,
    )


def lost(pose: Array, start: Array, target_pose: Array, errors: Errors, slipped_m: Array, *, grasp: bool) -> Array:
    """Which objects (N,) were dropped, tipped over or fell; one that stands at its target is not dropped.

    Args:
        pose: (N, 7) of the object now, base frame.
        start: (N, 7) when the episode began.
        target_pose: (N, 7) where it should go.
        errors: as `measure` found them.
        slipped_m: (N,) how far its centre has moved in the hand since the episode began.
        grasp: does the hand hold it?
    """
    xp = namespace(pose)
    lowest = xp.minimum(start[:, 2], target_pose[:, 2])
    tilt = tilt_angle(start[:, 3:], target_pose[:, 3:]) + TIPPED_RAD / 2
    tipped = errors.tilt_rad > xp.where(tilt > TIPPED_RAD, tilt, TIPPED_RAD)
    there = errors.success & (errors.tilt_rad <= NEAR_TILT_RAD)
    dropped = (slipped_m > DROPPED_M) & ~there & grasp
    return (pose[:, 2] < lowest - FALLEN_M) | tipped | dropped


def make_outcome(
    errors: Errors,
    world: int,
    goal: Goal,
    model: ObjectModel,
    poses: Mapping[str, np.ndarray],
    reason: str = "",
    steps: int = 0,
    events: tuple[Event, ...] = (),
    *,
    grasped: bool = True,
) -> Outcome:
    """The Outcome of one world; `poses` maps object names to final poses (7,), `reason` says what went wrong if known.

    A goal with an annotated pose is a strict success only where it is one by the paper's measure, at that pose, too.
    """
    annotated = None
    why = reason or explain(errors, world)
    if goal.annotated_pose is not None:
        local = model.control_keypoints_m()
        targets = pose_apply(goal.annotated_pose, local)
        annotated = float(keypoint_error(poses[goal.object], local, targets))
        if annotated > SUCCESS_M and not why:
            why = f"the keypoints are {100 * annotated:.1f} cm off the annotated target"
    success = bool(errors.success[world] if annotated is None else annotated <= SUCCESS_M)
    return Outcome(
        success=success,
        success_strict=success and bool(errors.strict[world]),
        goal_error_m=float(errors.goal_m[world]),
        tilt_rad=float(errors.tilt_rad[world]),
        heading_rad=float(errors.heading_rad[world]),
        others_moved_m=float(errors.others_m[world]),
        annotated_error_m=annotated,
        reason=why,
        num_steps=steps,
        grasped=grasped,
        object_poses=dict(poses),
        happened=events,
    )


def reached(outcome: Outcome) -> bool:
    """Did the stage end, by the strict limits, at the goal that it was given, wherever the annotated target is?"""
    found = Errors(outcome.goal_error_m, outcome.tilt_rad, outcome.heading_rad, outcome.others_moved_m)
    return bool(found.strict)


def explain(errors: Errors, world: int) -> str:
    """One clause on why the strict measure failed; empty when it did not."""
    checks = (
        (errors.goal_m[world], STRICT_M, "the keypoints are {:.1f} cm off", 100.0),
        (errors.tilt_rad[world], STRICT_TILT_RAD, "the object is tilted by {:.0f} degrees", 180 / np.pi),
        (errors.heading_rad[world], STRICT_HEADING_RAD, "its heading is {:.0f} degrees off", 180 / np.pi),
        (errors.others_m[world], STRICT_OTHERS_M, "another object moved by {:.1f} cm", 100.0),
    )
    return "; ".join(text.format(value * scale) for value, limit, text, scale in checks if value > limit)
