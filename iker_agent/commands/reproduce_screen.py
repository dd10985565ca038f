"""`iker reproduce TABLE`: a line for every unit of work that is done, then the table and its two files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from iker_agent.backends import make_vlm, told
from iker_agent.commands.terminal import make_console, notes
from iker_agent.records.run_folder import Folder
from iker_agent.reproduce.cells import Progress, work
from iker_agent.reproduce.settings import TABLES, ReproduceSettings
from iker_agent.reproduce.table import Table, markdown, record
from iker_agent.reproduce.tables import table_of
from iker_agent.vlm.errors import Unanswered
from iker_envs.task import load_task


def reproduce(name: str, settings: ReproduceSettings, out: Path | None) -> bool:
    """Do what is left of a table and write it; True if everything was done that could be.

    A table is written in any case, also when it is stopped. ValueError for a table that there is not.
    """
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; there are: {', '.join(TABLES)}")
    console = make_console()
    for line in told(make_vlm(replace(settings.config, task="shoe_push"), load_task("shoe_push"))):
        console.print(escape(line))
    table = table_of(name, settings)
    folder = Folder(out or Path("runs") / "reproduce")
    problem = ""
    with notes(make_console(stderr=True)):
        try:
            work(table.cells, folder.path, lambda progress: _say(console, progress))
        except Unanswered as error:
            problem = str(error)
        finally:
            _write(console, table, folder)
    if problem:
        console.print(f"[red]ended[/red]: {escape(problem)}; the same command goes on from here")
    return not problem


def _say(console: Console, progress: Progress) -> None:
    result = progress.result
    found = result.get("missing") or f"{result['successes']} of {result['trials']}"
    left = f"{progress.left_s / 60:.0f} min left" if progress.left_s >= 60 else f"{progress.left_s:.0f} s left"
    console.print(f"{progress.done} of {progress.total}, {left}: {escape(progress.unit.name)}: {escape(str(found))}")


def _write(console: Console, table: Table, folder: Folder) -> None:
    page = markdown(table, folder.path)
    path = folder.text(f"{table.name}.md", page)
    data = folder.text(f"{table.name}.json", json.dumps(record(table, folder.path), indent=1) + "\n")
    console.print(escape(page))
    console.print(f"table: {escape(str(path))}, data: {escape(str(data))}")
