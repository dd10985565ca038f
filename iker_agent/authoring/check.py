"""Is a task sound? `iker check TASK` tells all faults, each in one sentence.

task  ->  for each configuration: at rest, no penetration, start, goal and grasp reachable, keypoints visible, programs
of both contracts reproduce the goals and are idempotent; noted, no fault: what the reference solver cannot do
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, cast

import gymnasium as gym
import numpy as np

from iker_agent.asking.goals import Refusal, check_goal
from iker_agent.asking.prompts import object_poses
from iker_agent.execute import execute
from iker_agent.learning.policy import Policy, PolicyFault
from iker_agent.learning.waypoint import WaypointLearner
from iker_agent.program import ProgramResult, run_program
from iker_agent.program.signatures import CONTRACTS, signature_named
from iker_agent.seeing.keypoints import MIN_DRAWN_PER_OBJECT, Keypoints, marked_points, select_keypoints
from iker_envs.geometry import fit_rigid, pose_apply, pose_inverse, rotation_angle, tilt_angle
from iker_envs.measure import STRICT_M, keypoint_error
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses, settle
from iker_envs.pictures.still import still_view
from iker_envs.planning.collision import deepest_overlap, lowest_m, object_boxes, scene_boxes
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.push import push_start
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Scene, turned_pose
from iker_envs.stage.starts import TaskStart
from iker_envs.stage.variants import make_variants
from iker_envs.task import StageSpec, Task, load_task
from iker_envs.world import World

_LOG = logging.getLogger(__name__)  # `iker check` shows it: a check takes its time
REPRODUCE_M = 0.001
PENETRATION_M = 0.002
_CORNER_PENETRATION_M = 0.005  # at the corners of start ranges; boxes about round parts reach a little further
_TOLD_TURN_DEG = 1.0
_UPRIGHT_RAD = 0.01  # what tilts further as it comes to rest stands as nobody meant it to
_NO_TURN = np.array([1.0, 0.0, 0.0, 0.0])
_TRIES = 3


def check_task(name_or_path: str, *, solve: bool = True, note: Callable[[str], None] = lambda text: None) -> list[str]:
    """All faults of a task, one sentence each.

    What depends on a fault is not judged: programs whose task cannot be read, a policy where the start is not sound.
    `note` hears what the reference solver cannot do, which is no fault: another policy may. `solve=False` leaves the
    solver out.
    """
    try:
        task = load_task(name_or_path)
    except ValueError as error:
        return [str(error)]
    faults: dict[str, list[int]] = {}
    notes: dict[str, list[int]] = {}
    for index in range(len(task.configurations)):
        _LOG.info("checking configuration %d of %d", index + 1, len(task.configurations))
        unsolved: list[str] = []
        found = [*_faults(task, index, unsolved if solve else None), *_range_faults(task, index)]
        for where, texts in ((faults, found), (notes, unsolved)):
            for text in dict.fromkeys(texts):
                where.setdefault(text, []).append(index)
    count = len(task.configurations)
    for text, indices in notes.items():
        note(f"{_which(indices, count)}: {text}")
    told = [f"{_which(indices, count)}: {fault}" for fault, indices in faults.items()]
    return [*told, *(fault for fault in _mixed(task) if not any(fault in other for other in told))]


def check_configuration(task: Task, index: int) -> list[str]:
    """All faults of one configuration at the centre of its start ranges, one sentence each; nothing is carried out."""
    return list(_faults(task, index, None))


def _mixed(task: Task) -> list[str]:
    """Why the configurations cannot share the worlds of one environment."""
    try:
        make_variants(TaskStart(task), Randomisation.off(), "all")
    except (ValueError, KeyError) as error:
        return [_words(error)]
    return []


def _words(error: Exception) -> str:
    """The sentence of an error; that of a KeyError is quoted when it is printed."""
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


def _which(indices: list[int], count: int) -> str:
    if len(indices) == count > 1:
        return "all configurations"
    return f"configuration{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"


def _faults(task: Task, index: int, unsolved: list[str] | None) -> Iterator[str]:
    """Faults of one configuration at the centre of its start ranges.

    What the reference solver cannot do goes into `unsolved`, unless that is None.
    """
    if not task.configuration(index).instruction.strip():
        yield "the instruction is empty"
    try:
        drawn = task.sample(None, index)
    except (ValueError, KeyError) as error:
        yield _words(error)
        return
    scene, faults = _settled(drawn)
    yield from faults
    for number, stage in enumerate(task.configuration(index).stages):
        if scene is None:
            return
        try:
            goal = task.goal(number, scene, index)
            found = list(_stage_faults(stage, scene, goal, is_sound=not faults))
        except (KeyError, ValueError) as error:
            yield f"stage {number + 1}: {_words(error)}"
            return  # nobody knows where the next stage begins
        yield from (f"stage {number + 1}: {fault}" for fault in found)
        if unsolved is not None and not faults and not found:
            try:
                reason = _unsolved(scene, goal)
            except ValueError as error:
                yield f"stage {number + 1}: {error}"
            else:
                unsolved += [f"stage {number + 1}: {reason}"] if reason else []
        scene = scene.with_poses({goal.object: goal.target_pose})


def _settled(drawn: Scene) -> tuple[Scene | None, list[str]]:
    """The scene at rest, and what kept it from resting as it was drawn; None where nothing comes to rest upright."""
    faults = list(_penetrations(drawn))
    if not faults:
        try:
            return settle(drawn), []
        except SceneNotAtRest as error:
            faults = [f"the scene is not at rest: {str(error).split(';')[0]}"]
        except ValueError as error:
            return None, [str(error)]
    try:  # lifted out of each other, or fallen: where the objects were meant to stand, as far as anybody knows
        scene = scene_from_poses(drawn, {}, max_move_m=np.inf)
    except ValueError:
        return None, faults
    tilts = [tilt_angle(o.pose[3:], drawn.object(o.name).pose[3:]) for o in scene.objects]
    return (scene if max(tilts) < _UPRIGHT_RAD else None), faults


def _range_faults(task: Task, index: int) -> Iterator[str]:
    """The first thing that is wrong at a corner of each object's start range, the others at the centre of theirs.

    Of an object that is at fault at the centre already, nothing more is said.
    """
    configuration = task.configuration(index)
    try:
        centre = task.sample(None, index)
        task.goal(0, centre, index)
    except (ValueError, KeyError):
        return  # told by _faults
    for name, placement in configuration.objects.items():
        reach = (*placement.position_range_m, placement.yaw_range_deg)
        corners = product(*((-r, r) if r else (0.0,) for r in reach)) if any(reach) else ()
        if corners and _start_fault(centre, name, task.goal(0, centre, index)):
            continue
        for x, y, yaw in corners:
            position = placement.position_m + np.array([x, y, 0.0])
            moved = replace(placement, position_m=position, yaw_deg=placement.yaw_deg + yaw)
            changed = replace(configuration, objects={**configuration.objects, name: moved})
            scene = replace(task, configurations=(changed,)).sample(None)
            if fault := _start_fault(scene, name, task.goal(0, scene, index)):
                yield f"at {100 * x:+.1f}, {100 * y:+.1f} cm, {yaw:+.0f} degrees of its start range {fault}"
                break


def _start_fault(scene: Scene, name: str, goal: Goal) -> str:
    obj = scene.object(name)
    if overlap := next(_penetrations(scene, [name], _CORNER_PENETRATION_M), ""):
        return overlap
    if not obj.movable:
        return ""
    low, high = scene.workspace_m[:, :2]
    if np.any(obj.pose[:2] < low) or np.any(obj.pose[:2] > high):
        return f"{name} starts outside the workspace"
    if name == goal.object and not goal.grasp:
        try:
            push_start(scene, goal)
        except ValueError as error:
            return str(error)
    if name == goal.object and goal.grasp:
        proposals = propose_grasps(scene, name, goal.target_pose)
        return "" if proposals.grasps else f"{name} cannot be grasped: {proposals.reason}"
    return ""


def _penetrations(
    scene: Scene, names: Collection[str] | None = None, tolerance_m: float = PENETRATION_M
) -> Iterator[str]:
    """Which objects (of those named; default: all) start inside another or the table, in words, a pair once."""
    told = set()
    for obj in scene.objects:
        if names is not None and obj.name not in names:
            continue
        boxes = object_boxes(obj.model, obj.pose)
        depth, whom = deepest_overlap(boxes, scene_boxes(scene, skip=[obj.name]))
        if depth > tolerance_m and (whom, obj.name) not in told:
            told.add((obj.name, whom))
            yield f"{obj.name} starts {1000 * depth:.0f} mm inside {whom}"
        if (low := lowest_m(boxes)) < -tolerance_m:
            yield f"{obj.name} starts {-1000 * low:.0f} mm below the table"


def _stage_faults(stage: StageSpec, scene: Scene, goal: Goal, is_sound: bool) -> Iterator[str]:
    """Faults of one stage in the scene that it begins with; ValueError or KeyError where it makes no sense at all.

    Where the scene had to be put to rest the programs are judged alone, not what the hand could do there.
    """
    if not scene.object(goal.object).movable:
        raise ValueError(f"{goal.object} is furniture and cannot be a goal's object")
    obj = scene.object(goal.object)
    if keypoint_error(obj.pose, obj.model.control_keypoints_m(), _targets(scene, goal)) < STRICT_M:
        yield f"{goal.object} starts within {100 * STRICT_M:.0f} cm of its goal: there is nothing to do"
        return
    keypoints = select_keypoints(scene, still_view(scene))
    faults = list(_start_faults(scene, goal, keypoints)) if is_sound else []
    yield from faults
    inputs = program_inputs(scene, keypoints)
    if unknown := [contract for contract in stage.programs if contract not in CONTRACTS]:
        yield f"a program is for {' or '.join(CONTRACTS)}, not for {unknown[0]!r}"
    for contract in CONTRACTS:
        if contract not in stage.programs:
            yield f"there is no program for the {contract} contract"
            continue
        given = inputs[signature_named(contract).rows.name]
        trial = _Trial(stage.programs[contract], contract, given, scene, goal, keypoints)
        yield from trial.faults(stage.goal.relative_to, is_sound and not faults)


def _start_faults(scene: Scene, goal: Goal, keypoints: Keypoints) -> Iterator[str]:
    """Can the goal's object be taken to its goal from where it stands, and be seen there?"""
    if goal.grasp:
        proposals = propose_grasps(scene, goal.object, goal.target_pose)
        if not proposals.grasps:
            yield f"{goal.object} cannot be grasped for this: {proposals.reason}"
    else:
        try:
            push_start(scene, goal)
        except ValueError as error:
            yield str(error)
    drawn = sum(bool(d) for d, o in zip(keypoints.drawn, keypoints.objects, strict=True) if o == goal.object)
    if drawn < MIN_DRAWN_PER_OBJECT:
        yield f"only {drawn} keypoints of {goal.object} are visible; at least {MIN_DRAWN_PER_OBJECT} are needed"


