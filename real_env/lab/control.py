"""The lab's control socket: what no real laboratory has. One JSON object a line, answered by one.

    {"token": "...", "do": "truth"}  ->  {"ok": true, "result": {...}}      or  {"ok": false, "error": "one sentence"}

Loopback only, and the token of the lab's card must be right. Orders stand in orders.py; their keyword arguments are the
other members of the object.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

_MAX_LINE = 1 << 16


class Control:
    """A server of orders on a port of its own."""

    def __init__(self, orders: Mapping[str, Callable[..., Any]], token: str) -> None:
        self._orders = orders
        self._token = token
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self, host: str) -> None:
        """Listen on a free port of a loopback address."""
        self._server = await asyncio.start_server(self._serve, host, 0, limit=_MAX_LINE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await _line(reader):
                writer.write((await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the other end left; the lab closes
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> str:
        try:
            return json.dumps({"ok": True, "result": await self._do(line)}, allow_nan=False)
        except (ValueError, KeyError, TypeError) as error:
            return json.dumps({"ok": False, "error": str(error.args[0] if error.args else error)})

    async def _do(self, line: bytes) -> Any:
        order = json.loads(line)
        if not isinstance(order, dict):
            raise ValueError(f"an order is a JSON object, not {type(order).__name__}")
        if not hmac.compare_digest(str(order.pop("token", "")).encode(), self._token.encode()):
            raise ValueError("the token is wrong; it stands on the lab's card and in its robot.yaml")
        name = order.pop("do", None)
        if name not in self._orders:
            raise ValueError(f"there is no order {name!r}; there are: {', '.join(sorted(self._orders))}")
        function = self._orders[name]
        inspect.signature(function).bind(**order)  # TypeError names what is missing or too much
        result = function(**order)
        return await result if inspect.isawaitable(result) else result


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; nothing at the end, or of a line without end."""
    try:
        return await reader.readline()
    except ValueError:
        return b""
