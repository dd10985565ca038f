"""Programs run in processes that are forked from one warm interpreter: the real child, without an interpreter's start.

A test that runs hundreds of programs and is not about the start of their processes patches `runner._run_child` with
`WarmChild.run`; language, facades, limits, lock-down and reader stay what they are. Started as a file it is the server.
"""

import importlib
import json
import os
import runpy
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

_LENGTH_BYTES = 8


class WarmChild:
    """The client: `run` takes the place of starting a new interpreter for a program."""

    def __init__(self, child: Path) -> None:
        import numpy as np

        command = [sys.executable, "-B", "-S", "-s", "-P", __file__, str(child), str(Path(np.__file__).parents[1])]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, job: dict[str, Any]) -> tuple[bytes, int]:
        """The output and the exit code (negative: signal) of a program's process."""
        _send(self._server.stdin.fileno(), json.dumps(job).encode())
        output = _receive(self._server.stdout.fileno())
        return output, int(_receive(self._server.stdout.fileno()))

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


def _send(descriptor: int, message: bytes) -> None:
    message = len(message).to_bytes(_LENGTH_BYTES, "big") + message
    while message:
        message = message[os.write(descriptor, message) :]


def _receive(descriptor: int) -> bytes:
    return _read(descriptor, int.from_bytes(_read(descriptor, _LENGTH_BYTES), "big"))


def _read(descriptor: int, length: int) -> bytes:
    """So many bytes; fewer at the end of the stream."""
    parts = []
    while length and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def serve(child: Path, numpy_folder: str) -> None:
    """Answer jobs until the client goes: each runs `main` of the child's file in a process of its own."""
    sys.path.append(numpy_folder)
    sys.modules["sandbox"] = types.ModuleType("sandbox")
    sys.modules["sandbox"].__path__ = [str(child.parent)]
    importlib.import_module("sandbox.execution")  # numpy with it: what a fresh interpreter spends its time on
    main = runpy.run_path(str(child))["main"]
    while job := _receive(0):
        given, give = os.pipe()
        tell, told = os.pipe()
        process = os.fork()
        if process == 0:
            os.dup2(given, 0)
            os.dup2(told, 1)
            os.closerange(3, max(given, give, tell, told) + 1)
            main()
            os._exit(0)
        os.close(given)
        os.close(told)
        with os.fdopen(give, "wb") as stream:
            stream.write(job)
        with os.fdopen(tell, "rb") as stream:
            output = stream.read()
        _send(1, output)
        _send(1, str(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])).encode())


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
