"""Files that are written whole or not at all: a full disk or the end of the process leaves what was there before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in the place of `path` in one step.

    Where that fails, nothing half-written stays, and an OSError names `path`. What a link leads to is replaced, not the
    link; a device or a pipe is written to, since putting a file in its place would destroy it.
    """
    is_special = path.exists() and not path.is_file()
    target = path if is_special else path.resolve()
    # Libraries choose the format by the suffix.
    temporary = target if is_special else target.with_name(f".{target.name}.part{target.suffix}")
    try:
        write(temporary)
        if not is_special:
            os.replace(temporary, target)
    except BaseException as error:
        if not is_special:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
