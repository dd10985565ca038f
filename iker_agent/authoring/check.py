"""Is a task sound? `iker check TASK` tells each fault in one sentence.

task  ->  for each configuration: at rest, no penetration, start, goal and grasp reachable, keypoints visible, programs
of both contracts reproduce the goals and are idempotent, a waypoint policy solves each stage
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np

from iker_agent.asking.goals import Refusal, check_goal
from iker_agent.asking.prompts import object_poses
from iker_agent.execute import execute
from iker_agent.learning.waypoint import WaypointLearner
from iker_agent.program import ProgramResult, run_program
from iker_agent.program.signatures import CONTRACTS, signature_named
from iker_agent.seeing.keypoints import MIN_DRAWN_PER_OBJECT, Keypoints, select_keypoints
from iker_envs.geometry import pose_apply
from iker_envs.measure import STRICT_M, keypoint_error
from iker_envs.physics.transfer import SceneNotAtRest, settle
from iker_envs.pictures.still import still_view
from iker_envs.planning.collision import deepest_overlap, object_boxes, scene_boxes
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.push import push_start
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Scene, turned_pose
from iker_envs.stage.starts import TaskStart
from iker_envs.stage.variants import make_variants
from iker_envs.task import StageSpec, Task, load_task

REPRODUCE_M = 0.001
PENETRATION_M = 0.002
_CORNER_PENETRATION_M = 0.005  # at the corners of start ranges; boxes about round parts reach a little further
_TRIES = 3


def check_task(name_or_path: str, *, solve: bool = True) -> list[str]:
    """All faults of a task, one sentence each; `solve=False` leaves out the waypoint policy."""
    try:
        task = load_task(name_or_path)
    except ValueError as error:
        return [str(error)]
    where: dict[str, list[int]] = {}
    for index in range(len(task.configurations)):
        faults = list(_faults(task, index, solve)) or list(_range_faults(task, index))
        for fault in dict.fromkeys(faults):
            where.setdefault(fault, []).append(index)
    told = [f"{_which(indices, len(task.configurations))}: {fault}" for fault, indices in where.items()]
    return [*told, *(fault for fault in _mixed(task) if not any(fault in other for other in told))]


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


def _faults(task: Task, index: int, solve: bool) -> Iterator[str]:
    if not task.configuration(index).instruction.strip():
        yield "the instruction is empty"
    try:
        drawn = task.sample(None, index)
        if overlap := _penetration(drawn):
            yield overlap
            return
        scene = settle(drawn)
    except SceneNotAtRest as error:
        yield f"the scene is not at rest: {str(error).split(';')[0]}"
        return
    except (ValueError, KeyError) as error:
        yield _words(error)
        return
    for number, stage in enumerate(task.configuration(index).stages):
        try:
            goal = task.goal(number, scene, index)
            faults = list(_stage_faults(stage, scene, goal))
        except (KeyError, ValueError) as error:
            yield f"stage {number + 1}: {_words(error)}"
            return
        yield from (f"stage {number + 1}: {fault}" for fault in faults)
        if solve and not faults and (fault := _unsolved(scene, goal)):
            yield f"stage {number + 1}: {fault}"
        scene = scene.with_poses({goal.object: goal.target_pose})


def _range_faults(task: Task, index: int) -> Iterator[str]:
    """The first thing that is wrong at a corner of each object's start range, the others at the centre of theirs."""
    configuration = task.configuration(index)
    for name, placement in configuration.objects.items():
        reach = (*placement.position_range_m, placement.yaw_range_deg)
        corners = product(*((-r, r) if r else (0.0,) for r in reach)) if any(reach) else ()
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
    if overlap := _penetration(scene, [name], _CORNER_PENETRATION_M):
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


def _penetration(scene: Scene, names: Collection[str] | None = None, tolerance_m: float = PENETRATION_M) -> str:
    """Which object (of those named; default: all) starts inside another or the table, in words."""
    for obj in scene.objects:
        if names is not None and obj.name not in names:
            continue
        boxes = object_boxes(obj.model, obj.pose)
        depth, whom = deepest_overlap(boxes, scene_boxes(scene, skip=[obj.name]))
        if depth > tolerance_m:
            return f"{obj.name} starts {1000 * depth:.0f} mm inside {whom}"
        if (low := min(b.corners()[:, 2].min() for b in boxes)) < -tolerance_m:
            return f"{obj.name} starts {-1000 * low:.0f} mm below the table"
    return ""


