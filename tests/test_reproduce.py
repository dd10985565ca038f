"""`iker reproduce`: units that are done stay done, tables with intervals, and what is empty says why."""

import json

import numpy as np
import pytest

from iker_agent.commands.app import call
from iker_agent.config import make_config
from iker_agent.reproduce.cells import Cell, Unit, count, stored, work
from iker_agent.reproduce.chain import METHODS, chain_unit, reached
from iker_agent.reproduce.settings import ReproduceSettings
from iker_agent.reproduce.single import evaluation, written
from iker_agent.reproduce.table import Table, markdown, record
from iker_agent.reproduce.tables import table_of
from iker_envs.task import load_task

REPLAY = ["ask.match=instruction", "learner=waypoint"]


def replaying(**rest):
    config = make_config(REPLAY, vlm="replay", ask={"cassette": "first_answers"})
    return ReproduceSettings(config=config, **rest)


class Counted:
    """Units that count how often they are run; the one at `stop` is stopped, once."""

    def __init__(self, stop=-1):
        self.runs = []
        self.stop = stop

    def units(self, conditions=0, number=3):
        return tuple(Unit(f"task {k}", {"x": conditions}, lambda k=k: self.run(k)) for k in range(number))

    def run(self, k):
        if k == self.stop:
            self.stop = -1
            raise KeyboardInterrupt
        self.runs.append(k)
        return {"trials": 4, "successes": [3, 1]}


def test_a_table_that_was_stopped_goes_on_with_what_is_left(tmp_path):
    counted = Counted(stop=1)
    cell = Cell("a", "b", counted.units())
    with pytest.raises(KeyboardInterrupt):
        work([cell], tmp_path)
    assert count(cell, tmp_path).missing == ("not run yet", "not run yet")
    said = []
    work([cell], tmp_path, said.append)
    assert counted.runs == [0, 1, 2]
    assert [p.done for p in said] == [2, 3]
    assert [p.total for p in said] == [3, 3]
    assert said[-1].left_s == 0.0
    found = count(cell, tmp_path)
    assert (found.successes, found.trials, found.missing) == (9, 12, ())


def test_a_unit_is_run_again_under_other_conditions_or_when_its_file_is_damaged(tmp_path):
    counted = Counted()
    work([Cell("a", "b", counted.units(number=1))], tmp_path)
    other = Cell("a", "b", counted.units(conditions=1, number=1))
    assert stored(tmp_path, other.units[0]) is None
    work([other], tmp_path)
    assert counted.runs == [0, 0]
    (tmp_path / "rows" / f"{other.units[0].key}.json").write_text('{"unit": "tas')
    work([other], tmp_path)
    assert counted.runs == [0, 0, 0]


def test_columns_that_share_their_units_run_them_once(tmp_path):
    counted = Counted()
    cells = [Cell("a", column, counted.units(), index) for index, column in enumerate(("after 1", "after 2"))]
    work(cells, tmp_path)
    assert counted.runs == [0, 1, 2]
    assert [count(cell, tmp_path).successes for cell in cells] == [9, 3]


def test_a_page_has_rates_intervals_the_papers_figure_and_every_reason_for_an_empty_cell(tmp_path):
    counted = Counted()
    cells = (
        Cell("task", "ours", counted.units(), paper=0.5),
        Cell("task", "lab", empty="not asked for"),
        Cell("task", "model", (Unit("m", {}, lambda: {"missing": "no answer in the record"}),), paper=0.2),
    )
    work(cells, tmp_path)
    table = Table("t", "A table", "row", cells, ("A note.",), "iker reproduce t", {"seed": 0})
    page = markdown(table, tmp_path)
    assert "| task | 0.750 [0.47, 0.91], n 12; paper 0.5 | empty | empty; paper 0.2 |" in page
    assert "- task, lab: not asked for." in page
    assert "- task, model (1 of 1 configurations): no answer in the record." in page
    assert "A note." in page
    data = record(table, tmp_path)
    assert data["cells"][0]["interval"] == pytest.approx([0.468, 0.911], abs=0.001)
    assert data["cells"][2]["missing"] == ["no answer in the record"]
    json.dumps(data)


@pytest.mark.parametrize("name", ["table1", "table2", "fig5"])
def test_every_cell_of_a_table_has_units_or_a_reason(name):
    for cell in table_of(name, ReproduceSettings()).cells:
        assert bool(cell.units) != bool(cell.empty), cell
        assert len(cell.units) in (0, 10)
        assert len({unit.key for unit in cell.units}) == len(cell.units)


def test_cells_without_a_policy_name_the_training_that_fills_them(tmp_path):
    cells = {(c.row, c.column): c for c in table_of("table2", ReproduceSettings()).cells}
    assert "--randomisation off" in cells["shoe_push, trained without", "simulation"].empty
    policy = tmp_path / "shoe_push" / "off" / "policy.safetensors"
    policy.parent.mkdir(parents=True)
    policy.write_bytes(b"")
    settings = ReproduceSettings(policies=str(tmp_path))
    cells = {(c.row, c.column): c for c in table_of("table2", settings).cells}
    assert len(cells["shoe_push, trained without", "simulation"].units) == 10
    assert list(table_of("table2", settings).facts["trainings"]) == ["shoe_push/off"]
    assert cells["shoe_place, trained without", "simulation"].empty


