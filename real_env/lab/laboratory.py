"""One emulated laboratory on the event loop of this process: world, control box, its ports, clock, cameras beside it.

The lab takes the first loopback address on which the ports of a control box are free, so several labs live side by
side. The vendor's SDK can choose its command port, not those of the reports: it knows these as literals.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from dataclasses import dataclass

from iker_envs.task import load_task
from real_env.lab import free_arm
from real_env.lab.box import ControlBox
from real_env.lab.camera_process import CameraProcess
from real_env.lab.clock import LabClock, check_factor
from real_env.lab.codes import Fault
from real_env.lab.free_arm import FreeArm
from real_env.lab.link import Link
from real_env.lab.world import START_ANGLES_RAD, Arrangement, LabWorld, arrange

COMMAND_PORT = 30502  # where everybody may listen
VENDOR_COMMAND_PORT = 502  # where the vendor's SDK looks if nobody tells it otherwise; privileged on most machines
_NUM_ADDRESSES = 50  # of 127.0.0.0/8 that are tried
_SHOW_S = 1 / 30
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
    """Everything but the control socket."""

    def __init__(self, settings: LabSettings) -> None:
        self._task_name = settings.task
        self._task = None if settings.task == free_arm.NAME else load_task(settings.task)
        self._world: LabWorld | None = None
        if self._task is not None:
            self._world = LabWorld(arrange(self._task, settings.seed, settings.configuration))
        self.place: FreeArm | LabWorld = self._world or FreeArm(START_ANGLES_RAD)
        self.box = ControlBox(self.place)
        self.clock = LabClock(settings.clock, self._tick)
        self.cameras: CameraProcess | None = None
        self._wants_cameras = settings.cameras and self._world is not None
        self.stopping = asyncio.Event()
        self.collided_with: tuple[str, ...] = ()  # what the arm touched at its last collision
        self.peak_nm = 0.0  # of the external torque on any joint since somebody asked
        self.link = Link(self.box, self.clock)
        self._later: set[asyncio.Task] = set()
        self._error: BaseException | None = None

    def _tick(self) -> None:
        before = self.box.error
        self.box.tick()
        if self.box.error == Fault.COLLISION != before:
            self.collided_with = self.place.contacts()
        self.peak_nm = max(self.peak_nm, float(abs(self.box.reading.external_nm).max()))

    @property
    def task_name(self) -> str:
        return free_arm.NAME if self._task is None else self._task.name

    @property
    def world(self) -> LabWorld:
        """The objects; ValueError in a lab that has none."""
        if self._world is None:
            raise ValueError(f"there are no objects in a laboratory of the task {free_arm.NAME!r}; open another one")
        return self._world

    async def start(self) -> None:
        """Listen on the first free address and start the cameras; OSError if that cannot be."""
        await _listen(self.link)
        if self._wants_cameras and self._world is not None:
            arrangement = self._world.arrangement
            self.cameras = CameraProcess(self._task_name, int(self.link.host.rpartition(".")[2]))
            await self.cameras.start(arrangement.seed, arrangement.configuration)
            self.later(self._show())

    async def close(self) -> None:
        for task in list(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        if self.cameras is not None:
            await self.cameras.close()
        await self.link.close()

    async def _show(self) -> None:
        """Tell the cameras what there is to see."""
        assert self.cameras is not None and self._world is not None
        while True:
            self.cameras.feed(self._world.data.qpos.tolist())
            await asyncio.sleep(_SHOW_S)

    async def live(self) -> None:
        """Run the clock until `stopping` is set; an error of the physics ends the lab."""
        ticking = asyncio.create_task(self.clock.run())
        waiting = asyncio.create_task(self.stopping.wait())
        done, _ = await asyncio.wait({ticking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ticking, waiting):
            task.cancel()
        if ticking in done:
            ticking.result()  # raises what went wrong
        if self._error is not None:
            raise self._error

    def later(self, work: Coroutine[None, None, None]) -> None:
        """Do something beside everything else, until the lab closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task) -> None:
        self._later.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._error = task.exception()
            self.stopping.set()

    async def reset(self, seed: int, configuration: int) -> None:
        """Put other objects where a seed and a configuration say; compiling them does not stop the clock."""
        world = self.world
        loop = asyncio.get_running_loop()
        assert self._task is not None
        arrangement: Arrangement = await loop.run_in_executor(None, arrange, self._task, seed, configuration)
        world.install(arrangement)
        if self.cameras is not None:
            self.cameras.arrange(seed, configuration)

    async def reboot(self, lab_s: float) -> None:
        """Switch the box off and on: connections end, others are refused while it boots, everything is forgotten."""
        self.box.boot()
        await self.link.unplug(self.clock.wall_s(lab_s))


async def _listen(link: Link) -> None:
    for number in range(1, _NUM_ADDRESSES + 1):
        host = f"127.0.0.{number}"
        for ports in ((COMMAND_PORT, VENDOR_COMMAND_PORT), (COMMAND_PORT,)):
            try:
                await link.start(host, ports)
                return
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise OSError(f"the lab cannot listen on {host} ({error}); it needs 127.0.0.0/8 of Linux") from None
    last = f"127.0.0.{_NUM_ADDRESSES}"
    raise OSError(f"ports 30000-30003 and {COMMAND_PORT} are taken on 127.0.0.1 to {last}; stop a lab")
