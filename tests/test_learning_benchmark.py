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


def test_a_search_has_a_row_for_all_that_was_tried():
    cells = {"a/ours/0": cell(to_50=[10, 1.0]), "a/ours:epochs=3/0": cell(to_50=[5, 1.0])}
    rows = BENCHMARK["table"](cells, ["a"], [0], ("ours", "ours:epochs=3", "ours:epochs=8")).split("\n")[2:]
    assert [row.split("|")[2].strip() for row in rows] == ["ours", "ours:epochs=3", "ours:epochs=8"]
    assert [row.split("|")[3].strip() for row in rows] == ["10 / 1 s (1 of 1)", "5 / 1 s (1 of 1)", ""]


def test_results_of_other_settings_are_refused(tmp_path):
    path = tmp_path / "results.json"
    assert BENCHMARK["read_cells"](path, SETTINGS) == {}
    path.write_text(json.dumps({"settings": vars(SETTINGS), "cells": {"a/ours/0": cell()}}))
    assert list(BENCHMARK["read_cells"](path, SETTINGS)) == ["a/ours/0"]
    path.write_text(json.dumps({"settings": {**vars(SETTINGS), "max_steps": 1}, "cells": {}}))
    with pytest.raises(ValueError, match="other settings"):
        BENCHMARK["read_cells"](path, SETTINGS)
