"""Hostile programs as data, and a trap in which their deeds would leave traces."""

from __future__ import annotations

import json
import pickle
import socket
import threading
from pathlib import Path

from iker_agent.program import ProgramResult

DATA = Path(__file__).parent / "data"
KEYPOINTS = json.loads((DATA / "replies.json").read_text())["scenes"]["shoe"]["keypoints"]
ATTACKS = [attack for name in ("attacks", "more_attacks") for attack in json.loads((DATA / f"{name}.json").read_text())]
SECRET = "sk-canary-5f1c0ffee"


class Trap:
    """A folder and a listener that an attack would leave traces in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "secret.txt").write_text(SECRET)
        (folder / "evil.npy").write_bytes(pickle.dumps(_Touch(str(folder / "np_load_pickle"))))
        self.planted = sorted(folder.iterdir())
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(None)  # whatever this process has as its default
        self.connections = 0
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            self.server.accept()[0].close()
            if self.closing.is_set():
                return
            self.connections += 1

    def close(self) -> None:
        self.closing.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join()
        self.server.close()

    @property
    def port(self) -> int:
        return self.server.getsockname()[1]

    def arm(self, code: str) -> str:
        return code.replace("{C}", str(self.folder)).replace("{P}", str(self.port))

    def assert_untouched(self, result: ProgramResult) -> None:
        assert sorted(self.folder.iterdir()) == self.planted
        assert self.connections == 0
        assert SECRET not in repr(result)


class _Touch:
    """Unpickling it creates a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (self.path, "w"))
