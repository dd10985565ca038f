"""`python -m real_env.scanning`: the process behind `iker scan` for what needs the camera's own library.

a camera by its serial, live  |  a recording of it (.bag, .db3)  ->  a folder as perception/scan_folder.py reads it

What was recorded is kept, whatever ends it: its time, Ctrl-C, a camera that falls silent.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iker_envs.documents import shown
from iker_envs.perception.board import Board, detect_board, opencv
from iker_envs.perception.scan_frames import Sharpest
from real_env.cameras import Intrinsics, RealSenseCamera, colour_intrinsics
from real_env.config import CameraConfig
from real_env.faults import RobotFault
from real_env.realsense import NewPairs, lab_context, load_realsense

_DONE, _NOT_DONE, _USAGE = 0, 1, 2
_FIRST_S = 10.0  # until a camera's first picture
_SILENT_S = 2.0
_COUNTDOWN_S = 3
_TELL_S = 2.0
_MOST_SECONDS = 600.0
_WAIT_MS = 1000  # for a set of pictures of a file
_END = 3  # sets that do not come: the file has ended

Say = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when a folder was written, 1 when the camera failed, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="iker scan", description=__doc__)
    parser.add_argument("source", nargs="?", type=Path)
    parser.add_argument("--camera")
    parser.add_argument("--lab", action="store_true")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480))
    parser.add_argument("--board", nargs=3, type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    columns, rows, square_m = asked.board
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started this may ignore it
    try:
        board = Board(int(columns), int(rows), square_m)
        if asked.camera is None:
            read_file(asked.source, asked.out, board, _say)
        else:
            record(asked.camera, tuple(asked.size), asked.seconds, asked.out, board, is_lab=asked.lab, say=_say)
    except RobotFault as fault:
        print(f"iker scan: {fault}", file=sys.stderr)
        return _NOT_DONE
    except (ValueError, ImportError, OSError) as error:
        print(f"iker scan: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        print("iker scan: ended before the first picture", file=sys.stderr)
        return _NOT_DONE
    return _DONE


def _say(sentence: str) -> None:
    print(sentence, flush=True)


# -- live --------------------------------------------------------------------------------------------------------------


def record(
    serial: str, size: tuple[int, ...], seconds: float, folder: Path, board: Board, *, is_lab: bool, say: Say
) -> None:
    """Record a camera for some seconds, or until Ctrl-C; RobotFault if it is missing or falls silent."""
    if not 1.0 <= seconds <= _MOST_SECONDS:
        raise ValueError(f"--seconds is from 1 to {_MOST_SECONDS:g}, not {seconds:g}")
    opencv()  # ImportError before anybody walks around anything
    rs = load_realsense()
    context = lab_context(rs) if is_lab else rs.context()
    camera = RealSenseCamera("scanner", CameraConfig(serial, *size), context)
    kept = Sharpest()
    try:
        camera.start()
        camera.next_frame(_FIRST_S)
        for left in range(_COUNTDOWN_S, 0, -1):
            say(f"recording begins in {left} s: the object in the middle of the board, nothing beside it")
            time.sleep(1.0)
        try:
            _watch(camera, seconds, board, kept, say)
        except KeyboardInterrupt:
            say("ended by Ctrl-C; what was recorded is used")
        except RobotFault as fault:
            if not len(kept):
                raise
            say(f"{fault}; what was recorded until then is used")
    finally:
        camera.stop()
    if not len(kept):
        raise ValueError("nothing was recorded; record longer")
    assert camera.intrinsics is not None
    _save(kept, folder, camera.intrinsics, board, say)


def _watch(camera: RealSenseCamera, seconds: float, board: Board, kept: Sharpest, say: Say) -> None:
    """Take every new picture, and say now and then how it goes."""
    began_s = told_s = time.monotonic()
    num_looked = num_boards = 0
    say(f"recording for {seconds:g} s: go once around it, slowly, at two or three heights; Ctrl-C ends it earlier")
    while (now_s := time.monotonic()) < began_s + seconds:
        frame = camera.next_frame(_SILENT_S)
        kept.add(frame.rgb, frame.depth_m)
        if now_s > told_s + _TELL_S:
            told_s = now_s
            found = detect_board(frame.rgb, board)
            num_looked += 1
            num_boards += not isinstance(found, str)
            left_s = began_s + seconds - now_s
            say(
                f"{left_s:.0f} s left, {kept.num_seen} pictures; the board is "
                f"{'seen' if not isinstance(found, str) else 'not seen: ' + found}"
            )
    say(f"{kept.num_seen} pictures; the board was seen in {num_boards} of {num_looked} that were looked at")


# -- files -------------------------------------------------------------------------------------------------------------


def read_file(path: Path, folder: Path, board: Board, say: Say) -> None:
    """Take the sharpest pictures out of a recording that the camera's library made; ValueError if it is none."""
    if not path.is_file():
        raise ValueError(f"there is no recording {shown(str(path))}")
    rs = load_realsense()
    kept = Sharpest()
    with tempfile.TemporaryDirectory(prefix="iker-scan-") as room:
        try:
            pipeline, profile = _opened(rs, _as_db3(rs, path, Path(room)))
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise ValueError(f"{shown(str(path))} is no recording that this librealsense can play: {why}") from None
        try:
            scale = float(profile.get_device().first_depth_sensor().get_depth_scale())
            intrinsics = colour_intrinsics(rs, profile)
            for rgb, depth in _sets(rs, pipeline):
                kept.add(rgb, depth.astype(np.float32) * scale)
        finally:
            pipeline.stop()
    if not len(kept):
        raise ValueError(f"{shown(str(path))} holds no pair of colour and depth; record both streams")
    say(f"{path.name}: {kept.num_seen} pictures")
    _save(kept, folder, intrinsics, board, say)


