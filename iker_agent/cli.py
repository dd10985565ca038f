"""The `iker` command: it calls a verb of commands/app.py, and ends in a way that people and shells understand.

Exit codes: 0 the task is done (or the check passed), 1 it is not, 2 wrong usage. After Ctrl-C, SIGTERM, or when nobody
reads its output any more, the process dies of that signal: in a shell 130, 143, 141.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from iker_agent.commands.ending import Ending, end, explained, prepare_streams, stop_signals, stopped


def main() -> None:
    """Entry point: what goes wrong is told in one sentence; a traceback is for faults of the program itself."""
    prepare_streams()
    with stop_signals() as signals:
        ending = _called(sys.argv[1:], signals)
    end(ending, signals)


def _called(arguments: Sequence[str], signals: Sequence[int]) -> Ending:
    """Call the verb; `signals` are those that have come."""
    try:
        from iker_agent.commands.app import call  # inside: it may be missing libraries, and take a second to load

        ending = Ending(call(arguments))
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where an error can still be told
    except BaseException as error:
        known = stopped(signals[0]) if signals else explained(error)
        if known is None:
            raise
        return known
    # Whatever the libraries made of the interruption: an error of their own, or nothing.
    return stopped(signals[0]) if signals else ending


def __getattr__(name: str) -> Any:
    """`app`, the typer application, is loaded when it is asked for: main() must work before typer is there."""
    if name == "app":
        from iker_agent.commands.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    main()
