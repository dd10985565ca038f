"""The lab's cameras, a process of their own: states of the lab in by standard input, RealSense network cameras out.

    {"qpos": [...]} | {"arrange": [seed, configuration]} | {"camera": name, "does": ..., "value": x}   a line each
    {"board": {"on": ..., "pose": ...}}
    ->  draw what somebody looks at  ->  NetworkCamera.publish

`python -m real_env.lab.cameras TASK KIND LAB_NUMBER SEED CONFIGURATION` prints one line when hosts can find them, and
ends with its input. The control box goes first: pictures give way to it on a busy machine, and a quarter of a core is
left alone, since the process rests after its pictures.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from iker_envs.priority import lower_priority
from iker_envs.task import load_task
from real_env.lab.board import BoardInLab, board_from
from real_env.lab.network_camera import NetworkCamera
from real_env.lab.renderer import Renderer
from real_env.lab.rig import RigCamera, rig
from real_env.lab.world import arrange
from real_env.realsense import LAB_CONTEXT, LAB_DOMAIN, load_realsense

NO_OPENGL = 3  # exit status
_IDLE_S = 0.02
_REST = 1 / 3  # of the time that pictures took
_NICE = 10  # drawing takes all of a core; the box, beside it, has to tick every 4 ms
CONDITIONS = ("ok", "frozen", "stuck", "missing", "exposure")


class Inbox:
    """The newest state and the orders since the last look, read by a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._qpos: list[float] | None = None
        self._orders: list[dict[str, Any]] = []
        self.closed = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            with self._lock:
                if "qpos" in message:
                    self._qpos = message["qpos"]
                else:
                    self._qpos = None if "arrange" in message else self._qpos
                    self._orders.append(message)
        self.closed.set()

    def take(self) -> tuple[list[dict[str, Any]], list[float] | None]:
        """Orders and the newest state, once."""
        with self._lock:
            found = self._orders, self._qpos
            self._orders = []
            self._qpos = None
        return found


class Station:
    """One camera of the rig on the network, and what is wrong with it."""

    def __init__(self, place: RigCamera, device: NetworkCamera) -> None:
        self.place = place
        self.device = device
        self._condition = "ok"
        self._stale = True  # something has moved since the last picture, or there is none
        self._has_picture = False
        self._next_s = 0.0

    def change(self, does: str, value: float) -> None:
        """Become "ok", "frozen" (no pictures), "stuck" (the same one again and again), "missing", or brighter."""
        if does == "exposure":
            self.device.gain = value
            return
        self._condition = does
        if does == "missing":
            self.device.disconnect()
        else:
            self.device.broadcast()

    def mark(self) -> None:
        """Something has moved."""
        self._stale = True

    def is_due(self, now_s: float) -> bool:
        return now_s >= self._next_s and self._condition in ("ok", "stuck") and self.device.wanted

    def expose(self, renderer: Renderer, hand_pose: np.ndarray, board: BoardInLab | None) -> None:
        """Take a picture, or the last one again, and publish it."""
        begun = time.monotonic()
        if not self._has_picture or (self._stale and self._condition == "ok"):
            camera = self.place.placed(hand_pose)
            rgb, depth_m = renderer.picture(camera)
            if board is not None:
                rgb, depth_m = board.paint(rgb, depth_m, camera, hand_pose)
            self.device.take(rgb, depth_m)
            self._stale = False
            self._has_picture = True
        self.device.publish()
        self._next_s = begun + 1.0 / self.device.rate_hz


def run(task_name: str, kind: str, lab_number: int, seed: int, configuration: int) -> None:
    """Draw and publish until standard input ends."""
    task = load_task(task_name)
    renderer = Renderer(arrange(task, seed, configuration, visuals=True), kind)
    load_realsense()
    import pyrealsense2.pyrealdds as dds

    participant = dds.participant()
    participant.init(LAB_DOMAIN, "iker-lab", {"udp": LAB_CONTEXT["dds"]["udp"]})
    places = rig()
    stations = {
        place.name: Station(place, NetworkCamera(dds, participant, place.card(lab_number, number)))
        for number, place in enumerate(places)
    }
    renderer.picture(places[0].optics)  # the first one takes longest: hosts do not wait for it
    for station in stations.values():
        station.device.broadcast()
    print(json.dumps({"kind": renderer.painter.name}), flush=True)

    boards: list[BoardInLab | None] = [None]

    def obey(order: dict[str, Any]) -> None:
        if "board" in order:
            boards[0] = board_from(order["board"])
            for station in stations.values():
                station.mark()
        elif "arrange" in order:
            renderer.take(arrange(task, *order["arrange"], visuals=True))
        else:
            stations[order["camera"]].change(order["does"], order["value"])

    try:
        _draw(Inbox(), renderer, list(stations.values()), obey, boards)
    finally:
        for station in stations.values():
            station.device.disconnect()
        renderer.close()


def _draw(
    inbox: Inbox,
    renderer: Renderer,
    stations: list[Station],
    obey: Callable[[dict[str, Any]], None],
    boards: list[BoardInLab | None],
) -> None:
    was_moving = True
    while not inbox.closed.is_set():
        orders, qpos = inbox.take()
        for order in orders:
            obey(order)
        if qpos is not None:
            moving = renderer.show(np.array(qpos))
            if moving or was_moving:  # once more after it came to rest: a coarse picture becomes a fine one
                for station in stations:
                    station.mark()
            was_moving = moving
        begun = time.monotonic()
        due = [station for station in stations if station.is_due(begun)]
        for station in due:
            station.expose(renderer, renderer.hand_pose(), boards[0])
        took_s = time.monotonic() - begun
        inbox.closed.wait(max(_IDLE_S, _REST * took_s))


def main() -> None:
    """Read the command line; status 3 if the machine has no OpenGL of the kind that was asked for."""
    lower_priority(_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the lab, which then closes standard input
    task, kind, *numbers = sys.argv[1:]
    lab_number, seed, configuration = map(int, numbers)
    try:
        run(task, kind, lab_number, seed, configuration)
    except (AttributeError, ImportError, RuntimeError) as error:
        if kind == "rays" or isinstance(error, ModuleNotFoundError):
            raise
        print(f"no pictures by {kind}: {error}", file=sys.stderr)
        sys.exit(NO_OPENGL)


if __name__ == "__main__":
    main()
