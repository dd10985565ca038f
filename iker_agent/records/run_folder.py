"""The run folder: every stage of the data flow leaves a file that a person or a program can read.

    run.json, outcome.json, report.html, stage_NN/{view.png, marked.png, poses.json, keypoints.json, prompt.md,
    reply.md, program.py, goal.json, scene.yaml, policy.safetensors, metrics.csv, curve.png, outcome.json, rollout.mp4}

Files are written when their content is known, each all or nothing: a run that is interrupted leaves a readable folder.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

try:
    import fcntl
except ImportError:  # not POSIX: see `_hold`
    fcntl = None  # type: ignore[assignment]  # a name that is a module elsewhere

import numpy as np
from PIL import Image as PillowImage

from iker_agent.atomic import replace_file
from iker_agent.limits import Unusable
from iker_envs.contract import Contract
from iker_envs.documents import yaml_text

LOCK = ".lock"
_RUNS = Path("runs")  # of the present folder: where runs go that are given no other


class Folder:
    """One folder of a run, created on first use."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def stage(self, number: int) -> Folder:
        """The folder of stage `number`, counted from 1."""
        return Folder(self.path / f"stage_{number:02d}")

    def text(self, name: str, content: str) -> Path:
        """Write a text file; halves of surrogate pairs, which no file can hold, become "?"."""
        return self.file(name, lambda path: path.write_text(content, encoding="utf-8", errors="replace"))

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


def fresh_folder(out: str | Path | None, task: str) -> Path:
    """`out`, or runs/TASK_NNN with the next free number.

    ValueError if `out` is no folder to begin a run in, or if the task's name is no name of a folder.
    """
    if out is not None:
        path = Path(out)
        _check_fresh(path)
        return path
    _check_name(task)
    number = 1
    while True:
        path = _RUNS / f"{task}_{number:03d}"
        try:
            path.mkdir(parents=True)  # made at once: of two runs that begin together, one takes the next number
        except FileExistsError:
            number += 1
        else:
            return path


@contextmanager
def claimed_folder(out: str | Path | None, task: str) -> Iterator[Folder]:
    """Inside, a fresh folder that no other process writes into; one into which nothing was written is removed.

    ValueError as in `fresh_folder` and `locked`.
    """
    path = fresh_folder(out, task)
    try:
        with locked(path):
            _check_fresh(path)  # another run may have begun and ended here since
            yield Folder(path)
    finally:
        with suppress(OSError):  # something was written, and stays
            path.rmdir()


def _check_name(task: str) -> None:
    """ValueError unless a task's name is one component of a path: names come from files that others wrote."""
    if task in ("", ".", "..") or any(sign in task for sign in "/\\\0"):
        raise ValueError(f"the task's name {task!r} cannot name a folder in {_RUNS}/; it holds no / and no \\")


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


@contextmanager
def locked(folder: str | Path) -> Iterator[str]:
    """Inside, no other process may write into the folder, which is made if it is missing.

    Gives a sentence about a process that held the folder and ended without leaving it (killed, say), else "".
    ValueError says which process holds the folder.
    """
    path = Path(folder) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with _hold(path) as file:
        try:
            file.seek(0)
            left = file.read()
            _write_holder(file, path)
            yield f"{_holder(left)} ended without leaving the folder {str(folder)!r}; it is taken over" if left else ""
        finally:
            path.unlink(missing_ok=True)  # before the file is closed: nobody else holds it yet


def _hold(path: Path) -> TextIO:
    """The lock file, open and held by this process; the system lets go of it when the process ends, however it ends.

    Where the system has no `flock`, a lock file that exists is held: one that a killed process left has to be removed.
    """
    while True:
        if fcntl is None:
            try:
                return path.open("x+", encoding="utf-8")
            except FileExistsError:
                raise Unusable(f"{_held(path)}; if that process is gone, remove {str(path)!r}") from None
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Unusable(f"{_held(path)}; wait until it ends, or choose another folder") from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # its holder removed it meanwhile


def _held(path: Path) -> str:
    try:
        holder = _holder(path.read_text(encoding="utf-8"))
    except FileNotFoundError:  # it has just ended
        holder = _holder("")
    return f"{holder} is writing into {str(path.parent)!r}"


def _holder(text: str) -> str:
    """Who wrote a lock file, in words; a file that is cut, or not yet written, tells nothing."""
    try:
        facts = json.loads(text)
        return f"process {facts['pid']} on {facts['host']}, since {facts['since']},"
    except (ValueError, TypeError, KeyError):
        return "another process"


def _write_holder(file: TextIO, path: Path) -> None:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    try:
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": since}, file)
        file.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
