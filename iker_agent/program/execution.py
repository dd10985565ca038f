"""The run itself, inside the child: facades, lock-down, the program, its answer as data.

In: an admitted program and the job. Out: one answer for the parent. The order matters: what must be loaded is loaded,
then the process gives up its powers, then the program is compiled and run.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import warnings
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from .facades import Facades, Printer
from .language import FILENAME, Admitted
from .lockdown import lock_down
from .numpy_facade import warm_up
from .rewriting import FACADE, FELL_OFF
from .serialise import TooLarge, to_plain
from .steady import without_addresses
from .vocabulary import Vocabulary

_RECURSION_LIMIT = 400
_MAX_EXCEPTION_TEXT = 1_000
_RESERVE_BYTES = 4 * 2**20  # given back when a program has taken all memory, so that the answer can be written

Job = dict[str, Any]
Answer = dict[str, Any]


def execute(program: Admitted, job: Job, tell_layers: Callable[[list[str]], None], channel: int) -> Answer:
    """Runs `program` on the rows of `job` and locks the process before; `channel` takes the dump of a time-out."""
    facades = Facades(Vocabulary.from_dict(job["vocabulary"]), program.imported)
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")  # a NaN is found in the result
    warm_up()
    if hasattr(faulthandler, "register") and hasattr(signal, "SIGXCPU"):
        faulthandler.register(signal.SIGXCPU, file=channel, all_threads=False, chain=True)
    reserve = bytearray(_RESERVE_BYTES)
    tell_layers(lock_down(job["cpu_s"], job["memory_mb"]))
    sys.setrecursionlimit(_RECURSION_LIMIT)
    return perform(program, facades, job, reserve)


def perform(program: Admitted, facades: Facades, job: Job, reserve: bytearray) -> Answer:
    """The answer of a program: of the program as it is written, unless its examples fail or make no difference."""
    answer, line = _run(program, facades, job, reserve)
    if program.bare is None:
        return answer
    fails_in_example = any(first <= line <= last for first, last in program.examples)
    bare, _ = _run(program.bare, facades, job, reserve)
    same = all(answer.get(key) == bare.get(key) for key in ("status", "message", "value", "argument"))
    return bare if fails_in_example or same else answer


def _run(program: Admitted, facades: Facades, job: Job, reserve: bytearray) -> tuple[Answer, int]:
    """The answer, and the line outside of functions at which the program failed, 0 if it did not."""
    try:
        code = compile(program.tree, FILENAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"status": "refused", "message": _refusal(error), "warnings": [], "printed": ""}, 0
    printer = Printer()
    scope = facades.scope(printer)
    rows = {label: np.array(row, dtype=float) for label, row in job["rows"].items()}
    line = 0
    try:
        answer = _told(_call(code, job["function"], scope, rows), scope, rows)
    except TooLarge as error:
        answer = {"status": "invalid", "message": str(error)}
    except MemoryError as error:
        reserve.clear()
        line = _module_line(error)
        answer = {"status": "limit", "message": _at_line(error) + "the program needs too much memory"}
    except Exception as error:  # whatever a program may raise
        line = _module_line(error)
        answer = {"status": "error", "message": f"{_at_line(error)}{_text(error)}"}
    told = {"warnings": [*program.warnings, *_printing(printer)], "printed": printer.text}
    return {**told, **answer}, line


def _call(code: CodeType, function: str, scope: dict[str, Any], rows: dict[str, np.ndarray]) -> Any:
    exec(code, scope)
    if not isinstance(scope.get(function), FunctionType):
        raise TypeError(f"{function} is not a function any more at the end of the program")
    return scope[function](rows)


def _told(value: Any, scope: dict[str, Any], rows: dict[str, np.ndarray]) -> Answer:
    """The returned value; with one that may say done also the argument, as the program has left it."""
    if value is scope[FACADE][FELL_OFF]:
        message = "the program ends without a return; return None if the instruction is fulfilled"
        return {"status": "invalid", "message": message}
    answer = {"status": "returned", "value": to_plain(value)}
    first = value[0] if type(value) in (list, tuple) and value else value
    if first is None or type(first) in (bool, np.bool_, str, dict):
        answer["argument"] = to_plain(rows)
    return answer


def _refusal(error: BaseException) -> str:
    """Errors that only compiling finds, e.g. return outside a function."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno or 1}: syntax error: {error.msg}"
    return f"the program cannot be compiled: {type(error).__name__}"


def _program_frames(error: BaseException) -> list[tuple[str, int]]:
    """Name and line of the program's own frames, outermost first."""
    frames = []
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == FILENAME:
            frames.append((frame.tb_frame.f_code.co_name, frame.tb_lineno))
        frame = frame.tb_next
    return frames


def _at_line(error: BaseException) -> str:
    """ "line 14: " for the innermost frame of the program itself."""
    frames = _program_frames(error)
    return f"line {frames[-1][1]}: " if frames else ""


def _module_line(error: BaseException) -> int:
    """The line of the statement outside of all functions that led to the error; 0 if the function was called."""
    return next((line for name, line in _program_frames(error) if name == "<module>"), 0)


def _text(error: BaseException) -> str:
    try:
        text = without_addresses(str(error)[:_MAX_EXCEPTION_TEXT])
    except Exception:  # the program chose the arguments: too long an int, too deep a list
        text = "(its text cannot be shown)"
    return f"{type(error).__name__}: {text}" if text.strip() else type(error).__name__


def _printing(printer: Printer) -> list[str]:
    return ["the printed text was cut"] if printer.cut else []
