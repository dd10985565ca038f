"""`iker doctor --sim NAME`: is there what a physics engine needs?"""

from __future__ import annotations

import typer

from iker_agent.commands.ending import DONE, NOT_DONE
from iker_agent.limits import check_choice
from iker_agent.plain_text import echo

ENGINES = ("isaac",)  # what needs more than a pip line


def examine_engine(name: str) -> None:
    """Print a line for everything that the engine needs; the exit code is 1 if something is missing."""
    check_choice("--sim", name, ENGINES)
    from iker_envs.physics.isaac.doctor import examine

    num_bad = 0
    for finding in examine():
        echo(str(finding))
        num_bad += not finding.fine
    echo("all is fine" if not num_bad else f"{num_bad} to mend")
    raise typer.Exit(NOT_DONE if num_bad else DONE)
