"""The box's TCP ports: hosts connect, send commands and listen to reports; the link itself can fail on request.

    start(host, ports)  ->  listening on 127.0.0.x  ->  a task for each connection  ->  close()

Ways to fail: `silent` (commands are carried out, nobody answers), `cut` (nothing passes in either direction; what was
sent meanwhile arrives afterwards, as TCP does it), `drop` (all connections are closed), `unplug` (others are refused).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from real_env.lab import box_commands, io_commands, motion_commands, reports, settings_commands, wire
from real_env.lab.box import ControlBox
from real_env.lab.clock import LabClock
from real_env.lab.commands import COMMANDS, Refused
from real_env.lab.moves import Finish

assert (
    box_commands and io_commands and motion_commands and settings_commands
)  # their commands are in the table once they are imported
_MOTION_FINISHED = 2  # bit of the feedback mask
_GONE = (asyncio.IncompleteReadError, ConnectionError, TimeoutError)


class Link:
    """The ports of one box on one loopback address."""

    def __init__(self, box: ControlBox, clock: LabClock) -> None:
        self._box = box
        self._clock = clock
        self.host = ""
        self._command_ports: tuple[int, ...] = ()
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()
        self._num_cuts = 0
        self._passing = asyncio.Event()
        self._passing.set()
        self.silent = False
        self.num_commands = 0

    async def start(self, host: str, command_ports: tuple[int, ...]) -> None:
        """Listen on the ports of an address; OSError if one is taken, and then on none."""
        self.host = host
        self._command_ports = command_ports
        await self._listen()

    async def _listen(self) -> None:
        talks = {port: self._commands for port in self._command_ports}
        talks |= {port: self._reports_of(port) for port in reports.RATES_HZ}
        try:
            for port, talk in talks.items():
                self._servers.append(await asyncio.start_server(self._serve(talk), self.host, port))
        except OSError:
            await self._stop_listening()
            raise

    async def _stop_listening(self) -> None:
        servers = self._servers
        self._servers = []
        for server in servers:
            server.close()
        self.drop()
        for server in servers:
            await server.wait_closed()

    async def close(self) -> None:
        """Stop listening, close all connections, wait for their tasks."""
        for task in list(self._tasks):
            task.cancel()
        await self._stop_listening()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- ways to fail ------------------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Close all connections."""
        for writer in list(self._connections):
            writer.close()

    async def cut(self, wall_s: float) -> None:
        """Let nothing pass for some seconds of the wall."""
        self._num_cuts += 1
        self._passing.clear()
        try:
            await asyncio.sleep(wall_s)
        finally:
            self._num_cuts -= 1
            if not self._num_cuts:  # another cut may last longer
                self._passing.set()

    async def unplug(self, wall_s: float) -> None:
        """Close all connections and refuse others for some seconds of the wall; OSError if a port is taken by then."""
        if not self._servers:
            return  # it is unplugged already
        await self._stop_listening()
        await asyncio.sleep(wall_s)
        await self._listen()

    # -- connections -------------------------------------------------------------------------------------------------

    def _serve(self, talk: Callable) -> Callable:
        """A connection's life around what is said on it."""

        async def live(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            self._connections.add(writer)
            try:
                with contextlib.suppress(*_GONE):  # a host may leave at any moment
                    await talk(reader, writer)
            except asyncio.CancelledError:
                pass  # the lab closes
            finally:
                self._connections.discard(writer)
                self._tasks.discard(task)
                writer.close()

        return live

    async def _commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = _Host(self, writer)
        while (request := await _request(reader)) is not None:
            await self._passing.wait()
            if request.protocol == wire.HEARTBEAT:
                continue
            answer = self._carry_out(host, request)
            await self._passing.wait()
            if not self.silent:
                writer.write(answer)
                await writer.drain()

    def _carry_out(self, host: _Host, request: wire.Request) -> bytes:
        self.num_commands += 1
        self._clock.catch_up()
        if request.protocol == wire.MODBUS:
            return wire.modbus_exception(request)
        host.request = request
        handler = COMMANDS.get(request.register)
        invalid = 0
        payload = b""
        try:
            if handler is None:
                raise Refused
            payload = handler(self._box, request.payload, host)
        except Refused as refusal:
            invalid = wire.INVALID
            payload = refusal.payload
        return wire.reply(request, self._box.status | invalid, payload)

    def _reports_of(self, port: int) -> Callable:
        async def report(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while not reader.at_eof() and not writer.is_closing():
                await self._passing.wait()
                if not self.silent:
                    writer.write(reports.report(self._box, port))
                    await writer.drain()
                await self._clock.sleep(1.0 / reports.RATES_HZ[port])

        return report

    def tell(self, writer: asyncio.StreamWriter, request: wire.Request, ending: int) -> None:
        """Send feedback on a motion, if anything can be sent."""
        if not (self.silent or writer.is_closing()) and self._passing.is_set():
            writer.write(wire.feedback(request, self._box.status, ending, self._box.time_us))


async def _request(reader: asyncio.StreamReader) -> wire.Request | None:
    """The next request; None where something else is sent, which ends the connection."""
    try:
        return await wire.read_request(reader)
    except ValueError:
        return None


class _Host:
    """The other end of a command connection; a `Sender`."""

    def __init__(self, link: Link, writer: asyncio.StreamWriter) -> None:
        self._link = link
        self._writer = writer
        self.feedback_mask = 0
        self.request: wire.Request | None = None

    def finish(self) -> Finish:
        request = self.request
        if request is None or not self.feedback_mask & _MOTION_FINISHED:
            return lambda ending: None
        return lambda ending: self._link.tell(self._writer, request, ending)
