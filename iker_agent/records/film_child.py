"""The process that draws one video: a pickled Job on its standard input, a JSON line per picture on its output.

    Job(path, frames, fps)  ->  draw, encode  ->  path, whole or not at all

It is told to stop by SIGTERM, and then leaves nothing half-written.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import imageio.v2 as imageio
import numpy as np

from iker_agent.atomic import replace_file
from iker_agent.execute import Frame
from iker_envs.priority import lower_priority

_NICE = 5  # the run goes first


@dataclass(frozen=True, eq=False)
class Job:
    """A video of pictures (H, W, 3) uint8, drawn or not yet, and the file that it becomes."""

    path: Path
    frames: Sequence[Frame]
    fps: int


def main() -> None:
    """Draw the video of the job on the standard input."""
    lower_priority(_NICE)
    job = pickle.load(sys.stdin.buffer)  # imports a lot; an exception amid that would come out as another one
    signal.signal(signal.SIGTERM, _stop)  # from here on there is something to clean up
    try:
        replace_file(job.path, partial(_write, job))
    except OSError as error:
        _tell(error=[error.errno, error.strerror, error.filename])
    except Exception as error:  # is raised again by the run
        _tell(error=f"{type(error).__name__}: {error}")


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit


def _tell(**facts: Any) -> None:
    os.write(sys.stdout.fileno(), f"{json.dumps(facts)}\n".encode())


def _write(job: Job, path: Path) -> None:
    """An H.264 video."""
    writer: Any = imageio.get_writer(path, fps=job.fps, codec="libx264", quality=7, macro_block_size=2)
    with closing(writer) as video:  # its own `with` leaves the encoder running after an exception
        for number, picture in enumerate(_pictures(job.frames), start=1):
            video.append_data(picture)
            _tell(drawn=number)


def _pictures(frames: Sequence[Frame]) -> Iterator[np.ndarray]:
    """The pictures in order, drawn by all cores, a few ahead of the encoder; one that is repeated is drawn once."""
    cores = os.cpu_count() or 1
    pool = ThreadPoolExecutor(cores)
    begun: dict[int, Future[np.ndarray]] = {}  # by identity of what draws
    try:
        for number, frame in enumerate(frames):
            for ahead in frames[number : number + cores]:
                if callable(ahead) and id(ahead) not in begun:
                    begun[id(ahead)] = pool.submit(ahead)
            yield begun[id(frame)].result() if callable(frame) else frame
    finally:
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
