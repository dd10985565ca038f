"""`python -m real_env.lab TASK`: the emulated laboratory as a process of its own; see serve.py."""

from __future__ import annotations

import argparse
import sys

from real_env.lab.laboratory import LabSettings
from real_env.lab.serve import run


def main() -> None:
    """Read the command line and live; wrong values end with one sentence and status 2."""
    parser = argparse.ArgumentParser(prog="python -m real_env.lab", description="An emulated laboratory on loopback.")
    parser.add_argument("task", help="name or path of a task")
    parser.add_argument("--clock", type=float, default=1.0, help="lab seconds in a second of the wall")
    parser.add_argument("--seed", type=int, default=0, help="start poses and physics of the objects")
    parser.add_argument("--configuration", type=int, default=0, help="arrangement of the task")
    parser.add_argument("--no-cameras", action="store_true", help="the arm alone")
    parser.add_argument("--with-parent", action="store_true", help="end with standard input")
    given = parser.parse_args()
    try:
        settings = LabSettings(given.task, given.clock, given.seed, given.configuration, not given.no_cameras)
        run(settings, with_parent=given.with_parent)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
