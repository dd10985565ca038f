"""The lab's clock: ticks of 4 ms of lab time at the wall's pace times a factor.

Not lock-step, because the vendor's SDK polls and reports by itself. A clock of 0.5 runs the lab at half speed: rates of
ticks and reports halve with it, and so must those of a host. Time that the machine could not keep up with for longer
than a tenth of a second is dropped and counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from real_env.lab.modes import TICK_S

MIN_FACTOR = 0.05
MAX_FACTOR = 5.0
_MOST_BEHIND_S = 0.1  # lab seconds; more than that is dropped


def check_factor(factor: float) -> float:
    """The factor; ValueError unless it is between 0.05 and 5."""
    if not MIN_FACTOR <= factor <= MAX_FACTOR:
        raise ValueError(f"the lab's clock runs at {MIN_FACTOR:g} to {MAX_FACTOR:g} times real time, not {factor!r}")
    return float(factor)


class LabClock:
    """Calls `tick` once for every 4 ms of lab time."""

    def __init__(self, factor: float, tick: Callable[[], None]) -> None:
        self.factor = check_factor(factor)
        self._tick = tick
        self._seen_s: float | None = None  # the wall's time that has been accounted for; None before `run`
        self._due_s = 0.0  # lab time that has not been ticked
        self.paused = False
        self.num_late = 0  # how often time was dropped
        self.dropped_s = 0.0  # lab seconds

    def wall_s(self, lab_s: float) -> float:
        """How long a span of lab time lasts on the wall."""
        return lab_s / self.factor

    async def sleep(self, lab_s: float) -> None:
        await asyncio.sleep(self.wall_s(lab_s))

    async def run(self) -> None:
        """Tick until cancelled."""
        self._seen_s = time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, self.wall_s(TICK_S - self._due_s)))
            self.catch_up()

    def catch_up(self) -> None:
        """Tick for the time that has passed: also before a command, which must not act on time that lies before it."""
        if self._seen_s is None:
            return
        now = time.monotonic()
        if not self.paused:
            self._due_s += (now - self._seen_s) * self.factor
        self._seen_s = now
        if self._due_s > _MOST_BEHIND_S:
            self.num_late += 1
            self.dropped_s += self._due_s - TICK_S
            self._due_s = TICK_S
        while self._due_s >= TICK_S:
            self._due_s -= TICK_S
            self._tick()
