"""`iker lab`: an emulated laboratory until Ctrl-C. `iker doctor`: is a robot's cell (or an engine) fit to be used?

The agent reaches laboratory and robot only by the ids of their environments, so either command becomes a process of
their own package: signals, output and exit code are that one's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from iker_agent.commands.ending import need
from iker_agent.commands.options import named_path
from iker_agent.commands.sims import examine_engine
from iker_envs.task import find_task

_LAB = "real_env.lab"
_DOCTOR = "real_env.doctor"
_EMPTY = "none"  # the arm in empty space


def lab(
    task: Annotated[str, typer.Argument(help="Task name, path of a task YAML, or none: a bare arm.")],
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
    if task != _EMPTY:
        find_task(task)
    arguments = [task, "--clock", str(clock), "--seed", str(seed), "--configuration", str(configuration)]
    if not cameras:
        arguments.append("--no-cameras")
    if out is not None:
        arguments += ["--out", str(out)]
    _become(_LAB, arguments)


def doctor(
    real: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FILE", help="The robot.yaml of the cell, without it the one here."),
    ] = None,
    sim: Annotated[
        str,
        typer.Option(metavar="NAME", help="Instead of a cell, a physics engine: isaac (interpreter, binary, driver)."),
    ] = "",
) -> None:
    """Check a robot's cell: libraries, control box, firmware, gripper, cameras, calibration. Nothing moves.

    With --sim isaac it checks what Isaac Gym needs instead.
    """
    if sim:
        examine_engine(sim)
    need("xarm", "mink", "daqp")
    _become(_DOCTOR, [str(real or "robot.yaml")])


def _become(program: str, arguments: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", program, *arguments])
