"""`python -m real_env.calibrating`: the process behind `iker calibrate`.

recording folders, a calibration file  ->  the file with these cameras in it, or --check: do they stand where it says?
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from real_env.calibrating.calibrate import CalibrationRefused, Result, calibrate_camera, check_camera
from real_env.calibrating.recording import load_recording
from real_env.calibration import Calibration, load_calibration

_DONE = 0
_NOT_DONE = 1
_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every camera could be calibrated, or stands where it was; 1 when not; 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="iker calibrate", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    try:
        run = _check if options.check else _calibrate
        return run(options.folders, options.file)
    except (ValueError, ImportError, OSError) as error:
        print(f"iker calibrate: {error}", file=sys.stderr)
        return _USAGE


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
