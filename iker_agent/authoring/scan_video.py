"""A recorded RGB-D video becomes a scan's folder: the sharpest pictures of it, as every scan is read.

    NAME.npz  |  NAME.mp4 + NAME.yaml  ->  unpack_video  ->  ScanPictures

An .npz holds `rgb` (N, H, W, 3) uint8, `depth` (N, H, W) uint16 and `K` (3, 3), and may hold `depth_unit_m`,
`distortion` (5,) and `board` (columns, rows, square_m). A video's NAME.yaml holds K and `depth`: a second video of
16-bit grey without loss (FFV1 in .mkv), or a folder of 16-bit PNG pictures, one a frame, in the order of their names.
Depth is aligned to colour. Videos are read by ffmpeg, which imageio brings along.
"""

from __future__ import annotations

import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from iker_envs.documents import read_document, shown
from iker_envs.perception.scan_folder import ScanHead, ScanPictures, opened_picture, read_head
from iker_envs.perception.scan_frames import Sharpest

VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm")
ARRAYS = ".npz"
_MAX_BYTES = 8 << 30  # of an .npz, unpacked: 3 minutes of 640 x 480 at 30 pictures a second
_FIELDS = ("rgb", "depth", "K", "depth_unit_m", "distortion", "board")

Frames = Iterator[tuple[np.ndarray, np.ndarray]]  # colour (H, W, 3) uint8, depth (H, W) in the file's unit


def unpack_video(path: Path, folder: Path) -> ScanPictures:
    """Write the sharpest pictures of a recording to a folder; ValueError names the file and what is wrong with it."""
    try:
        head, frames = _arrays(path) if path.suffix.lower() == ARRAYS else _pair_of_videos(path)
        kept = Sharpest()
        for rgb, depth in frames:
            if depth.shape != rgb.shape[:2]:
                raise ValueError(f"depth of {depth.shape} is not aligned to colour of {rgb.shape[:2]}")
            kept.add(rgb, depth.astype(np.float32) * np.float32(head.depth_unit_m))
        if not len(kept):
            raise ValueError("it has no picture")
    except (ValueError, TypeError) as error:
        raise ValueError(f"the recording {shown(str(path))}: {error}") from None
    return kept.save(folder, head.K, head.board, head.distortion)


# -- arrays ------------------------------------------------------------------------------------------------------------


def _arrays(path: Path) -> tuple[ScanHead, Frames]:
    arrays = _loaded(path)
    content: dict[str, Any] = {name: arrays[name].tolist() for name in arrays if name not in ("rgb", "depth", "board")}
    if "board" in arrays:
        if arrays["board"].shape != (3,):
            raise ValueError("board is columns, rows and square_m")
        columns, rows, square_m = arrays["board"].tolist()
        content["board"] = {"columns": int(columns), "rows": int(rows), "square_m": square_m}
    rgb, depth = arrays["rgb"], arrays["depth"]
    if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[-1] != 3:
        raise ValueError(f"rgb is (N, H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    if depth.dtype != np.uint16 or depth.shape != rgb.shape[:3]:
        raise ValueError(f"depth is {rgb.shape[:3]} uint16, not {depth.shape} {depth.dtype}")
    return read_head(content), zip(rgb, depth, strict=True)


def _loaded(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; nothing in it is ever executed."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MAX_BYTES:
            raise ValueError(f"it unpacks to {size >> 20} MB, of at most {_MAX_BYTES >> 20}; record less")
        with np.load(path, allow_pickle=False) as loaded:
            if unknown := sorted(set(loaded.files) - set(_FIELDS)):
                raise ValueError(f"it has an array {shown(unknown[0])}; known: {', '.join(_FIELDS)}")
            if missing := [name for name in _FIELDS[:3] if name not in loaded.files]:
                raise ValueError(f"it has no array {missing[0]}")
            return {name: loaded[name] for name in loaded.files}
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ValueError(f"it cannot be read: {error}") from None


# -- videos ------------------------------------------------------------------------------------------------------------


def _pair_of_videos(path: Path) -> tuple[ScanHead, Frames]:
    content = read_document(path.with_suffix(".yaml"))
    head = read_head(content, "depth")
    name = content["depth"]
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"depth is the name of a video or a folder beside it, not {shown(name)}")
    return head, _together(path, path.parent / name)


def _together(colour: Path, depth: Path) -> Frames:
    """Both streams, picture by picture; ValueError if one ends before the other."""
    depths = _pictures_of(depth) if depth.is_dir() else _video(depth, "gray16le", np.uint16, 1)
    with closing(_video(colour, "rgb24", np.uint8, 3)) as colours, closing(depths):
        number = 0
        for number, rgb in enumerate(colours, 1):
            found = next(depths, None)
            if found is None:
                raise ValueError(f"its depth {shown(depth.name)} ends after {number - 1} pictures, colour goes on")
            yield rgb, found
        if next(depths, None) is not None:
            raise ValueError(f"its colour ends after {number} pictures, depth {shown(depth.name)} goes on")


def _pictures_of(folder: Path) -> Generator[np.ndarray]:
    for file in sorted(folder.glob("*.png")):
        yield np.asarray(opened_picture(file))


def _video(path: Path, pixels: str, kind: type, channels: int) -> Generator[np.ndarray]:
    """Pictures (H, W, channels) of a video, without the last axis if it is 1."""
    if not path.is_file():
        raise ValueError(f"there is no video {shown(str(path))}")
    import imageio_ffmpeg  # type: ignore[import-untyped]

    bits = 8 * channels * np.dtype(kind).itemsize
    with closing(imageio_ffmpeg.read_frames(str(path), pix_fmt=pixels, bits_per_pixel=bits)) as reader:
        try:
            facts = next(reader)
            width, height = facts["size"]
            if kind is np.uint16 and "16" not in facts["pix_fmt"]:
                raise ValueError(f"{shown(path.name)} is no 16-bit video, but {shown(facts['pix_fmt'])}")
            for raw in reader:
                yield np.frombuffer(raw, kind).reshape((height, width, channels) if channels > 1 else (height, width))
        except (OSError, RuntimeError) as error:
            why = " ".join(str(error).split())[-200:]
            raise ValueError(f"the video {shown(path.name)} cannot be read: {why}") from None
