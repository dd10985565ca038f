"""Training states on disk, all or nothing: a process that is killed leaves the previous one behind.

write_checkpoint(path, state)  ->  one file          read_checkpoint(path)  ->  state
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from iker_agent.atomic import replace_file

FORMAT = "iker-checkpoint-1"


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state (tensors, plain values)."""
    replace_file(path, lambda temporary: torch.save({"format": FORMAT, **state}, temporary))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training state; ValueError says why a file cannot be used. Nothing in the file is executed."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(f"{str(path)!r} is not a readable checkpoint ({str(error).splitlines()[0]})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is no checkpoint of this project")
    return state
