"""The lab's process: it says on standard output how to reach it, and lives until it is told to stop.

    python -m real_env.lab shoe_rack  ->  one line of JSON (the card)  ->  SIGINT, SIGTERM, "stop", end of its input

Whoever starts a lab as a child process holds its standard input: the lab ends with its parent, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from typing import Any

from real_env.lab.control import Control
from real_env.lab.laboratory import COMMAND_PORT, Lab, LabSettings
from real_env.lab.orders import Orders


def run(settings: LabSettings, *, with_parent: bool = False) -> None:
    """Live until told to stop; `with_parent` also ends at the end of standard input."""
    asyncio.run(_main(settings, with_parent))


async def _main(settings: LabSettings, with_parent: bool) -> None:
    lab = Lab(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lab.stopping.set)
    token = secrets.token_hex(16)
    control = Control(Orders(lab).table(), token)
    await lab.start()
    try:
        await control.start(lab.link.host)
        print(json.dumps(card(lab, control, token)), flush=True)
        if with_parent:
            lab.later(_end_of_input(lab))
        await lab.live()
    finally:
        await control.close()
        await lab.close()


def card(lab: Lab, control: Control, token: str) -> dict[str, Any]:
    """How to reach a lab, as JSON data."""
    return {
        "task": lab.task.name,
        "ip": lab.link.host,
        "command_port": COMMAND_PORT,
        "control_port": control.port,
        "token": token,
        "clock": lab.clock.factor,
    }


async def _end_of_input(lab: Lab) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while await reader.read(1024):
            pass
        lab.stopping.set()
    finally:
        transport.close()
