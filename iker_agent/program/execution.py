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

from .facades import Printer, program_globals, warm_up
from .language import FACADE, FELL_OFF, FILENAME, Admitted
from .lockdown import lock_down
from .serialise import TooLarge, to_plain
from .vocabulary import Vocabulary

_RECURSION_LIMIT = 200
_MAX_EXCEPTION_TEXT = 1_000
_RESERVE_BYTES = 4 * 2**20  # given back when a program has taken all memory, so that the answer can be written

Job = dict[str, Any]
Answer = dict[str, Any]


def execute(program: Admitted, job: Job, tell_layers: Callable[[list[str]], None], channel: int) -> Answer:
    """Runs `program` on the rows of `job`; the answer as JSON data. `channel` takes the dump of a time-out."""
    printer = Printer()
    scope = program_globals(printer, Vocabulary.from_dict(job["vocabulary"]))
    rows = {label: np.array(row, dtype=float) for label, row in job["rows"].items()}
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")  # a NaN is found in the result
    warm_up()
    if hasattr(faulthandler, "register") and hasattr(signal, "SIGXCPU"):
        faulthandler.register(signal.SIGXCPU, file=channel, all_threads=False, chain=True)
    reserve = bytearray(_RESERVE_BYTES)
    tell_layers(lock_down(job["cpu_s"], job["memory_mb"]))
    answer = _run(program, job["function"], scope, rows, reserve)
    return {"warnings": [*program.warnings, *_printing(printer)], "printed": printer.text, **answer}


def _run(
    program: Admitted, function: str, scope: dict[str, Any], rows: dict[str, np.ndarray], reserve: bytearray
) -> Answer:
    try:
        code = compile(program.tree, FILENAME, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"status": "refused", "message": _refusal(error)}
    try:
        return _told(_call(code, function, scope, rows), scope, rows)
    except TooLarge as error:
        return {"status": "invalid", "message": str(error)}
    except MemoryError as error:
        reserve.clear()
        return {"status": "limit", "message": _at_line(error) + "the program needs too much memory"}
    except Exception as error:  # whatever a program may raise
        return {"status": "error", "message": f"{_at_line(error)}{_text(error)}"}


def _call(code: CodeType, function: str, scope: dict[str, Any], rows: dict[str, np.ndarray]) -> Any:
    sys.setrecursionlimit(_RECURSION_LIMIT)
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
    if first is None or type(first) in (bool, np.bool_):
        answer["argument"] = to_plain(rows)
    return answer


def _refusal(error: BaseException) -> str:
    """Errors that only compiling finds, e.g. return outside a function."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno or 1}: syntax error: {error.msg}"
    return f"the program cannot be compiled: {type(error).__name__}"


def _at_line(error: BaseException) -> str:
    """ "line 14: " for the innermost frame of the program itself."""
    line = None
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == FILENAME:
            line = frame.tb_lineno
        frame = frame.tb_next
    return f"line {line}: " if line else ""


def _text(error: BaseException) -> str:
    try:
        text = str(error)[:_MAX_EXCEPTION_TEXT]
    except Exception:  # the program chose the arguments: too long an int, too deep a list
        text = "(its text cannot be shown)"
    return f"{type(error).__name__}: {text}" if text.strip() else type(error).__name__


def _printing(printer: Printer) -> list[str]:
    return ["the printed text was cut"] if printer.cut else []
