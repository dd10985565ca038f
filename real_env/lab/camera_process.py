"""The lab's side of its camera process (cameras.py): start it with whatever OpenGL works, feed it states, end it.

start()  ->  {"front": {serial, K, pose, ...}, ...}          feed(qpos), arrange(seed, configuration), change(...)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from importlib.util import find_spec
from typing import Any

from real_env.lab.cameras import CONDITIONS, NO_OPENGL
from real_env.lab.renderer import KINDS
from real_env.lab.rig import rig

_READY_S = 60.0
_END_S = 3.0
_MOST_BUFFERED = 1 << 16  # bytes; a process that does not keep up misses states
_MAX_EXPOSURE = 20.0


class CameraProcess:
    """Five network cameras in a child process."""

    def __init__(self, task: str, lab_number: int) -> None:
        self._task = task
        self._lab_number = lab_number
        self._process: asyncio.subprocess.Process | None = None
        self.kind = ""  # how pictures are drawn
        self.cards = {place.name: place.card(lab_number, number) for number, place in enumerate(rig())}

    async def start(self, seed: int, configuration: int) -> None:
        """Start, by the first kind of drawing that works here; OSError says why there are no cameras."""
        for name in ("pyrealsense2", "libusb_package"):
            if find_spec(name) is None:
                raise OSError(f"cameras need {name}: pip install 'iker[lab]', or start the lab without (--no-cameras)")
        for kind in KINDS:
            if await self._started(kind, seed, configuration):
                self.kind = kind
                return
        raise OSError("the camera process did not start; start the lab without cameras (--no-cameras)")

    async def _started(self, kind: str, seed: int, configuration: int) -> bool:
        """Is it ready? False if the machine has no OpenGL of this kind."""
        command = (sys.executable, "-m", "real_env.lab.cameras", self._task, kind)
        numbers = (self._lab_number, seed, configuration)
        process = await asyncio.create_subprocess_exec(
            *command,
            *map(str, numbers),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if kind == KINDS[-1] else asyncio.subprocess.DEVNULL,
            env={**os.environ, "MUJOCO_GL": "disable" if kind == "rays" else kind},
        )
        self._process = process
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _READY_S)
        except TimeoutError:
            await self.close()
            raise OSError(f"the camera process was not ready within {_READY_S:g} s") from None
        if line:
            return True
        await process.wait()
        if process.returncode != NO_OPENGL and kind == KINDS[-1]:
            raise OSError(f"the camera process ended with status {process.returncode}")
        return False

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def feed(self, qpos: list[float]) -> None:
        """Show a state; it may be missed."""
        if self.alive and self._backlog() < _MOST_BUFFERED:
            self._send({"qpos": qpos})

    def _backlog(self) -> int:
        assert self._process is not None and self._process.stdin is not None
        return self._process.stdin.transport.get_write_buffer_size()

    def arrange(self, seed: int, configuration: int) -> None:
        """Draw other objects from now on."""
        self._send({"arrange": [seed, configuration]})

    def change(self, camera: str, does: str, value: float = 1.0) -> None:
        """Let a camera fail or recover; ValueError for a camera or condition that there is none of."""
        if camera not in self.cards:
            raise ValueError(f"there is no camera {camera!r}; there are: {', '.join(self.cards)}")
        if does not in CONDITIONS:
            raise ValueError(f"a camera is {', '.join(CONDITIONS)}, not {does!r}")
        if not 0 <= value <= _MAX_EXPOSURE:
            raise ValueError(f"an exposure is 0 to {_MAX_EXPOSURE:g} times the usual one, not {value!r}")
        self._send({"camera": camera, "does": does, "value": float(value)})

    def board(self, order: dict[str, Any]) -> None:
        """Show the marker board from now on, or none; see lab/board.py."""
        self._send({"board": order})

    def _send(self, message: dict[str, Any]) -> None:
        if self.alive:
            assert self._process is not None and self._process.stdin is not None
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def close(self) -> None:
        """End it: by the end of its input, or by force."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
