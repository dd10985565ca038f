"""Training states on disk, all or nothing: a process that is killed leaves the previous one behind.

write_checkpoint(path, state)  ->  one file          read_checkpoint(path)  ->  state
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from iker_agent.atomic import replace_file
from iker_agent.limits import Unusable

FORMAT = "iker-checkpoint-1"


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state (tensors, plain values); OSError names the file if it cannot be written."""
    content = io.BytesIO()  # torch tells of a full disk by a RuntimeError
    torch.save({"format": FORMAT, **state}, content)
    replace_file(path, lambda file: file.write_bytes(content.getbuffer()))


def read_checkpoint(path: Path, parts: Collection[str] = ()) -> dict[str, Any]:
    """Read a training state that has all of `parts`; Unusable says why a file cannot be used.

    Nothing in the file is executed, and what was changed in it since it was written is found (CRC-32 of each record).
    """
    try:
        with zipfile.ZipFile(path) as records:
            damaged = records.testzip()
        state = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file provokes whatever it likes in zipfile's, torch's and pickle's readers
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Unusable(f"{str(path)!r} is not a readable checkpoint ({reason})") from error
    if damaged:
        raise Unusable(f"{str(path)!r} is not a readable checkpoint ({damaged} was changed since it was written)")
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise Unusable(f"{str(path)!r} is no checkpoint of this project")
    if missing := [part for part in parts if part not in state]:
        raise Unusable(f"{str(path)!r} lacks the part {missing[0]!r} of a checkpoint")
    return state
