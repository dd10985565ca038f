"""`success` in a task's file: read, inherited, filled with values, refused with a sentence, noted by a run."""

from __future__ import annotations

import copy
import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.plan import make_plan
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_envs.judging.relations import CONDITIONS
from iker_envs.task import load_task, parse_task

TASK = {
    "name": "box_on_rack",
    "id": "Mine-BoxOnRack-v0",
    "description": "A box is put on a rack.",
    "workspace_m": [[0.2, -0.45, 0.0], [0.8, 0.45, 0.5]],
    "instruction": "Put the box $left cm left of the middle",
    "success": ["on(box, rack)", "at(box, rack, left_m=$y)"],
    "values": {"left": 5, "y": 0.05},
    "objects": {
        "rack": {"model": "low_rack", "position_m": [0.6, 0, 0], "movable": False},
        "box": {"model": "shoe_box", "position_m": [0.3, 0, 0]},
    },
    "stages": [{"goal": {"object": "box", "relative_to": "rack", "position_m": [0, "$y", 0.105]}}],
}


def at_the_goal(task, index: int, forward_m: float = 0.0):
    goal = task.goal(0, task.sample(None, index), index)
    return task.sample(None, index).with_poses({"box": goal.target_pose + np.array([forward_m, 0, 0, 0, 0, 0, 0])})


def test_a_criterion_is_inherited_with_each_configurations_values():
    task = parse_task({**TASK, "configurations": [{}, {"values": {"y": -0.1}}, {"success": "on(box, table)"}]})
    texts = [c.success for c in task.configurations]
    assert texts == [
        "(on(box, rack)) and (at(box, rack, left_m=0.05))",
        "(on(box, rack)) and (at(box, rack, left_m=-0.1))",
        "on(box, table)",
    ]
    assert task.judge(at_the_goal(task, 1), configuration=1).fulfilled
    assert not task.judge(at_the_goal(task, 1), configuration=0).fulfilled
    assert task.judge(task.sample(None), configuration=2).fulfilled


def test_an_or_in_one_text_of_a_list_does_not_reach_into_the_next():
    task = parse_task({**TASK, "success": ["on(box, table) or on(box, rack)", "at(box, rack, left_m=0)"]})
    assert not task.judge(task.sample(None).with_poses({"box": [0.3, 0.4, 0.055, 1, 0, 0, 0]})).fulfilled


def test_a_criterion_judges_where_nearness_would_refuse_and_nearness_where_there_is_none():
    task = parse_task(TASK)
    plain = parse_task({key: TASK[key] for key in TASK if key != "success"})
    shifted = at_the_goal(task, 0, forward_m=0.06)
    assert task.judge(shifted).fulfilled
    verdict = plain.judge(shifted)
    assert not verdict.fulfilled
    assert "box is not within 3 cm" in verdict.sentence()
    assert plain.judge(at_the_goal(plain, 0)).fulfilled


@pytest.mark.parametrize(
    ("success", "told"),
    [
        ("on(bax, rack)", "success of configuration 0: a of on() is 'bax', did you mean 'box'?"),
        (["on(box, rack)", "standing(box)"], "there is no condition 'standing'"),
        ("at(box, rack, left_m=$nowhere)", "'nowhere' has no value in this configuration"),
        ([], "or a list of such texts, not []"),
        ("", "success is a text"),
        ([["on(box, rack)"]], "success is a text"),
        ({"on": "box"}, "success is a text"),
        (True, "success is a text"),
        (None, "success is a text"),
    ],
)
def test_a_fault_in_a_criterion_is_told_with_the_file(tmp_path, success, told):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**copy.deepcopy(TASK), "success": success}))
    with pytest.raises(ValueError) as caught:
        load_task(path)
    assert told in str(caught.value)
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_guide_lists_every_condition_with_its_arguments():
    guide = (Path(__file__).parents[1] / "docs/new-task.md").read_text(encoding="utf-8")
    for name, condition in CONDITIONS.items():
        row = next((line for line in guide.splitlines() if line.startswith(f"| `{name}(")), "")
        parameters = list(inspect.signature(condition).parameters)[1:]
        assert [p for p in parameters if p not in row] == [], name


class Silent:
    """Tells nothing."""

    def stage(self, number, text):
        pass

    def learning(self, row):
        pass

    def outcome(self, record):
        pass

    def note(self, text):
        pass


@pytest.mark.parametrize("instruction", ["", "Do as you like"])
def test_a_run_notes_what_judged_it_and_what_is_not_fulfilled(tmp_path, instruction):
    config = make_config(
        ("run.video=false", "run.max_stages=1"), learner="waypoint", task="shoe_rack", seed=1, instruction=instruction
    )
    vlm = AnnotatedVLM.of_task(load_task("shoe_rack"), 0, config.run.contract)
    run_task(config, Folder(tmp_path), Silent(), vlm)
    run = json.loads((tmp_path / "run.json").read_text())
    assert not run["success"]
    assert bool(run["criterion"]) == bool(run["unmet"]) == (not instruction)
    assert run["near_annotation"] is (None if instruction else False)
    assert any("left_shoe" in clause for clause in run["unmet"]) == (not instruction)


@pytest.mark.parametrize("name", ["wanted (1).yaml", "wanted.yaml"])
def test_a_file_of_conditions_may_have_brackets_in_its_name(name, tmp_path):
    (tmp_path / name).write_text("- on(left_shoe, rack)\n", encoding="utf-8")
    plan = make_plan(make_config(overrides=[f"success={tmp_path / name}"]))
    assert plan.criterion == "on(left_shoe, rack)"


@pytest.mark.parametrize("text", ["ü" * 3000, "x\0y", "nowhere.yaml", "."])
def test_what_is_neither_conditions_nor_a_file_is_told(text):
    with pytest.raises(ValueError, match="neither conditions such as"):
        make_plan(replace(make_config(), success=text))
