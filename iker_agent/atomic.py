"""Files that are written whole or not at all: a full disk or the end of the process leaves what was there before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in the place of `path` in one step.

    Where that fails, nothing half-written stays, and an OSError names `path`.
    """
    temporary = path.with_name(f".{path.name}.part{path.suffix}")  # libraries choose the format by the suffix
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
