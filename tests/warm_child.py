"""Programs run in processes that are forked from one warm interpreter: the real child, without an interpreter's start.

`WarmChild.run` takes the place of `runner._run_child` in all tests that are not about the start of these processes;
language, facades, limits, lock-down and reader stay what they are. Started as a file it is the server.
"""

import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

_LENGTH_BYTES = 8


class WarmChild:
    """The client; its server starts with the first program."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None

    def run(self, job: dict[str, Any], timeout_s: float) -> Any:
        """How a program's process ended, as `runner._run_child` tells it."""
        from iker_agent.program import runner

        if self._server is None:
            child = Path(runner.__file__).with_name("child.py")
            command = [sys.executable, "-B", "-S", "-s", "-P", __file__, str(child), job["numpy_folder"]]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._server = subprocess.Popen(command, **pipes, cwd="/", env=runner._environment())
        request = {"job": job, "timeout_s": timeout_s, "most_bytes": runner._MAX_ANSWER_BYTES + 1}
        _send(self._server.stdin.fileno(), json.dumps(request).encode())
        output = _receive(self._server.stdout.fileno())
        ending = json.loads(_receive(self._server.stdout.fileno()))
        return runner._Ending(output, ending["returncode"], ending["expired"])

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
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
    """Answer requests until the client goes: each job runs `main` of the child's file in a process of its own."""
    sys.path.append(numpy_folder)
    sys.modules["sandbox"] = types.ModuleType("sandbox")
    sys.modules["sandbox"].__path__ = [str(child.parent)]
    importlib.import_module("sandbox.execution")  # numpy with it: what a fresh interpreter spends its time on
    main = runpy.run_path(str(child))["main"]
    while message := _receive(0):
        request = json.loads(message)
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
            stream.write(json.dumps(request["job"]).encode("ascii"))
        output, expired = _answer(tell, request["most_bytes"], time.monotonic() + request["timeout_s"])
        os.kill(process, signal.SIGKILL)
        returncode = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.close(tell)
        _send(1, output)
        _send(1, json.dumps({"returncode": returncode, "expired": expired}).encode())


def _answer(descriptor: int, most_bytes: int, deadline_s: float) -> tuple[bytes, bool]:
    """What comes until the stream ends or there is too much of it, and whether it was the deadline that ended it."""
    output = b""
    while select.select([descriptor], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        part = os.read(descriptor, most_bytes - len(output))
        output += part
        if not part or len(output) == most_bytes:
            return output, False
    return output, True


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
