"""A table as Markdown for people and as JSON for programs: rates with intervals, the paper's figure, what is empty.

Table(name, title, cells, ...), folder  ->  markdown(...), record(...)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iker_agent.learning.provenance import fingerprint, versions
from iker_agent.reproduce.cells import Cell, Count, count


@dataclass(frozen=True)
class Table:
    """A table of the paper: its name in commands, its title, the heading of its rows, cells, and words below it."""

    name: str
    title: str
    heading: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    command: str
    facts: dict[str, Any]  # where the numbers come from


def markdown(table: Table, folder: Path) -> str:
    """The page."""
    columns = list(dict.fromkeys(cell.column for cell in table.cells))
    rows = list(dict.fromkeys(cell.row for cell in table.cells))
    by_place = {(cell.row, cell.column): cell for cell in table.cells}
    counts = {place: count(cell, folder) for place, cell in by_place.items()}
    lines = [f"# {table.title}", "", f"Written by `{table.command}`. Success by Wilson's 95 % interval, n trials.", ""]
    lines += [f"| {table.heading} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = [_text(by_place.get((row, c)), counts.get((row, c))) for c in columns]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines += ["", *[line for note in table.notes for line in (note, "")]]
    if empty := _empty(by_place, counts):
        lines += ["## What is empty, and why", "", *empty, ""]
    lines += ["## Where the numbers come from", "", *_facts({**table.facts, "versions": versions()}), ""]
    return "\n".join(lines)


def record(table: Table, folder: Path) -> dict[str, Any]:
    """The same as JSON data, every unit's result with it."""
    cells = []
    for cell in table.cells:
        found = count(cell, folder)
        numbers: dict[str, Any] = {"row": cell.row, "column": cell.column, "paper": cell.paper}
        numbers |= {"successes": found.successes, "trials": found.trials, "units": [u.name for u in cell.units]}
        if found.trials:
            numbers |= {"rate": found.rate, "interval": list(found.interval)}
        cells.append({**numbers, "empty": cell.empty, "missing": list(found.missing)})
    return {
        "table": table.name,
        "command": table.command,
        "facts": table.facts,
        "facts_hash": fingerprint(table.facts),
        "versions": versions(),
        "cells": cells,
    }


def _text(cell: Cell | None, found: Count | None) -> str:
    if cell is None or found is None:
        return ""
    paper = "" if cell.paper is None else f"paper {cell.paper:g}"
    if not found.trials:
        return f"empty; {paper}" if paper else "empty"
    low, high = found.interval
    ours = f"{found.rate:.3f} [{low:.2f}, {high:.2f}], n {found.trials}"
    return f"{ours}; {paper}" if paper else ours


def _empty(cells: dict[tuple[str, str], Cell], counts: dict[tuple[str, str], Count]) -> list[str]:
    """One line for every reason: which cells, how many units."""
    reasons: dict[str, list[str]] = {}
    for place, cell in cells.items():
        found = Counter(counts[place].missing)
        if cell.empty:
            reasons.setdefault(cell.empty, []).append(", ".join(place))
        for reason, number in found.items():
            part = f"{', '.join(place)} ({number} of {len(cell.units)} configurations)"
            reasons.setdefault(reason, []).append(part)
    return [f"- {'; '.join(places)}: {reason}." for reason, places in reasons.items()]


def _facts(facts: dict[str, Any]) -> list[str]:
    lines = ["| what | value |", "|---|---|"]
    for name, value in facts.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items() if v) if isinstance(value, dict) else value
        lines.append(f"| {name} | {shown} |")
    return lines
