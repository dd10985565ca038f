"""`python -m real_env.lab TASK`: the emulated laboratory as a process of its own; see serve.py.

It prints the robot.yaml that reaches it, or with --card one line of JSON for a program that started it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

_FAILED = 1
_USAGE = 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m real_env.lab", description="An emulated laboratory on loopback.")
    parser.add_argument("task", help="name or path of a task; none: the arm in empty space")
    parser.add_argument("--clock", type=float, default=1.0, help="lab seconds in a second of the wall")
    parser.add_argument("--seed", type=int, default=0, help="start poses and physics of the objects")
    parser.add_argument("--configuration", type=int, default=0, help="arrangement of the task")
    parser.add_argument("--no-cameras", action="store_true", help="the arm alone")
    parser.add_argument("--out", type=Path, help="where to write the robot.yaml")
    parser.add_argument("--card", action="store_true", help="print a card of JSON, end with standard input")
    return parser.parse_args()


def main() -> None:
    """Read the command line and live; what goes wrong is one sentence, status 2 for wrong values."""
    given = _arguments()
    try:
        from real_env.lab.laboratory import LabSettings  # inside: it takes a second, and Ctrl-C may come
        from real_env.lab.serve import run

        settings = LabSettings(given.task, given.clock, given.seed, given.configuration, not given.no_cameras)
        signal_number = run(settings, out=given.out, as_card=given.card)
    except KeyboardInterrupt:
        signal_number = signal.SIGINT
    except (ValueError, OSError, RuntimeError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(_FAILED if isinstance(error, RuntimeError) else _USAGE)
    if signal_number is not None:  # everything is closed: die of the signal, as a shell expects
        sys.stdout.flush()
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)


if __name__ == "__main__":
    main()
