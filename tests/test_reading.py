"""A run folder read back: the dataclasses that it was written from, and one sentence for all that cannot be read."""

import json
from pathlib import Path

import numpy as np
import pytest

from iker_agent.config import make_config
from iker_agent.plan import make_plan
from iker_agent.records.reading import read_run
from iker_agent.records.record import Failure, RunResult, StageRecord, Whereabouts, final_outcome, run_record
from iker_agent.records.run_folder import Folder
from iker_envs.scene import Goal, Outcome, upright_pose

OUTCOME = Outcome(
    True, True, 0.0123, 0.01, 0.02, 0.003, num_steps=17, object_poses={"left_shoe": upright_pose([0.4, 0, 0])}
)
GOAL = Goal("left_shoe", upright_pose([0.42, -0.1, 0.045], 0.3), True, "Put it there", {"5": np.array([0.5, 0.1, 0.0])})
STAGES = [
    StageRecord(
        1,
        "grasp and place left_shoe",
        "left_shoe",
        grasp=True,
        attempt=2,
        answers=3,
        refusals=["too far", "too wide"],
        notes=("one keypoint was listed twice",),
        events=["Somebody came by."],
        env_steps=8192,
        seconds=21.25,
        learning_seconds=12.5,
        outcome=OUTCOME,
    ),
    StageRecord(
        2,
        failed=Failure.ANSWER,
        problem="no usable program after 1 answer: it is empty",
        refusals=["it is empty"],
        answers=1,
    ),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two stages and a final look, written by what writes real ones."""
    plan = make_plan(make_config(task="shoe_push", instruction="Put it there"))
    look = StageRecord(3, answers=2, refusals=["no code"])
    result = RunResult(True, True, "", 33.5, STAGES, look, {"calls": 4})
    folder = Folder(tmp_path)
    folder.json("run.json", run_record(plan, result, "truth"))
    folder.json("outcome.json", final_outcome(Whereabouts(plan.task.sample(None), "truth"), result))
    stage = folder.stage(1)
    stage.json("goal.json", GOAL)
    stage.json("outcome.json", OUTCOME)
    stage.json("poses.json", {"left_shoe": {"pose": [0.3, 0.1, 0.045, 1, 0, 0, 0], "confidence": 1.0}})
    stage.text("program.py", "pass\n")
    folder.stage(2)
    folder.stage(3).json("goal.json", {"done": True})
    return tmp_path


def test_what_was_written_is_read_again(run):
    read = read_run(run)
    assert read.faults == []
    assert [vars(record) | {"outcome": None} for record in read.result.stages] == [
        vars(record) | {"outcome": None, "notes": list(record.notes)} for record in STAGES
    ]
    first = read.stages[0]
    assert first.goal.to_dict() == GOAL.to_dict() and first.outcome.to_dict() == OUTCOME.to_dict()
    assert first.record.outcome is first.outcome and first.record.ok
    assert first.seen_pose == [0.3, 0.1, 0.045, 1, 0, 0, 0] and first.program == "pass\n"
    assert (read.result.success, read.result.seconds, read.result.spent) == (True, 33.5, {"calls": 4})
    look = read.result.final_look
    assert (look.number, look.answers, look.refusals) == (3, 2, ["no code"]) and read.stages[2].done
    assert (read.task, read.instruction, read.seeds["world"]) == ("shoe_push", "Put it there", 0)
    assert set(read.positions_m) == {"left_shoe", "right_shoe"}


def test_run_json_may_be_cut_anywhere(run):
    whole = (run / "run.json").read_bytes()
    for length in range(0, len(whole) - 2, 97):
        (run / "run.json").write_bytes(whole[:length])
        read = read_run(run)
        assert read.faults == ["run.json is not valid JSON and was left out"] and not read.readable
        assert read.stages[0].goal.object == "left_shoe" and read.stages[0].success_strict is True


@pytest.mark.parametrize("key", ["action", "refusals", "env_steps", "grasp", "attempt", "seconds", "notes", "problem"])
@pytest.mark.parametrize("value", [{"a": 1}, [3], 1e300, 10**400])
def test_a_fact_of_another_kind_is_named_and_the_others_are_kept(run, key, value):
    content = json.loads((run / "run.json").read_text())
    content["stages"][0][key] = value
    (run / "run.json").write_text(json.dumps(content))
    read = read_run(run)
    assert len(read.faults) == 1 and read.faults[0].startswith(f"run.json gives stage_01.{key} as ")
    record = read.result.stages[0]
    assert getattr(record, key) == getattr(StageRecord(1), key) and record.object == "left_shoe"
    assert read.result.stages[1].refusals == ["it is empty"]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("goal.json", "target_pose", [0, 0, 0]),
        ("goal.json", "object", 5),
        ("goal.json", "grasp", "yes"),
        ("outcome.json", "tilt_rad", "steep"),
        ("outcome.json", "goal_error_m", float("nan")),
        ("outcome.json", "goal_error_m", 10**400),
        ("outcome.json", "object_poses", {"left_shoe": "x" * 10_000}),
    ],
)
def test_a_contract_with_a_wrong_field_is_left_out_and_told_in_one_line(run, name, key, value):
    content = json.loads((run / "stage_01" / name).read_text())
    (run / "stage_01" / name).write_text(json.dumps(content | {key: value}))
    read = read_run(run)
    stage = read.stages[0]
    assert (stage.goal if name == "goal.json" else stage.outcome) is None
    assert len(read.faults) == 1 and read.faults[0].startswith(f"stage_01/{name} was left out: ")
    assert len(read.faults[0]) <= 300 and "\n" not in read.faults[0]


def test_run_json_tells_how_a_stage_ended_whose_outcome_is_lost(run):
    (run / "stage_01" / "outcome.json").unlink()
    stage = read_run(run).stages[0]
    assert stage.outcome is None and stage.success_strict is True and stage.goal_error_m == 0.0123


def test_fields_of_another_version_are_left_out(run):
    for name in ("goal.json", "outcome.json"):
        content = json.loads((run / "stage_01" / name).read_text())
        (run / "stage_01" / name).write_text(json.dumps(content | {"of_tomorrow": 1}))
    read = read_run(run)
    assert read.faults == [] and read.stages[0].goal is not None and read.stages[0].outcome is not None


@pytest.mark.parametrize("stages", [3, [3], [{}], [{"folder": 7}], [{"folder": "../stage_05"}]])
def test_stages_without_a_folder_are_named(run, stages):
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(content | {"stages": stages}))
    read = read_run(run)
    assert len(read.faults) == 1 and read.faults[0].startswith("run.json ")
    assert [s.record for s in read.stages] == [None, None, None]
