"""A record is written whole or not at all, and a damaged one is read as far as it goes."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iker_agent.cli import main
from iker_agent.vlm.errors import ReplayMiss
from iker_agent.vlm.record import Recorder, read_calls
from iker_agent.vlm.replay import Replay
from iker_agent.vlm.types import Message, Part, Reply, Request

PICTURE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def request(text: str) -> Request:
    return Request((Message("user", (Part(text), Part(image=PICTURE, image_name="marked.png"))),))


class Echo:
    """Answers with the question."""

    def complete(self, asked: Request) -> Reply:
        return Reply(f"answer to {asked.messages[0].parts[0].text}", backend="echo")


def record(folder: Path, *questions: str) -> Path:
    recorder = Recorder(Echo(), folder, {})
    for question in questions:
        recorder.complete(request(question))
    return folder / "calls.jsonl"


@pytest.fixture
def calls(tmp_path) -> Path:
    return record(tmp_path, "one", "two", "three")


def read(folder: Path) -> tuple[list[int], list[str]]:
    """Numbers of the calls that are read, and what is told."""
    faults: list[str] = []
    return [row["number"] for row in read_calls(folder, faults)], faults


def test_a_whole_record_has_no_faults(calls):
    assert read(calls.parent) == ([1, 2, 3], [])


@given(st.integers(1, 10_000))
def test_a_last_line_that_is_cut_anywhere_is_named_and_the_rest_read(tmp_path_factory, cut):
    calls = record(tmp_path_factory.mktemp("record"), "one", "two", "three")
    lines = calls.read_bytes().splitlines(keepends=True)
    left = lines[2][: 1 + cut % (len(lines[2]) - 2)]
    calls.write_bytes(b"".join([*lines[:2], left]))
    numbers, faults = read(calls.parent)
    assert numbers == [1, 2]
    assert faults == [f"line 3 of {str(calls)!r} is cut or not JSON; the rest is read"]


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_cut_line_is_told_by_the_replay_that_misses_it(calls, ending):
    calls.write_bytes(calls.read_bytes()[:-20] + ending)
    replay = Replay(calls.parent)
    assert len(replay.faults) == 1 and replay.complete(request("two")).text == "answer to two"
    with pytest.raises(ReplayMiss, match=r"no answer to this question.*\(line 3 of .* is cut"):
        replay.complete(request("three"))
    replay.complete(request("one"))
    with pytest.raises(ReplayMiss, match=r"no answers left \(line 3 of .* is cut"):
        replay.complete(request("one"))


def test_a_record_goes_on_after_a_line_that_was_cut(calls):
    calls.write_bytes(calls.read_bytes()[:-20])
    record(calls.parent, "four", "five")
    numbers, faults = read(calls.parent)
    assert numbers == [1, 2, 3, 4] and [f[:6] for f in faults] == ["line 3"]
    assert Replay(calls.parent).complete(request("five")).text == "answer to five"


def test_a_record_goes_on_where_it_ended(calls):
    record(calls.parent, "four")
    assert read(calls.parent) == ([1, 2, 3, 4], [])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"number": 7, "key": "ab', "is cut or not JSON"),
        (b"\x00" * 40, "is cut or not JSON"),
        (b"\xff\xfe", "is cut or not JSON"),
        (b"[" * 100_000, "is cut or not JSON"),
        (b"[1, 2]", "is not a recorded call"),
        (b'{"level": "info", "message": "of another program"}', "is not a recorded call"),
        (b'{"key": "a", "text_key": "b", "reply": {"text": 3}}', "is not a recorded call"),
    ],
)
def test_a_damaged_line_in_the_middle_is_named_and_the_rest_read(calls, line, words):
    lines = calls.read_bytes().splitlines(keepends=True)
    calls.write_bytes(lines[0] + line + b"\n" + b"".join(lines[1:]))
    assert read(calls.parent) == ([1, 2, 3], [f"line 2 of {str(calls)!r} {words}; the rest is read"])


def test_a_line_that_is_there_twice_is_used_once(calls):
    calls.write_bytes(calls.read_bytes() * 2)
    numbers, faults = read(calls.parent)
    assert numbers == [1, 2, 3] and [f.split(" of ")[0] for f in faults] == ["line 4", "line 5", "line 6"]
    assert all("is there twice and is used once" in f for f in faults)


def test_equal_calls_of_a_record_by_hand_are_all_used(tmp_path):
    row = {"key": "a", "text_key": "b", "reply": {"text": "x", "backend": "hand"}}
    (tmp_path / "calls.jsonl").write_text(2 * (json.dumps(row) + "\n"))
    faults: list[str] = []
    assert len(read_calls(tmp_path, faults)) == 2 and faults == []


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"),
        lambda content: content.replace(b"\n", b"\n\n"),
        lambda content: b"\n \n" + content + b"\n\n",
        lambda content: content.rstrip(b"\n"),
    ],
    ids=["mark", "CRLF", "both", "blank lines", "blank ends", "no last line break"],
)
def test_what_editors_do_to_a_file_does_not_matter(calls, change):
    calls.write_bytes(change(calls.read_bytes()))
    assert read(calls.parent) == ([1, 2, 3], [])
    record(calls.parent, "more")
    assert read(calls.parent)[0][:3] == [1, 2, 3] and len(read(calls.parent)[0]) == 4


def test_a_record_with_nothing_to_read_is_refused(calls):
    calls.write_bytes(b'{"number": 1, "key": "a')
    with pytest.raises(ValueError, match=r"line 1 of .* is cut or not JSON, and nothing else is there"):
        Replay(calls.parent)
    with calls.open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(ValueError, match=r"calls.jsonl' is larger than 256 MiB"):
        Replay(calls.parent)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["missing", "empty"])
def test_a_picture_that_is_gone_is_told_answers_are_there_and_asking_again_brings_it_back(calls, damage):
    (picture,) = (calls.parent / "images").iterdir()
    content = picture.read_bytes()
    damage(picture)
    numbers, faults = read(calls.parent)
    assert numbers == [1, 2, 3]
    assert faults == [f"1 of 1 pictures of {str(calls)!r} are missing or empty, such as {picture.stem!r}"]
    assert Replay(calls.parent, "exact").complete(request("one")).text == "answer to one"
    record(calls.parent, "one")
    assert picture.read_bytes() == content and read(calls.parent)[1] == []


@pytest.mark.parametrize("parts", [None, 3, [{"image": 3}], [{"image": "../../etc/passwd"}], ["x"], {"a": 1}])
def test_rows_of_another_form_do_not_hurt(tmp_path, parts):
    row = {"key": "a", "text_key": "b", "reply": {"text": "x", "backend": "hand"}, "request": [{"parts": parts}, 3]}
    (tmp_path / "calls.jsonl").write_text(json.dumps(row) + "\n")
    assert len(read_calls(tmp_path, [])) == 1


@pytest.fixture
def small_disk():
    """Files may grow to so many bytes; the write that goes over the limit is cut short, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_row_for_which_there_is_no_room_is_left_out_whole(calls, small_disk):
    before = calls.read_bytes()
    small_disk(len(before) + 100)
    with pytest.raises(OSError, match="the calls before are kept") as caught:
        record(calls.parent, "four")
    assert caught.value.filename == str(calls)
    assert calls.read_bytes() == before and read(calls.parent) == ([1, 2, 3], [])


