"""How the `iker` command ends: exit codes, one sentence for what could not be done, and death by signal.

    error  ->  explained(error)  ->  Ending(exit code, sentence)  ->  end(ending)

Only what needs nothing but the standard library is imported here: this must work when nothing else is installed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, NoReturn

from iker_agent.limits import Unusable
from iker_agent.plain_text import echo

DONE = 0
NOT_DONE = 1  # the task is not done, the check found faults, or this machine cannot go on: a full disk, no such library
USAGE = 2  # the command line, a setting or a file that it names is wrong
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))  # a closed terminal

# The libraries of each extra by the names they are imported by; whatever else is missing belongs to the package itself.
EXTRAS = {
    "mesh": ("trimesh", "coacd", "fast_simplification"),
    "vlm": ("openai",),
    "warp": ("mujoco_warp", "warp"),
    "real": ("xarm", "mink", "daqp", "pyrealsense2", "libusb_package"),
    "calibration": ("cv2",),
    "cluster": ("ray",),
    "agent": (
        "torch",
        "skrl",
        "safetensors",
        "omegaconf",
        "typer",
        "rich",
        "jinja2",
        "matplotlib",
        "imageio",
        "imageio_ffmpeg",
    ),
}
_OWN = ("iker_agent", "iker_envs", "iker_cfg", "real_env")
_STDOUT = "<stdout>"
_MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM)  # no command line mends these


class Ending(NamedTuple):
    """An exit code, and the sentence to print before it; without one nothing is printed."""

    code: int
    sentence: str = ""


BROKEN_PIPE = Ending(128 + 13)  # 13 is SIGPIPE, a name that Windows does not have


def explained(error: BaseException) -> Ending | None:
    """How the command ends for an error; None if it is a fault of the program, whose traceback should be seen."""
    if isinstance(error, KeyboardInterrupt):
        return stopped(signal.SIGINT)
    if isinstance(error, ModuleNotFoundError):
        return _missing_library(error.name or "")
    if isinstance(error, MemoryError):
        return Ending(NOT_DONE, "there is not enough memory for this; fewer worlds need less, see learn.num_envs")
    if isinstance(error, OSError):
        return _system_error(error)
    if isinstance(error, Unusable):
        return Ending(NOT_DONE, str(error))
    if isinstance(error, RuntimeError) and _is_of_a_world(error):
        return Ending(NOT_DONE, str(error))
    if isinstance(error, ValueError):
        return Ending(USAGE, " ".join(line.strip() for line in str(error).splitlines()))
    return None


def _is_of_a_world(error: RuntimeError) -> bool:
    from iker_envs.sim import SimulationError  # errors of these kinds have loaded them; help and `tasks` go without
    from iker_envs.world import WorldFault

    return isinstance(error, WorldFault | SimulationError)


def stopped(number: int) -> Ending:
    """The ending after a signal."""
    return Ending(128 + number, "interrupted" if number == signal.SIGINT else "terminated")


def need(*libraries: str) -> None:
    """ModuleNotFoundError for the first library that is not installed: said before anything is begun."""
    for library in libraries:
        if find_spec(library) is None:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)


def _missing_library(module: str) -> Ending | None:
    library = module.partition(".")[0]
    if library in _OWN or not library:
        return None
    extra = next((f"[{name}]" for name, libraries in EXTRAS.items() if library in libraries), "")
    return Ending(NOT_DONE, f"{library} is not installed; python -m pip install 'iker{extra}'")


def _system_error(error: OSError) -> Ending:
    reason = error.strerror or (str(error).splitlines() or [type(error).__name__])[0]
    if error.filename == _STDOUT:
        is_closed = error.errno == errno.EPIPE  # nobody reads any more (`| head -1`): no fault, not spoken of
        return BROKEN_PIPE if is_closed else Ending(NOT_DONE, f"the standard output cannot be written: {reason}")
    if error.filename is None:
        return Ending(NOT_DONE, reason)
    code = NOT_DONE if error.errno in _MACHINE_ERRORS else USAGE
    return Ending(code, f"{str(error.filename)!r} cannot be used: {reason}")


class _NamedOutput(io.FileIO):
    """The standard output, whose first error names it: else nobody knows which of the files being written is full.

    What comes after the error goes nowhere, so that the interpreter does not fail at it once more when it exits.
    """

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            raise OSError(error.errno, error.strerror, _STDOUT) from None


def prepare_streams() -> None:
    """Make the standard streams safe: each is open, its errors name it, no character is beyond its encoding."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file to be opened would get its number, and what a library prints
            os.open(os.devnull, os.O_RDWR)
    own = sys.__stdout__
    if own is not None and sys.stdout is own:
        raw = _NamedOutput(own.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), own.encoding, own.errors, line_buffering=raw.isatty())
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Inside, the first Ctrl-C or SIGTERM raises KeyboardInterrupt, so that what is there is saved; a second one ends
    the process at once.

    Gives a list to which the number of the signal is added. A signal that is ignored (of a job in the background)
    stays ignored.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def stop(number: int, _: object) -> None:
        came.append(number)
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if came else handler)


def end(ending: Ending, signals: Sequence[int]) -> NoReturn:
    """Say the sentence and end this process, by the first of the signals that came or by that of a broken pipe.

    A process that dies of the signal itself ends the shell's loop around it; an exit code of 130 would not.
    """
    if ending.sentence and sys.stderr is not None:
        with contextlib.suppress(OSError):  # nobody reads the standard error either
            echo(f"iker: {ending.sentence}", err=True)
            sys.stderr.flush()
    if os.name == "posix" and (signals or ending == BROKEN_PIPE):
        number = signals[0] if signals else signal.SIGPIPE
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # of no effect on the first process of a container
    raise SystemExit(ending.code)
