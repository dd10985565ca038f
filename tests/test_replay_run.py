"""Runs with a server, their records, and the same runs again without one."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from chat_server import ChatServer, answer, completion, failure, good

from iker_agent.cli import main

KEY = "sk-test-77aa88bb99cc"
PUSH = """```python
def get_interaction_data(keypoint_coordinates):
    kp = keypoint_coordinates
    left = (kp["3"] - kp["4"]) / np.linalg.norm(kp["3"] - kp["4"])
    for own, partner in (("5", "1"), ("6", "2"), ("7", "3"), ("8", "4")):
        kp[own] = kp[partner] + 0.12 * left
    return "left_shoe", ["5", "6", "7", "8"], {grasp}, kp
```"""
DONE = "All done.\n```python\ndef get_interaction_data(k):\n    return None\n```"


def iker(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["iker", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    return stop.value.code, printed.out + printed.err


def record(path: Path) -> dict:
    return json.loads((path / "run.json").read_text())


@pytest.fixture
def no_sockets(monkeypatch):
    """Any socket at all is an error."""

    def refuse(*arguments, **options):
        raise AssertionError("a socket was opened")

    def block() -> None:
        monkeypatch.setattr(socket, "socket", refuse)

    return block


def test_a_run_with_a_server_replays_bit_equal_without_it(tmp_path, monkeypatch, capsys, no_sockets):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    run = tmp_path / "run"
    again = tmp_path / "again"
    cut = answer(completion(PUSH[:60], "length"))
    echo = good(f"The key is {KEY}, but there is no code here.")
    steps = (cut, echo, good(PUSH.format(grasp=False)), failure(503, f"busy, {KEY}", retry_after="0"), good(DONE))
    with ChatServer(*steps) as server:
        arguments = ("--vlm", "openai", "--model", "seer", "--base-url", server.url, "--learner", "waypoint")
        code, printed = iker(
            monkeypatch, capsys, "run", "--task", "shoe_push", *arguments, "--out", str(run), "run.video=false"
        )
    assert code == 0, printed
    told = record(run)
    assert told["stages"][0]["answers"] == 3 and told["stages_succeeded"] == {"first_answer": 0, "repaired": 1}
    assert [r.split(";")[0] for r in told["stages"][0]["refusals"]] == [
        "the reply was cut at the limit of 4096 tokens",
        "the reply contains no code that defines get_interaction_data",
    ]
    assert told["spent"] == {"calls": 4, "prompt_tokens": 4800, "completion_tokens": 1200, "usd": None}
    assert told["config"]["ask"]["model"] == "seer"
    for path in run.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert KEY not in printed
    monkeypatch.delenv("OPENAI_API_KEY")
    no_sockets()
    code, printed = iker(monkeypatch, capsys, "replay", str(run), "--out", str(again))
    assert code == 0 and "2 of 2 goals are equal, bit by bit" in printed, printed
    assert "worded" not in printed and "trained" not in printed
    for stage in ("stage_01", "stage_02"):
        for name in ("goal.json", "poses.json", "program.py", "prompt.md"):
            assert (run / stage / name).read_bytes() == (again / stage / name).read_bytes()
    assert (run / "outcome.json").read_bytes() == (again / "outcome.json").read_bytes()


def test_a_changed_record_is_noticed(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    arguments = ("--task", "shoe_push", "--learner", "waypoint", "--out", str(run), "run.video=false")
    assert iker(monkeypatch, capsys, "run", *arguments)[0] == 0
    goal = json.loads((run / "stage_01" / "goal.json").read_text())
    goal["target_pose"][0] += 1e-12
    (run / "stage_01" / "goal.json").write_text(json.dumps(goal, indent=2) + "\n")
    code, printed = iker(monkeypatch, capsys, "replay", str(run), "--out", str(tmp_path / "again"))
    assert code == 1 and "stage_01: another goal" in printed and "1 of 2 goals are equal" in printed


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((failure(401, "bad key"),), "does not accept the key in OPENAI_API_KEY"),
        ((failure(500, "no memory", retry_after="0"),), "status 500"),
        ((answer(completion(None, refusal="no robots")),), "declines to answer: no robots"),
        ((answer(completion("", "content_filter")),), "content filter stopped the reply"),
        ((failure(400, "this model has no vision"),), "does not take the images"),
        ((answer(completion("", "length")),), "no usable program after 2 answers: the reply was cut"),
    ],
)
def test_a_run_that_gets_no_answer_ends_in_one_sentence(tmp_path, monkeypatch, capsys, steps, words):
    with ChatServer(*steps) as server:
        arguments = ("--vlm", "openai", "--model", "seer", "--base-url", server.url, "--learner", "waypoint")
        settings = ("run.repairs=1", "run.retries=0", "run.video=false")
        out = ("--out", str(tmp_path / "run"))
        code, printed = iker(monkeypatch, capsys, "run", "--task", "shoe_push", *arguments, *out, *settings)
    told = record(tmp_path / "run")
    assert code == 1 and words in told["reason"] and words in told["stages"][0]["problem"]
    assert words.split(":")[0] in " ".join(printed.split())
    rows = (tmp_path / "run" / "vlm" / "calls.jsonl").read_text().splitlines()
    assert all("error" in json.loads(row) for row in rows)
    assert (tmp_path / "run" / "report.html").stat().st_size > 0


def test_query_asks_once_and_shows_everything(tmp_path, monkeypatch, capsys):
    with ChatServer(good(PUSH.format(grasp=False))) as server:
        arguments = ("--vlm", "openai", "--model", "seer", "--base-url", server.url, "--out", str(tmp_path / "q"))
        code, printed = iker(monkeypatch, capsys, "query", "--task", "shoe_push", *arguments)
    assert code == 0 and len(server.requests) == 1
    flat = printed.replace("\n", "")
    assert f"{tmp_path}/q/marked.png" in flat and (tmp_path / "q" / "marked.png").exists()
    for part in ("You plan the movements", "0.12 * left", "push left_shoe to x"):
        assert part in printed
    assert not list((tmp_path / "q").glob("stage_*"))


def test_query_tells_why_there_is_no_goal(tmp_path, monkeypatch, capsys):
    with ChatServer(good(PUSH.format(grasp="maybe"))) as server:
        arguments = ("--vlm", "openai", "--model", "seer", "--base-url", server.url, "--out", str(tmp_path / "q"))
        code, printed = iker(monkeypatch, capsys, "query", "--task", "shoe_push", *arguments)
    assert code == 1 and "none: no usable program after 1 answer" in printed and "NameError" in printed


def test_a_record_can_answer_a_query(tmp_path, monkeypatch, capsys):
    first = tmp_path / "first"
    second = tmp_path / "second"
    assert iker(monkeypatch, capsys, "query", "--task", "shoe_push", "--out", str(first))[0] == 0
    arguments = ("--vlm", "replay", "--cassette", str(first), "--out", str(second))
    assert iker(monkeypatch, capsys, "query", "--task", "shoe_push", *arguments)[0] == 0
    assert (first / "goal.json").read_bytes() == (second / "goal.json").read_bytes()


def test_a_folder_holds_one_query(tmp_path, monkeypatch, capsys):
    arguments = ("query", "--task", "shoe_push", "--out", str(tmp_path / "q"))
    assert iker(monkeypatch, capsys, *arguments)[0] == 0
    code, printed = iker(monkeypatch, capsys, *arguments)
    assert code == 2 and "already holds a run" in printed


def test_text_in_brackets_is_shown_as_it_is(tmp_path, monkeypatch, capsys):
    """An instruction, a server's words and a program's may all look like the screen's own markup."""
    instruction = ("--instruction", "put it [/bold] there [red]")
    with ChatServer(
        good("```python\ndef get_interaction_data(k):\n    raise ValueError('[/x] no [room]')\n```")
    ) as server:
        arguments = ("--vlm", "openai", "--model", "seer", "--base-url", server.url, "--learner", "waypoint")
        settings = ("run.repairs=1", "run.retries=0", "run.video=false", "--out", str(tmp_path / "run"))
        code, printed = iker(monkeypatch, capsys, "run", "--task", "shoe_push", *instruction, *arguments, *settings)
    assert code == 1 and "put it [/bold] there [red]" in printed and printed.count("[/x] no [room]") >= 3


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"[1]", b"{}", b'{"config": [1]}', b'{"config": {"ask": 3}}', b"[" * 100_000]
)
def test_a_broken_run_is_told(tmp_path, monkeypatch, capsys, content):
    (tmp_path / "run.json").write_bytes(content)
    code, printed = iker(monkeypatch, capsys, "replay", str(tmp_path))
    assert code == 2 and f"run.json of {str(tmp_path)!r} cannot be read" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--vlm", "openai"), "no model is named; add --model"),
        (("run", "--vlm", "replay"), "needs a record; add --cassette"),
        (("query", "--vlm", "oracle"), "vlm 'oracle' is unknown; known: annotated, openai, replay, files"),
        (("run", "run.contract=joints"), "run.contract 'joints' is unknown; known: keypoints, poses"),
        (("run", "prompt=haiku"), "prompt 'haiku' does not exist; known: auto, single_stage"),
        (("run", "prompt=poses"), "prompt 'poses' does not ask for keypoints"),
        (
            ("run", "--disturb", "flood"),
            "disturbance 'flood' does not exist; known: gap, new_instruction, snatch, too_wide",
        ),
        (("run", "--disturb", "gap", "--task", "shoe_push"), "gap plays in the task shoe_gap; leave out --task"),
        (("replay", "nowhere"), "'nowhere' is not a run folder: it has no run.json"),
        (("bench", "vlm", "--contract", "joints"), "known: keypoints, poses, both"),
        (("bench", "vlm", "--samples", "0"), "at least 1, not 0"),
        (("run", "--model", "seer"), "--model needs --vlm openai or files; annotated would not use it"),
        (("query", "--base-url", "http://127.0.0.1:9/v1", "--vlm", "replay"), "--base-url needs --vlm openai"),
        (("bench", "vlm", "--model", "seer"), "--model needs --vlm openai"),
        (("run", "--cassette", "runs/a"), "--cassette needs --vlm replay"),
        (("query", "--seed", "-1"), "seed is a whole number from 0 to 4294967295, not -1"),
        (("run", "run.repairs=-1"), "run.repairs is at least 0, not -1"),
        (("run", "run.max_stages=0"), "run.max_stages is at least 1, not 0"),
        (("run", "learn.num_envs=0"), "learn.num_envs is at least 1, not 0"),
        (("run", "perception.position_m=-1"), "perception.position_m is at least 0, not -1"),
        (("run", "--learner", "waypoint", "randomisation=nope"), "randomisation is 'on', 'off', 'all'"),
        (("run", "--instruction", "Throw the shoe into the bin"), "no human wrote programs for 'Throw the shoe"),
        (("query", "--instruction", "Throw the shoe into the bin"), "no human wrote programs for 'Throw the shoe"),
        (("query", "learn.budget_s=[1"), "setting 'learn.budget_s=[1' cannot be used"),
        (("query", "--task", "shoe_push", "--out", "/dev/null/q"), "'/dev/null/q' cannot be used: Not a directory"),
        (("query", "--task", "shoe_push", "--out", "/dev/null"), "'/dev/null' cannot be used: File exists"),
        (("replay", "/dev/null"), "'/dev/null' is not a run folder"),
        (("check", "nope"), "no task 'nope'; known:"),
    ],
)
def test_wrong_usage_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, printed = iker(monkeypatch, capsys, *arguments)
    assert code == 2 and words in printed and "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []
