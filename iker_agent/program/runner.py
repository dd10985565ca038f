"""Runs a program in a child process and turns whatever comes back into a `ProgramResult`.

In: source text and labelled rows. Out: a result, always: this side starts the child without the caller's environment,
gives it a dead line, reads a bounded number of bytes, kills its process group, and believes nothing of the answer
that it has not checked again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from iker_agent.plain_text import clean_block, clean_line
from iker_agent.program.language import MAX_CHARACTERS
from iker_agent.program.result import MAX_PRINTED, ProgramResult, Status
from iker_agent.program.rows import Rows, read_rows
from iker_agent.program.serialise import Unreadable, from_plain
from iker_agent.program.signature import Invalid, Signature
from iker_agent.program.signatures import signature_named

_CHILD = Path(__file__).with_name("child.py")
_MAX_ANSWER_BYTES = 1_000_000
_MAX_WARNINGS = 20
_CHILD_LAYERS = ("rlimit", "seccomp")
# Processor time is what a program may use. The clock is for a process that hangs, and must not count what a busy
# machine does meanwhile; only where nothing limits processor time (Windows) is it the limit.
_TIMEOUT_S = 120.0 if importlib.util.find_spec("resource") else 8.0
_SAID_BY_CHILD = ("refused", "error", "limit", "invalid")


@dataclass(frozen=True)
class _Ending:
    """How the child ended: its output (cut off at the limit), exit code (negative: signal), killed for its time."""

    output: bytes
    returncode: int
    expired: bool


def run_program(
    code: str,
    keypoints: Mapping[str, Any],
    contract: str | Signature = "keypoints",
    *,
    timeout_s: float = _TIMEOUT_S,
    cpu_s: int = 3,
    memory_mb: int = 256,
    check_targets: bool = True,
) -> ProgramResult:
    """Runs a program that a model wrote, isolated from this process, on the keypoints of a scene.

    Args:
        code: source text that defines get_interaction_data(keypoint_coordinates), or under the contract "poses"
            get_final_poses(object_poses).
        keypoints: label -> (x, y, z) in metres, world frame; under "poses" object name -> (x, y, z, roll, pitch,
            yaw) in metres and radians. Never changed.
        contract: "keypoints" or "poses", or a signature of somebody else's.
        timeout_s: wall-clock limit of the whole call, seconds; a program is meant to end by `cpu_s` long before.
        cpu_s: processor time for the program, whole seconds.
        memory_mb: memory beyond what the interpreter and numpy take, 2**20 bytes.
        check_targets: call targets invalid that no scene could want: nothing moves, an object is stretched, goes under
            the table or out of reach. False gives them as they are.

    Returns:
        A `ProgramResult`; nothing that a program does raises here.

    Raises:
        ValueError: the arguments themselves are wrong (contract, keypoints, limits, code that is not text).
    """
    started = time.perf_counter()
    signature = signature_named(contract)
    originals = read_rows(keypoints, signature.rows, signature.argument)
    _check_arguments(code, timeout_s, cpu_s, memory_mb)
    if len(code) > MAX_CHARACTERS:
        message = f"the program has {len(code)} characters; at most {MAX_CHARACTERS} are allowed"
        result = ProgramResult("refused", message, layers=("language",))
    else:
        job = {**job_for(code, signature, originals), "cpu_s": int(cpu_s), "memory_mb": int(memory_mb)}
        ending = _run_child({**job, "numpy_folder": str(Path(np.__file__).parents[1])}, timeout_s)
        result = _judge(ending, signature, originals, job, timeout_s, check_targets)
    return replace(result, seconds=time.perf_counter() - started)


def job_for(code: str, signature: Signature, originals: Rows) -> dict[str, Any]:
    """What the program's process is told, as JSON data."""
    return {
        "code": code,
        "function": signature.function,
        "vocabulary": signature.vocabulary.to_dict(),
        "rows": originals,
    }


def _check_arguments(code: Any, timeout_s: Any, cpu_s: Any, memory_mb: Any) -> None:
    if not isinstance(code, str):
        raise ValueError(f"code must be text, got {type(code).__name__}")
    if not timeout_s > 0:
        raise ValueError(f"timeout_s must be positive, got {timeout_s!r}")
    if int(cpu_s) != cpu_s or cpu_s < 1:
        raise ValueError(f"cpu_s must be a whole number of seconds from 1, got {cpu_s!r}")
    if not memory_mb >= 1:
        raise ValueError(f"memory_mb must be at least 1, got {memory_mb!r}")


# ----------------------------------------------------------------------- the process


def _run_child(job: dict[str, Any], timeout_s: float) -> _Ending:
    # -S: no site, so that no .pth file of the installation runs; -P, -s: nothing from the folder or the user's home.
    command = [sys.executable, "-B", "-S", "-s", "-P", str(_CHILD)]
    with tempfile.TemporaryDirectory(prefix="iker-program-") as empty:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=empty,
            env=_environment(),
            start_new_session=True,
        )
        return _converse(process, json.dumps(job).encode("ascii"), timeout_s)


