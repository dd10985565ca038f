"""What a frontier model answered, run again: what it did was right, and the run says so.

Its replies (tests/data/live_replies.json, in their order) come from runs on the seeds below. Only the first of the four
was reported as done then: nearness to one annotated arrangement judged the others.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.types import Reply
from tests.quiet_display import Quiet

REPLIES = json.loads((Path(__file__).parent / "data/live_replies.json").read_text(encoding="utf-8"))
PAIR_ON_THE_RACK = (
    "on(left_shoe, rack, overhang_m=0.06) and on(right_shoe, rack, overhang_m=0.06) "
    "and beside(left_shoe, right_shoe, own_side=left) and parallel(left_shoe, right_shoe)"
)
RUNS = {
    "natural_rack": {
        "seed": 21,
        "task": "shoe_rack",
        "instruction": "Please tidy up: I want my shoes neatly on the rack, and the box may stay there too.",
        "success": PAIR_ON_THE_RACK,
    },
    "too_wide": {"seed": 24, "disturb": "too_wide"},
    "new_instruction": {"seed": 24, "disturb": "new_instruction"},
    "gap": {"seed": 26, "disturb": "gap"},
}


class Told:
    """Gives one recorded reply after another."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = list(texts)

    def complete(self, request):
        return Reply(self.texts.pop(0), backend="recorded")


SLOW = ("natural_rack", "new_instruction")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in RUNS])
def test_a_recorded_run_ends_as_done_and_its_conditions_say_so(tmp_path, name):
    config = make_config(("run.video=false", "run.act_above=0"), learner="waypoint", **RUNS[name])
    vlm = Told(REPLIES[name])
    result = run_task(config, Folder(tmp_path), Quiet(), vlm)
    assert (result.success, result.done, result.wrong_done, result.unmet) == (True, True, 0, []), result.reason
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["criterion"] and record["judged_by"] == "truth" and vlm.texts == []
    if name == "gap":
        slid = record["stages"][0]
        assert slid["happened"][0]["kind"] == "moved_afterwards" and slid["happened"][0]["by"] == "somebody"
        assert slid["problem"].startswith("somebody moved left_shoe by 8 cm to the left")
