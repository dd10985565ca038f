"""The lab's process: it says on standard output how to reach it, and lives until it is told to stop.

    python -m real_env.lab shoe_rack  ->  robot.yaml, or one line of JSON (the card)  ->  SIGINT, SIGTERM, order "stop"

A program that starts a lab as a child process holds its standard input: the lab ends with its parent, however that
ends.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

from real_env.lab.client import calibration, robot_yaml
from real_env.lab.control import Control
from real_env.lab.laboratory import COMMAND_PORT, Lab, LabSettings
from real_env.lab.orders import Orders


def run(settings: LabSettings, *, out: Path | None = None, as_card: bool = False) -> int | None:
    """Live until told to stop, and return the signal that did it, if one did.

    Prints the robot.yaml, or writes it to a file with the cameras' calibration beside it; `as_card` prints the card,
    and the lab ends with standard input, too.
    """
    return asyncio.run(_main(settings, out, as_card))


async def _main(settings: LabSettings, out: Path | None, as_card: bool) -> int | None:
    lab = Lab(settings)
    loop = asyncio.get_running_loop()
    signals: list[int] = []

    def stop(number: int) -> None:
        signals.append(number)
        lab.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    token = secrets.token_hex(16)
    control = Control(Orders(lab).table(), token)
    try:
        await lab.start()
        await control.start(lab.link.host)
        _announce(card(lab, control, token), out, as_card)
        if as_card:
            lab.later(_end_of_input(lab))
        await lab.live()
    finally:
        await control.close()
        await lab.close()
    return signals[0] if signals else None


def _announce(found: dict[str, Any], out: Path | None, as_card: bool) -> None:
    if as_card:
        print(json.dumps(found), flush=True)
        return
    if out is None:
        print(robot_yaml(found), end="", flush=True)
    else:
        found_at = ""
        if found["cameras"]:
            path = out.with_suffix(".calibration.json")
            path.write_text(json.dumps(calibration(found), indent=1), encoding="utf-8")
            found_at = path.name
        out.touch(mode=0o600)
        out.write_text(robot_yaml(found, found_at), encoding="utf-8")
    print(
        f"The laboratory is open{f'; {out} reaches it' if out else ''}. Ctrl-C closes it.", file=sys.stderr, flush=True
    )


def card(lab: Lab, control: Control, token: str) -> dict[str, Any]:
    """How to reach a lab, as JSON data."""
    return {
        "task": lab.task_name,
        "ip": lab.link.host,
        "command_port": COMMAND_PORT,
        "control_port": control.port,
        "token": token,
        "clock": lab.clock.factor,
        "cameras": {} if lab.cameras is None else lab.cameras.cards,
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