def test_the_command_below_a_table_makes_it_again():
    config = make_config(["ask.match=instruction", "clock=0.5"], vlm="replay", ask={"cassette": "first_answers"})
    settings = ReproduceSettings(config=config, worlds=("sim", "lab"), configurations=3)
    line = table_of("table1", settings).command
    for part in ("--world sim --world lab", "--cassette first_answers", "--configurations 3", "--clock 0.5"):
        assert part in line
    assert "--clock" not in table_of("table1", ReproduceSettings(config=config)).command


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"configurations": 11}, "10 configurations"),
        ({"copies": 0}, "at least 1"),
        ({"worlds": ("moon",)}, "moon"),
        ({"policies": "/nowhere/at/all"}, "no folder of trainings"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, reason):
    with pytest.raises(ValueError, match=reason):
        ReproduceSettings(**given)


def test_names_keys_and_conditions_tell_units_apart():
    settings = ReproduceSettings(copies=2)
    one = evaluation(settings, "shoe_push", 0, "annotated sim keypoints")
    same = evaluation(settings, "shoe_push", 0, "annotated sim keypoints")
    more = evaluation(ReproduceSettings(copies=3), "shoe_push", 0, "annotated sim keypoints")
    assert (one.key, one.conditions) == (same.key, same.conditions)
    assert one.conditions != more.conditions
    assert one.conditions["policy"]
    assert one.conditions["spec_hash"]


def test_a_chain_counts_after_the_stages_whose_conditions_hold():
    task = load_task("shoe_rack")
    start = task.sample(None)
    seen = []
    scene = start
    for stage in range(3):
        goal = task.goal(stage, scene)
        scene = scene.with_poses({goal.object: goal.target_pose})
        seen.append(reached(task, 0, scene, start))
    assert seen == [(True, False, False), (True, True, False), (True, True, True)]
    assert reached(task, 0, start, start) == (False, False, False)
    pose = np.array(scene.object("shoe_box").pose)
    pose[1] -= 0.1  # a later stage that pushes the box away again costs the first one, and all after it
    assert reached(task, 0, scene.with_poses({"shoe_box": pose}), start) == (False, False, False)


def test_the_shipped_policy_is_measured_at_annotated_goals():
    result = evaluation(ReproduceSettings(copies=2), "shoe_push", 0, "annotated sim keypoints").run()
    assert result["trials"] == 2
    assert result["successes"][0] in (1, 2)


@pytest.mark.parametrize("contract", ["keypoints", "poses"])
def test_a_models_recorded_program_is_carried_out_and_measured(contract):
    result = written(replaying(), "shoe_push", 1, contract, "sim").run()
    assert result["trials"] == 1
    assert result["answers"] == 1
    assert result["successes"] == [1]


def test_a_record_without_an_answer_leaves_the_cell_empty():
    config = make_config(["ask.match=text"], vlm="replay", ask={"cassette": "first_answers"})
    assert "missing" in written(ReproduceSettings(config=config), "shoe_push", 1, "keypoints", "sim").run()
    unit = chain_unit(replaying(), "VoxPoser", "sim", "VLM", 1)
    assert "missing" in unit.run()
    cells = [c for c in table_of("fig5", replaying()).cells if c.row == "VoxPoser, VLM, simulation"]
    assert len(cells) == 3
    for cell in cells:  # known beforehand: nothing is run
        assert not cell.units
        assert "no model was asked to write value maps" in cell.empty


def test_what_two_tables_have_in_common_is_measured_once():
    settings = ReproduceSettings(worlds=("sim", "lab"))
    of_tables = [
        {unit.key: unit.conditions for cell in table_of(name, settings).cells for unit in cell.units}
        for name in ("table1", "table2")
    ]
    shared = of_tables[0].keys() & of_tables[1].keys()
    assert len(shared) == 4 * 10 * 2  # tasks, configurations, worlds
    assert all(of_tables[0][key] == of_tables[1][key] for key in shared)


@pytest.mark.parametrize("method", ["IKER", "VoxPoser"])
def test_a_chain_of_three_is_run_and_judged_stage_by_stage(method):
    result = chain_unit(ReproduceSettings(config=make_config(REPLAY[1:])), method, "sim", "annotated", 2).run()
    assert result["trials"] == 1
    assert result["successes"] == [1, 1, 1]
    assert [s["failed"] for s in result["runs"][0]["stages"]] == [None, None, None]


def test_the_command_writes_the_table_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("iker_agent.reproduce.tables.METHODS", METHODS[-1:])  # VoxPoser: the quickest
    arguments = ["reproduce", "fig5", "--configurations", "1", "--out", str(tmp_path / "t"), "learner=waypoint"]
    assert call(arguments) == 0
    said = capsys.readouterr().out
    assert "1 of 1" in said
    page = (tmp_path / "t" / "fig5.md").read_text()
    assert "| VoxPoser, annotated, simulation | 1.000" in page
    data = json.loads((tmp_path / "t" / "fig5.json").read_text())
    assert data["facts"]["spec"]
    assert data["versions"]["iker"]
    assert call(arguments) == 0
    assert " of 1, " not in capsys.readouterr().out  # nothing was left to do


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="No such command 'table9'"):
        call(["reproduce", "table9"])
