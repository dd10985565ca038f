"""Every configuration of every shipped task can begin, end and be solved, and its programs do what they should."""

import numpy as np
import pytest

import iker_envs
from iker_agent.authoring.check import check_task
from iker_agent.program import run_program
from iker_envs.planning.collision import deepest_overlap, object_boxes, scene_boxes
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.push import push_start
from iker_envs.scene import Goal, Scene
from iker_envs.task import Task, load_task

TASKS = {name: load_task(name) for name in iker_envs.TASKS.values()}
CASES = [(name, index) for name, task in TASKS.items() for index in range(len(task.configurations))]
every_configuration = pytest.mark.parametrize(("name", "index"), CASES)
_TOUCH_M = 0.001  # what objects may overlap
_DRAWS = 4


def _stage_scenes(task: Task, index: int, scene: Scene) -> list[tuple[Scene, Goal]]:
    """The scene before every stage with its goal, the earlier stages' goals fulfilled."""
    found = []
    for number in range(len(task.configuration(index).stages)):
        goal = task.goal(number, scene, index)
        found.append((scene, goal))
        scene = _fulfilled(scene, goal)
    return found


def _fulfilled(scene: Scene, goal: Goal) -> Scene:
    return scene.with_poses({goal.object: goal.target_pose})


def _assert_apart(scene: Scene) -> None:
    for obj in scene.objects:
        depth, whom = deepest_overlap(object_boxes(obj.model, obj.pose), scene_boxes(scene, [obj.name]))
        assert depth < _TOUCH_M, f"{obj.name} is inside {whom}"


def _assert_can_begin(scene: Scene, goal: Goal) -> None:
    if goal.grasp:
        assert propose_grasps(scene, goal.object, goal.target_pose).reason == ""
    else:
        push_start(scene, goal)


@every_configuration
def test_objects_are_apart_stages_can_begin_and_only_the_last_one_brings_success(name, index):
    task = TASKS[name]
    draws = (None, *map(np.random.default_rng, range(_DRAWS)))  # the centre of the start ranges, and draws from them
    for rng in draws:
        stages = _stage_scenes(task, index, task.sample(rng, index))
        for scene, goal in stages:
            _assert_apart(scene)
            _assert_can_begin(scene, goal)
            assert not task.judge(scene, stages[0][0], index).fulfilled
        end = _fulfilled(*stages[-1])
        _assert_apart(end)
        assert task.judge(end, stages[0][0], index).fulfilled


@every_configuration
def test_annotated_programs_reproduce_their_goals_and_are_idempotent(name, index, program_inputs):
    task = TASKS[name]
    stages = _stage_scenes(task, index, task.sample(np.random.default_rng(7), index))
    for (scene, goal), stage in zip(stages, task.configuration(index).stages, strict=True):
        assert set(stage.programs) == {"keypoints", "poses"}
        before, after = (program_inputs(now) for now in (scene, _fulfilled(scene, goal)))
        for contract, code in stage.programs.items():
            for inputs in (before, after):  # and on its own result
                result = run_program(code, inputs[contract], contract, check_targets=False)
                assert result.status == "ok", result.message
                assert (result.object, result.grasp) == (goal.object, goal.grasp)
                for label, row in after[contract].items():
                    np.testing.assert_allclose(result.targets[label], row, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_check_finds_no_fault_and_a_simple_policy_solves_every_stage(name):
    assert check_task(name) == []
