"""What a process may ask of a machine that others use, too."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_SESSION = Path("/proc/self/autogroup")


def lower_priority(nice: int) -> None:
    """Let other processes go before this one and those that it starts; of no effect where the system has no niceness.

    Each step of `nice`, 1 to 19, takes a fifth of the weight: 5 leaves a third, 10 a tenth.

    Desktop Linux weighs sessions first (sched(7), autogroup), and niceness counts only within one: a process that began
    a session of its own lowers that as well.
    """
    if not hasattr(os, "nice"):
        return
    os.nice(nice)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # a system without such groups, or a container that may not write there
            _SESSION.write_text(str(nice), encoding="ascii")
