"""Can the goal that a program asks for be trusted? From a program's result to a Goal, or to one sentence why not.

    ProgramResult, scene, keypoints  ->  check_goal  ->  Goal | Refusal

Order: something moves -> all that moves is listed -> one movable object -> rigid (small residuals are projected) ->
tilt -> travel -> workspace -> support -> reach -> collision -> graspable. A refusal is written for the model and for
the user alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_agent.program import ProgramResult
from iker_agent.seeing.keypoints import Keypoints
from iker_envs.geometry import fit_rigid, pose_compose, rotation_angle, tilt_angle
from iker_envs.planning.collision import deepest_overlap, lowest_m, object_boxes, scene_boxes, support_height
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.push import push_height
from iker_envs.reach import reachable
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Scene, SceneObject, turned_pose

MOVED_M = 0.001
RIGID_NOTE_M = 0.005  # RMS residual in metres up to which rounding explains it; larger ones are told
RIGID_REFUSE_M = 0.030  # RMS residual in metres; smaller ones are projected onto a rigid motion
PUSH_TILT_RAD = np.deg2rad(20.0)
FLIP_RAD = np.deg2rad(100.0)
MIN_TRAVEL_M = 0.005
MIN_TURN_RAD = np.deg2rad(5.0)
MAX_TRAVEL_M = 1.0
MAX_SUPPORT_GAP_M = 0.04
MAX_OVERLAP_M = 0.01


@dataclass(frozen=True)
class Refusal:
    """One sentence, without a full stop, that says why a program's goal cannot be used."""

    reason: str


class _Refused(Exception):
    """Carries the sentence out of a check."""


def check_goal(
    result: ProgramResult, scene: Scene, keypoints: Keypoints, instruction: str = "", *, project: bool = True
) -> Goal | Refusal:
    """A Goal in the scene's frame, or why there is none. `project=False` keeps non-rigid targets as they are."""
    try:
        if result.indices:
            obj, pose, raw = _from_keypoints(result, scene, keypoints, project)
        else:
            obj, pose, raw = _from_poses(result, scene)
        pose = np.asarray(pose, dtype=float)
        _check_motion(obj, pose, result.grasp)
        _check_place(obj, pose, result.grasp, scene)
        if result.grasp:
            proposals = propose_grasps(scene, obj.name, pose)
            if not proposals.grasps:
                raise _Refused(f"{obj.name} cannot be grasped for this: {proposals.reason}")
    except _Refused as refused:
        return Refusal(str(refused))
    return Goal(obj.name, pose, result.grasp, instruction, raw)


def goal_notes(goal: Goal, keypoints: Keypoints) -> tuple[str, ...]:
    """What was made of an accepted goal's raw targets, one sentence each; nothing for a goal taken as it was."""
    if not goal.raw_targets_m:
        return ()
    labels = list(goal.raw_targets_m)
    targets = np.array(list(goal.raw_targets_m.values()))
    if len(labels) < 3:
        return (f"only {len(labels)} of the keypoints of {goal.object} were given targets; the whole object is moved",)
    now = keypoints.by_label()
    _, residual = fit_rigid(np.array([now[k] for k in labels]), targets)
    if residual <= RIGID_NOTE_M:
        return ()
    return (f"the targets were {100 * residual:.1f} cm off a rigid motion; the nearest one is used",)


def _from_keypoints(result: ProgramResult, scene: Scene, keypoints: Keypoints, project: bool):
    now = {k: np.asarray(v) for k, v in keypoints.by_label().items()}
    owner = dict(zip(keypoints.labels, keypoints.objects, strict=True))
    moved = [k for k in now if np.linalg.norm(np.subtract(result.targets[k], now[k])) > MOVED_M]
    if not moved:
        raise _Refused("no keypoint moves; return None if the instruction is fulfilled")
    if unlisted := [k for k in moved if k not in result.indices]:
        raise _Refused(f"keypoint {unlisted[0]} moves but is not among keypoint_indices_to_interact")
    owners = sorted({owner[k] for k in result.indices})
    if len(owners) > 1:
        raise _Refused(f"keypoints of several objects are listed ({', '.join(owners)}); move one object per stage")
    obj = scene.object(owners[0])
    if not obj.movable:
        raise _Refused(f"{obj.name} is furniture and cannot be moved; movable: {', '.join(scene.movable)}")
    listed = [k for k in now if k in result.indices]
    source, target = (np.array([where[k] for k in listed]) for where in (now, result.targets))
    raw = {k: np.asarray(result.targets[k]) for k in listed}
    return obj, pose_compose(_rigid_motion(source, target, listed, project), obj.pose), raw


