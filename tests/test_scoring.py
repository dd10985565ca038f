"""What the benchmark counts as right: what fulfils the task, wherever the annotation would have put it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from iker_agent.experiments.scoring import score_done, score_goal
from iker_envs.scene import Scene
from iker_envs.task import Task, load_task, task_names


def begun(task: Task, configuration: int, stages: int = 0) -> tuple[Scene, Scene]:
    """The scene after so many stages went perfectly, and the one in which the instruction was given."""
    start = task.sample(np.random.default_rng(configuration), configuration)
    scene = start
    for stage in range(stages):
        goal = task.goal(stage, scene, configuration)
        scene = scene.with_poses({goal.object: goal.target_pose})
    return scene, start


@pytest.mark.parametrize("name", task_names())
def test_the_annotation_itself_is_right_in_every_arrangement_and_done_only_at_its_end(name):
    task = load_task(name)
    for index, configuration in enumerate(task.configurations):
        last = len(configuration.stages)
        for stage in range(1, last + 1):
            scene, start = begun(task, index, stage - 1)
            score = score_goal(task, index, stage, task.goal(stage - 1, scene, index), scene, start)
            assert score.right and score.near and score.error_m < 1e-6, (index, stage, score.reason)
            assert not score_done(task, index, stage, scene, start).right, (index, stage)
        assert score_done(task, index, last + 1, *begun(task, index, last)).right, index


PAIR = (  # wherever on the rack
    "on(left_shoe, rack, overhang_m=0.06) and on(right_shoe, rack, overhang_m=0.06)"
    " and beside(left_shoe, right_shoe, own_side=left) and parallel(left_shoe, right_shoe)"
)
SHIFTS = {  # of the annotated target of a stage of shoe_rack -> is it right, is it near, why not
    "left shoe further left with its pair": (2, (0.0, 0.08, 0.0), True, False, ""),
    "left shoe a little to the front": (2, (-0.03, 0.0, 0.0), True, True, ""),
    "left shoe before the rack": (2, (-0.30, 0.0, 0.0), False, False, "left_shoe is not on rack"),
    "right shoe a little nearer to its partner": (3, (0.0, 0.02, 0.0), True, True, ""),
    "right shoe far from its partner": (3, (0.0, -0.12, 0.0), False, False, "wanted at most"),
    "right shoe in its partner": (3, (0.0, 0.14, 0.0), False, False, "touch"),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_other_targets_are_right_where_they_fulfil_the_task(name):
    stage, shift, right, near, why = SHIFTS[name]
    task = load_task("shoe_rack")
    task = replace(task, configurations=(replace(task.configuration(0), success=PAIR),))
    scene, start = begun(task, 0, stage - 1)
    goal = task.goal(stage - 1, scene, 0)
    moved = replace(goal, target_pose=np.array([*(goal.target_pose[:3] + np.array(shift)), *goal.target_pose[3:]]))
    score = score_goal(task, 0, stage, moved, scene, start)
    assert (score.right, score.near) == (right, near), score.reason
    assert why in score.reason and bool(score.reason) != right


def test_without_a_success_of_its_own_nearness_to_the_annotation_is_right():
    task = load_task("shoe_rack")
    plain = replace(task, configurations=(replace(task.configuration(0), success=""),))
    scene, start = begun(plain, 0, 1)
    goal = plain.goal(1, scene, 0)
    for shift, right in ((0.04, True), (0.08, False)):
        pose = np.array([goal.target_pose[0], goal.target_pose[1] + shift, *goal.target_pose[2:]])
        assert score_goal(plain, 0, 2, replace(goal, target_pose=pose), scene, start).right is right
    assert score_goal(plain, 0, 2, replace(goal, object="shoe_box"), scene, start).reason.startswith("moves shoe_box")
