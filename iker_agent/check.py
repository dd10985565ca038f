"""Is a task sound? `iker check TASK` tells each fault in one sentence.

task  ->  for each configuration: at rest, start and goal reachable, keypoints visible, programs reproduce the goals
and are idempotent, a waypoint policy solves each stage
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import gymnasium as gym
import numpy as np

from iker_agent.execute import execute
from iker_agent.goals import Refusal, check_goal
from iker_agent.keypoints import Keypoints, select_keypoints
from iker_agent.learning.waypoint import WaypointLearner
from iker_agent.program import run_program
from iker_envs.geometry import pose_apply
from iker_envs.measure import keypoint_error
from iker_envs.scene import Goal, Scene
from iker_envs.task import Task, load_task
from iker_envs.transfer import SceneNotAtRest, settle

_REPRODUCE_M = 0.001
_TRIES = 3


def check_task(name_or_path: str, *, solve: bool = True) -> list[str]:
    """All faults of a task, one sentence each; `solve=False` leaves out the waypoint policy."""
    try:
        task = load_task(name_or_path)
    except ValueError as error:
        return [str(error)]
    faults: list[str] = []
    for index in range(len(task.configurations)):
        faults += [f"configuration {index}: {fault}" for fault in _faults(task, index, solve)]
    return faults


def _faults(task: Task, index: int, solve: bool) -> Iterator[str]:
    try:
        scene = settle(task.sample(None, index))
    except (SceneNotAtRest, ValueError, KeyError) as error:
        yield str(error).strip("'")
        return
    for number, stage in enumerate(task.configuration(index).stages):
        try:
            goal = task.goal(number, scene, index)
            if not scene.object(goal.object).movable:
                raise ValueError(f"{goal.object} is furniture and cannot be a goal's object")
        except (KeyError, ValueError) as error:
            yield f"stage {number + 1}: {str(error).strip(chr(34))}"
            return
        keypoints = _look(scene)
        yield from (f"stage {number + 1}: {f}" for f in _program_faults(stage.programs, scene, goal, keypoints))
        if solve and (fault := _unsolved(scene, goal)):
            yield f"stage {number + 1}: {fault}"
        scene = scene.with_poses({goal.object: goal.target_pose})


def _look(scene: Scene) -> Keypoints:
    still = Goal(scene.movable[0], scene.object(scene.movable[0]).pose)
    env = gym.make("IKER-Stage-v0", scene=scene, goal=still, randomisation="off").unwrapped
    try:
        env.reset(seed=0, options={"look": True})
        return select_keypoints(scene, env.view())
    finally:
        env.close()


def _program_faults(programs, scene: Scene, goal: Goal, keypoints: Keypoints) -> Iterator[str]:
    drawn = sum(bool(d) for d, o in zip(keypoints.drawn, keypoints.objects, strict=True) if o == goal.object)
    if drawn < 3:
        yield f"only {drawn} keypoints of {goal.object} are visible; at least 3 are needed"
    inputs = {"keypoints": keypoints.by_label()}
    for contract in [c for c in inputs if c not in programs]:
        yield f"there is no program for the {contract} contract"
    for contract in [c for c in inputs if c in programs]:
        result = run_program(programs[contract], inputs[contract], contract)
        if result.status != "ok":
            yield f"the {contract} program ends with {result.status}: {result.message or 'nothing to move'}"
            continue
        checked = check_goal(result, scene, keypoints)
        if isinstance(checked, Refusal):
            yield f"the {contract} program is refused: {checked.reason}"
            continue
        local = scene.object(goal.object).model.control_keypoints_m()
        error = float(keypoint_error(checked.target_pose[None], local, pose_apply(goal.target_pose, local)[None])[0])
        if checked.object != goal.object or error > _REPRODUCE_M:
            yield f"the {contract} program moves {checked.object} to {1000 * error:.1f} mm from the annotated goal"
        if checked.grasp != goal.grasp:
            yield f"the {contract} program says grasp_mode {checked.grasp}, the goal says {goal.grasp}"
        again = run_program(programs[contract], {**result.targets}, contract)
        if again.status == "ok":
            drift = max(np.linalg.norm(np.subtract(again.targets[k], result.targets[k])) for k in result.targets)
            if drift > _REPRODUCE_M:
                yield f"the {contract} program moves its own result by {1000 * drift:.1f} mm; it is not idempotent"


def _unsolved(scene: Scene, goal: Goal) -> str:
    """Why a waypoint policy does not solve a stage in three tries with default randomisation; empty when it does."""
    reason = ""
    try:
        env = gym.make("IKER-Stage-v0", scene=scene, goal=replace(goal, annotated_pose=None)).unwrapped
    except ValueError as error:
        return str(error)
    policy = WaypointLearner().learn(scene, goal)
    for seed in range(_TRIES):
        try:
            env.reset(seed=seed, options={"look": True})
            outcome = execute(env, policy, goal).outcome
        except ValueError as error:
            return str(error)
        if outcome.success_strict:
            return ""
        reason = outcome.reason
    return f"the waypoint policy does not solve it in {_TRIES} tries: {reason}"
