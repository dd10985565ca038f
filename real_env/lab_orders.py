"""Orders to an emulated laboratory's control socket: one JSON object a line, answered by one.

LabOrders(config)("truth")  ->  what the order gives, or RobotFault if the laboratory is gone
"""

from __future__ import annotations

import json
import socket
from typing import Any

from real_env.config import LabConfig
from real_env.faults import Kind, RobotFault

_ANSWER_S = 10.0  # compiling another arrangement takes a second or two
_MOST_BYTES = 4_000_000


class LabOrders:
    """A connection that is opened at the first order, and again after it broke."""

    def __init__(self, config: LabConfig) -> None:
        self._address = (config.host, config.control_port)
        self._token = config.token
        self._socket: socket.socket | None = None
        self._rest = b""

    def __call__(self, order: str, **arguments: Any) -> Any:
        """Give an order; what it gives. ValueError if the laboratory refuses it, RobotFault if it does not answer."""
        line = json.dumps({"token": self._token, "do": order, **arguments}).encode() + b"\n"
        try:
            answer = json.loads(self._exchange(line))
        except (OSError, ValueError) as error:
            self.close()
            raise RobotFault(Kind.LINK, f"the laboratory's control socket {self._address}: {error}") from None
        if not answer.get("ok"):
            raise ValueError(f"the laboratory refused {order!r}: {answer.get('error')}")
        return answer.get("result")

    def _exchange(self, line: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, _ANSWER_S)
            self._socket.settimeout(_ANSWER_S)
            self._rest = b""
        self._socket.sendall(line)
        while b"\n" not in self._rest:
            more = self._socket.recv(65536)
            if not more or len(self._rest) > _MOST_BYTES:
                raise OSError("it hung up")
            self._rest += more
        answer, self._rest = self._rest.split(b"\n", 1)
        return answer

    def close(self) -> None:
        """Hang up; may be called again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
