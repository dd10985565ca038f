"""`iker lab`: an emulated laboratory until Ctrl-C.

The agent reaches a laboratory only over its wire, so the command becomes the laboratory's own process: signals, output
and exit code are the laboratory's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from iker_agent.commands.options import named_path
from iker_envs.task import find_task

_PROGRAM = "real_env.lab"


def lab(
    task: Annotated[str, typer.Argument(help="Task name, or path of a task YAML.")],
    clock: Annotated[float, typer.Option(help="Lab seconds in a second: 1.0, 0.5 or 0.2 on a slow machine.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the objects' places and physics.")] = 0,
    configuration: Annotated[int, typer.Option(help="Arrangement of the task, counted from 0.")] = 0,
    cameras: Annotated[bool, typer.Option(help="With RealSense cameras, or the arm alone.")] = True,
    out: Annotated[
        Path | None, typer.Option(parser=named_path, metavar="FILE", help="Where to write the robot.yaml.")
    ] = None,
) -> None:
    """An emulated laboratory: an xArm7 and cameras behind their makers' wires, on loopback, until Ctrl-C.

    Prints the robot.yaml that reaches it. For example:

        iker lab shoe_place --clock 0.5 --out lab.yaml
    """
    find_task(task)
    arguments = [task, "--clock", str(clock), "--seed", str(seed), "--configuration", str(configuration)]
    if not cameras:
        arguments.append("--no-cameras")
    if out is not None:
        arguments += ["--out", str(out)]
    _become(arguments)


def _become(arguments: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", _PROGRAM, *arguments])