def _as_db3(rs: Any, path: Path, room: Path) -> Path:
    """A file that can be played: new libraries write .db3 and turn the .bag of old ones into it."""
    if path.suffix.lower() != ".bag":
        return path
    made = room / f"{path.stem}.db3"
    rs.context().convert_bag_to_db3(str(path), str(made))
    return made


def _opened(rs: Any, path: Path) -> tuple[Any, Any]:
    settings = rs.config()
    settings.enable_device_from_file(str(path), repeat_playback=False)
    pipeline = rs.pipeline()
    profile = pipeline.start(settings)
    profile.get_device().as_playback().set_real_time(False)
    return pipeline, profile


def _sets(rs: Any, pipeline: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Colour (H, W, 3) uint8 and depth (H, W) in the file's unit, aligned to it, until the file has ended."""
    align = rs.align(rs.stream.color)
    pairs = NewPairs()
    missed = 0
    while missed < _END:
        is_new, frames = pipeline.try_wait_for_frames(_WAIT_MS)
        missed = 0 if is_new else missed + 1
        if not is_new or not pairs.has(frames):
            continue
        both = align.process(frames)
        yield _rgb(rs, both.get_color_frame()), np.array(both.get_depth_frame().get_data())


def _rgb(rs: Any, colour: Any) -> np.ndarray:
    """A colour frame as (H, W, 3) uint8; ValueError for a form that is neither RGB nor BGR."""
    form = colour.get_profile().format()
    if form not in (rs.format.rgb8, rs.format.bgr8):
        raise ValueError(f"the recording's colour is {form}, not rgb8 or bgr8; record it as RGB8")
    pixels = np.array(colour.get_data())
    return pixels if form == rs.format.rgb8 else pixels[..., ::-1]


def _save(kept: Sharpest, folder: Path, intrinsics: Intrinsics, board: Board, say: Say) -> None:
    kept.save(folder, intrinsics.K_image, board, intrinsics.distortion)
    say(f"{len(kept)} sharp pictures of {kept.num_seen} are in {folder}")


if __name__ == "__main__":
    sys.exit(main())
