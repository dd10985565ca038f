"""A program may say that it cannot be done, and why: how that is read, and how a run ends on it."""

from __future__ import annotations

import json
import sys

import pytest
from program_here import run_here

from iker_agent.cli import main
from iker_agent.commands.display import _end
from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.program import extract_program
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.record import CALLS
from iker_agent.vlm.types import Reply
from tests.quiet_display import Quiet

POINTS = {str(i): (0.4 + 0.01 * i, 0.02 * i, 0.1) for i in range(1, 8)}
POSES = {"box": (0.65, 0.02, 0.1, 0.0, 0.0, 0.0), "shoe": (0.38, 0.15, 0.04, 0.0, 0.0, 0.3)}
HEADS = {
    "keypoints": ("def get_interaction_data(kp):", POINTS, "'box', ['5'], True, kp", "'', [], False, kp"),
    "poses": ("def get_final_poses(kp):", POSES, "'box', True, kp", "'', False, kp"),
}
WHY = "the box is wider than the tray"
FORMS = {
    "the contract's": f"'impossible: {WHY}'",
    "capitals": f"'IMPOSSIBLE - {WHY}.'",
    "a sentence": f"'It is impossible: {WHY}'",
    "not feasible": f"'Not feasible; {WHY}'",
    "in other words": f"'cannot be done: {WHY}'",
    "a pair": f"'impossible', '{WHY}'",
    "a list": f"['impossible', '{WHY}']",
    "a dictionary": f"{{'impossible': '{WHY}'}}",
    "a flag and a reason": f"{{'impossible': True, 'reason': '{WHY}'}}",
}


def answer(contract: str, returns: str, body: str = "pass"):
    head, rows, _, _ = HEADS[contract]
    return run_here(f"{head}\n    {body}\n    return {returns}\n", rows, contract)


@pytest.mark.parametrize("contract", HEADS)
@pytest.mark.parametrize("form", FORMS)
def test_an_answer_that_says_impossible_is_read_with_its_reason(contract, form):
    result = answer(contract, FORMS[form])
    assert (result.status, result.message) == ("impossible", WHY), result


@pytest.mark.parametrize("contract", HEADS)
def test_it_may_say_so_in_the_place_of_an_object_only_while_nothing_moves(contract):
    _, rows, _, empty = HEADS[contract]
    said = empty.replace("''", f"'impossible: {WHY}'")
    assert answer(contract, said).status == "impossible"
    first = next(iter(rows))
    moved = answer(contract, said, f"kp['{first}'][0] += 0.1")
    assert moved.status == "invalid" and "moves" in moved.message


@pytest.mark.parametrize("contract", HEADS)
@pytest.mark.parametrize("reason", ["'impossible'", "'impossible: '", "{'impossible': True}"])
def test_a_claim_without_a_reason_is_one(contract, reason):
    result = answer(contract, reason)
    assert (result.status, result.message) == ("impossible", "it gave no reason") and result.warnings


@pytest.mark.parametrize("contract", HEADS)
@pytest.mark.parametrize(
    ("returns", "status"),
    [
        ("None", "done"),
        ("'done'", "done"),
        ("'possible: yes'", "invalid"),
        ("'impossible_box'", "invalid"),
        ("{'impossible': False}", "invalid"),
        ("'mission impossible'", "invalid"),
        ("False", "invalid"),
    ],
)
def test_other_answers_are_no_such_claim(contract, returns, status):
    result = answer(contract, returns)
    assert result.status == status
    assert status != "invalid" or '"impossible: REASON"' in result.message or "possible" in result.message


def test_an_object_may_be_called_so_and_move():
    moved = answer("keypoints", "'impossible_box', ['5'], True, kp", "kp['5'] += 0.1")
    assert (moved.status, moved.object) == ("ok", "impossible_box")


def block(returns: str) -> str:
    return f"```python\ndef get_interaction_data(kp):\n    return {returns}\n```\n"


def test_of_two_programs_the_one_for_another_case_is_not_the_answer():
    move = "'shoe', ['5'], True, kp"
    reply = f"{block(move)}\nIf the shoe were out of reach, it would be:\n\n{block(repr('impossible: too far'))}"
    code, _ = extract_program(reply)
    assert code is not None and move in code
    corrected = f"{block(move)}\nWait, that is wrong: it does not fit.\n\n{block(repr('impossible: too wide'))}"
    code, _ = extract_program(corrected)
    assert code is not None and "impossible" in code


# ------------------------------------------------------------------------------- in a run


class Scripted:
    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)

    def complete(self, request):
        return Reply(self.replies.pop(0), backend="scripted")


@pytest.mark.parametrize(
    ("contract", "function"), [("keypoints", "get_interaction_data"), ("poses", "get_final_poses")]
)
def test_a_run_ends_on_it_as_not_done_and_says_why(contract, function, tmp_path):
    reply = f"```python\ndef {function}(kp):\n    return 'impossible: {WHY}'\n```"
    settings = ("run.video=false", f"run.contract={contract}")
    config = make_config(settings, learner="waypoint", task="shoe_push")
    result = run_task(config, Folder(tmp_path), Quiet(), Scripted("no code at all", reply))
    said = f"the program says that it cannot be done: {WHY}"
    assert result.success is False and not result.done and result.reason == said
    assert _end(result) == f"task not done: {said}"
    stage = json.loads((tmp_path / "run.json").read_text())["stages"][0]
    assert (stage["failed"], stage["problem"], stage["answers"]) == ("impossible", said, 2)
    assert json.loads((tmp_path / "stage_01" / "goal.json").read_text()) == {"impossible": WHY}
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Said impossible" in page and WHY in page and "cannot be read" not in page
    assert "the answer to this look was that the instruction cannot be fulfilled" in page


def iker(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["iker", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code, capsys.readouterr().out


def test_the_commands_show_the_reason_and_a_run_with_it_replays(tmp_path, monkeypatch, capsys):
    text = f"```python\ndef get_interaction_data(kp):\n    return 'impossible: {WHY}'\n```"
    row = {"number": 1, "key": "k", "text_key": "t", "reply": Reply(text, backend="openai").to_dict()}
    (tmp_path / CALLS).write_text(json.dumps(row) + "\n", encoding="utf-8")
    arguments = ("--task", "shoe_push", "--vlm", "replay", "--cassette", str(tmp_path), "ask.match=order")
    code, printed = iker(monkeypatch, capsys, "query", *arguments, "--out", str(tmp_path / "q"))
    assert code == 0 and f"impossible: {WHY}" in printed
    run = str(tmp_path / "run")
    code, printed = iker(
        monkeypatch, capsys, "run", *arguments, "--learner", "waypoint", "run.video=false", "--out", run
    )
    assert code == 1 and f"the program says that it cannot be done: {WHY}" in printed
    code, printed = iker(monkeypatch, capsys, "replay", run, "--out", str(tmp_path / "again"))
    assert code == 0 and "1 of 1 goals are equal" in printed
