"""The videos of a run, drawn and written beside it: a stage waits for no picture.

    Films.add(folder, frames)  ->  a thread draws and encodes  ->  rollout.mp4 in the folder
    Films.wait  ->  all are there      Films.close  ->  what is not there yet is given up

A thread is enough: drawing spends its time in ray casting and array code, which leave Python's global lock alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any

import imageio.v2 as imageio

from iker_agent.execute import Frame
from iker_agent.records.run_folder import Folder

NAME = "rollout.mp4"
_TELL_S = 5.0  # between two words on how far the videos are
_GIVE_UP_S = 10.0  # how long a picture or an encoder is waited for when the videos are given up; mostly far less


class _GivenUp(Exception):
    """Nobody wants the video any more."""


class Films:
    """Videos in the making, one after the other. Nothing is started before the first is added."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Folder, Sequence[Frame], int]] = SimpleQueue()
        self._changed = Condition()  # guards all that follows
        self._pictures = 0  # asked for since the beginning
        self._drawn = 0
        self._films = 0  # asked for and not written yet
        self._closed = False
        self._error: Exception | None = None
        self._thread: Thread | None = None

    def add(self, folder: Folder, frames: Sequence[Frame], fps: int) -> None:
        """Make a video of pictures (H, W, 3) uint8, drawn or not yet, in a folder; returns at once."""
        with self._changed:
            self._pictures += len(frames)
            self._films += 1
        self._waiting.put((folder, frames, fps))
        if self._thread is None:  # a daemon: an encoder that hangs must not keep the process
            self._thread = Thread(target=self._work, name="films", daemon=True)
            self._thread.start()

    def wait(self, tell: Callable[[str], None]) -> None:
        """Until all videos are written; `tell` hears now and then how far they are.

        What went wrong with one of them is raised then, and the other ones are there.
        """
        with self._changed:
            while self._films:
                if not self._changed.wait_for(lambda: not self._films, _TELL_S):
                    tell(f"drawing the videos: {self._drawn} of {self._pictures} pictures are done")
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Give up the videos that are not written yet; those that are stay."""
        with self._changed:
            self._closed = True
        if self._thread is not None:
            self._thread.join(_GIVE_UP_S)

    def _work(self) -> None:
        while not self._closed:
            folder, frames, fps = self._waiting.get()
            try:
                folder.file(NAME, partial(self._write, frames=frames, fps=fps))
            except _GivenUp:
                return
            except Exception as error:  # is raised by `wait`, in the thread of the run
                with self._changed:
                    self._error = self._error or error
            with self._changed:
                self._films -= 1
                self._changed.notify_all()

    def _write(self, path: Path, frames: Sequence[Frame], fps: int) -> None:
        """An H.264 video of the frames; one that is repeated is drawn once."""
        writer: Any = imageio.get_writer(path, fps=fps, codec="libx264", quality=7, macro_block_size=2)
        with closing(writer) as video:  # its own `with` leaves the encoder running after an exception
            last = picture = None
            for frame in frames:
                if self._closed:
                    raise _GivenUp
                if frame is not last:
                    last = frame
                    picture = frame() if callable(frame) else frame
                video.append_data(picture)
                with self._changed:
                    self._drawn += 1
