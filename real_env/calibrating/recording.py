"""What a calibration is made from: a folder with pictures of a board and the robot's pose for each.

    folder/recording.yaml + pictures  ->  load_recording  ->  Recording  ->  calibrate.py
    Recorder.add(rgb, gripper pose)   ->  the same folder, written picture by picture

`recording.yaml` holds role, serial, width, height, K, distortion, mount, board (columns, rows, square_m) and frames:
a list of {picture, gripper_pose, depth}; `depth`, a 16-bit picture in millimetres, may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from iker_envs.contract import check_fields, check_name, check_whole
from iker_envs.documents import read_document, shown
from iker_envs.perception.board import Board
from iker_envs.perception.scan_folder import opened_picture
from real_env.calibration import MOUNTS

FILE = "recording.yaml"
_FIELDS = ("role", "serial", "width", "height", "K", "distortion", "mount", "board", "frames")
_MAX_FRAMES = 500


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture of a recording, read when it is needed, and the gripper's pose (7,) in the base frame."""

    picture: Path
    gripper_pose: np.ndarray
    depth: Path | None = None

    @property
    def name(self) -> str:
        return self.picture.name

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8; ValueError if there is no such picture."""
        return np.asarray(opened_picture(self.picture).convert("RGB"))

    def depth_m(self) -> np.ndarray | None:
        """(H, W) metres along the optical axis, 0 where nothing was measured; None without a depth picture."""
        return None if self.depth is None else np.asarray(opened_picture(self.depth), dtype=float) / 1000


@dataclass(frozen=True, eq=False)
class Recording:
    """Pictures of one camera: its role in the cell, serial, intrinsics K (3, 3), distortion (5,), mount."""

    role: str
    serial: str
    width: int
    height: int
    K: np.ndarray
    mount: str
    shots: tuple[Shot, ...]
    board: Board = field(default_factory=Board)
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(5))


def load_recording(folder: str | Path) -> Recording:
    """Read a folder; ValueError names the file and what is wrong in it."""
    path = Path(folder) / FILE
    content = read_document(path)
    try:
        return _recording(content, Path(folder))
    except (ValueError, TypeError) as error:
        raise ValueError(f"the recording {shown(str(path))}: {error}") from None


def _recording(content: Any, folder: Path) -> Recording:
    if not isinstance(content, Mapping):
        raise ValueError("it is a mapping of role, serial, K and the other fields")
    check_fields("a recording", content, _FIELDS)
    for name in set(_FIELDS) - {"distortion", "board"} - set(content):
        raise ValueError(f"{name} is missing")
    if content["mount"] not in MOUNTS:
        raise ValueError(f"mount is {' or '.join(MOUNTS)}, not {shown(content['mount'])}")
    frames = content["frames"]
    if not isinstance(frames, list) or not 0 < len(frames) <= _MAX_FRAMES:
        raise ValueError(f"frames is a list of 1 to {_MAX_FRAMES} entries")
    board = content.get("board", {})
    if not isinstance(board, Mapping):
        raise ValueError("board is a mapping of columns, rows and square_m")
    check_fields("board", board, ("columns", "rows", "square_m"))
    return Recording(
        role=check_name("role", content["role"]),
        serial=str(content["serial"]),
        width=check_whole("width", content["width"], 1),
        height=check_whole("height", content["height"], 1),
        K=_numbers("K", content["K"], (3, 3)),
        mount=content["mount"],
        shots=tuple(_shot(number, frame, folder) for number, frame in enumerate(frames)),
        board=Board(**board),
        distortion=_numbers("distortion", content.get("distortion", [0.0] * 5), (5,)),
    )


def _shot(number: int, frame: Any, folder: Path) -> Shot:
    if not isinstance(frame, Mapping) or not isinstance(frame.get("picture"), str) or "gripper_pose" not in frame:
        raise ValueError(f"frame {number} has a picture and a gripper_pose")
    check_fields(f"frame {number}", frame, ("picture", "gripper_pose", "depth"))
    paths = {}
    for key in ("picture", "depth"):
        name = frame.get(key)
        if name is not None:
            if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"{key} of frame {number} is the name of a file in the folder, not {shown(name)}")
            paths[key] = folder / name
    pose = _numbers(f"gripper_pose of frame {number}", frame["gripper_pose"], (7,))
    length = float(np.linalg.norm(pose[3:]))
    if abs(length - 1) > 0.01:
        raise ValueError(
            f"gripper_pose of frame {number} ends in a unit quaternion w, x, y, z, not one of {length:.3g}"
        )
    pose[3:] /= length
    return Shot(paths["picture"], pose, paths.get("depth"))


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} is {' x '.join(map(str, shape))} finite numbers, not {shown(value)}")
    return array


class Recorder:
    """Writes a recording while it is made, whole after every picture: an interruption loses nothing."""

    def __init__(self, folder: str | Path, recording: Recording) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / FILE).exists():
            raise ValueError(f"{shown(str(self.folder))} holds a recording already; name another folder")
        board = recording.board
        self._head = {
            "role": recording.role,
            "serial": recording.serial,
            "width": recording.width,
            "height": recording.height,
            "K": recording.K.tolist(),
            "distortion": recording.distortion.tolist(),
            "mount": recording.mount,
            "board": {"columns": board.columns, "rows": board.rows, "square_m": board.square_m},
        }
        self._frames: list[dict[str, Any]] = []

    def add(self, rgb: np.ndarray, gripper_pose: np.ndarray, depth_m: np.ndarray | None = None) -> Path:
        """Keep a picture (H, W, 3) uint8, the gripper's pose (7,) and, if there is one, a depth picture (H, W)."""
        name = f"{len(self._frames):03d}"
        frame: dict[str, Any] = {"picture": f"{name}.png", "gripper_pose": [float(v) for v in gripper_pose]}
        PillowImage.fromarray(rgb).save(self.folder / frame["picture"])
        if depth_m is not None:
            frame["depth"] = f"{name}_depth.png"
            PillowImage.fromarray(np.round(1000 * depth_m).astype(np.uint16)).save(self.folder / frame["depth"])
        self._frames.append(frame)
        part = self.folder / f".{FILE}.part"
        part.write_text(json.dumps({**self._head, "frames": self._frames}, indent=1) + "\n", encoding="utf-8")
        part.replace(self.folder / FILE)  # JSON is YAML
        return self.folder / frame["picture"]