def _environment() -> dict[str, str]:
    """Nothing of the caller's environment, except where an interpreter may find its own shared libraries."""
    names = ("SYSTEMROOT", "PATH") if sys.platform == "win32" else ("LD_LIBRARY_PATH",)
    kept = {name: os.environ[name] for name in names if name in os.environ}
    # One thread, or the stacks of the others use up the memory limit; a fixed hash seed, so that results repeat.
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}


def _converse(process: subprocess.Popen[bytes], message: bytes, timeout_s: float) -> _Ending:
    assert process.stdin is not None and process.stdout is not None  # pipes, as _run_child asks for
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _kill(process)

    timer = threading.Timer(timeout_s, expire)
    timer.start()
    try:
        with contextlib.suppress(OSError):  # it ended before it had read everything
            process.stdin.write(message)
            process.stdin.close()
        output = process.stdout.read(_MAX_ANSWER_BYTES + 1)
    finally:
        timer.cancel()
        timer.join()
        # Before it is waited for: until then its number cannot have gone to another process.
        _kill(process)
        returncode = process.wait()
        process.stdout.close()
    return _Ending(output, returncode, expired.is_set())


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the child and whatever it may have started. It leads a session of its own where there are sessions."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


# ------------------------------------------------------------------------ the answer


def _judge(
    ending: _Ending,
    signature: Signature,
    originals: Rows,
    job: dict[str, Any],
    timeout_s: float,
    check_targets: bool,
) -> ProgramResult:
    lines = ending.output.split(b"\n")
    records = [record for record in map(_read_record, lines) if record is not None]
    layers = ("language", "process", *_layers(records))
    if len(ending.output) > _MAX_ANSWER_BYTES:
        return ProgramResult("limit", "the program's output is too long", layers=layers)
    answer = records[-1] if records else {}
    if (answer.get("status") == "returned" and "value" in answer) or answer.get("status") in _SAID_BY_CHILD:
        return read_report(answer, signature, originals, layers, check_targets)
    status, message = _unanswered(ending, job, timeout_s)
    return ProgramResult(status, message, layers=layers)


def read_report(
    answer: dict[str, Any],
    signature: Signature,
    originals: Rows,
    layers: tuple[str, ...] = (),
    check_targets: bool = True,
) -> ProgramResult:
    """The result that a program's process has told of; nothing of it is believed unchecked."""
    printed = clean_block(answer["printed"], MAX_PRINTED) if isinstance(answer.get("printed"), str) else ""
    told = ProgramResult("error", printed=printed, warnings=_texts(answer.get("warnings")), layers=layers)
    if answer["status"] == "returned":
        return _read_returned(answer, signature, originals, told, check_targets)
    reason = clean_line(str(answer.get("message"))).rstrip(".") or "no reason was given"
    return replace(told, status=answer["status"], message=reason)


def _read_record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _layers(records: list[dict[str, Any]]) -> tuple[str, ...]:
    claimed = records[0].get("layers") if records else None
    return tuple(layer for layer in _CHILD_LAYERS if isinstance(claimed, list) and layer in claimed)


def _texts(value: Any) -> tuple[str, ...]:
    texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    return tuple(clean_line(text) for text in texts[:_MAX_WARNINGS])


def _read_returned(
    answer: dict[str, Any], signature: Signature, originals: Rows, told: ProgramResult, check_targets: bool
) -> ProgramResult:
    try:
        reading = signature.read(from_plain(answer["value"]), originals, from_plain(answer.get("argument")))
    except Invalid as error:
        return replace(told, status="invalid", message=clean_line(str(error)))
    except Unreadable:
        return replace(told, message="the program's process gave an answer that cannot be read")
    told = replace(told, warnings=(*told.warnings, *reading.warnings))
    if reading.done:
        return replace(told, status="done")
    if reading.impossible:
        return replace(told, status="impossible", message=reading.impossible)
    problem = signature.implausible(reading, originals) if check_targets else ""
    if problem:
        return replace(told, status="invalid", message=problem)
    return replace(
        told,
        status="ok",
        object=reading.object,
        indices=reading.indices,
        grasp=reading.grasp,
        targets=reading.targets,
    )


def _unanswered(ending: _Ending, job: dict[str, Any], timeout_s: float) -> tuple[Status, str]:
    """Status and sentence for a child that ended without an answer."""
    if ending.expired:
        return "limit", f"the program ran out of time: it took longer than {timeout_s:g} s"
    if ending.returncode == -getattr(signal, "SIGXCPU", 0) or b"<program>" in ending.output:
        line = re.search(rb'File "<program>", line (\d{1,6})\b', ending.output)
        place = f"line {line[1].decode()}: " if line else ""
        return "limit", f"{place}the program used more than {job['cpu_s']} s of processor time (an endless loop?)"
    if ending.returncode == -getattr(signal, "SIGKILL", 0):
        return "limit", "the program's process was killed by the system, for its memory or processor time"
    how = f"signal {-ending.returncode}" if ending.returncode < 0 else f"exit code {ending.returncode}"
    return "error", f"the program's process ended without an answer ({how})"
