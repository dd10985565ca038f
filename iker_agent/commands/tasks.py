"""`iker tasks` and `iker envs`: what there is to do, as a list or as a contact sheet, and under which ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from iker_agent.commands.options import named_path
from iker_agent.plain_text import echo


def tasks(
    names: Annotated[list[str] | None, typer.Argument(help="Tasks by name or path; default: all.")] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FILE", help="Write a picture of all configurations to this file."),
    ] = None,
) -> None:
    """List the tasks, also those in the folders of IKER_TASKS; --sheet FILE draws them."""
    from iker_agent.commands.terminal import make_console, show_table
    from iker_envs.task import load_task, task_names

    for warning in () if names else _warnings():
        echo(warning, err=True)
    if sheet is not None:
        _check_sheet(sheet)
    shown = []
    rows = []
    for name in names or task_names():
        try:
            task = load_task(name)
        except ValueError as error:
            if names:
                raise
            echo(f"{name}: {error}", err=True)  # one faulty file does not hide the others
            continue
        shown.append(name)
        counts = (str(len(task.configuration(0).stages)), str(len(task.configurations)))
        rows.append((Path(name).stem, task.id, *counts, task.description))
    headings = ("task", "id", "stages", "configs", "what it is")
    show_table(make_console(), headings, rows, right=("stages", "configs"), wrapped=True)
    if sheet is not None:
        _write_sheet(shown, sheet)


def envs() -> None:
    """List the environment ids, their spaces, and one line on each."""
    import iker_envs
    from iker_agent.commands.terminal import make_console, show_table
    from iker_envs.spec import Spec
    from iker_envs.task import load_task

    spec = Spec()
    spaces = (f"Box({spec.observation_dim},)", f"Box({spec.action_dim},)")
    rows = [("IKER-Stage-v0", *spaces, "Any scene and goal: gym.make(id, scene=..., goal=...).")]
    for id_, task in {**iker_envs.TASKS, **iker_envs.USER_TASKS}.items():
        try:
            rows.append((id_, *spaces, load_task(task).description))
        except ValueError as error:
            echo(f"{id_}: {error}", err=True)  # one faulty file does not hide the others
    show_table(make_console(), ("id", "observation", "action", "what it is"), rows, wrapped=True)


def _warnings() -> Iterator[str]:
    """What is wrong with the folders of tasks, one sentence each."""
    from iker_envs.task import find_task, task_folders
    from iker_envs.user_tasks import user_tasks

    _, problems = user_tasks()
    yield from problems
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
    from iker_agent.atomic import replace_file
    from iker_agent.authoring.sheet import contact_sheet

    replace_file(path, lambda file: contact_sheet(names).save(file, quality=82))
    echo(f"contact sheet: {path}")
