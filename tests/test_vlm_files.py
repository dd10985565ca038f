"""Answers by files: what lies in the box, when a reply is read, what comes of none; processes that answer."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iker_agent.backends import asking, make_vlm
from iker_agent.config import make_config
from iker_agent.vlm import files
from iker_agent.vlm.budget import Budget
from iker_agent.vlm.errors import BudgetSpent, VLMConfigurationError, VLMTruncated, VLMUnavailable
from iker_agent.vlm.files import MAX_REPLY_BYTES, FileBox
from iker_agent.vlm.record import Recorder
from iker_agent.vlm.replay import Replay
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Message, Part, Request
from iker_envs.task import load_task

ROOT = Path(__file__).resolve().parents[1]
PICTURES = [np.full((4, 6, 3), shade, np.uint8) for shade in (10, 200)]
PARTS = (Part("The rules."), Part(image=PICTURES[0], image_name="../stage_01/marked.png"), Part("## Now\n\nPush it."))
REQUEST = Request(
    (Message("user", (*PARTS, Part(image=PICTURES[1], image_name="marked.png"))),),
    {"keypoints": {"1": np.zeros(3)}, "instruction": "Push it."},
)
ANSWER = "Here.\n\n```python\npass\n```\n"
STATE = '{"process": 7, "host": "lab\\u001b[2J", "since": "noon"}'
GUARD_S = 120  # a process that hangs fails its test instead of stopping all of them


def settings(box: Path, **changed) -> AskSettings:
    return AskSettings(**{"box": str(box), "settle_s": 0.0, "wait_s": 20.0, **changed})


def answering(box: Path, write: Callable[[Path], None], number: int = 1) -> threading.Thread:
    """Somebody who waits for a request and does something in its folder."""

    def work():
        place = box / f"{number:03d}"
        while not place.is_dir():
            time.sleep(0.005)
        write(place)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def put(text: str, name: str = "reply.md") -> Callable[[Path], None]:
    def write(place: Path) -> None:
        (place / ".draft").write_text(text, encoding="utf-8")
        (place / ".draft").rename(place / name)

    return write


def test_a_request_is_there_for_people_and_for_programs_and_its_reply_is_read(tmp_path):
    box = tmp_path / "deep" / "box"
    seen = {}

    def write(place):
        seen["files"] = sorted(p.name for p in place.iterdir())
        seen["request"] = json.loads((place / "request.json").read_text())
        put(ANSWER)(place)

    answering(box, write)
    reply = FileBox(settings(box, model="a colleague")).complete(REQUEST)
    assert (reply.text, reply.backend, reply.model) == (ANSWER, "files", "a colleague")
    assert seen["files"] == ["image_1.png", "image_2.png", "request.json", "request.md"]
    assert seen["request"]["messages"] == [
        {
            "role": "user",
            "parts": [
                {"text": "The rules."},
                {"image": "image_1.png"},
                {"text": "## Now\n\nPush it."},
                {"image": "image_2.png"},
            ],
        }
    ]
    for number, picture in enumerate(PICTURES, start=1):
        assert (np.asarray(Image.open(box / f"001/image_{number}.png")) == picture).all()
    shown = (box / "001/request.md").read_text()
    assert "The rules." in shown and "![image_2.png](image_2.png)" in shown and "stage_01" not in shown
    assert "keypoints" not in (box / "001/request.json").read_text(), "what only this machine knows stays here"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("\ufeffCafé\r\n", "Café\r\n"),
        ("no code at all", "no code at all"),
        (b"a \xff byte".decode("latin-1"), "a ÿ byte"),
        ("```python\nx = 1\n", "```python\nx = 1\n"),  # cut, but nothing more comes
    ],
)
def test_what_people_save_is_read_as_it_is(tmp_path, text, read):
    answering(tmp_path / "box", put(text))
    assert FileBox(settings(tmp_path / "box")).complete(REQUEST).text == read


def test_bytes_that_are_no_text_do_not_end_the_run(tmp_path):
    answering(tmp_path / "box", lambda place: (place / "reply.md").write_bytes(b"x \xff y"))
    assert FileBox(settings(tmp_path / "box")).complete(REQUEST).text == "x � y"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_text_of_any_editor_is_read(tmp_path, encoding):
    answering(tmp_path / "box", lambda place: (place / "reply.md").write_bytes("Café".encode(encoding)))
    assert FileBox(settings(tmp_path / "box", settle_s=0.2)).complete(REQUEST).text == "Café"


@pytest.mark.parametrize("name", ["002", "002/reply.md"])
def test_an_answer_that_was_there_before_its_question_is_not_taken(tmp_path, name):
    box = tmp_path / "box"
    answering(box, put("first"))
    vlm = FileBox(settings(box))
    vlm.complete(REQUEST)
    (box / name).parent.mkdir(exist_ok=True)
    (box / name).write_text("the answer to something else")
    with pytest.raises(VLMConfigurationError, match="002' was there before its question"):
        vlm.complete(REQUEST)


def slowly(*pieces: str, pause_s: float) -> Callable[[Path], None]:
    """An editor or a program that writes in place, piece by piece."""

    def write(place: Path) -> None:
        with (place / "reply.md").open("a", encoding="utf-8") as file:
            for piece in pieces:
                file.write(piece)
                file.flush()
                time.sleep(pause_s)

    return write


def emptied_first(place: Path) -> None:
    """An editor that truncates, waits, and writes."""
    (place / "reply.md").write_text("")
    time.sleep(0.8)
    (place / "reply.md").write_text(ANSWER)


def beside_it(place: Path) -> None:
    """Drafts and a folder of that name are no reply."""
    for name in ("reply.md~", ".reply.md.swp", "reply.part", "reply.txt"):
        (place / name).write_text("a draft")
    (place / "reply.md").mkdir()
    time.sleep(0.8)
    (place / "reply.md").rmdir()
    put(ANSWER)(place)


@pytest.mark.parametrize(
    "write",
    [
        slowly("", *ANSWER, pause_s=0.01),
        slowly(ANSWER[:20], ANSWER[20:], pause_s=0.8),  # in the middle of a block: more is waited for
        slowly(" \n", ANSWER.lstrip(), pause_s=0.8),
        emptied_first,
        beside_it,
    ],
    ids=["letter by letter", "half a block", "blank first", "emptied first", "drafts"],
)
def test_a_reply_that_is_empty_or_half_written_is_not_read(tmp_path, write):
    answering(tmp_path / "box", write)
    text = FileBox(settings(tmp_path / "box", settle_s=0.5)).complete(REQUEST).text
    assert text.strip() == ANSWER.strip()


def test_an_answer_counts_once(tmp_path):
    box = tmp_path / "box"
    vlm = FileBox(settings(box))
    answering(box, put("first"))
    assert vlm.complete(REQUEST).text == "first"
    (box / "001/reply.md").write_text("changed my mind")
    answering(box, put("second"), number=2)
    assert vlm.complete(REQUEST.followed_by("first", "Your answer cannot be used: no.")).text == "second"
    assert [m["role"] for m in json.loads((box / "002/request.json").read_text())["messages"]] == [
        "user",
        "assistant",
        "user",
    ]


@pytest.mark.parametrize(
    ("write", "changed", "error", "says"),
    [
        (lambda place: None, {"wait_s": 0.2}, VLMUnavailable, r"was not written within 0\.2 s, see ask\.wait_s"),
        (put("x", "Reply.md.txt"), {"wait_s": 0.4}, VLMUnavailable, r"there is Reply\.md\.txt, which is no file reply"),
        (put(" \n"), {"wait_s": 0.4}, VLMUnavailable, r"holds no finished answer within 0\.4 s"),
        (put("x" * (MAX_REPLY_BYTES + 1)), {}, VLMTruncated, r"has 4,194,305 bytes, and 4,194,304 are read"),
        (lambda place: place.rename(place.with_name("elsewhere")), {}, VLMUnavailable, "was removed before it was"),
    ],
    ids=["none", "another name", "blank", "too large", "removed"],
)  # fmt: skip
def test_why_there_is_no_answer_is_one_sentence(tmp_path, write, changed, error, says):
    answering(tmp_path / "box", write)
    with pytest.raises(error, match=says):
        FileBox(settings(tmp_path / "box", **changed)).complete(REQUEST)
    left = tmp_path / "box/001"
    assert not left.exists() or "No answer is needed any more" in (left / "withdrawn.md").read_text()


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"box.json": STATE, "001/reply.md": "old"}, "is the box of process 7 on lab"),
        ({"box.json": "{"}, "is the box of another run"),
        ({"001/reply.md": "old"}, "is not empty, it holds '001'"),
        ({"notes.txt": "mine"}, r"is not empty, it holds 'notes\.txt'; a box is an empty or a new folder"),
    ],
    ids=["earlier run", "broken state", "replies only", "somebody's folder"],
)  # fmt: skip
def test_a_folder_that_is_no_fresh_box_is_refused_and_stays_as_it_is(tmp_path, held, says):
    for name, text in held.items():
        (tmp_path / "box" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "box" / name).write_text(text)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=says) as refusal:
        FileBox(settings(tmp_path / "box"))
    assert sorted(tmp_path.rglob("*")) == before and "\x1b" not in str(refusal.value)


def test_a_file_is_no_box_and_a_box_is_needed(tmp_path):
    (tmp_path / "box").touch()
    task = load_task("shoe_push")
    with pytest.raises(ValueError, match="is a file; a box is a folder that is empty or not there yet"):
        FileBox(settings(tmp_path / "box"))
    with pytest.raises(ValueError, match="add --box FOLDER"):
        make_vlm(make_config(vlm="files"), task)
    with pytest.raises(ValueError, match=r"knows of no tokens; bound it by ask\.max_calls"):
        make_vlm(make_config(vlm="files", ask={"box": str(tmp_path / "b"), "max_total_tokens": 5}), task)


def test_of_two_runs_with_one_box_the_second_is_told_whose_it_is(tmp_path):
    first, second = (FileBox(settings(tmp_path / "box")) for _ in range(2))
    answering(tmp_path / "box", put(ANSWER))
    first.complete(REQUEST)
    with pytest.raises(VLMConfigurationError, match=f"is the box of process {os.getpid()} on .*; choose another"):
        second.complete(REQUEST)
    assert not (tmp_path / "box/002").exists()


def test_who_answers_can_see_when_nothing_more_is_asked(tmp_path):
    box = tmp_path / "box"
    answering(box, put(ANSWER))
    with asking(FileBox(settings(box))) as vlm:
        vlm.complete(REQUEST)
        assert json.loads((box / "box.json").read_text())["open"] is True
    assert json.loads((box / "box.json").read_text())["open"] is False
    with asking(FileBox(settings(tmp_path / "unused"))):
        pass
    assert not any((tmp_path / "unused").iterdir()), "a box in which nothing was asked can be used again"


def test_calls_are_bounded_recorded_and_replayed_like_those_of_other_backends(tmp_path):
    inner = Budget(FileBox(settings(tmp_path / "box", max_calls=1)), AskSettings(max_calls=1))
    recorder = Recorder(inner, tmp_path / "vlm", {"backend": "files"})
    answering(tmp_path / "box", put(ANSWER))
    recorder.complete(REQUEST)
    with pytest.raises(BudgetSpent, match="1 calls"):
        recorder.complete(REQUEST)
    replay = Replay(tmp_path / "vlm", "exact")
    assert replay.complete(REQUEST).text == ANSWER
    with pytest.raises(BudgetSpent):
        replay.complete(REQUEST)


# Real processes

ANSWERS = """
from iker_envs.task import load_task

