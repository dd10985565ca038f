"""`iker board` and `iker calibrate`: the board to print, and from pictures of it where the cameras are.

The robot's side is reached as a process of its own, as for `iker lab`: output and exit code are that process's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from iker_agent.commands.options import named_path
from iker_agent.plain_text import echo

_PROGRAM = "real_env.calibrating"


def board(
    out: Annotated[Path, typer.Argument(parser=named_path, metavar="FILE", help="The PDF to write.")],
    page: Annotated[str, typer.Option(help="Paper: a4, letter or a3.")] = "a4",
    square_mm: Annotated[float, typer.Option(help="Side of a square, in millimetres.")] = 35.0,
    columns: Annotated[int, typer.Option(help="Squares from left to right.")] = 7,
    rows: Annotated[int, typer.Option(help="Squares from top to bottom.")] = 5,
) -> None:
    """Write the marker board that cameras are calibrated and objects scanned with, as a PDF at true scale."""
    from iker_agent.atomic import replace_file
    from iker_envs.perception.board import Board
    from iker_envs.perception.board_pdf import board_pdf

    made = Board(columns, rows, square_mm / 1000)
    content = board_pdf(made, page)
    replace_file(out, lambda file: file.write_bytes(content))
    echo(f"{out}: {made.text}; print at 100 %, measure the line, glue the page onto something flat and stiff")


def calibrate(
    folders: Annotated[
        list[Path] | None, typer.Argument(parser=named_path, help="Recordings, one folder a camera.")
    ] = None,
    file: Annotated[
        Path, typer.Option(parser=named_path, metavar="FILE", help="Calibration file to write or check.")
    ] = Path("calibration.json"),
    real: Annotated[
        Path | None, typer.Option(parser=named_path, metavar="FILE", help="robot.yaml: the arm takes the pictures.")
    ] = None,
    role: Annotated[list[str] | None, typer.Option(help="With --real: this camera alone; may be repeated.")] = None,
    wrist: Annotated[str, typer.Option(help="With --real: the camera that is on the wrist.")] = "wrist",
    recordings: Annotated[
        Path, typer.Option(parser=named_path, metavar="DIR", help="With --real: where the pictures are kept.")
    ] = Path("recordings"),
    pictures: Annotated[int | None, typer.Option(help="With --real: of each camera; by default 15 or 25.")] = None,
    board: Annotated[
        tuple[int, int, float],
        typer.Option(metavar="COLUMNS ROWS MM", help="With --real: the printed board."),
    ] = (7, 5, 35.0),
    yes: Annotated[bool, typer.Option("--yes", help="With --real: the board is there, and the arm may move.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the cameras stand where FILE says.")] = False,
) -> None:
    """Find where cameras are, from pictures of the board and the robot's poses; bad ones are named and left out.

    With --real the arm drives to the poses and takes the pictures itself, after somebody has put the board where it is
    asked for and agreed that it moves. A result that is not good enough is not saved, and says what to do. --check
    needs 4 pictures. For example:

        iker calibrate recordings/front_left recordings/wrist --file calibration.json
        iker calibrate --real robot.yaml --file calibration.json
    """
    arguments = [*map(str, folders or ()), "--file", str(file)]
    if real is not None:
        arguments += ["--real", str(real), "--wrist", wrist, "--recordings", str(recordings)]
        arguments += [word for name in role or () for word in ("--role", name)]
        arguments += ["--pictures", str(pictures)] if pictures is not None else []
        arguments += ["--board", str(board[0]), str(board[1]), str(board[2] / 1000)]
        arguments += ["--yes"] if yes else []
    if check:
        arguments.append("--check")
    if sys.stdout is not None:
        sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", _PROGRAM, *arguments])
