"""`python -m real_env.calibrating`: the process behind `iker calibrate`.

recording folders, a calibration file  ->  the file with these cameras in it, or --check: do they stand where it says?
--real robot.yaml: the arm takes the pictures itself (live.py), with somebody's consent, and then the same
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from iker_envs.perception.board import Board
from real_env.calibrating.calibrate import CalibrationRefused, Result, calibrate_camera, check_camera
from real_env.calibrating.live import BOARD_IN_HAND, BOARD_ON_TABLE, TABLE, record_cell
from real_env.calibrating.recording import load_recording
from real_env.calibration import Calibration, load_calibration
from real_env.config import load_config
from real_env.faults import RobotFault
from real_env.making import connect_lab

_DONE = 0
_NOT_DONE = 1
_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every camera could be calibrated, or stands where it was; 1 when not; 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="iker calibrate", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--recordings", type=Path, default=Path("recordings"))
    parser.add_argument("--role", action="append", default=[])
    parser.add_argument("--wrist", default="wrist")
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--board", nargs=3, type=float, default=(7, 5, 0.035))
    parser.add_argument("--yes", action="store_true")
    options = parser.parse_args(arguments)
    try:
        if (options.real is None) == (not options.folders):
            raise ValueError("name either recordings or --real robot.yaml")
        if options.real is not None:
            options.folders = _record(options)
        run = _check if options.check else _calibrate
        return run(options.folders, options.file)
    except RobotFault as fault:
        print(f"iker calibrate: {fault}", file=sys.stderr)
        return _NOT_DONE
    except (ValueError, ImportError, OSError) as error:
        print(f"iker calibrate: {error}", file=sys.stderr)
        return _USAGE


def _record(options: argparse.Namespace) -> list[Path]:
    """Let the robot of robot.yaml take the pictures; the recordings."""
    config = load_config(options.real)
    columns, rows, square_m = options.board
    board = Board(int(columns), int(rows), square_m)
    roles = {role: "wrist" if role == options.wrist else "cell" for role in options.role or config.cameras}
    orders = connect_lab(config)

    def place(request: str, where: str) -> bool:
        if orders is not None:
            pose = BOARD_ON_TABLE if where == TABLE else BOARD_IN_HAND
            size = {"columns": board.columns, "rows": board.rows, "square_m": board.square_m}
            orders.order("board", on=where, pose=pose.tolist(), **size)
        print(request, flush=True)
        if options.yes:
            return True
        if not sys.stdin.isatty():
            raise ValueError("somebody at a terminal agrees that the arm moves, or --yes says so beforehand")
        return input("done, and may the arm move? [y/N] ").strip().lower() in ("y", "yes")

    try:
        made = record_cell(
            config, board, roles, options.recordings, place, partial(print, flush=True), options.pictures
        )
    finally:
        if orders is not None:
            orders.close()
    return list(made.values())


def _calibrate(folders: Sequence[Path], file: Path) -> int:
    """Cameras that can be calibrated are saved; one that cannot leaves what the file said of it."""
    known = load_calibration(file) if file.exists() else None
    cameras = dict(known.cameras) if known else {}
    code = _DONE
    changed = False
    for folder in folders:
        recording = load_recording(folder)
        try:
            result = calibrate_camera(recording)
        except CalibrationRefused as refusal:
            _print_bad(refusal.bad)
            print(f"{recording.role}: not saved: {refusal}")
            code = _NOT_DONE
            continue
        _print_result(recording.role, result)
        cameras[recording.role] = result.camera
        note = recording.board.text
        changed = True
    if changed:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        old = Calibration(now, {}) if known is None else known
        replace(old, date=now, cameras=cameras, note=note).save(file)
        print(f"saved: {file}")
    return code


def _print_result(role: str, result: Result) -> None:
    _print_bad(result.bad)
    fit = result.fit
    print(
        f"{role}: {result.camera.num_views} pictures fit to {fit.residual_px:.2f} px and {1000 * fit.residual_m:.1f} "
        f"mm; its place is known to {1000 * fit.std_m:.1f} mm and {np.rad2deg(fit.std_rad):.2f} degrees"
    )
    for note in result.notes:
        print(f"{role}: note: {note}")


def _print_bad(bad: dict[str, str]) -> None:
    for name, fault in bad.items():
        print(f"left out {name}: {fault}")


def _check(folders: Sequence[Path], file: Path) -> int:
    known = load_calibration(file)
    code = _DONE
    for folder in folders:
        recording = load_recording(folder)
        if recording.role not in known.cameras:
            raise ValueError(f"{file} has no camera {recording.role!r}, only {', '.join(known.cameras) or 'none'}")
        try:
            check = check_camera(recording, known.cameras[recording.role])
        except CalibrationRefused as refusal:
            _print_bad(refusal.bad)
            print(f"{recording.role}: {refusal}")
            code = _NOT_DONE
            continue
        print(check.sentence)
        code = code if check.is_good else _NOT_DONE
    return code


if __name__ == "__main__":
    sys.exit(main())