program = load_task("shoe_push").configuration(0).stages[0].programs["keypoints"]
done = "def get_interaction_data(keypoint_coordinates):\\n    return None\\n"
answers = iter(["I do not know.", f"```python\\n{program}\\n```", f"```python\\n{done}\\n```"])


def answer(messages, folder):
    images = [part["image"] for message in messages for part in message["parts"] if "image" in part]
    assert images and all((folder / name).is_file() for name in images), images
    return next(answers)
"""
RUN = ("--learner", "waypoint", "run.video=false", "run.retries=0", "ask.settle_s=0")


def environment(*places: Path) -> dict[str, str]:
    path = os.pathsep.join(map(str, (*places, ROOT)))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def begun(folder: Path, *command: str) -> subprocess.Popen:
    pipe = subprocess.PIPE
    path = environment(folder)
    return subprocess.Popen((sys.executable, *command), cwd=folder, env=path, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    try:
        printed, told = process.communicate(timeout=GUARD_S)
    finally:
        process.kill()
    return process.returncode, printed, told


def test_the_program_of_the_documentation_answers_a_whole_run(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/vlm.md").read_text(encoding="utf-8"), re.M | re.S)
    (program,) = [block for block in blocks if "reply.part" in block]
    (tmp_path / "answering.py").write_text(program)
    (tmp_path / "my_model.py").write_text(ANSWERS)
    other = begun(tmp_path, "answering.py", "box_001")
    code, printed, told = ended(begun(tmp_path, "-m", "iker_agent", "talk", "shoe_push", *RUN))
    assert (code, told) == (0, ""), (printed, told)
    assert "write    box_001/001/reply.md, your answer with a program" in printed
    assert "question 2: the last answer was not accepted" in printed and "task done" in printed
    assert ended(other) == (0, "", ""), "it saw that the run has ended"
    record = json.loads(next(tmp_path.glob("runs/*/run.json")).read_text())
    assert record["config"]["vlm"] == "files" and len(list(tmp_path.glob("box_001/0*"))) == 3


@pytest.mark.parametrize("moment", ["state", "written", "laid", "told", "waiting"])
def test_an_interruption_at_any_moment_leaves_no_question_open(tmp_path, monkeypatch, moment):
    names = {"state": "replace_file", "written": "_write_request", "laid": "_lay", "told": "_gist", "waiting": "_read"}
    original = getattr(files, names[moment])

    def interrupted(*arguments):
        original(*arguments)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(files, names[moment], interrupted)
    box = FileBox(settings(tmp_path / "box"))
    answering(box.folder, put(ANSWER))
    with pytest.raises(KeyboardInterrupt):
        box.complete(REQUEST)
    box.close()
    assert json.loads((box.folder / "box.json").read_text())["open"] is False
    assert not list(box.folder.glob(".*"))
    asked = [p for p in box.folder.iterdir() if p.is_dir()]
    assert [p.name for p in asked] == ([] if moment in ("state", "written") else ["001"])
    assert all("the run was interrupted" in (p / "withdrawn.md").read_text() for p in asked)


@pytest.mark.skipif(os.name != "posix", reason="signals, the POSIX way")
def test_an_interrupted_talk_withdraws_its_question_and_closes_its_box(tmp_path):
    process = begun(tmp_path, "-m", "iker_agent", "talk", "shoe_push", *RUN)
    give_up = time.monotonic() + GUARD_S
    while not (tmp_path / "box_001/001").is_dir():
        assert process.poll() is None and time.monotonic() < give_up, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    code, _, told = ended(process)
    assert code == -signal.SIGINT and "Traceback" not in told and told.splitlines()[-1] == "iker: interrupted"
    assert "the run was interrupted" in (tmp_path / "box_001/001/withdrawn.md").read_text()
    assert json.loads((tmp_path / "box_001/box.json").read_text())["open"] is False


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("shoe_push", "--vlm", "openai"), "iker talk asks by files; --vlm openai is for iker run"),
        (("shoe_push", "book_push"), "iker talk takes one task, not shoe_push, book_push"),
        (("shoe_push", "--task", "book_push"), "iker talk takes one task, not shoe_push, book_push"),
        (("shoe_pusch",), "shoe_pusch"),
        (("shoe_push", "--cassette", "runs/a"), "--cassette needs --vlm replay; files would not use it"),
        (("shoe_push", "ask.wait_s=0"), "ask.wait_s must be positive, not 0.0"),
        (("shoe_push", "ask.settle_s=-1"), "ask.settle_s cannot be negative"),
        (("shoe_push", "--success", "pair(left_shoe)"), "there is no condition 'pair'"),
    ],
)
def test_a_talk_that_cannot_begin_says_why_and_leaves_nothing(tmp_path, monkeypatch, capsys, words, says):
    from iker_agent.commands.app import call

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(says)):
        call(("talk", *words))
    assert not any(tmp_path.iterdir()) and "You write" not in capsys.readouterr().out
