"""Can the goal that a program asks for be trusted? From a program's result to a Goal, or to one sentence why not.

    ProgramResult, scene, keypoints  ->  check_goal  ->  Goal | Refusal

Order: something moves -> all that moves is listed -> one movable object -> rigid (small residuals are projected) ->
what placing.py checks. A refusal is one sentence for model and user alike: the value, the limit, and the nearest
target that would be accepted, where there is one. It states facts; what the instruction wants is for others to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from iker_agent.asking.nearest import in_words, nearest_accepted, push_before, told
from iker_agent.asking.placing import MIN_TRAVEL_M, PUSH_TILT_RAD, Fault, Placement, tilt_between_rad
from iker_agent.program import ProgramResult
from iker_agent.seeing.keypoints import Keypoints
from iker_envs.geometry import fit_rigid, pose_apply, pose_compose
from iker_envs.scene import Goal, Scene, turned_pose

MOVED_M = 0.001
RIGID_NOTE_M = 0.005  # RMS residual in metres up to which rounding explains it; larger ones are told
RIGID_REFUSE_M = 0.030  # RMS residual in metres; smaller ones are projected onto a rigid motion
STRETCH_M = 0.05  # change of the distance between two keypoints of an object; less may be rounding
STRETCH = 0.5  # the same for near keypoints, as a part of their distance
_FULFILLED = "return None if the instruction is fulfilled"


@dataclass(frozen=True)
class Refusal:
    """One sentence, without a full stop, that says why a program's goal cannot be used.

    `fact` is its part before what would be accepted instead; the whole sentence where that is not known.
    """

    reason: str
    fact: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fact", self.fact or self.reason)


class _Refused(Exception):
    """Carries the sentence out of a check, and its fact alone."""


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
        own = np.array([owner == obj.name for owner in keypoints.objects])
        middle = keypoints.local_m[own].mean(axis=0) if result.indices else None
        placement = Placement(scene, obj, result.grasp, middle)
        _check_placement(placement, pose, keypoints if result.indices else None)
    except _Refused as refused:
        return Refusal(*refused.args)
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
        least = f"a stage moves an object by at least {100 * MIN_TRAVEL_M:.1f} cm"
        ignored = [w for w in result.warnings if w.startswith("the key ") and w.endswith("left out")]
        cause = f"{ignored[0]}; use the labels that you are given" if ignored else _FULFILLED
        raise _Refused(f"no keypoint moves, and {least}; {cause}")
    if unlisted := [k for k in moved if k not in result.indices]:
        owns = f"{owner[unlisted[0]]} has {_numbers(keypoints, owner[unlisted[0]])}"
        raise _Refused(f"keypoint {unlisted[0]} moves but is not among keypoint_indices_to_interact; {owns}")
    owners = sorted({owner[k] for k in result.indices})
    if len(owners) > 1:
        owns = ", ".join(f"{name} has {_numbers(keypoints, name)}" for name in owners)
        raise _Refused(
            f"keypoints of several objects are listed ({', '.join(owners)}); move one object per stage: {owns}"
        )
    obj = scene.object(owners[0])
    if not obj.movable:
        movable = ", ".join(f"{name} ({_numbers(keypoints, name)})" for name in scene.movable)
        raise _Refused(f"{obj.name} is furniture and cannot be moved; movable: {movable}")
    listed = [k for k in now if k in result.indices]
    source, target = (np.array([where[k] for k in listed]) for where in (now, result.targets))
    raw = {k: np.asarray(result.targets[k]) for k in listed}
    return obj, pose_compose(_rigid_motion(source, target, listed, project), obj.pose), raw


def _rigid_motion(source: np.ndarray, target: np.ndarray, labels: list[str], project: bool) -> np.ndarray:
    """The motion (7,) that takes points (K, 3) to their targets; a translation when fewer than 3 are given."""
    if len(labels) < 3:
        return np.concatenate([(target - source).mean(axis=0), [1.0, 0, 0, 0]])
    motion, residual = fit_rigid(source, target)
    if project:
        _check_rigid(source, target, labels, motion, residual)
    return motion


def _check_rigid(
    source: np.ndarray, target: np.ndarray, labels: list[str], motion: np.ndarray, residual: float
) -> None:
    """Refuses targets (K, 3) far off the motion (7,) that fits them best; says which distance changes most."""
    pairs = list(combinations(range(len(labels)), 2))
    before, after = (np.array([np.linalg.norm(p[i] - p[j]) for i, j in pairs]) for p in (source, target))
    change = np.abs(after - before)
    too_much = change > np.minimum(STRETCH_M, STRETCH * before)
    if residual <= RIGID_REFUSE_M and not np.any(too_much):
        return
    i, j = pairs[int(np.argmax(change))]
    worst = int(np.argmax(change))
    lengths = f"{labels[i]} and {labels[j]} are {100 * before[worst]:.1f} cm apart, then {100 * after[worst]:.1f}"
    off = f"{100 * residual:.1f} cm off the nearest one, at most {100 * RIGID_REFUSE_M:.1f}"
    places = "; ".join(
        f"{k} ({', '.join(f'{v:.3f}' for v in p)})" for k, p in zip(labels, pose_apply(motion, source), strict=True)
    )
    raise _Refused(
        f"the targets of keypoints {', '.join(labels)} are not a rigid motion of the object ({off}: {lengths}); "
        f"keep the distances between them; the nearest rigid targets are {places}"
    )


def _numbers(keypoints: Keypoints, name: str) -> str:
    """The numbers of an object's keypoints: "keypoints 5 to 8"."""
    labels = keypoints.of_object(name)
    return f"keypoints {labels[0]} to {labels[-1]}" if len(labels) > 1 else f"keypoint {labels[0]}"


