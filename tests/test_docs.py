"""Documents tell the truth: generated pages match the code, and README's links and commands exist."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from iker_agent.commands.app import app

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("maker", ["make_environments.py", "make_settings.py", "make_tasks.py", "make_items.py"])
def test_a_generated_page_matches_code_and_data(maker):
    module = runpy.run_path(str(ROOT / "docs" / maker))
    assert module["PAGE"].read_text(encoding="utf-8") == module["page"]()


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command in a page's shell blocks and between single backticks."""
    shell = [body for kind, body in FENCED.findall(text) if kind in ("", "bash", "console", "sh")]
    said = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", text))]
    for line in [*"\n".join(shell).replace("\\\n", " ").splitlines(), *said]:
        for command in re.split(r"&&|\||;", line.removeprefix("$ ")):
            if re.match(r"\s*(iker [a-z]|python (benchmarks|docs|examples)/)", command):
                yield shlex.split(command, comments=True)


def faults(words: list[str], settings: str) -> Iterator[str]:
    """What of a command does not exist: its verb, an option, a setting, a script, or an argument of the script."""
    if words[0] == "python":
        script = ROOT / words[1]
        known = script.read_text(encoding="utf-8") if script.is_file() else ""
        yield from (word for word in words[2:] if word.startswith("--") and f'"{word}"' not in known)
        yield from (word for word in words[1:] if word.endswith(".py") and (word != words[1] or not known))
        return
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while rest and hasattr(command, "commands"):
        if rest[0] not in command.commands:
            yield rest[0]
            return
        command = command.commands[rest[0]]
        rest = rest[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    yield from (word for word in rest if word.startswith("--") and word.partition("=")[0] not in {*options, "--help"})
    named = [word.partition("=")[0] for word in rest if re.match(r"[a-z_]+\.[a-z_.]+=", word)]
    yield from (name for name in named if f"`{name}`" not in settings)


def test_every_command_of_the_documents_can_be_given():
    settings = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    given = [(page, words) for page in PAGES for words in commands(page.read_text(encoding="utf-8"))]
    assert len(given) > 100
    wrong = [f"{page.name}: {' '.join(words)}: {what}" for page, words in given for what in faults(words, settings)]
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("iker fly shoe_push", ["fly"]),
        ("iker train --tusk shoe_push learn.horizon=8 learn.haste=1", ["--tusk", "learn.haste"]),
        ("python docs/make_tasks.py --picture docs/make_environments.py", ["docs/make_environments.py"]),
        ("python benchmarks/stability.py --rests 10", ["--rests"]),
        ("python benchmarks/none.py", ["benchmarks/none.py"]),
    ],
)
def test_a_command_that_cannot_be_given_is_found(line, wrong):
    (words,) = commands(f"```bash\n{line}\n```\n")
    assert [*faults(words, (ROOT / "docs/settings.md").read_text(encoding="utf-8"))] == wrong


def anchor_of(heading: str) -> str:
    """What the site and GitHub call a heading."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()).replace(" ", "-")


def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading_in_it():
    texts = {page: FENCED.sub("", page.read_text(encoding="utf-8")) for page in PAGES}
    anchors = {
        page: {anchor_of(h) for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)} for page, text in texts.items()
    }
    links = [(page, link) for page, text in texts.items() for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [(page, *link.partition("#")[::2]) for page, link in links if not re.match("[a-z]+:", link)]
    assert len(local) > 100
    for page, name, anchor in local:
        target = (page.parent / name).resolve() if name else page
        assert target.exists() and (not anchor or anchor in anchors[target]), f"{page.name}: {name}#{anchor}"