def program_inputs(scene: Scene, keypoints: Keypoints) -> dict[str, Mapping[str, Any]]:
    """What a program is given under each contract: keypoints by label, object poses as x, y, z, roll, pitch, yaw."""
    return {"keypoints": keypoints.by_label(), "poses": object_poses(scene)}


def _targets(scene: Scene, goal: Goal) -> np.ndarray:
    """Where the control keypoints should go (4, 3)."""
    return pose_apply(goal.target_pose, scene.object(goal.object).model.control_keypoints_m())


@dataclass(frozen=True, eq=False)
class _Trial:
    """A program of the task, to be run on `given` at the start of a stage and compared with the annotated goal."""

    code: str
    contract: str
    given: Mapping[str, Any]
    scene: Scene
    goal: Goal
    keypoints: Keypoints

    def faults(self, reference: str, is_sound: bool) -> Iterator[str]:
        """All that is wrong with the program; nothing when it reproduces the goal, again and again.

        `reference` is the object that the task's goal is relative to. Unless the stage `is_sound` otherwise, it is left
        out that its goal is refused.
        """
        result = run_program(self.code, self.given, self.contract, check_targets=is_sound)
        who = f"the {self.contract} program"
        if result.status != "ok":
            yield f"{who} ends with {result.status}: {result.message or 'nothing to move'}"
            return
        if result.object != self.goal.object:
            yield f"{who} moves {result.object!r}, the goal is for {self.goal.object!r}"
            return
        if result.grasp != self.goal.grasp:
            yield f"{who} says grasp_mode {result.grasp}, the goal says {self.goal.grasp}"
        placed = _placed(result, self.scene, self.goal, self.keypoints)
        again = run_program(self.code, {**result.targets}, self.contract, check_targets=False)
        drift = _drift_m(again, result, self.scene, self.goal)
        drifts = f"moves its own result by {1000 * drift:.1f} mm; it is not idempotent" if drift > REPRODUCE_M else ""
        wanted = pose_apply(self.goal.target_pose, _compared(result, self.scene, self.goal))
        if _largest_m(placed, wanted) > REPRODUCE_M:
            where = _misplaced(placed, wanted, self.scene, self.goal, reference)
            yield f"{who} puts {where}{drifts and f', and it {drifts}'}"
            return
        if drifts:
            yield f"{who} {drifts}"
        if is_sound and result.grasp == self.goal.grasp:
            checked = check_goal(result, self.scene, self.keypoints)
            if isinstance(checked, Refusal):
                yield f"the goal is refused: {checked.fact}"  # the same under both contracts


