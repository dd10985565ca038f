"""People interfere; the agent sees it at its next look, changes its plan, and the task is done in the end."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
import yaml

from iker_agent.authoring.check import check_task
from iker_agent.config import make_config
from iker_agent.disturb import MOMENTS, disturbances, load_disturbance
from iker_agent.loop import run_task
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder
from tests.quiet_display import Quiet

STORIES = {
    "snatch": (
        ["push shoe_box", "grasp and place left_shoe", "grasp and place left_shoe", "grasp and place right_shoe"],
        [True, False, True, True],
        2,
    ),
    "gap": (
        ["grasp and place right_shoe", "grasp and place left_shoe", "push left_shoe"],
        [True, False, True],
        2,
    ),
    "too_wide": (["push book", "grasp and place book"], [True, True], None),
    "new_instruction": (
        ["grasp and place right_shoe", "grasp and place right_shoe", "push left_shoe"],
        [True, True, True],
        2,
    ),
}


def test_every_disturbance_has_a_story_here():
    assert set(disturbances()) == set(STORIES)


@pytest.fixture(scope="module", params=STORIES)
def story(request, tmp_path_factory):
    """Name, result and folder of a run that is disturbed."""
    folder = tmp_path_factory.mktemp(request.param)
    config = make_config(("run.video=false",), learner="waypoint", disturb=request.param, seed=1)
    return request.param, run_task(config, Folder(folder), Quiet()), folder


def test_a_disturbance_ends_in_success_and_its_story_is_told(story):
    name, result, folder = story
    actions, outcomes, struck = STORIES[name]
    assert result.success, result.reason
    assert [s.action for s in result.stages] == actions and [s.ok for s in result.stages] == outcomes
    told = json.loads((folder / "run.json").read_text())
    disturbance, _ = load_disturbance(name)
    assert told["disturbance"] == {"name": name, "at": disturbance.at, "text": disturbance.text}
    events = {number: s["events"] for number, s in enumerate(told["stages"], start=1) if s["events"]}
    assert events == ({struck: [disturbance.text]} if struck else {})
    page = write_report(folder).read_text(encoding="utf-8")
    assert disturbance.text in page and ("Meanwhile" in page) == (struck is not None)


def test_the_plan_changes_with_what_is_seen_and_told(story):
    name, _, folder = story
    told = json.loads((folder / "run.json").read_text())
    prompt = (folder / "stage_02" / "prompt.md").read_text()
    page = (folder / "report.html").read_text(encoding="utf-8")
    if name == "too_wide":
        assert told["stages_succeeded"] == {"first_answer": 1, "repaired": 1}
        assert "no room for the fingers beside platform" in told["stages"][0]["refusals"][0]
        assert "no room for the fingers" in page and "Plan, changed since the book is too wide" in page
    if name == "new_instruction":
        assert "The instruction was then: Put the pair of shoes on the rack" in prompt
        assert "Instruction: Put the pair of shoes on the floor" in prompt
        assert told["instruction"].startswith("Put the pair of shoes on the floor")
    if name in ("snatch", "gap"):
        assert "This stage failed" in (folder / "stage_03" / "prompt.md").read_text()


@pytest.mark.parametrize("name", ["gap", "new_instruction"])
def test_the_tasks_of_disturbances_are_sound(tmp_path, name):
    text = files("iker_cfg").joinpath(f"disturbances/{name}.yaml").read_text(encoding="utf-8")
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(yaml.safe_load(text)["task"]))
    assert check_task(str(tmp_path / "task.yaml"), solve=False) == []


def test_disturbances_are_data_of_known_moments():
    for name in disturbances():
        disturbance, task = load_disturbance(name)
        assert disturbance.at in MOMENTS and disturbance.text.endswith(".")
        for configuration in task.configurations:
            for stage in configuration.stages:
                assert set(stage.programs) == {"keypoints", "poses"}
    with pytest.raises(ValueError, match="'flood' does not exist; known: gap"):
        load_disturbance("flood")
