"""The videos of a run, drawn and written beside it: a stage waits for no picture.

    Films.add(folder, frames)  ->  a process draws and encodes  ->  rollout.mp4 in the folder
    Films.wait  ->  all are there      Films.close  ->  what is not there yet is given up

A process, not a thread: a thread would start the encoder (a fork) while the run is in linear algebra, or draw while the
run forks, and OpenBLAS then waits for threads that are gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from iker_agent.execute import Frame
from iker_agent.records.film_child import Job
from iker_agent.records.run_folder import Folder

NAME = "rollout.mp4"
_CHILD = "iker_agent.records.film_child"
_AT_ONCE = 2  # videos; the other ones wait
_TELL_S = 5.0  # between two words on how far the videos are
_POLL_S = 0.1
_GIVE_UP_S = 10.0  # how long a process may take to stop
_KILLED_S = 2.0  # and killed ones to be gone


class FilmFault(RuntimeError):
    """A video could not be drawn; the message says which and why."""


class Films:
    """Videos in the making. Nothing is started before the first is added."""

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._making: list[_Film] = []
        self._pictures = 0  # asked for since the beginning
        self._drawn = 0  # of the videos that have ended
        self._error: Exception | None = None

    def add(self, folder: Folder, frames: Sequence[Frame], fps: int) -> None:
        """Make a video of pictures (H, W, 3) uint8, drawn or not yet, in a folder; returns at once."""
        self._pictures += len(frames)
        self._waiting.append(Job(folder.path.absolute() / NAME, frames, fps))
        self._go_on()

    def wait(self, tell: Callable[[str], None]) -> None:
        """Until all videos are written; `tell` hears now and then how far they are.

        What went wrong with one of them is raised then, and the other ones are there: an OSError, else FilmFault.
        """
        told_s = time.monotonic()
        self._go_on()
        while self._making:
            time.sleep(_POLL_S)
            if time.monotonic() - told_s > _TELL_S:
                told_s = time.monotonic()
                drawn = self._drawn + sum(film.drawn() for film in self._making)
                tell(f"drawing the videos: {drawn} of {self._pictures} pictures are done")
            self._go_on()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Give up the videos that are not written yet; those that are stay."""
        self._waiting.clear()
        for film in self._making:
            film.process.terminate()
        for film in self._making:
            film.stop()
        self._making.clear()

    def _go_on(self) -> None:
        """Take leave of the videos that have ended and begin those that wait."""
        for film in [film for film in self._making if film.process.poll() is not None]:
            self._making.remove(film)
            self._drawn += len(film.job.frames)
            self._error = self._error or film.error()
        while self._waiting and len(self._making) < _AT_ONCE:
            self._making.append(_Film(self._waiting.pop(0)))


class _Film:
    """One video and the process that makes it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        with tempfile.TemporaryFile() as work:
            pickle.dump(job, work)
            work.seek(0)
            # the same modules as here; linear algebra without threads, which a fork (the encoder) would break
            own = {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path), "OPENBLAS_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                [sys.executable, "-m", _CHILD],
                stdin=work,
                stdout=self._log,
                env={**os.environ, **own},
                start_new_session=True,  # Ctrl-C is for the run, which then says what becomes of the video
            )

    def _told(self) -> list[dict[str, Any]]:
        """What the process has said so far; a line may not be whole yet."""
        size = os.fstat(self._log.fileno()).st_size
        lines = os.pread(self._log.fileno(), size, 0).split(b"\n")
        return [json.loads(line) for line in lines[:-1]]

    def drawn(self) -> int:
        """Pictures that are done."""
        return max((line.get("drawn", 0) for line in self._told()), default=0)

    def error(self) -> Exception | None:
        """What went wrong, once the process has ended."""
        told = [line["error"] for line in self._told() if "error" in line]
        self._log.close()
        if told and isinstance(told[0], list):
            return OSError(*told[0])
        if told:
            return FilmFault(f"{self.job.path} could not be drawn: {told[0]}")
        if self.process.returncode:
            return FilmFault(f"{self.job.path} could not be drawn: its process ended with {self.process.returncode}")
        return None

    def stop(self) -> None:
        """Wait for a process that was told to stop, and make an end of one that does not, and of its encoder."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GIVE_UP_S)
        _end(self.process)
        self.process.wait()
        for half in self.job.path.parent.glob(f".{self.job.path.name}.part*"):
            half.unlink(missing_ok=True)
        self._log.close()


def _end(leader: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group; what they were about to write is there by the time that none is left."""
    end_s = time.monotonic() + _KILLED_S
    while time.monotonic() < end_s:
        leader.poll()  # one that nobody has waited for still counts
        try:
            os.killpg(leader.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # the latter on macOS, of ended ones
            return
        time.sleep(_POLL_S)