def _rigid_motion(source: np.ndarray, target: np.ndarray, labels: list[str], project: bool) -> np.ndarray:
    """The motion (7,) that takes points (K, 3) to their targets; a translation when fewer than 3 are given."""
    if len(labels) < 3:
        return np.concatenate([(target - source).mean(axis=0), [1.0, 0, 0, 0]])
    motion, residual = fit_rigid(source, target)
    if project and residual > RIGID_REFUSE_M:
        raise _Refused(
            f"the targets of keypoints {', '.join(labels)} are not a rigid motion of the object "
            f"(they are {100 * residual:.1f} cm off the nearest one); keep the distances between them"
        )
    return motion


def _from_poses(result: ProgramResult, scene: Scene):
    if result.object not in scene.movable:
        raise _Refused(f"{result.object!r} is not a movable object; movable: {', '.join(scene.movable)}")
    six = result.targets[result.object]
    return scene.object(result.object), turned_pose(np.array(six[:3]), six[3:]), {}


def _check_motion(obj: SceneObject, pose: np.ndarray, grasp: bool) -> None:
    tilt = float(tilt_angle(pose[3:], obj.pose[3:]))
    if tilt > FLIP_RAD:
        raise _Refused(f"{obj.name} would end upside down; if its ends change places, move its sides with them")
    if not grasp and tilt > PUSH_TILT_RAD:
        raise _Refused(f"pushing cannot tilt {obj.name} by {np.rad2deg(tilt):.0f} degrees; keep it flat or grasp it")
    travel = float(np.linalg.norm(pose[:3] - obj.pose[:3]))
    turn_rad = float(rotation_angle(pose[3:], obj.pose[3:]))
    if travel < MIN_TRAVEL_M and turn_rad < MIN_TURN_RAD:
        raise _Refused(f"{obj.name} would stay where it is; return None if the instruction is fulfilled")
    if travel > MAX_TRAVEL_M:
        raise _Refused(f"{obj.name} would travel {travel:.2f} m, farther than the arm reaches")


def _check_place(obj: SceneObject, pose: np.ndarray, grasp: bool, scene: Scene) -> None:
    low, high = scene.workspace_m
    if np.any(pose[:2] < low[:2]) or np.any(pose[:2] > high[:2]):
        raise _Refused(
            f"the target of {obj.name} at x {pose[0]:.2f}, y {pose[1]:.2f} m is outside the workspace "
            f"(x {low[0]:.2f} to {high[0]:.2f}, y {low[1]:.2f} to {high[1]:.2f} m)"
        )
    boxes = object_boxes(obj.model, pose)
    others = scene_boxes(scene, skip=[obj.name])
    bottom = lowest_m(boxes)
    support = support_height(others, pose[:2], bottom + 0.03)
    if bottom - support > MAX_SUPPORT_GAP_M:
        hint = "a push keeps it on its surface" if not grasp else "nothing there would hold it"
        raise _Refused(f"{obj.name} would end {100 * (bottom - support):.0f} cm above what is under it; {hint}")
    if bottom < -0.02:
        raise _Refused(f"{obj.name} would end {-100 * bottom:.0f} cm below the table")
    if not grasp:
        tcp = np.array([*pose[:2], push_height(boxes), *HOME_GRIPPER_QUATERNION])
        if not bool(reachable(tcp)):
            raise _Refused(f"the arm does not reach {obj.name} at its target (x {pose[0]:.2f}, y {pose[1]:.2f} m)")
    depth, whom = deepest_overlap(boxes, others)
    if depth > MAX_OVERLAP_M:
        raise _Refused(f"the target of {obj.name} is {100 * depth:.1f} cm inside {whom}; leave room between them")
