"""The worker's process: started, asked within a time limit, ended; whatever happens, nothing of it stays behind.

    launch(python, arrays)  ->  Worker  ->  ask("step", num_substeps=10)  ->  end()

Arrays lie in a shared-memory file that has no name, so that no crash can leave it; the socket is inherited, so that
nobody else can connect; a worker whose client is gone reads the end of its socket and leaves.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from iker_envs.physics.isaac import wire
from iker_envs.physics.isaac.errors import IsaacError, WorkerDied, WorkerFailed, WorkerHangs, WorkerMissing, WrongOrder

PYTHON = "ISAACGYM_PYTHON"  # environment variable: the interpreter
WAY_OUT = "`iker doctor --sim isaac` says what this machine lacks"
AGAIN = "make the simulation again"
_WORKER = Path(__file__).with_name("worker.py")
_SHARED = "/dev/shm"
_END_S = 5.0
_TRANSFER_S = 30.0  # of one message
# How long an answer may take; a GPU's first step compiles its kernels.
ANSWER_S: dict[str, float] = {"hello": 60.0, "build": 900.0, "prepare": 300.0, "step": 120.0}
_REFUSALS: Mapping[str, type[IsaacError]] = {"refused": WrongOrder, "missing": WorkerMissing, "failed": WorkerFailed}


def interpreter() -> str:
    """The Python of Isaac Gym, from the environment variable ISAACGYM_PYTHON; WorkerMissing if there is none."""
    python = os.environ.get(PYTHON, "")
    if not python:
        raise WorkerMissing(
            f"sim=isaac runs in a Python 3.8 of its own: set {PYTHON} to the interpreter that has isaacgym; {WAY_OUT}"
        )
    if not os.path.isfile(python) or not os.access(python, os.X_OK):
        raise WorkerMissing(f"{PYTHON} is {python!r}, which is no program; set it to a Python 3.8; {WAY_OUT}")
    return python


def surroundings(python: str) -> dict[str, str]:
    """Environment variables of a worker: ours, and the interpreter's own libpython where the loader finds it."""
    library = str(Path(python).resolve().parents[1] / "lib")
    paths = [library, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _timeval(seconds: float) -> bytes:
    """As Linux takes the time limit of a socket."""
    return struct.pack("ll", int(seconds), round(1e6 * (seconds % 1)))


class Worker:
    """One process with one simulation; `arrays` are shared with it.

    Every error of `ask` but WrongOrder ends the process; the first one is raised again by later calls.
    """

    def __init__(self, python: str, layout: Mapping[str, Any]) -> None:
        self._python = python
        self._fault: IsaacError | None = None
        self._said = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (closed by `end`)
        with tempfile.TemporaryFile(dir=_SHARED) as memory:
            os.ftruncate(memory.fileno(), wire.num_bytes(dict(layout)))
            self.arrays: dict[str, np.ndarray] = wire.map_arrays(memory.fileno(), dict(layout))
            ours, theirs = socket.socketpair()
            for end in (ours, theirs):  # other libraries set a default limit for all sockets of a process
                end.setblocking(True)
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # also a message that is half through ends
                ours.setsockopt(socket.SOL_SOCKET, option, _timeval(_TRANSFER_S))
            with theirs, ours:
                self._process = self._start(theirs.fileno(), memory.fileno(), layout)
                self._connection = Connection(ours.detach())
        self._finalizer = weakref.finalize(self, _end, self._process, self._connection, self._said)
        hello = self._answer("hello")
        if hello.get("version") != wire.VERSION:
            self.end()
            raise WorkerFailed(f"the worker speaks version {hello.get('version')} of the protocol, not {wire.VERSION}")

    def _start(self, connection: int, memory: int, layout: Mapping[str, Any]) -> subprocess.Popen:
        command = [self._python, str(_WORKER), str(connection), str(memory), json.dumps(layout)]
        try:
            return subprocess.Popen(
                command,
                pass_fds=(connection, memory),
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                env=surroundings(self._python),
            )
        except OSError as error:
            self._said.close()
            raise WorkerMissing(f"{self._python!r} cannot be run: {error.strerror}; {WAY_OUT}") from None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """The worker's answer to one request; an IsaacError in one sentence if there is none."""
        if self._fault:
            raise self._fault
        try:
            return self._exchange(do, fields)
        except IsaacError:
            raise
        except BaseException:  # such as Ctrl-C: what the worker still answers would be taken for the next answer
            self._broken(WorkerDied, f"the Isaac Gym worker was ended, as {do!r} was interrupted; {AGAIN}")
            raise

    def _exchange(self, do: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # a dead worker is told of by its missing answer
                wire.send(self._connection, {"do": do, **fields})
        except BlockingIOError:
            raise self._hangs(do, _TRANSFER_S) from None
        return self._answer(do)

    def _answer(self, do: str) -> dict[str, Any]:
        limit_s = ANSWER_S[do]
        try:
            if not self._connection.poll(limit_s):
                raise self._hangs(do, limit_s)
            answer = wire.receive(self._connection)
        except BlockingIOError:
            raise self._hangs(do, _TRANSFER_S) from None
        except (EOFError, ConnectionResetError):
            raise self._broken(WorkerDied, self._obituary(do)) from None
        for key, kind in _REFUSALS.items():
            if key in answer:
                if kind is WrongOrder:
                    raise WrongOrder(answer[key])
                raise self._broken(kind, answer[key])
        return answer

    def _hangs(self, do: str, limit_s: float) -> IsaacError:
        self._process.kill()
        return self._broken(
            WorkerHangs,
            f"the Isaac Gym worker gave no answer to {do!r} within {limit_s:g} s and was ended; "
            f"{AGAIN}, with fewer worlds if it was busy",
        )

    def _broken(self, kind: type[IsaacError], sentence: str) -> IsaacError:
        self.end()
        self._fault = kind(sentence)
        return self._fault

    def _obituary(self, do: str) -> str:
        """How the process ended, and the last line that it printed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        code = self._process.poll()
        how = "still runs but has closed its socket"
        if code is not None:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        words = f"; its last words: {last[:200]}" if last else ""
        return f"the Isaac Gym worker {how} when it was asked to {do!r}{words}; {AGAIN}"

    def end(self) -> None:
        """End the process and wait for it; may be called again."""
        self._finalizer()


def _end(process: subprocess.Popen, connection: Connection, said: BinaryIO) -> None:
    """Close the socket, which ends a worker that listens; kill one that does not; reap it in any case."""
    connection.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    said.close()
