"""One emulated laboratory on the event loop of this process: world, control box, its ports, clock.

The lab takes the first loopback address on which the ports of a control box are free, so several labs live side by
side. The vendor's SDK can choose its command port, not those of the reports: it knows these as literals.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from dataclasses import dataclass

from iker_envs.task import load_task
from real_env.lab.box import ControlBox
from real_env.lab.clock import LabClock, check_factor
from real_env.lab.link import Link
from real_env.lab.world import Arrangement, LabWorld, arrange

COMMAND_PORT = 30502  # where everybody may listen
VENDOR_COMMAND_PORT = 502  # where the vendor's SDK looks if nobody tells it otherwise; privileged on most machines
_NUM_ADDRESSES = 50  # of 127.0.0.0/8 that are tried
_TAKEN = (errno.EACCES, errno.EADDRINUSE, errno.EPERM)


@dataclass(frozen=True)
class LabSettings:
    """What a lab is started with; ValueError for a clock that it cannot keep."""

    task: str
    clock: float = 1.0
    seed: int = 0
    configuration: int = 0
    cameras: bool = True

    def __post_init__(self) -> None:
        check_factor(self.clock)


class Lab:
    """Everything but the control socket and the cameras."""

    def __init__(self, settings: LabSettings) -> None:
        self.task = load_task(settings.task)
        self.world = LabWorld(arrange(self.task, settings.seed, settings.configuration))
        self.box = ControlBox(self.world)
        self.clock = LabClock(settings.clock, self._tick)
        self.stopping = asyncio.Event()
        self.peak_nm = 0.0  # of the external torque on any joint since somebody asked
        self.link: Link
        self._later: set[asyncio.Task] = set()

    def _tick(self) -> None:
        self.box.tick()
        self.peak_nm = max(self.peak_nm, float(abs(self.box.reading.external_nm).max()))

    async def start(self) -> None:
        """Listen on the first free address; OSError if there is none."""
        self.link = await _listening(self.box, self.clock)

    async def close(self) -> None:
        for task in list(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await self.link.close()

    async def live(self) -> None:
        """Run the clock until `stopping` is set; an error of the physics ends the lab."""
        ticking = asyncio.create_task(self.clock.run())
        waiting = asyncio.create_task(self.stopping.wait())
        done, _ = await asyncio.wait({ticking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ticking, waiting):
            task.cancel()
        if ticking in done:
            ticking.result()  # raises what went wrong

    def later(self, work: Coroutine[None, None, None]) -> None:
        """Do something beside everything else, until the lab closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def reset(self, seed: int, configuration: int) -> None:
        """Put other objects where a seed and a configuration say; compiling them does not stop the clock."""
        loop = asyncio.get_running_loop()
        arrangement: Arrangement = await loop.run_in_executor(None, arrange, self.task, seed, configuration)
        self.world.install(arrangement)

    async def reboot(self, lab_s: float) -> None:
        """Switch the box off and on: connections end, none is accepted while it boots, everything is forgotten."""
        self.box.boot()
        await self.link.unplug(self.clock.wall_s(lab_s))


async def _listening(box: ControlBox, clock: LabClock) -> Link:
    for number in range(1, _NUM_ADDRESSES + 1):
        host = f"127.0.0.{number}"
        for ports in ((COMMAND_PORT, VENDOR_COMMAND_PORT), (COMMAND_PORT,)):
            link = Link(box, clock, host, ports)
            try:
                await link.start()
                return link
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise OSError(f"the lab cannot listen on {host} ({error}); it needs 127.0.0.0/8 of Linux") from None
    last = f"127.0.0.{_NUM_ADDRESSES}"
    raise OSError(f"ports 30000-30003 and {COMMAND_PORT} are taken on 127.0.0.1 to {last}; stop a lab")
