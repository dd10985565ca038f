"""The command line: options have one place, help tells all, wrong input is one sentence, pipes get plain lines."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from iker_agent.cli import app, main
from iker_agent.commands.options import ModelOptions, Out, RunOptions, spread
from iker_agent.commands.query import Query, show
from iker_agent.commands.settings import settings
from iker_agent.commands.terminal import make_console, show_code, show_table
from iker_agent.commands.train import train_defaults
from iker_agent.config import RunConfig

VERBS = ("run", "query", "replay", "train", "eval", "bench", "check", "tasks", "envs", "report")


def said(*arguments: str) -> str:
    """What a verb prints where its output is a file."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def ended(tmp_path, monkeypatch, capsys):
    """Arguments -> (exit code, standard output, standard error) of the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["iker", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capsys.readouterr())

    return call


# ------------------------------------------------------------------------ help and versions


def test_help_lists_every_verb_with_a_whole_sentence(ended):
    code, printed, _ = ended("--help")
    assert code == 0
    for verb in VERBS:
        (line,) = re.findall(rf"^  {verb} +(.*)$", printed, re.M)
        assert line.endswith((".", "?")) and "..." not in line and len(line) < 90


def test_no_verb_shows_the_help_and_is_wrong_usage(ended):
    assert ended()[:2] == (2, ended("--help")[1])
    assert "vlm" in ended("bench")[1]


def test_the_help_of_a_run_lists_every_setting_with_default_and_meaning():
    printed = said("run", "--help")
    words = " ".join(printed.split())
    for setting in settings():
        assert f" {setting.name}={setting.default} {setting.meaning}".rstrip() in words
    assert "iker run --task shoe_push --seed 3 run.retries=0 learn.budget_s=120" in words
    assert "  run.retries=2 " in said("query", "--help") and "  run.retries=2 " in said("bench", "vlm", "--help")


def test_the_help_of_a_training_has_its_own_defaults():
    printed = said("train", "--help")
    assert f"learn.num_envs={train_defaults().num_envs} " in printed and "run.retries" not in printed
    assert train_defaults().num_envs != RunConfig().learn.num_envs


def test_versions_begin_with_our_own(ended):
    code, printed, _ = ended("--version")
    lines = printed.splitlines()
    assert code == 0 and re.fullmatch(r"iker \d+\.\d+\.\d+\S*", lines[0])
    assert {line.split()[0] for line in lines} >= {"python", "mujoco", "gymnasium", "torch"}


def test_the_package_is_a_command_too(monkeypatch, capsys):
    import runpy

    monkeypatch.setattr(sys, "argv", ["iker_agent", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("iker_agent", run_name="__main__")
    assert stop.value.code == 0 and capsys.readouterr().out.startswith("iker ")


# ------------------------------------------------------------------------ options


def test_every_shared_option_reaches_the_settings():
    plain = {"task": "shoe_push", "instruction": "Push", "configuration": 3, "seed": 4, "learner": "waypoint"}
    assert RunOptions(**plain).config() == RunConfig(**plain)
    asked = RunOptions(vlm="openai", model="m", base_url="http://127.0.0.1:9/v1", overrides=["run.retries=0"]).config()
    assert (asked.vlm, asked.ask.model, asked.ask.base_url) == ("openai", "m", "http://127.0.0.1:9/v1")
    assert asked.run.retries == 0 and RunOptions(preset="paper").config().run.repairs == 0
    assert RunOptions(vlm="replay", cassette=Path("run")).config().ask.cassette == "run"


@pytest.mark.parametrize(("option", "value"), [("model", "m"), ("base_url", "http://x/v1"), ("cassette", Path("x"))])
def test_an_option_of_another_backend_is_refused(option, value):
    with pytest.raises(ValueError, match=f"--{option.replace('_', '-')} needs --vlm .*; annotated would not use it"):
        ModelOptions(**{option: value}).config()


def test_spread_makes_one_option_of_every_field():
    seen = []

    @spread
    def verb(options: ModelOptions, out: Out = None) -> None:
        seen.append((options, out))

    alone = typer.Typer()
    alone.command()(verb)
    arguments = ["--seed", "3", "--vlm", "replay", "--cassette", "a", "--out", "b", "x=1", "y=2"]
    assert CliRunner().invoke(alone, arguments).exit_code == 0
    (options, out) = seen[0]
    assert options == ModelOptions(seed=3, vlm="replay", cassette=Path("a"), overrides=["x=1", "y=2"])
    assert out == Path("b")
    printed = CliRunner().invoke(alone, ["--help"]).stdout
    for name in {f.name for f in fields(ModelOptions)} - {"overrides"}:
        assert f"--{name.replace('_', '-')}" in printed


# ------------------------------------------------------------------------ wrong input

TASK = ("--task", "shoe_push")
WRONG = (
    ("walk",),
    ("--colour",),
    *(("run", *TASK, *rest.split()) for rest in (
        "--seed many", "--seed -1", "--learner magic", "--vlm nobody", "--model m", "--vlm replay", "--preset papr",
        "--vlm replay --cassette nowhere", "--configuration 99", "--configuration -1", "--disturb gap", "--colour red",
        "nothing", "=", "learn.buget_s=3", "learn.num_envs=0", "learn.num_envs=many", "learn=3", "run.contract=songs",
        "prompt=nowhere.md", "randomisation=nowhere.yaml", "--vlm openai", "--vlm openai --model m --base-url ftp://x",
        "--out file", "--out full", "--out file/below",
    )),
    ("run", "--task", "nowhere"),
    ("run", "--task", "nowhere.yaml"),
    ("run", "--task", "broken.yaml"),
    ("run", "--task", ""),
    ("run", "--out", ""),
    ("query", "--out", ""),
    ("query", "--task", "nowhere"),
    ("query", "--instruction", "Sing"),
    ("replay",),
    ("replay", ""),
    ("replay", "nowhere"),
    ("replay", "file"),
    ("replay", "full"),
    ("report", "nowhere"),
    ("report", "file"),
    ("report", ""),
    ("train",),
    ("train", "nowhere"),
    ("train", "shoe_push", "run.retries=1"),
    ("train", "shoe_push", "--observation", "smell"),
    ("train", "shoe_push", "--randomisation", "nowhere.yaml"),
    ("train", "shoe_push", "--seed", "-1"),
    ("train", "shoe_push", "--out", ""),
    ("train", "shoe_push", "--out", "file"),
    ("train", "--resume", ""),
    ("train", "--resume", "nowhere"),
    ("train", "--resume", "full", "--seed", "1"),
    *(("eval", *rest.split()) for rest in (
        "nowhere.safetensors", "file", "--task nowhere", "--configurations 77", "--configurations some",
        "--stage-index 9", "--stage-index -1", "--num-envs 0", "--episodes 0", "--seed -1", "--observation smell",
        "--randomisation nowhere.yaml", "--json nowhere/result.json", "--json full",
    )),
    ("eval", "--json", ""),
    ("bench", "sound"),
    ("bench", "vlm", "--contract", "songs"),
    ("bench", "vlm", "--samples", "0"),
    ("bench", "vlm", "--task", "nowhere"),
    ("bench", "vlm", "--out", ""),
    ("check",),
    ("check", "nowhere"),
    ("check", ""),
    ("tasks", "nowhere"),
    ("tasks", "--sheet", "sheet.txt"),
    ("tasks", "--sheet", ""),
    ("tasks", "--sheet", "nowhere/sheet.png"),
    ("envs", "too many"),
)  # fmt: skip


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_input_is_one_sentence_and_loses_nothing(arguments, ended, tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("kept")
    (tmp_path / "broken.yaml").write_text("name: [")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, printed, told = ended(*arguments)
    assert code in (1, 2) and printed == ""
    assert re.fullmatch(r"iker: [^\n]+\n", told), told
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_broken_task_is_a_fault_of_the_check(ended, tmp_path):
    (tmp_path / "broken.yaml").write_text("name: [")
    code, printed, _ = ended("check", "broken.yaml")
    assert code == 1 and printed.startswith("fault: ") and "broken.yaml: 1 found" in printed


def test_folders_that_do_not_fit_are_told_with_the_way_out(ended, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("kept")
    assert "'full' is not empty, it holds 'note.txt'; choose another folder" in ended("run", *TASK, "--out", "full")[2]
    (tmp_path / "file").touch()
    assert "choose a folder that is empty or not there yet" in ended("run", *TASK, "--out", "file")[2]


def test_an_empty_folder_will_do(tmp_path, ended):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden").touch()
    assert ended("query", *TASK, "--out", "empty")[0] == 0 and (tmp_path / "empty" / "goal.json").exists()


# ------------------------------------------------------------------------ terminals, pipes and files


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


HEADINGS = ("name", "steps", "what it is")
ROWS = (("short", "5", "A line."), ("much_longer_name", "1,000", "A line of many words\nthat goes on over [brackets]."))


def shown(width: int, file: io.StringIO) -> str:
    console = Console(file=file, width=width, highlight=False, soft_wrap=True)
    show_table(console, HEADINGS, ROWS, title="A title", right=("steps",), wrapped=True)
    return file.getvalue()


PLAIN = """A title
name              steps  what it is
short                 5  A line.
much_longer_name  1,000  A line of many words that goes on over [brackets].
"""


def test_a_table_in_a_file_is_a_line_for_each_record():
    assert shown(20, io.StringIO()) == PLAIN == shown(200, io.StringIO())


def test_a_table_at_a_terminal_is_drawn_if_it_fits(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    wide = shown(80, Terminal())
    assert "─" in wide and "\x1b[1m" in wide
    assert shown(40, Terminal()) == PLAIN
    words = re.sub(r"\x1b\[[0-9;]*m|─", "", shown(60, Terminal())).split()
    assert sorted(words) == sorted(PLAIN.split()), "nothing is cut off, whatever is wrapped"


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert shown(80, Terminal()) == PLAIN


def test_no_colour_where_none_is_wanted(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    file = Terminal()
    show_code(Console(file=file, highlight=False, soft_wrap=True), "x = 1\n")
    assert re.findall(r"\x1b\[[0-9;]*3[0-9]", file.getvalue()) == []


CODE = "def f(x):\n    return " + " + ".join(["x"] * 100) + "  # [bold]\n"


def test_code_is_never_wrapped(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    (tmp_path / "program.py").write_text(CODE)
    show(Query(tmp_path, None, "no answer"), make_console())
    assert CODE in capsys.readouterr().out
    file = Terminal()
    show_code(Console(file=file, width=40, highlight=False, soft_wrap=True), CODE)
    assert re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()) == CODE


@pytest.mark.parametrize("verb", ["tasks", "envs"])
def test_lists_are_lines_when_piped_however_narrow(verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = said(verb).splitlines()
    (line,) = [line for line in lines if "IKER-ShoePush-v0" in line]
    assert line.endswith("Push the left shoe next to the right one so that they form a matching pair.")
    assert not any("\x1b" in line or "│" in line or "…" in line for line in lines)