def test_a_picture_for_which_there_is_no_room_is_left_out_whole(tmp_path, small_disk):
    small_disk(20)
    with pytest.raises(OSError) as caught:
        record(tmp_path, "one")
    assert caught.value.filename.endswith(".png")
    assert list((tmp_path / "images").iterdir()) == [] and not (tmp_path / "calls.jsonl").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_ends_a_question_in_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "q" / "vlm").mkdir(parents=True)
    (tmp_path / "q" / "vlm" / "calls.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr("iker_agent.records.run_folder._check_fresh", lambda path: None)  # it is taken for empty
    monkeypatch.setattr(sys, "argv", ["iker", "query", "--task", "shoe_push", "--out", str(tmp_path / "q")])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert stop.value.code == 1
    assert printed.err.strip().endswith(
        "calls.jsonl' cannot be used: No space left on device; the calls before are kept"
    )


def test_a_replay_of_a_damaged_run_says_so(tmp_path, monkeypatch, capsys):
    def iker(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["iker", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, capsys.readouterr().out

    run = tmp_path / "run"
    where = ("--task", "shoe_push", "--learner", "waypoint", "--out", str(run), "run.video=false")
    assert iker("run", *where)[0] == 0
    with (run / "vlm" / "calls.jsonl").open("a") as file:
        file.write('{"number": 3, "ke')
    shutil.rmtree(run / "vlm" / "images")
    code, printed = iker("replay", str(run), "--out", str(tmp_path / "again"))
    assert code == 0 and "2 of 2 goals are equal, bit by bit" in printed
    assert "line 3 of" in printed and "is cut or not JSON; the rest is read" in printed and "2 of 2 pictures" in printed
