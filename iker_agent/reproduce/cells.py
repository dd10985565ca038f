"""A table is cells, a cell is units of work; a unit that was done is a file, so that a run goes on where it ended.

cells  ->  work(cells, folder, report)  ->  folder/rows/KEY.json          cells, folder  ->  counts(cell)  ->  Count

A unit's file holds the conditions that it was run under: under other ones it is run again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iker_agent.atomic import replace_file
from iker_agent.learning.evaluate import wilson
from iker_agent.learning.provenance import fingerprint

Result = dict[str, Any]  # "trials", "successes" (one number for each column that the unit feeds); or "missing"


@dataclass(frozen=True)
class Unit:
    """A piece of work that is done or not: its name, all that its result depends on, and what does it."""

    name: str
    conditions: dict[str, Any]
    run: Callable[[], Result]

    @property
    def key(self) -> str:
        """Its file's name."""
        return re.sub(r"\W+", "_", self.name)


@dataclass(frozen=True)
class Cell:
    """One cell: where it stands, the paper's figure, its units and which number of theirs is its, or why none is."""

    row: str
    column: str
    units: tuple[Unit, ...] = ()
    index: int = 0
    paper: float | None = None
    empty: str = ""


@dataclass(frozen=True)
class Count:
    """Successes among trials; `missing` says what else there should have been."""

    successes: int
    trials: int
    missing: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """The share, of at least one trial."""
        return self.successes / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        return wilson(self.successes, self.trials)


@dataclass(frozen=True)
class Progress:
    """A unit is done: which, its result, how many of all, seconds that the rest is likely to take."""

    unit: Unit
    result: Result
    done: int
    total: int
    left_s: float


def work(cells: Sequence[Cell], folder: Path, report: Callable[[Progress], None] = lambda _: None) -> None:
    """Do every unit that was not done under its conditions; each is written whole when it ends."""
    units = list({unit.key: unit for cell in cells for unit in cell.units}.values())
    left = [unit for unit in units if stored(folder, unit) is None]
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    for number, unit in enumerate(left, start=1):
        result = unit.run()
        row = {"unit": unit.name, "conditions": unit.conditions, "result": result}
        _write(_path(folder, unit), json.dumps(row, indent=1) + "\n")
        each_s = (time.monotonic() - began_s) / number
        done = len(units) - len(left) + number
        report(Progress(unit, result, done, len(units), each_s * (len(left) - number)))


def stored(folder: Path, unit: Unit) -> Result | None:
    """The result of a unit that was done under its conditions, else None."""
    path = _path(folder, unit)
    if not path.is_file():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # somebody else's file
        return None
    if not isinstance(row, dict) or fingerprint(row.get("conditions")) != fingerprint(unit.conditions):
        return None
    result: Result | None = row.get("result")
    return result


def count(cell: Cell, folder: Path) -> Count:
    """What a cell's units, as far as they are done, come to."""
    found = [stored(folder, unit) for unit in cell.units]
    done = [r for r in found if r is not None and "missing" not in r]
    missing = [r["missing"] for r in found if r is not None and "missing" in r]
    missing += ["not run yet"] * found.count(None)
    successes = sum(r["successes"][cell.index] for r in done)
    return Count(successes, sum(r["trials"] for r in done), tuple(missing))


def _write(path: Path, text: str) -> None:
    replace_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def _path(folder: Path, unit: Unit) -> Path:
    return folder / "rows" / f"{unit.key}.json"
