"""The papers of the project agree with its code: versions, ids, bounds, the files that guides name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import iker_envs

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_citation_names_the_version_and_licence_of_the_package():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_the_history_of_ids_has_a_line_for_the_present_version_of_each():
    rows = re.findall(r"^\| `(IKER-\w+)` \| (v\d+) \|", text("CHANGELOG.md"), re.MULTILINE)
    newest = {f"{name}-{version}" for name, version in dict(rows).items()}
    assert newest == set(iker_envs.IDS)


def test_every_lower_bound_is_the_version_that_the_lowest_lane_installs():
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in text("constraints-lowest.txt").split("\n")
        if "==" in line
    )
    wanted = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    bounds = dict(m.groups() for m in (re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", r) for r in wanted) if m)
    assert len(bounds) > 20

    def numbers(version: str) -> list[int]:
        return [int(n) for n in re.findall(r"\d+", version)]

    differing = {
        name: (bound, pins.get(name.lower()))
        for name, bound in bounds.items()
        if numbers(pins.get(name.lower(), "0"))[: len(numbers(bound))] != numbers(bound)
    }
    assert differing == {}


def test_guides_name_files_that_exist():
    guides = ("README.md", "CONTRIBUTING.md", "docs/architecture.md")
    named = {path for guide in guides for path in re.findall(r"`((?:iker_\w+|tests|docs|cfg)/[\w/.-]+)`", text(guide))}
    assert len(named) > 20
    missing = [p for p in named if not re.search("NAME", p) and not (ROOT / p).exists()]
    assert missing == []


def test_the_architecture_and_the_readme_name_every_room():
    for package in ("iker_envs", "iker_agent"):
        for room in (p.parent for p in (ROOT / package).glob("*/__init__.py")):
            assert f"`{room.name}/`" in text("docs/architecture.md")
            assert f"{package}/{room.name})" in text("README.md")


def test_every_room_says_in_one_line_what_it_is_for():
    for package in ("iker_envs", "iker_agent"):
        for init in (ROOT / package).glob("*/__init__.py"):
            assert re.match(r'"""[^"\n]{20,110}\.', init.read_text(encoding="utf-8")), init