def _stage_faults(stage: StageSpec, scene: Scene, goal: Goal) -> Iterator[str]:
    """Faults of one stage in the scene that it begins with; ValueError or KeyError where it makes no sense at all."""
    if not scene.object(goal.object).movable:
        raise ValueError(f"{goal.object} is furniture and cannot be a goal's object")
    obj = scene.object(goal.object)
    if keypoint_error(obj.pose, obj.model.control_keypoints_m(), _targets(scene, goal)) < STRICT_M:
        yield f"{goal.object} starts within {100 * STRICT_M:.0f} cm of its goal: there is nothing to do"
        return
    if goal.grasp:
        proposals = propose_grasps(scene, goal.object, goal.target_pose)
        if not proposals.grasps:
            yield f"{goal.object} cannot be grasped for this: {proposals.reason}"
            return
    else:
        push_start(scene, goal)
    keypoints = select_keypoints(scene, still_view(scene))
    drawn = sum(bool(d) for d, o in zip(keypoints.drawn, keypoints.objects, strict=True) if o == goal.object)
    if drawn < MIN_DRAWN_PER_OBJECT:
        yield f"only {drawn} keypoints of {goal.object} are visible; at least {MIN_DRAWN_PER_OBJECT} are needed"
    inputs = program_inputs(scene, keypoints)
    if unknown := [contract for contract in stage.programs if contract not in CONTRACTS]:
        yield f"a program is for {' or '.join(CONTRACTS)}, not for {unknown[0]!r}"
    for contract in CONTRACTS:
        if contract not in stage.programs:
            yield f"there is no program for the {contract} contract"
            continue
        given = inputs[signature_named(contract).rows.name]
        if fault := _program_fault(stage.programs[contract], contract, given, scene, goal, keypoints):
            yield fault


def program_inputs(scene: Scene, keypoints: Keypoints) -> dict[str, Mapping[str, Any]]:
    """What a program is given under each contract: keypoints by label, object poses as x, y, z, roll, pitch, yaw."""
    return {"keypoints": keypoints.by_label(), "poses": object_poses(scene)}


def _targets(scene: Scene, goal: Goal) -> np.ndarray:
    """Where the control keypoints should go (4, 3)."""
    return pose_apply(goal.target_pose, scene.object(goal.object).model.control_keypoints_m())


def _program_fault(
    code: str, contract: str, given: Mapping[str, Any], scene: Scene, goal: Goal, keypoints: Keypoints
) -> str:
    """The first thing that is wrong with a program; empty when it reproduces the goal, again and again."""
    result = run_program(code, given, contract)
    if result.status != "ok":
        return f"the {contract} program ends with {result.status}: {result.message or 'nothing to move'}"
    if result.object != goal.object:
        return f"the {contract} program moves {result.object!r}, the goal is for {goal.object!r}"
    if result.grasp != goal.grasp:
        return f"the {contract} program says grasp_mode {result.grasp}, the goal says {goal.grasp}"
    error = _program_error_m(result, scene, goal, keypoints)
    if error > REPRODUCE_M:
        return f"the {contract} program puts {goal.object} {1000 * error:.1f} mm from the annotated goal"
    checked = check_goal(result, scene, keypoints)
    if isinstance(checked, Refusal):
        return f"the goal is refused: {checked.reason}"
    again = run_program(code, {**result.targets}, contract, check_targets=False)
    drift = _drift_m(again, result, scene, goal)
    if drift > REPRODUCE_M:
        return f"the {contract} program moves its own result by {1000 * drift:.1f} mm; it is not idempotent"
    return ""


def _program_error_m(result: ProgramResult, scene: Scene, goal: Goal, keypoints: Keypoints) -> float:
    """Largest distance in metres of a control keypoint from where the goal wants it."""
    return float(np.linalg.norm(_placed(result, scene, goal, keypoints) - _targets(scene, goal), axis=-1).max())


def _placed(result: ProgramResult, scene: Scene, goal: Goal, keypoints: Keypoints) -> np.ndarray:
    """Where a program puts the goal object's control keypoints (4, 3)."""
    if result.indices:
        return np.array([result.targets[label] for label in keypoints.of_object(goal.object)])
    return _points_of_six(result.targets[goal.object], scene, goal)


def _points_of_six(six: tuple[float, ...], scene: Scene, goal: Goal) -> np.ndarray:
    local = scene.object(goal.object).model.control_keypoints_m()
    return pose_apply(turned_pose(six[:3], six[3:]), local)


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
    """Why a waypoint policy does not solve a stage in three tries with default randomisation; empty when it does."""
    reason = ""
    try:
        env = gym.make("IKER-Stage-v0", scene=scene, goal=replace(goal, annotated_pose=None)).unwrapped
    except ValueError as error:
        return str(error)
    policy = WaypointLearner().learn(scene, goal).policy
    try:
        for seed in range(_TRIES):
            env.reset(seed=seed, options={"look": True})
            outcome = execute(env, policy, goal).outcome
            if outcome.success_strict:
                return ""
            reason = outcome.reason
    except ValueError as error:
        return str(error)
    finally:
        env.close()
    return f"the waypoint policy does not solve it in {_TRIES} tries: {reason}"
