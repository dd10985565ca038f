"""The leaderboard: what enters, what is refused and why, and that the page is the one that its files make."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from iker_agent.cli import main
from iker_agent.config import RunConfig, make_config
from iker_agent.experiments.bench_rows import BenchRow, Cost
from iker_agent.experiments.bench_tables import SIGNED, results
from iker_agent.experiments.conditions import digest
from iker_agent.experiments.leaderboard import Refused, Standing, Wanted, judge_folder, judge_results, tables
from iker_agent.experiments.vlm_bench import BenchPlan, precise_items
from iker_envs.task import load_task

CONTRACTS = ("keypoints", "poses")
DOCS = Path(__file__).resolve().parents[1] / "docs"


def plan_of(config: RunConfig, samples: int = 1, contracts=CONTRACTS, tasks=("shoe_push",)) -> BenchPlan:
    return BenchPlan(precise_items([load_task(name) for name in tasks]), contracts, config, samples)


def named(**changes) -> RunConfig:
    config = make_config((), vlm="replay")
    return replace(config, ask=replace(config.ask, model="seer"), **changes)


@pytest.fixture(scope="module")
def wanted() -> Wanted:
    """A version of the benchmark whose items are those of one task."""
    found = Wanted()
    found.__dict__["plan"] = plan_of(found.config)
    return found


def rows_of(plan: BenchPlan, wrong: int = 0) -> list[BenchRow]:
    rows = []
    for number, (tier, item, configuration, stage, sample, contract) in enumerate(plan.keys()):
        cost = Cost(1, 100, 20, 0.5, 0.01)
        fields = {"tier": tier, "item": item, "skills": ("grounding",), "cost": cost, "answers": 1}
        task = item.rpartition("_")[0]
        rows.append(BenchRow(task, configuration, stage, sample, contract, right=number >= wrong, **fields))
    return rows


def written(plan: BenchPlan, rows: list[BenchRow]) -> dict:
    return json.loads(json.dumps(results(rows, plan)))


def test_a_whole_result_enters_with_its_rates_and_costs(wanted):
    plan = plan_of(named(), samples=2)
    found = judge_results("seer.json", written(plan, rows_of(plan, wrong=8)), wanted)
    assert [type(entry) for entry in found] == [Standing, Standing]
    keypoints, poses = (entry.summary for entry in found)
    assert (keypoints.asked, keypoints.first, poses.first) == (40, 36, 36)
    page = tables(found)
    assert "## Precise" in page and "36 of 40, 90 % [77, 96]" in page and "| 120 | 0.5 | 0.40 | 2 |" in page
    assert "## By skill" in page and "Not entered" not in page


def test_one_contract_alone_may_enter(wanted):
    plan = plan_of(named(), contracts=("poses",))
    (entry,) = judge_results("seer.json", written(plan, rows_of(plan)), wanted)
    assert isinstance(entry, Standing) and entry.summary.contract == "poses"


def unsigned(content: dict) -> dict:
    """With a digest that fits, as somebody who edits with care would leave it."""
    bare = {name: value for name, value in content.items() if name != SIGNED}
    return {**bare, SIGNED: digest(bare)}


def edited(content: dict, change) -> dict:
    change(content)
    return unsigned(content)


CHANGES = {
    "a question left out": (lambda c: c["rows"].pop(), "its summary is not that of its rows"),
    "a question twice": (lambda c: c["rows"].append(c["rows"][0]), "a question is in it twice: shoe_push_0 stage 1"),
    "a better summary": (lambda c: c["summary"][0].update(first=20), "its summary is not that of its rows"),
    "no model": (lambda c: c.update(model=""), "nobody says which model answered"),
    "another seed": (lambda c: c["conditions"].update(seed=7), "it was asked with seed 7, wanted 0"),
    "more repairs": (lambda c: c["conditions"].update(repairs=9), "it was asked with repairs 9, wanted 4"),
    "no rows": (lambda c: c.pop("rows"), "it lacks what it should hold"),
    "rows of another kind": (lambda c: c["rows"][0].pop("right"), "it lacks what it should hold"),
    "no conditions": (lambda c: c.update(conditions=[]), "it lacks what it should hold"),
    "other items": (
        lambda c: c["conditions"]["tiers"].update(precise="0"),
        "its items are not those of this version (0",
    ),
    "another prompt": (
        lambda c: c["conditions"]["prompts"].update(keypoints="0", poses="1"),
        "it was asked with another prompt (0",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_qualify_is_refused_with_its_reason(change, wanted):
    alter, reason = CHANGES[change]
    plan = plan_of(named())
    found = judge_results("seer.json", edited(written(plan, rows_of(plan, wrong=4)), alter), wanted)
    assert found and all(isinstance(entry, Refused) for entry in found)
    assert found[0].reason.startswith(reason), found[0].reason
    assert reason in tables(found)


def test_a_part_of_the_items_is_refused_and_says_how_many_are_missing(wanted):
    plan = plan_of(named())
    rows = rows_of(plan)[:-3]
    found = judge_results("seer.json", written(plan, rows), wanted)
    assert [entry.reason.split(",")[0] for entry in found if isinstance(entry, Refused)] == [
        "1 of 20 questions are missing",
        "2 of 20 questions are missing",
    ]


def test_items_that_are_none_of_the_benchmark_are_refused(wanted):
    plan = plan_of(named(), tasks=("shoe_push", "book_push"))
    found = judge_results("seer.json", written(plan, rows_of(plan)), wanted)
    assert all("has questions that are none of this version, such as book_push_0" in entry.reason for entry in found)


def test_settings_that_change_what_is_told_are_another_prompt(wanted):
    config = make_config(("prompt.coordinates=true", "ask.model=seer"), vlm="replay")
    plan = plan_of(config)
    found = judge_results("seer.json", written(plan, rows_of(plan)), wanted)
    assert found and all("another prompt" in entry.reason for entry in found)


FILES = {
    "no JSON": ("{", "it is not JSON"),
    "something else": ('{"benchmark": "other"}', "it is no results.json of iker-vlm"),
    "a list": ("[]", "it is no results.json of iker-vlm"),
}


@pytest.mark.parametrize("kind", FILES)
def test_other_files_are_refused(kind, tmp_path, wanted):
    text, reason = FILES[kind]
    (tmp_path / "x.json").write_text(text)
    assert judge_folder(tmp_path, wanted) == [Refused("x.json", "all", reason)]


def test_a_file_that_was_edited_by_hand_is_refused(tmp_path, wanted):
    plan = plan_of(named())
    path = tmp_path / "seer.json"
    path.write_text(json.dumps(written(plan, rows_of(plan, wrong=1))).replace('"right": false', '"right": true'))
    (entry,) = judge_folder(tmp_path, wanted)
    assert isinstance(entry, Refused) and "was changed after it was written" in entry.reason


def test_names_of_models_stay_in_their_cells(wanted):
    plan = plan_of(replace(named(), ask=replace(named().ask, model="a | <script>\n| 1 |")))
    page = tables(judge_results("x.json", written(plan, rows_of(plan)), wanted))
    assert "<script>" not in page
    lines = [line for line in page.splitlines() if "script" in line]
    assert lines and all(line.replace("\\|", "").count("|") in (12, 10) for line in lines)


def test_the_command_shows_tables_and_refusals(tmp_path, monkeypatch, capsys):
    (tmp_path / "x.json").write_text("{")
    for folder, code, told in ((tmp_path, 1, "it is not JSON"), (tmp_path / "none", 2, "is no folder")):
        monkeypatch.setattr(sys, "argv", ["iker", "bench", "leaderboard", str(folder)])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        assert stop.value.code == code and told in printed.out + printed.err


def test_the_page_is_the_one_that_its_files_make():
    spec = importlib.util.spec_from_file_location("make_leaderboard", DOCS / "make_leaderboard.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run docs/make_leaderboard.py"
