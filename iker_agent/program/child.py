"""Runs one program, in a process of its own that is thrown away afterwards. Started as a file, never imported.

In: one JSON object on standard input: code, function, vocabulary, rows (label -> numbers), cpu_s, memory_mb,
numpy_folder.
Out: JSON lines on what was standard output: {"layers": [...]} before the program starts, then one answer:
{"status": "returned", "value": ...} or {"status": "refused" | "error" | "limit" | "invalid", "message": ...}; when
processor time runs out, the interpreter's stack dump instead. Loads the standard library, numpy and the files beside
this one, so that starting it stays cheap.
"""

from __future__ import annotations

import json
import os
import sys
import types


def main() -> None:
    job = json.loads(sys.stdin.buffer.read())
    channel = _take_over_descriptors()
    # A bare package around this folder: its files can be loaded without iker_agent/__init__.py and what that loads.
    # It is made here, at run time, so type checkers cannot find it.
    package = types.ModuleType("sandbox")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["sandbox"] = package
    sys.path.append(job["numpy_folder"])

    from sandbox.language import Refused, admit  # type: ignore[import-not-found]
    from sandbox.vocabulary import Vocabulary  # type: ignore[import-not-found]

    try:
        program = admit(job["code"], job["function"], Vocabulary.from_dict(job["vocabulary"]))
    except Refused as refusal:
        _send(channel, status="refused", message=str(refusal))
        return

    from sandbox.execution import execute  # type: ignore[import-not-found]

    _send(channel, **execute(program, job, lambda layers: _send(channel, layers=layers), channel))


def _take_over_descriptors() -> int:
    """Moves standard output to a descriptor of our own; 0, 1 and 2 lead nowhere."""
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return channel


def _send(channel: int, **answer: object) -> None:
    line = json.dumps(answer).encode("ascii") + b"\n"
    while line:
        line = line[os.write(channel, line) :]


if __name__ == "__main__":
    main()
    os._exit(0)  # nothing of the program may run during the interpreter's own ending
