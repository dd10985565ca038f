"""The run folder: every stage of the data flow leaves a file that a person or a program can read.

    run.json, outcome.json, report.html, stage_NN/{view.png, marked.png, poses.json, keypoints.json, prompt.md,
    reply.md, program.py, goal.json, scene.yaml, policy.safetensors, metrics.csv, curve.png, outcome.json, rollout.mp4}

Files are written when their content is known, so a run that is interrupted leaves a readable folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import yaml
from PIL import Image as PillowImage

from iker_envs.contract import Contract


class Folder:
    """One folder of a run, created on first use."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def stage(self, number: int) -> Folder:
        """The folder of stage `number`, counted from 1."""
        return Folder(self.path / f"stage_{number:02d}")

    def text(self, name: str, content: str) -> Path:
        """Write a text file, all or nothing; halves of surrogate pairs, which no file can hold, become "?"."""
        temporary = self.path / f".{name}.part"
        temporary.write_text(content, encoding="utf-8", errors="replace")
        os.replace(temporary, self.path / name)
        return self.path / name

    def json(self, name: str, content: Contract | Mapping[str, Any]) -> Path:
        """Write a contract or a mapping as JSON."""
        plain = content.to_dict() if isinstance(content, Contract) else content
        return self.text(name, json.dumps(plain, indent=2, allow_nan=True) + "\n")

    def yaml(self, name: str, content: Contract) -> Path:
        """Write a contract as YAML."""
        return self.text(name, yaml.safe_dump(content.to_dict(), sort_keys=False, default_flow_style=None))

    def image(self, name: str, rgb: np.ndarray) -> Path:
        """Write a picture (H, W, 3) uint8 as PNG."""
        PillowImage.fromarray(np.asarray(rgb)).save(self.path / name)
        return self.path / name

    def video(self, name: str, frames: list[np.ndarray], fps: int) -> Path:
        """Write pictures (H, W, 3) uint8 as an H.264 video."""
        imageio.mimwrite(self.path / name, frames, fps=fps, codec="libx264", quality=7, macro_block_size=2)
        return self.path / name


def fresh_folder(out: str | Path | None, task: str) -> Path:
    """`out`, or runs/TASK_NNN with the next free number; ValueError if `out` holds another run or query."""
    if out is not None:
        path = Path(out)
        if any((path / name).exists() for name in ("run.json", "vlm/calls.jsonl")):
            raise ValueError(f"{str(path)!r} already holds a run; choose another folder or remove it")
        return path
    number = 1
    while (path := Path("runs") / f"{task}_{number:03d}").exists():
        number += 1
    return path
