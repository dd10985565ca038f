"""`iker tasks`: what there is to do, as a list or as a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from iker_agent.plain_text import echo


def tasks(
    names: Annotated[list[str] | None, typer.Argument(help="Tasks by name or path; default: all.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a picture of all configurations to this file.")] = None,
) -> None:
    """List the tasks, the package's own and those in the folders of IKER_TASKS; with --sheet FILE as pictures too."""
    from rich.markup import escape
    from rich.table import Table

    from iker_agent.commands.console import PlainConsole
    from iker_envs.task import load_task, task_names

    chosen = names or task_names()
    table = Table()
    for heading in ("task", "id", "stages", "configs"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it is")
    for warning in () if names else _warnings():
        echo(warning, err=True)
    if sheet is not None:
        _check_sheet(sheet)
    shown = []
    for name in chosen:
        try:
            task = load_task(name)
        except ValueError as error:
            if names:
                raise
            echo(f"{name}: {error}", err=True)  # one faulty file does not hide the others
            continue
        shown.append(name)
        stages = len(task.configuration(0).stages)
        counts = str(stages), str(len(task.configurations))
        table.add_row(escape(Path(name).stem), escape(task.id), *counts, escape(task.description))
    PlainConsole().print(table)
    if sheet is not None:
        _write_sheet(shown, sheet)


def _warnings() -> Iterator[str]:
    """What is wrong with the folders of tasks, one sentence each."""
    from iker_envs.task import find_task, task_folders

    for folder in task_folders():
        if not folder.is_dir():
            yield f"IKER_TASKS names {str(folder)!r}, which is no folder"
        for path in sorted(folder.glob("*.yaml")):
            if path.stem != "objects" and (first := find_task(path.stem)) != path:
                yield f"{path} is not used: the name {path.stem!r} belongs to {first}; rename the file"


def _check_sheet(path: Path) -> None:
    from PIL import Image

    known = Image.registered_extensions()
    if path.suffix.lower() not in known:
        raise ValueError(f"a contact sheet is a picture, such as tasks.png or tasks.jpg, not {str(path)!r}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder of {str(path)!r} does not exist; make it first")


def _write_sheet(names: list[str], path: Path) -> None:
    from iker_agent.authoring.sheet import contact_sheet

    contact_sheet(names).save(path, quality=82)
    echo(f"contact sheet: {path}")
