"""A lab as a child process: start it, wait until it is ready, give it orders, stop it whatever happens.

with LabProcess("shoe_rack", clock=0.5) as lab:   lab.card, lab.robot_yaml(), lab.order("truth")

LabOrders(host, port, token)   the control socket of a lab that somebody else started
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any

READY_S = 60.0  # compiling a scene on a busy machine
STOP_S = 5.0  # after which a lab that was asked to end is killed
_ORDER_S = 30.0
_LAST_WORDS_S = 2.0  # for a lab that is ending when it stops answering
_CHUNK = 1 << 16


class LabError(RuntimeError):
    """A lab did not start, does not answer, or refuses an order; one sentence."""


class LabSilent(LabError):
    """A lab does not answer an order."""


class LabOrders:
    """The control socket of a lab; see real_env/lab/orders.py for what can be ordered."""

    def __init__(self, host: str, port: int, token: str, *, timeout_s: float = _ORDER_S) -> None:
        self._token = token
        self._where = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as error:
            raise LabError(f"no lab answers at {self._where} ({error}); start one with `iker lab`") from error
        self._socket.settimeout(timeout_s)  # the vendor's SDK changes the default of the whole process
        self._rest = b""

    def order(self, do: str, **arguments: Any) -> Any:
        """Give an order and return its result; LabError with the lab's own sentence if it is refused."""
        line = json.dumps({"token": self._token, "do": do, **arguments}).encode() + b"\n"
        try:
            self._socket.sendall(line)
            answer = json.loads(self._line())
        except OSError as error:
            raise LabSilent(f"the lab at {self._where} did not answer {do!r} ({error})") from error
        if not answer["ok"]:
            raise LabError(answer["error"])
        return answer["result"]

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                raise ConnectionError("it closed the connection")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def close(self) -> None:
        self._socket.close()


class LabProcess:
    """A lab and its cameras as child processes, in a process group of their own; stopped by `stop` or `with`."""

    def __init__(
        self, task: str, *, clock: float = 1.0, seed: int = 0, configuration: int = 0, cameras: bool = True
    ) -> None:
        command = [sys.executable, "-m", "real_env.lab", task, "--card"]
        command += ["--clock", str(clock), "--seed", str(seed), "--configuration", str(configuration)]
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(
            command + ([] if cameras else ["--no-cameras"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,  # Ctrl-C is for the parent, which stops the lab; its children belong to its group
        )
        self._orders: LabOrders | None = None
        try:
            self.card: dict[str, Any] = json.loads(self._first_line())
        except BaseException:
            self.stop()
            raise

    def _first_line(self) -> bytes:
        pipe = self._process.stdout
        assert pipe is not None
        deadline = time.monotonic() + READY_S
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise LabError(f"the lab was not ready within {READY_S:g} s: {self._complaint()}")
            if not (chunk := os.read(pipe.fileno(), _CHUNK)):
                raise LabError(f"the lab did not start: {self._complaint()}")
            line += chunk
        return line

    def _complaint(self) -> str:
        """The last line that the lab wrote on standard error."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> bool:
        """Has the lab ended within a time?"""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def order(self, do: str, **arguments: Any) -> Any:
        """See `LabOrders.order`; LabError with the lab's last words if it has ended."""
        if self._orders is None:
            self._orders = LabOrders(self.card["ip"], self.card["control_port"], self.card["token"])
        try:
            return self._orders.order(do, **arguments)
        except LabSilent:
            if not self.wait(_LAST_WORDS_S):
                raise
            raise LabError(f"the lab has ended: {self._complaint()}") from None

    def robot_yaml(self) -> str:
        """The robot.yaml that reaches this lab."""
        return robot_yaml(self.card)

    def stop(self) -> None:
        """End the lab and everything that it started: ask, then insist, then kill; at most 10 s."""
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        with contextlib.suppress(OSError):  # it may be gone already
            assert self._process.stdin is not None
            self._process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.wait(STOP_S / 2):
                break
            self._signal(number)
        self._signal(signal.SIGKILL)  # what is left of its group
        self._process.wait(STOP_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._complaints.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def __enter__(self) -> LabProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def calibration(card: dict[str, Any]) -> dict[str, Any]:
    """The calibration file of a lab's cameras, exact, as JSON data."""
    cameras = {
        name: {key: value for key, value in camera.items() if key != "fps"} for name, camera in card["cameras"].items()
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"date": now, "cameras": cameras, "note": "of the emulated laboratory"}


def robot_yaml(card: dict[str, Any], calibration_path: str = "") -> str:
    """The robot.yaml of a lab's card, and of its calibration file if there is one."""
    lines = [
        f"# An emulated laboratory of {card['task']}; valid for as long as it runs.",
        f"arm: {{ip: {card['ip']}, command_port: {card['command_port']}}}",
    ]
    if card.get("cameras"):
        lines.append("cameras:")
        lines += [
            f'  {name}: {{serial: "{c["serial"]}", width: {c["width"]}, height: {c["height"]}, fps: {c["fps"]}}}'
            for name, c in card["cameras"].items()
        ]
    if calibration_path:
        lines.append(f"calibration: {json.dumps(calibration_path)}")
    lines += [
        f"clock: {card['clock']:g}",
        "poses: lab",
        "watch_cameras: false  # their pictures take half of a processor; true for what a real cell does",
        "lab:",
        f"  host: {card['ip']}",
        f"  control_port: {card['control_port']}",
        f"  frame_port: {card.get('frame_port', 0)}",
        f'  token: "{card["token"]}"',
    ]
    return "\n".join(lines) + "\n"
