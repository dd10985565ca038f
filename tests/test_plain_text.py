"""Text of servers, models, files and users cannot reach the terminal or the report as anything but printable text."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from pathlib import Path

import pytest
from chat_server import ChatServer, answer, completion, failure, good
from hypothesis import given
from hypothesis import strategies as st

from iker_agent.cli import main
from iker_agent.commands.console import PlainConsole
from iker_agent.commands.display import Screen
from iker_agent.plain_text import clean_block, clean_line, echo
from iker_agent.records.report import write_report

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = {
    "colour": "\x1b[31mred",
    "clear": "\x1b[2J\x1b[H",
    "C1 clear": "\x9b2J",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "return": "bad\rgood",
    "backspace": "bad\b\b\bgood",
    "bell": "\a",
    "null": "a\0b",
    "override": "\u202egnp.exe\u202c",
    "isolate": "\u2066a\u2069",
    "mark": "\u200f\u061c",
    "zero width": "a\u200bb\ufeff",
    "tag": "a\U000e0041",
    "surrogate": "\ud800",
    "line separator": "a\u2028b",
    "markup": "[link=http://evil.example]click[/link] [red]",
}
EVERYTHING = " | ".join(HOSTILE.values())
OWN_STYLE = re.compile(r"\x1b\[[0-9;]*m")  # colours and weights, which only our own code can ask for
PROGRAM = """```python
def get_interaction_data(kp):
    # {comment}
    for own, partner in (("5", "1"), ("6", "2"), ("7", "3"), ("8", "4")):
        kp[own] = kp[partner] + 0.12
    return "left_shoe", ["5"], False, kp
```"""


def harmless(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in text)


@given(st.text())
def test_cleaned_text_is_printable_and_cleaning_it_again_changes_nothing(text):
    line = clean_line(text)
    block = clean_block(text)
    assert line.isprintable() and clean_line(line) == line and len(line) <= 400
    assert harmless(block) and clean_block(block) == block and len(block) == len(text)
    assert clean_block(text, 3) == block[:3]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_stays_as_it_is(text):
    assert clean_block(f"{text}\n\tä 漢 😀") == f"{text}\n\tä 漢 😀"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_console_styles_nothing_that_foreign_text_asks_for(text):
    stream = io.StringIO()
    screen = Screen(1.0)
    screen.console = PlainConsole(file=stream, force_terminal=True, width=200, color_system="truecolor")
    screen.stage(1, text)
    screen.note(text)
    assert harmless(OWN_STYLE.sub("", stream.getvalue())), repr(stream.getvalue())
    if "[link" in text:
        assert text in stream.getvalue(), "markup of others is text"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_plain_lines_are_cleaned(text, capsys):
    echo(f"fault: {text}")
    echo(text, err=True)
    printed = capsys.readouterr()
    assert harmless(printed.out + printed.err)


def calls(path: Path) -> set[str]:
    """Names of the functions that a module calls, with the name before the dot if there is one."""
    return {ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)}


def test_nothing_is_printed_but_through_the_two_ways_that_clean():
    ways = {"print", "typer.echo", "typer.secho", "click.echo", "Console", "sys.stdout.write", "sys.stderr.write"}
    used = {str(p.relative_to(ROOT)): calls(p) & ways for p in (ROOT / "iker_agent").rglob("*.py")}
    assert {name: found for name, found in used.items() if found} == {"iker_agent/plain_text.py": {"print"}}


def iker(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["iker", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    return stop.value.code, printed.out + printed.err


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (failure(400, EVERYTHING), "click"),
        (answer(completion(None, refusal=EVERYTHING)), "click"),
        (good(PROGRAM.format(comment=EVERYTHING.replace("\r", "").replace("\u2028", ""))), "0.12"),
        (good(EVERYTHING), "gnp.exe"),
        (answer({**completion(PROGRAM), "model": EVERYTHING}), "0.12"),
    ],
    ids=["error", "refusal", "program", "reply", "model name"],
)
def test_a_question_shows_what_a_hostile_server_says_as_plain_text(tmp_path, monkeypatch, capsys, step, left):
    with ChatServer(step) as server:
        where = ("--vlm", "openai", "--model", "seer", "--base-url", server.url, "--out", str(tmp_path / "q"))
        _, printed = iker(monkeypatch, capsys, "query", "--task", "shoe_push", "--instruction", EVERYTHING, *where)
    assert harmless(printed) and left in printed and f"asking seer at {server.url}" in printed


def test_a_name_of_a_file_is_shown_as_plain_text(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "a\x1b[2J\u202eb"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    _, printed = iker(monkeypatch, capsys, "report", str(folder))
    assert harmless(printed) and "[2J" in printed
    monkeypatch.setenv("IKER_TASKS", str(folder / "none\x1b[31m"))
    code, printed = iker(monkeypatch, capsys, "tasks")
    assert code == 0 and harmless(printed) and "is no folder" in printed


def test_the_report_holds_no_control_code_and_no_override(tmp_path):
    stage = tmp_path / "stage_01"
    stage.mkdir()
    record = {"folder": "stage_01", "action": EVERYTHING, "object": EVERYTHING, "problem": EVERYTHING}
    run = {"instruction": EVERYTHING, "reason": EVERYTHING, "stages": [{**record, "refusals": [EVERYTHING]}]}
    (tmp_path / "run.json").write_text(json.dumps({**run, "task": EVERYTHING}))
    content = EVERYTHING.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    for name in ("program.py", "prompt.md", "reply.md"):
        (stage / name).write_text(f'"{content}"\n# {content}\n')
    page = write_report(tmp_path).read_text("utf-8")
    assert harmless(page) and "gnp.exe" in page and "click" in page
