"""Is an answer right? The task's success judges, with the object at the target that was proposed.

answer, scene, scene at the start  ->  score  ->  Score(right, near, errors, reason)

Nothing moves: the scene is completed as the annotation would have it after this stage, with what is still to come at
its annotated targets or shifted along with the proposal, and the success of the task is asked of that. Where an object
is moved again by a later stage, or a task has no success of its own, nearness to the annotation judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import pose_apply, rotation_angle
from iker_envs.measure import keypoint_error
from iker_envs.scene import Goal, Scene
from iker_envs.task import Task

NEAR_M = 0.05
NEAR_RAD = float(np.deg2rad(15.0))


@dataclass(frozen=True)
class Score:
    """`right` by the task's success; `near` by 5 cm (mean over the keypoints) and 15 degrees, None without a target."""

    right: bool
    near: bool | None = None
    error_m: float | None = None
    error_deg: float | None = None
    reason: str = ""  # why it is not right


def score_done(task: Task, configuration: int, stage: int, scene: Scene, start: Scene) -> Score:
    """The score of the answer that nothing is left to do, at a stage counted from 1."""
    is_over = stage > len(task.configuration(configuration).stages)
    if task.criterion(configuration) is None:
        return Score(is_over, reason="" if is_over else "said done too early")
    verdict = task.judge(scene, start, configuration)
    return Score(verdict.fulfilled, reason="" if verdict.fulfilled else f"said done too early: {verdict.sentence()}")


def score_goal(task: Task, configuration: int, stage: int, goal: Goal, scene: Scene, start: Scene) -> Score:
    """The score of a proposed goal; any stage that is still to come may be chosen, tasks leave the order open."""
    stages = task.configuration(configuration).stages
    later = [k for k in range(stage - 1, len(stages)) if stages[k].goal.object == goal.object]
    if not later:
        return Score(False, reason=f"moves {goal.object}, which is where it should be")
    wanted = task.goal(later[0], scene, configuration).target_pose
    local = scene.object(goal.object).model.control_keypoints_m()
    error_m = float(keypoint_error(goal.target_pose[None], local, pose_apply(wanted, local)[None])[0])
    angle = float(rotation_angle(goal.target_pose[3:], wanted[3:]))
    near = error_m <= NEAR_M and angle <= NEAR_RAD
    errors = (near, error_m, float(np.rad2deg(angle)))
    if task.criterion(configuration) is None or len(later) > 1:
        off = f"the target is {100 * error_m:.1f} cm and {np.rad2deg(angle):.0f} degrees off"
        return Score(near, *errors, reason="" if near else off)
    verdicts = [task.judge(end, start, configuration) for end in _ends(task, configuration, goal, wanted, scene)]
    right = any(verdict.fulfilled for verdict in verdicts)
    return Score(right, *errors, reason="" if right else f"with {goal.object} there: {verdicts[0].sentence()}")


def _ends(task: Task, configuration: int, goal: Goal, wanted: np.ndarray, scene: Scene) -> Iterator[Scene]:
    """The finished scene with the object where it is proposed: the rest as annotated, then shifted along with it."""
    placed = scene.with_poses({goal.object: goal.target_pose})
    rest = {name: pose for name, pose in task.targets(placed, configuration).items() if name != goal.object}
    yield placed.with_poses(rest)
    shift = np.array([*(goal.target_pose[:2] - wanted[:2]), 0.0])
    to_come = {name: pose for name, pose in rest.items() if not np.allclose(pose, placed.object(name).pose, atol=1e-3)}
    shifted = {name: np.array([*(pose[:3] + shift), *pose[3:]]) for name, pose in to_come.items()}
    yield placed.with_poses({**rest, **shifted})
