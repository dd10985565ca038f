"""The run folder: every stage of the data flow leaves a file that a person or a program can read.

    run.json, outcome.json, report.html, stage_NN/{view.png, marked.png, poses.json, keypoints.json, prompt.md,
    reply.md, program.py, goal.json, scene.yaml, policy.safetensors, metrics.csv, curve.png, outcome.json, rollout.mp4}

Files are written when their content is known, each all or nothing: a run that is interrupted leaves a readable folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
from PIL import Image as PillowImage

from iker_agent.atomic import replace_file
from iker_envs.contract import Contract
from iker_envs.documents import yaml_text


class Folder:
    """One folder of a run, created on first use."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def stage(self, number: int) -> Folder:
        """The folder of stage `number`, counted from 1."""
        return Folder(self.path / f"stage_{number:02d}")

    def text(self, name: str, content: str) -> Path:
        """Write a text file."""
        return self.file(name, lambda path: path.write_text(content, encoding="utf-8"))

    def file(self, name: str, write: Callable[[Path], object]) -> Path:
        """Let `write` fill a file, all or nothing."""
        replace_file(self.path / name, write)
        return self.path / name

    def json(self, name: str, content: Contract | Mapping[str, Any]) -> Path:
        """Write a contract or a mapping as JSON."""
        plain = content.to_dict() if isinstance(content, Contract) else content
        return self.text(name, json.dumps(plain, indent=2, allow_nan=True) + "\n")

    def yaml(self, name: str, content: Contract) -> Path:
        """Write a contract as YAML."""
        return self.text(name, yaml_text(content.to_dict()))

    def image(self, name: str, rgb: np.ndarray) -> Path:
        """Write a picture (H, W, 3) uint8 as PNG."""
        return self.file(name, PillowImage.fromarray(np.asarray(rgb)).save)

    def video(self, name: str, frames: list[np.ndarray], fps: int) -> Path:
        """Write pictures (H, W, 3) uint8 as an H.264 video."""
        options = {"fps": fps, "codec": "libx264", "quality": 7, "macro_block_size": 2}
        return self.file(name, lambda path: imageio.mimwrite(path, frames, **options))


def fresh_folder(out: str | Path | None, task: str) -> Path:
    """`out`, or runs/TASK_NNN with the next free number; ValueError if `out` is no folder to begin a run in."""
    if out is not None:
        path = Path(out)
        _check_fresh(path)
        return path
    number = 1
    while (path := Path("runs") / f"{task}_{number:03d}").exists():
        number += 1
    return path


def _check_fresh(path: Path) -> None:
    """ValueError unless the folder can be made, or is empty (hidden files aside) and can be written into."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{str(path)!r} cannot be used: File exists; choose a folder that is empty or not there yet")
    if path.is_dir():
        if any((path / name).exists() for name in ("run.json", "vlm/calls.jsonl")):
            raise ValueError(f"{str(path)!r} already holds a run; choose another folder or remove it")
        if held := sorted(entry.name for entry in path.iterdir() if not entry.name.startswith(".")):
            raise ValueError(f"{str(path)!r} is not empty, it holds {held[0]!r}; choose another folder")
        if not os.access(path, os.W_OK | os.X_OK):
            raise ValueError(f"{str(path)!r} cannot be written into: permission denied; choose another folder")
