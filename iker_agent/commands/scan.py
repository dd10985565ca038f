"""`iker scan`: an RGB-D recording of an object on the marker board, or a camera live, becomes an object for tasks.

A folder of pictures, an .npz or a pair of videos is read here; a camera, and what its own library has recorded, by the
robot's side, a process of its own that leaves a folder of pictures.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iker_agent.commands.options import named_path
from iker_agent.plain_text import echo

if TYPE_CHECKING:
    from iker_envs.perception.scan_folder import ScanPictures

_PROGRAM = "real_env.scanning"
_OF_THE_CAMERA = (".bag", ".db3")


def scan(
    name: Annotated[str, typer.Option(help="What the object is called in tasks.")],
    source: Annotated[
        Path | None,
        typer.Argument(parser=named_path, metavar="[VIDEO]", help="Recording: .bag, .db3, .npz, a video, or a folder."),
    ] = None,
    camera: Annotated[str | None, typer.Option(metavar="SERIAL", help="Record this RealSense camera now.")] = None,
    seconds: Annotated[float, typer.Option(help="How long the camera is recorded.")] = 30.0,
    lab: Annotated[bool, typer.Option("--lab", help="The camera is one of an emulated laboratory.")] = False,
    board: Annotated[
        tuple[int, int, float], typer.Option(metavar="COLUMNS ROWS MM", help="Board of a .bag, .db3 or camera.")
    ] = (11, 8, 35.0),
    out: Annotated[
        Path, typer.Option(parser=named_path, metavar="DIR", help="Folder whose objects.yaml gets the entry.")
    ] = Path(),
    mass_kg: Annotated[float | None, typer.Option(help="Weighed mass; without it, a guess from the volume.")] = None,
    friction: Annotated[float, typer.Option(help="Of its surface.")] = 0.6,
    front_deg: Annotated[
        float, typer.Option(help="Where its front points, counter-clockwise from the board's right edge.")
    ] = 0.0,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an object of this name.")] = False,
) -> None:
    """Scan an object: a watertight mesh at true scale, its convex parts, keypoints, a guess of its mass, an entry.

    Put it into the middle of the board (iker board), its front towards the right edge, and go once around it. Writes
    NAME.ply with colours, NAME.obj for physics, NAME.jpg (look at it) and the entry in objects.yaml, which every task
    beside it accepts. A camera's pictures stay in NAME_scan. For example:

        iker scan recordings/mug.db3 --name mug --out my_tasks --mass-kg 0.35
        iker scan --camera 141722071426 --name mug --out my_tasks
    """
    if (source is None) == (camera is None):
        raise typer.BadParameter("name either a recording or a --camera")
    with ExitStack() as room:
        pictures = _pictures(room, source, camera, seconds, lab, board, out / f"{name}_scan", replace)
        _make(pictures, name, out, mass_kg, friction, front_deg, replace=replace)


def _pictures(
    room: ExitStack,
    source: Path | None,
    camera: str | None,
    seconds: float,
    lab: bool,
    board: tuple[int, int, float],
    kept: Path,
    replace: bool,
) -> ScanPictures:
    """The pictures of whatever was named, in a folder that lasts as long as `room`, or stays."""
    from iker_agent.authoring.scan_video import ARRAYS, VIDEOS, unpack_video
    from iker_envs.perception.scan_folder import FILE, load_scan

    shape = ["--board", str(board[0]), str(board[1]), str(board[2] / 1000)]
    if camera is not None:
        if (kept / FILE).exists() and not replace:
            raise ValueError(f"{kept} holds a recording already: iker scan {kept}, another --name, or --replace")
        where = ["--camera", camera, "--seconds", str(seconds), *(["--lab"] if lab else [])]
        _robot_side([*where, *shape, "--out", str(kept)])
        return load_scan(kept)
    assert source is not None
    kind = source.suffix.lower()
    if source.is_dir() or kind not in (*_OF_THE_CAMERA, *VIDEOS, ARRAYS):
        if not source.is_dir():
            known = ", ".join((*_OF_THE_CAMERA, ARRAYS, *VIDEOS))
            raise ValueError(f"{source} is no recording: a folder with {FILE}, or a file {known}")
        return load_scan(source)
    if not source.is_file():
        raise ValueError(f"there is no recording {source}")
    folder = Path(room.enter_context(tempfile.TemporaryDirectory(prefix="iker-scan-")))
    if kind in _OF_THE_CAMERA:
        _robot_side([str(source), *shape, "--out", str(folder)])
        return load_scan(folder)
    return unpack_video(source, folder)


def _robot_side(arguments: list[str]) -> None:
    """Run the robot's side; it hears Ctrl-C and ends the recording, this process waits for it. Exits as it does."""
    sys.stdout.flush()
    before = signal.getsignal(signal.SIGINT)
    process = subprocess.Popen([sys.executable, "-m", _PROGRAM, *arguments])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        process.kill()
    if code:
        raise typer.Exit(code)


def _make(
    pictures: ScanPictures,
    name: str,
    out: Path,
    mass_kg: float | None,
    friction: float,
    front_deg: float,
    *,
    replace: bool,
) -> None:
    """From pictures to files, with what there is to say."""
    import numpy as np

    from iker_agent.atomic import replace_file
    from iker_agent.authoring.scan_sheet import scan_sheet
    from iker_agent.authoring.scanned import check_object, make_object, save
    from iker_envs.perception.scan import scan_object

    scanned = scan_object(pictures, float(np.deg2rad(front_deg)), progress=echo)
    for picture, why in scanned.left_out.items():
        echo(f"left out {picture}: {why}")
    made = make_object(scanned, name, mass_kg, friction)
    model = save(made, out, replace=replace)
    notes = [f"it fills {100 * made.fill:.0f} % of its box", *check_object(model, echo)]
    if mass_kg is None:
        notes.append(f"its mass, {model.mass_kg:g} kg, is a guess from its volume; weigh it and pass --mass-kg")
    sheet = scan_sheet(made, model, pictures, scanned.used, notes)
    replace_file(out / f"{name}.jpg", lambda path: sheet.save(path, quality=85))
    for note in notes:
        echo(f"note: {note}")
    size = " x ".join(f"{100 * s:.1f}" for s in model.size_m)
    echo(f"{name}: {size} cm, {model.shape}; saved {out / f'{name}.ply'}, its entry in {out / 'objects.yaml'}")
    echo(f"contact sheet: {out / f'{name}.jpg'}")
