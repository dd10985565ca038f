"""Is an answer right? The task's success judges, with the object at the target that was proposed.

answer, scene, scene at the start          ->  score_goal, score_done  ->  Score(right, near, errors, reason)
item, how a conversation about it ended    ->  score_item              ->  Score(right, reason)

Of a single question nothing moves: the scene is completed as the annotation would have it after this stage, with what
is still to come at its annotated targets or shifted along with the proposal, and the success of the task is asked of
that; where the goal alone fulfils it, nothing more is asked. Where an object is moved again by a later stage, or a task
has no success of its own, nearness to the annotation judges. A conversation is judged as a whole, by where it ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from iker_agent.experiments.dialogue import Ending
from iker_agent.experiments.items import Item
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
    finishes = _finishes(task, configuration, goal, scene, start)
    if not later:
        return Score(finishes, reason="" if finishes else f"moves {goal.object}, which is where it should be")
    wanted = task.goal(later[0], scene, configuration).target_pose
    local = scene.object(goal.object).model.control_keypoints_m()
    error_m = float(keypoint_error(goal.target_pose[None], local, pose_apply(wanted, local)[None])[0])
    angle = float(rotation_angle(goal.target_pose[3:], wanted[3:]))
    near = error_m <= NEAR_M and angle <= NEAR_RAD
    errors = (near, error_m, float(np.rad2deg(angle)))
    if finishes:
        return Score(True, *errors)
    if task.criterion(configuration) is None or len(later) > 1:
        off = f"the target is {100 * error_m:.1f} cm and {np.rad2deg(angle):.0f} degrees off"
        return Score(near, *errors, reason="" if near else off)
    verdicts = [task.judge(end, start, configuration) for end in _ends(task, configuration, goal, wanted, scene)]
    right = any(verdict.fulfilled for verdict in verdicts)
    return Score(right, *errors, reason="" if right else f"with {goal.object} there: {verdicts[0].sentence()}")


def _finishes(task: Task, configuration: int, goal: Goal, scene: Scene, start: Scene) -> bool:
    """Does the goal alone fulfil what the task asks for, and was that not fulfilled without it?"""
    if task.criterion(configuration) is None:
        return False
    placed = scene.with_poses({goal.object: goal.target_pose})
    before, after = (task.judge(now, start, configuration) for now in (scene, placed))
    return after.fulfilled and not before.fulfilled


def score_impossible(why: str) -> Score:
    """The score of the answer that it cannot be done, where it can."""
    return Score(False, reason=f"said that it cannot be done: {why}")


def score_item(item: Item, end: Ending, start: Scene) -> Score:
    """The score of a conversation about an item, by where it ended; the order of its goals is the model's.

    Where everything is fulfilled to begin with, saying so before anything is moved is right; where nothing can fulfil
    it, saying that, and leaving things as the item's success wants them (where they were).
    """
    if item.expects != "goal":
        is_as_wanted = item.task.judge(end.scene, start, item.configuration).fulfilled
        right = end.said == item.expects and is_as_wanted and not (item.expects == "done" and end.moved)
        fact = "all is fulfilled as it is" if item.expects == "done" else "it cannot be done"
        return Score(right, reason="" if right else _instead(end, fact))
    if end.said == "impossible":
        return score_impossible(end.why)
    verdict = item.task.judge(end.scene, start, item.configuration)
    if verdict.fulfilled:
        return Score(True)
    early = "said done too early: " if end.said == "done" else ""
    after = f" ({end.why})" if end.why else ""
    return Score(False, reason=f"{early}{verdict.sentence()}{after}")


def _instead(end: Ending, fact: str) -> str:
    """What was done in the place of saying a fact."""
    did = [f"moved {', '.join(dict.fromkeys(end.moved))}"] if end.moved else []
    if end.said == "impossible":
        did.append(f"said that it cannot be done: {end.why}")
    else:
        did.append("said done" if end.said == "done" else end.why)
    return f"{'; '.join(filter(None, did))}, where {fact}"


def _ends(task: Task, configuration: int, goal: Goal, wanted: np.ndarray, scene: Scene) -> Iterator[Scene]:
    """The finished scene with the object where it is proposed: the rest as annotated, then shifted along with it."""
    placed = scene.with_poses({goal.object: goal.target_pose})
    rest = {name: pose for name, pose in task.targets(placed, configuration).items() if name != goal.object}
    yield placed.with_poses(rest)
    shift = np.array([*(goal.target_pose[:2] - wanted[:2]), 0.0])
    to_come = {name: pose for name, pose in rest.items() if not np.allclose(pose, placed.object(name).pose, atol=1e-3)}
    shifted = {name: np.array([*(pose[:3] + shift), *pose[3:]]) for name, pose in to_come.items()}
    yield placed.with_poses({**rest, **shifted})
