"""`iker bench vlm`: who is right, by how much, and with how many answers."""

from __future__ import annotations

import json
import sys

import pytest
from chat_server import ChatServer, failure, good

from iker_agent.cli import main
from iker_agent.experiments.bench_rows import BenchRow
from iker_agent.experiments.bench_tables import summarise
from iker_envs.documents import read_document, yaml_text
from iker_envs.task import find_task

PUSH = """```python
def get_interaction_data(kp):
    left = (kp["3"] - kp["4"]) / np.linalg.norm(kp["3"] - kp["4"])
    for own, partner in (("5", "1"), ("6", "2"), ("7", "3"), ("8", "4")):
        kp[own] = kp[partner] + {distance} * left
    return "left_shoe", ["5", "6", "7", "8"], False, kp
```"""
DONE = "```python\ndef get_interaction_data(k):\n    return None\n```"


def bench(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["iker", "bench", "vlm", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code, capsys.readouterr().out


def test_the_annotated_programs_are_right_in_both_contracts(tmp_path, monkeypatch, capsys):
    task = read_document(find_task("shoe_rack"))
    task["configurations"] = task["configurations"][:2]
    path = tmp_path / "shoe_rack.yaml"
    path.write_text(yaml_text(task), encoding="utf-8")
    code, printed = bench(monkeypatch, capsys, "--task", str(path), "--out", str(tmp_path / "b"))
    assert code == 0 and printed.count("right") == 16 and "wrong" not in printed
    found = json.loads((tmp_path / "b" / "results.json").read_text())
    assert [(r["contract"], r["stage"], r["right"]) for r in found["rows"]] == [
        (contract, stage, True) for contract in ("keypoints", "poses") for _ in range(2) for stage in (1, 2, 3, 4)
    ]
    assert max(r["error_m"] or 0 for r in found["rows"]) < 1e-3
    summary = found["summary"][0]
    assert (summary["task"], summary["asked"], summary["first"], summary["repaired"]) == ("shoe_rack", 8, 8, 8)
    assert summary["first_interval"][0] == pytest.approx(0.68, abs=0.01)  # Wilson's bound for 8 of 8
    assert {"version", "seed", "config_hash", "spec_hash", "model"} <= set(found)


def test_first_and_repaired_answers_are_told_apart(tmp_path, monkeypatch, capsys):
    right = PUSH.format(distance=0.12)
    off = PUSH.format(distance=0.22)
    # per arrangement: one stage, then the finished task
    steps = [*map(good, (right, DONE, "no code", right, DONE, off, right))]
    with ChatServer(*steps) as server:
        arguments = ("--vlm", "openai", "--model", "seer", "--base-url", server.url, "--contract", "keypoints")
        code, printed = bench(monkeypatch, capsys, "--task", "shoe_push", *arguments, "--out", str(tmp_path / "b"))
    assert code == 0, printed
    rows = json.loads((tmp_path / "b" / "results.json").read_text())["rows"]
    assert [(r["right"], r["answers"]) for r in rows[:5]] == [(True, 1), (True, 1), (True, 2), (True, 1), (False, 1)]
    assert (
        "22 cm apart, wanted 9 to 15 cm" in rows[4]["reason"]
        and not rows[4]["near"]
        and rows[4]["error_m"] == pytest.approx(0.1)
    )
    assert not rows[5]["right"] and "return None if the instruction is fulfilled" in rows[5]["reason"]


def test_a_server_that_fails_ends_the_benchmark_with_what_there_is(tmp_path, monkeypatch, capsys):
    with ChatServer(good(PUSH.format(distance=0.12)), failure(401, "expired")) as server:
        arguments = ("--vlm", "openai", "--model", "seer", "--base-url", server.url, "--contract", "keypoints")
        code, printed = bench(monkeypatch, capsys, "--task", "shoe_push", *arguments, "--out", str(tmp_path / "b"))
    assert code == 1 and "ended after 1 questions" in printed and "expired" in printed
    assert len(json.loads((tmp_path / "b" / "results.json").read_text())["rows"]) == 1


def test_summaries_count_by_task_and_over_all():
    rows = [
        BenchRow("a", 0, 1, 0, "keypoints", right=True, answers=1, near=False),
        BenchRow("a", 0, 2, 0, "keypoints", right=True, answers=3),
        BenchRow("b", 0, 1, 0, "keypoints", right=False, answers=1, near=True),
        BenchRow("b", 0, 1, 0, "poses", right=True, answers=1),
    ]
    assert [(s.targets, s.near) for s in summarise(rows)] == [(1, 0), (1, 1), (2, 1), (0, 0), (0, 0)]
    told = [(s.contract, s.task, s.asked, s.first, s.repaired) for s in summarise(rows)]
    assert told == [
        ("keypoints", "a", 2, 1, 2),
        ("keypoints", "b", 1, 0, 0),
        ("keypoints", "all", 3, 1, 2),
        ("poses", "b", 1, 1, 1),
        ("poses", "all", 1, 1, 1),
    ]


WRONG = [
    (("--tier", "easy"), "tier 'easy' is unknown; known: precise, natural, hard, all"),
    (("--items", "nowhere"), "no item 'nowhere'; known: "),
    (("--tier", "hard", "--task", "shoe_push"), "--task names tasks of the tier precise"),
    (("--samples", "0"), "samples is at least 1, not 0"),
    (("--contract", "both", "prompt=single_stage"), "does not ask for poses"),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG)
def test_wrong_usage_says_what_is_known_and_leaves_no_folder(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["iker", "bench", "vlm", *arguments, "--out", str(tmp_path / "b")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and told in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "b").exists()


def test_a_second_start_in_the_same_folder_asks_only_what_is_missing(tmp_path, monkeypatch, capsys):
    out = str(tmp_path / "b")
    right = good(PUSH.format(distance=0.12))
    asked = ("--vlm", "openai", "--model", "seer", "--contract", "keypoints", "--items", "shoe_push_0", "--out", out)
    with ChatServer(right, failure(401, "expired"), good(DONE)) as server:
        where = ("--base-url", server.url)
        code, printed = bench(monkeypatch, capsys, *asked, *where)
        assert code == 1 and "[1/2" in printed
        code, printed = bench(monkeypatch, capsys, *asked, *where)
        assert code == 0 and "1 of 2 answers are there already" in printed and "[2/2]" in printed
        code, printed = bench(monkeypatch, capsys, *asked, *where)
        assert code == 0 and "2 of 2 answers" in printed and len(server.requests) == 3
    found = json.loads((tmp_path / "b" / "results.json").read_text())
    assert (found["questions"], found["answered"], len(found["rows"])) == (2, 2, 2)
    monkeypatch.setattr(sys, "argv", ["iker", "bench", "vlm", *asked, *where, "--seed", "5"])
    with pytest.raises(SystemExit) as stop:
        main()
    told = " ".join(capsys.readouterr().err.split())
    assert stop.value.code == 2 and "holds a benchmark with another" in told


def test_the_shipped_record_answers_its_part_of_the_precise_tier(tmp_path, monkeypatch, capsys):
    arguments = ("--vlm", "replay", "--cassette", "first_answers", "--contract", "keypoints", "--seed", "4242")
    names = [part for k in (0, 3) for part in ("--items", f"shoe_push_{k}")]
    settings = ("ask.match=instruction", "ask.max_calls=0", "run.repairs=0")
    code, printed = bench(monkeypatch, capsys, *arguments, *names, "--out", str(tmp_path / "b"), *settings)
    assert code == 1 and "the record has no answer to 2 of 4 questions" in printed
    rows = json.loads((tmp_path / "b" / "results.json").read_text())["rows"]
    assert [(row["item"], row["stage"], row["right"]) for row in rows] == [
        ("shoe_push_0", 1, True),
        ("shoe_push_3", 1, True),
    ]