def _largest_m(points: np.ndarray, others: np.ndarray) -> float:
    """Largest distance in metres between points (N, 3) and others (N, 3)."""
    return float(np.linalg.norm(points - others, axis=-1).max())


def _misplaced(placed: np.ndarray, wanted: np.ndarray, scene: Scene, goal: Goal, reference: str) -> str:
    """How far from where its points are wanted (4, 3) they are placed (4, 3), and where both put the object."""
    motion, _ = fit_rigid(wanted, placed)
    turn_deg = float(np.rad2deg(rotation_angle(motion[3:], _NO_TURN)))
    turned = f" and turned by {turn_deg:.0f} degrees" if turn_deg >= _TOLD_TURN_DEG else ""
    centres = np.stack([pose_apply(motion, goal.target_pose[None, :3])[0], goal.target_pose[:3]])
    to_reference = pose_inverse(scene.object(reference).pose)
    here, there = (_metres(centre) for centre in centres)
    here_too, there_too = (_metres(centre) for centre in pose_apply(to_reference, centres))
    return (
        f"{goal.object} {1000 * _largest_m(placed, wanted):.1f} mm from the annotated goal{turned}: its centre is at "
        f"{here} instead of {there} in the robot's base frame, "
        f"which is {here_too} instead of {there_too} in the frame of {reference}"
    )


def _metres(point: np.ndarray) -> str:
    x, y, z = point
    return f"x {x:.3f}, y {y:.3f}, z {z:.3f} m"


def _compared(result: ProgramResult, scene: Scene, goal: Goal) -> np.ndarray:
    """The points (4, 3) of the goal's object, in its body frame, that `_placed` tells the places of."""
    model = scene.object(goal.object).model
    return marked_points(model) if result.indices else model.control_keypoints_m()


def _placed(result: ProgramResult, scene: Scene, goal: Goal, keypoints: Keypoints) -> np.ndarray:
    """Where a program puts the goal object's marked points (4, 3), or its control keypoints under the pose contract."""
    if result.indices:
        return np.array([result.targets[label] for label in keypoints.of_object(goal.object)])
    return _points_of_six(result.targets[goal.object], scene, goal)


def _points_of_six(six: tuple[float, ...], scene: Scene, goal: Goal) -> np.ndarray:
    local = scene.object(goal.object).model.control_keypoints_m()
    return pose_apply(turned_pose(np.array(six[:3]), six[3:]), local)


def _drift_m(again: ProgramResult, result: ProgramResult, scene: Scene, goal: Goal) -> float:
    """How far in metres a program moves what it has already placed; done is no motion."""
    if again.status == "done":
        return 0.0
    if again.status != "ok":
        return float("inf")
    if result.indices:
        return float(max(np.linalg.norm(np.subtract(again.targets[k], v)) for k, v in result.targets.items()))
    before, after = (_points_of_six(r.targets[goal.object], scene, goal) for r in (result, again))
    return float(np.linalg.norm(after - before, axis=-1).max())


def _unsolved(scene: Scene, goal: Goal) -> str:
    """Why the reference solver does not do a stage in three tries with default randomisation; empty when it does.

    ValueError if the stage cannot begin: that is the task's fault.
    """
    env = gym.make("IKER-Stage-v0", scene=scene, goal=replace(goal, annotated_pose=None))
    world = cast(World, env.unwrapped)
    policy = WaypointLearner().learn(scene, goal).policy
    reason = ""
    try:
        for seed in range(_TRIES):
            world.reset(seed=seed, options={"look": True})
            if not (reason := _missed(world, policy, goal)):
                return ""
    finally:
        world.close()
    return f"the reference solver (waypoint) cannot do it in {_TRIES} tries; another policy may: {reason}"


def _missed(world: World, policy: Policy, goal: Goal) -> str:
    """Why a policy does not reach a goal in the world as it stands; empty when it does."""
    try:
        outcome = execute(world, policy, goal).outcome
    except PolicyFault as fault:
        return str(fault)
    return "" if outcome.success_strict else outcome.reason
