"""benchmarks/learning.py: what was not run stays empty, and results of other settings are not mixed in."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

BENCHMARK = runpy.run_path(str(Path(__file__).resolve().parents[1] / "benchmarks" / "learning.py"))
SETTINGS = BENCHMARK["Settings"](max_steps=100, eval_every=10, eval_envs=1, num_envs=1, baseline_envs=1)


def cell(**reached) -> dict:
    return {"reached": {str(goal): reached.get(f"to_{round(100 * goal)}") for goal in BENCHMARK["GOALS"]}}


def test_cells_that_were_not_run_stay_empty():
    cells = {
        "a/ours/0": cell(to_50=[10, 1.0], to_80=[20, 2.0]),
        "a/ours/1": cell(to_50=[30, 3.0]),
        "a/sb3/0": cell(to_50=[100, 7.0]),
    }
    rows = [
        [c.strip() for c in r.split("|")[3:-1]] for r in BENCHMARK["table"](cells, ["a", "b"], [0, 1]).split("\n")[2:]
    ]
    assert rows[0] == ["20 / 2 s (2 of 2)", "20 / 2 s (1 of 2)", "", ""]
    assert rows[1] == ["100 / 7 s (1 of 1)", "", "", ""]
    assert rows[2] == ["5.0 / 3.5", "", "", ""]
    assert rows[3:] == [[""] * 4] * 3


def test_settings_of_a_search_are_numbers_of_ppo():
    assert BENCHMARK["changes_of"]("ours") == {}
    assert BENCHMARK["changes_of"]("ours:epochs=3 discount=0.97") == {"epochs": 3, "discount": 0.97}
    assert len({str(BENCHMARK["changes_of"](name)) for name in BENCHMARK["SEARCH"]}) == len(BENCHMARK["SEARCH"])
    with pytest.raises(ValueError, match="no setting 'epoch'"):
        BENCHMARK["changes_of"]("ours:epoch=3")


def race(steps: dict[str, int]) -> dict:
    """Cells of a search on task a, one seed; 0 steps: the goal was not reached."""
    return {
        f"a/{learner}/0": cell(to_95=[steps.get(learner, 100), 1.0] if steps.get(learner, 100) else None)
        for learner in BENCHMARK["SEARCH"]
    }


def test_a_search_goes_on_with_its_base_and_what_learned_in_the_fewest_steps():
    search, counts = BENCHMARK["SEARCH"], BENCHMARK["RACE"]
    best = [*search[-3:], *search[3:7]][: counts[1]]
    cells = race({learner: 10 + number for number, learner in enumerate(best)} | {search[1]: 0})
    assert BENCHMARK["still_in_race"](cells, [], 1000) == search
    assert BENCHMARK["still_in_race"](cells, ["a"], 1000) == (search[0], *best)
    assert BENCHMARK["still_in_race"](cells, ["a", "b", "c"], 1000) == (search[0], *best[: counts[2]])
    assert BENCHMARK["relative_steps"](cells, search[1], ["a"], 1000) == pytest.approx(10)  # never there: all its steps
    assert BENCHMARK["relative_steps"](cells, best[0], ["a"], 1000) == pytest.approx(0.1)


def test_a_setting_far_slower_than_the_base_has_no_further_seeds():
    slow, fast = BENCHMARK["SEARCH"][1:3]
    cells = race({BENCHMARK["SEARCH"][0]: 100, slow: 500, fast: 300})
    assert [BENCHMARK["is_hopeless"](cells, one, "a", 1000) for one in (slow, fast)] == [True, False]
    assert not BENCHMARK["is_hopeless"](cells, slow, "b", 1000)  # where it was not tried


def test_a_search_has_a_row_for_all_that_was_tried():
    search = BENCHMARK["SEARCH"]
    cells = race({search[1]: 50_000, search[2]: 0, search[0]: 100_000})
    rows = BENCHMARK["search_table"](cells, ["a", "b"], [0], 200_000).split("\n")[2:]
    texts = [[c.strip() for c in row.split("|")[1:-1]] for row in rows]
    assert [row[0] for row in texts] == [name.removeprefix("ours:") for name in search]
    assert BENCHMARK["search_table"]({}, ["a"], [0], 1).split("\n")[-1] == f"| {texts[-1][0]} |  |  |"
    assert [row[1:] for row in texts[:3]] == [["100", "", "1.00"], ["50", "", "0.50"], [">200", "", "2.00"]]


def test_results_of_other_settings_are_refused(tmp_path):
    path = tmp_path / "results.json"
    assert BENCHMARK["read_cells"](path, SETTINGS) == {}
    path.write_text(json.dumps({"settings": vars(SETTINGS), "cells": {"a/ours/0": cell()}}))
    assert list(BENCHMARK["read_cells"](path, SETTINGS)) == ["a/ours/0"]
    path.write_text(json.dumps({"settings": {**vars(SETTINGS), "max_steps": 1}, "cells": {}}))
    with pytest.raises(ValueError, match="other settings"):
        BENCHMARK["read_cells"](path, SETTINGS)
