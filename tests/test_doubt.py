"""A program's "done" is a claim: conditions judge it, the model hears what is not fulfilled, and the run goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from iker_agent.cli import main
from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.plan import make_plan
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.errors import ReplayMiss
from iker_agent.vlm.types import Reply
from tests.quiet_display import Quiet

PUSH = """
def get_interaction_data(kp):
    left = (kp["3"] - kp["4"]) / np.linalg.norm(kp["3"] - kp["4"])
    for own, partner in (("5", "1"), ("6", "2"), ("7", "3"), ("8", "4")):
        kp[own] = kp[partner] + 0.12 * left
    return "left_shoe", ["5", "6", "7", "8"], False, kp
"""
DONE = "def get_interaction_data(keypoint_coordinates):\n    return None\n"
OWN = "Make it look nice"


class Scripted:
    """A backend that gives one answer after another, and then has none left."""

    def __init__(self, *programs: str) -> None:
        self.programs = list(programs)
        self.requests = []

    def complete(self, request):
        self.requests.append(request)
        if not self.programs:
            raise ReplayMiss("the script has no answers left")
        return Reply(f"```python\n{self.programs.pop(0)}\n```", backend="scripted")


def run(folder: Path, *programs: str, settings=(), **top):
    """The record of a run, its requests and its notes."""
    config = make_config(("run.video=false", *settings), learner="waypoint", task="shoe_push", **top)
    vlm = Scripted(*programs)
    display = Quiet()
    run_task(config, Folder(folder), display, vlm)
    write_report(folder)
    return json.loads((folder / "run.json").read_text()), vlm.requests, display.notes


def test_a_wrong_done_is_told_what_is_not_fulfilled_and_the_run_goes_on(tmp_path):
    record, requests, notes = run(tmp_path, DONE, PUSH, DONE)
    assert (record["success"], record["claimed"], record["wrong_done"], record["unmet"]) == (True, True, 1, [])
    assert record["stages"][0]["answers"] == 2 and record["stages_succeeded"] == {"first_answer": 0, "repaired": 1}
    told = requests[1].messages[-1].parts[0].text
    assert "Not fulfilled: the centres of left_shoe and right_shoe are" in told and "wanted 9 to 15 cm" in told
    assert len(requests[2].messages) == 1, "the doubt does not enter the history"
    assert any(note.startswith("the program says done; not fulfilled: ") for note in notes)


@pytest.mark.parametrize(
    ("programs", "settings", "asked", "wrong", "reason"),
    [
        ((DONE, DONE), (), 2, 1, ""),
        ((DONE,), ("run.doubts=0",), 1, 0, ""),
        ((DONE, DONE, DONE), ("run.doubts=2",), 3, 2, ""),
        (
            (DONE,),
            (),
            2,
            1,
            "the program said done, was told what is not fulfilled, and the script has no answers left",
        ),
    ],
)
def test_a_done_that_stays_wrong_ends_the_run_as_not_done(tmp_path, programs, settings, asked, wrong, reason):
    record, requests, _ = run(tmp_path, *programs, settings=settings)
    assert (record["success"], record["claimed"], record["wrong_done"]) == (False, True, wrong)
    assert len(requests) == asked and record["reason"].startswith(reason) and bool(record["reason"]) == bool(reason)
    assert "the centres of left_shoe and right_shoe are" in record["unmet"][0]
    assert "The program said done, but it is not. Not fulfilled:" in (tmp_path / "report.html").read_text()


def test_the_paper_takes_a_program_by_its_word():
    assert make_config(preset="paper").run.doubts == 0


def test_where_nothing_can_tell_success_is_null_and_the_claim_is_kept(tmp_path):
    record, requests, _ = run(tmp_path, DONE, instruction=OWN)
    assert (record["success"], record["claimed"], record["criterion"], record["wrong_done"]) == (None, True, "", 0)
    assert len(requests) == 1 and json.loads((tmp_path / "outcome.json").read_text())["success"] is None
    assert "The program says done; nothing says what success is" in (tmp_path / "report.html").read_text()
    record, _, _ = run(tmp_path / "unsaid", instruction=OWN)
    assert (record["success"], record["claimed"]) == (False, False)


@pytest.mark.parametrize(
    ("success", "fulfilled"), [("left_of(left_shoe, right_shoe)", True), ("not upright(left_shoe)", False)]
)
def test_success_of_ones_own_judges_an_instruction_of_ones_own(tmp_path, success, fulfilled):
    record, _, _ = run(tmp_path, DONE, DONE, instruction=OWN, success=success)
    assert record["success"] is fulfilled and record["criterion"] == success and record["near_annotation"] is None
    assert record["wrong_done"] == (not fulfilled)
    if not fulfilled:
        assert record["unmet"] == ["left_shoe is tilted by 0 degrees, which is not wanted"]


FILES = {
    "on(left_shoe, table)\n": "on(left_shoe, table)",
    "# where\non(left_shoe, table)\n  and upright(left_shoe)\n": "on(left_shoe, table) and upright(left_shoe)",
    "- on(left_shoe, table)\n- upright(left_shoe)\n": "(on(left_shoe, table)) and (upright(left_shoe))",
    "success:\n- on(left_shoe, table)\n": "on(left_shoe, table)",
}


@pytest.mark.parametrize("content", FILES)
def test_success_may_be_a_file_whose_conditions_are_kept_with_the_run(tmp_path, content):
    path = tmp_path / "wanted.yaml"
    path.write_text(content)
    plan = make_plan(make_config(task="shoe_push", success=str(path)))
    assert plan.criterion == FILES[content]
    path.unlink()
    assert make_plan(plan.config).criterion == FILES[content]


def iker(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["iker", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return stop.value.code, out + err


@pytest.mark.parametrize(
    ("success", "told"),
    [
        ("onto(left_shoe, table)", "there is no condition 'onto', did you mean 'on'?"),
        ("on(left_sho, table)", "a of on() is 'left_sho', did you mean 'left_shoe'?"),
        ("on(left_shoe, table", "cannot be read"),
        ("beside(left_shoe, right_shoe, gap_m=near)", "gap_m of beside() is a number in metres, not 'near'"),
        ("tidy", "success 'tidy' is neither conditions such as"),
        ("nowhere/wanted.yaml", "is neither conditions such as"),
    ],
)
def test_success_that_cannot_be_is_one_sentence_before_anything_begins(tmp_path, monkeypatch, capsys, success, told):
    monkeypatch.chdir(tmp_path)
    code, said = iker(monkeypatch, capsys, "run", "--task", "shoe_push", "--success", success)
    assert code == 2 and told in said and said.strip().count("\n") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_holds_no_conditions_is_named(tmp_path, monkeypatch, capsys):
    path = tmp_path / "wanted.yaml"
    path.write_text("- on: left_shoe\n")
    code, said = iker(monkeypatch, capsys, "run", "--task", "shoe_push", "--success", str(path))
    assert code == 2 and "wanted.yaml" in said and "success is a text such as" in said


def test_the_screen_says_that_the_program_says_done_and_the_command_ends_well(tmp_path, monkeypatch, capsys):
    run(tmp_path / "before", DONE, instruction=OWN)
    cassette = ("--vlm", "replay", "--cassette", str(tmp_path / "before"), "--learner", "waypoint")
    own = ("--task", "shoe_push", "--instruction", OWN, "--out", str(tmp_path / "run"))
    code, said = iker(monkeypatch, capsys, "run", *own, *cassette, "run.video=false")
    assert code == 0 and "the program says done" in said and "task done" not in said