def _from_poses(result: ProgramResult, scene: Scene):
    known = [o.name for o in scene.objects]
    if result.object not in scene.movable:
        kind = "furniture, which stays" if result.object in known else "no object of the scene"
        raise _Refused(f"{result.object!r} is {kind}, not a movable object; movable: {', '.join(scene.movable)}")
    six = result.targets[result.object]
    return scene.object(result.object), turned_pose(np.array(six[:3]), six[3:]), {}


def _check_placement(placement: Placement, pose: np.ndarray, keypoints: Keypoints | None) -> None:
    """Refuses a target that the scene does not take, and says which near one it would."""
    fault = placement.fault(pose)
    if fault is None:
        return
    way_out = _way_out(placement, pose, fault, keypoints)
    raise _Refused(f"{fault.text}; {way_out}" if way_out else fault.text, fault.text)


def _way_out(placement: Placement, pose: np.ndarray, fault: Fault, keypoints: Keypoints | None) -> str:
    """The nearest thing that would be accepted instead, as a clause; empty if nothing is known."""
    if fault.kind == "flip" and keypoints is not None and (swap := _exchange(placement, pose, keypoints)):
        return swap
    found = nearest_accepted(placement, pose, fault)
    clauses = [_other_mode(placement, pose, fault), told(placement, pose, found) if found is not None else ""]
    if fault.kind == "grasp now" and (push := push_before(placement)) is not None:
        clauses.append(f"after a push of {in_words(push)} it could be grasped")
    return "; ".join(clause for clause in clauses if clause)


def _other_mode(placement: Placement, pose: np.ndarray, fault: Fault) -> str:
    """Says so where the same target is accepted for the other way of moving the object, and only that was wrong."""
    if fault.kind not in ("grasp now", "grasp", "tilt", "step"):
        return ""
    other = not placement.grasp
    if Placement(placement.scene, placement.object, other).fault(pose) is not None:
        return ""
    return f"a {'grasp' if other else 'push'} (grasp_mode {other}) to the same target is accepted"


def _exchange(placement: Placement, pose: np.ndarray, keypoints: Keypoints) -> str:
    """Which two targets change places so that the object is not turned over; empty if that does not help."""
    labels = keypoints.of_object(placement.object.name)
    points = keypoints.local_m[[owner == placement.object.name for owner in keypoints.objects]]
    for pair in ((2, 3), (0, 1)):
        order = [0, 1, 2, 3]
        order[pair[0]], order[pair[1]] = pair[1], pair[0]
        motion, residual = fit_rigid(points, pose_apply(pose, points)[order])
        kept = tilt_between_rad(motion[3:], placement.object.pose[3:]) <= PUSH_TILT_RAD
        if residual < MOVED_M and kept:
            first, second = labels[pair[0]], labels[pair[1]]
            return f"with the targets of keypoints {first} and {second} exchanged it keeps its present tilt"
    return ""
