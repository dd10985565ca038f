"""The `files` backend: any program or person answers, by files in a folder that both sides see, the box.

    Request  ->  BOX/001/{request.md, request.json, image_1.png, ...}        BOX/001/reply.md  ->  Reply

A request folder appears whole, under its number, in one step. A reply is read once: when `reply.md` has text and did
not change for `ask.settle_s`. So a program writes another name and renames it, and a person saves from any editor.
`BOX/box.json` says whether the run still asks; a request that nobody has to answer any more holds `withdrawn.md`.
"""

from __future__ import annotations

import codecs
import json
import logging
import os
import re
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from iker_agent.atomic import replace_file
from iker_agent.plain_text import clean_line
from iker_agent.vlm.errors import VLMConfigurationError, VLMTruncated, VLMUnavailable
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Message, Part, Reply, Request

PROTOCOL = 1  # of the files in a box; another number when a program that answers would have to change
BOX = "box.json"
REPLY = "reply.md"
WITHDRAWN = "withdrawn.md"
MAX_REPLY_BYTES = 4 * 2**20  # as of a server's answer
_POLL_S = 0.05
_OPEN_PATIENCE = 10  # times settle_s for a reply in the middle of a code block: more of it is likely to come
_FENCE = re.compile(r"^\s*(```|~~~)", re.MULTILINE)
_LOG = logging.getLogger(__name__)  # `iker run` and `iker talk` show it: somebody has to know where to answer


class FileBox:
    """Asks by files in the folder `settings.box`, which is made if it is missing.

    ValueError if the folder holds something already, or OSError if it cannot be made.
    """

    def __init__(self, settings: AskSettings) -> None:
        self.folder = Path(settings.box)
        self.settings = settings
        self._number = 0
        self._is_ours = False
        self._since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        _check_unused(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise ValueError(f"{str(self.folder)!r} cannot be written into: permission denied; choose another folder")

    def complete(self, request: Request) -> Reply:
        """Lay a request into the box and wait for its reply.

        VLMUnavailable if none came within `ask.wait_s` or somebody removed the request, VLMTruncated if it is larger
        than 4 MiB, VLMConfigurationError if another run uses the box, OSError if it cannot be written.
        """
        if not self._is_ours:
            self._claim()
        self._number += 1
        place = self.folder / f"{self._number:03d}"
        part = self.folder / f".{place.name}.part"
        try:
            _write_request(part, request, self._number)
            _lay(part, place)
            _LOG.info("question %d: %s", self._number, _gist(request))
            _LOG.info("read %s, answer in %s", place / "request.md", place / REPLY)
            start = time.monotonic()
            text = self._reply(place, start)
        except BaseException as end:  # Ctrl-C too: nobody is to work at an answer that is not read
            if part.exists():
                shutil.rmtree(part, ignore_errors=True)  # it was never asked
            else:
                _withdraw(place, str(end) or "the run was interrupted")
            raise
        _LOG.info("read %d characters from %s", len(text), place / REPLY)
        seconds = time.monotonic() - start
        return Reply(text, backend="files", model=self.settings.model, seconds=seconds)

    def close(self) -> None:
        """Say in the box that nothing more is asked; of no effect on a box in which nothing was."""
        if self._is_ours:
            with suppress(FileNotFoundError):  # somebody has cleared it away
                self._write_state(is_open=False)

    def _claim(self) -> None:
        """Take the box for this run, in one step."""
        try:
            (self.folder / BOX).open("x").close()
        except FileExistsError:
            raise VLMConfigurationError(f"{_used(self.folder)}; choose another folder") from None
        self._is_ours = True
        self._write_state(is_open=True)

    def _write_state(self, *, is_open: bool) -> None:
        state: dict[str, Any] = {"protocol": PROTOCOL, "open": is_open}
        state |= {"process": os.getpid(), "host": socket.gethostname(), "since": self._since}
        replace_file(self.folder / BOX, lambda path: path.write_text(json.dumps(state) + "\n", encoding="utf-8"))

    def _reply(self, place: Path, start: float) -> str:
        """The reply's text, once it is whole."""
        path = place / REPLY
        seen: tuple[int, ...] = ()
        unchanged_since = start
        while True:
            now = time.monotonic()
            found = _signature(path)
            if found != seen:
                seen = found
                unchanged_since = now
            if seen and now - unchanged_since >= self.settings.settle_s:
                text = _read(path, seen)
                is_whole = len(_FENCE.findall(text)) % 2 == 0
                if text.strip() and (is_whole or now - unchanged_since >= _OPEN_PATIENCE * self.settings.settle_s):
                    return text
            if now - start >= self.settings.wait_s:
                raise VLMUnavailable(self._too_late(path, bool(seen)))
            if not place.is_dir():
                raise VLMUnavailable(f"the request {str(place)!r} was removed before it was answered")
            time.sleep(_POLL_S)

    def _too_late(self, path: Path, is_there: bool) -> str:
        what = "holds no finished answer" if is_there else "was not written"
        if path.exists() and not os.access(path, os.R_OK):
            what = "may not be read (permission denied), and no other one came"
        elif others := [] if is_there else _like_a_reply(path):
            what += f" (there is {', '.join(map(clean_line, others))}, which is no file {REPLY})"
        return f"{str(path)!r} {what} within {self.settings.wait_s:g} s, see ask.wait_s"


def _check_unused(folder: Path) -> None:
    """ValueError unless the folder is missing or empty, hidden files aside: old replies would answer new questions."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is a file; a box is a folder that is empty or not there yet")
    held = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    if BOX in held:
        raise ValueError(f"{_used(folder)}; choose another folder, or remove it")
    if held:
        raise ValueError(f"{str(folder)!r} is not empty, it holds {held[0]!r}; a box is an empty or a new folder")


def _used(folder: Path) -> str:
    """Whose box it is, in words; a state that cannot be read tells nothing."""
    try:
        state = json.loads((folder / BOX).read_text(encoding="utf-8"))
        who = f"process {int(state['process'])} on {clean_line(str(state['host']))}, {clean_line(str(state['since']))}"
    except (OSError, ValueError, TypeError, KeyError):
        who = "another run"
    return f"{str(folder)!r} is the box of {who}"


def _lay(part: Path, place: Path) -> None:
    """Give a finished request its name, under which it is looked for."""
    if place.exists() or place.is_symlink():
        was_there = f"{str(place)!r} was there before its question; only the run makes such folders"
        raise VLMConfigurationError(was_there)
    part.rename(place)


def _write_request(folder: Path, request: Request, number: int) -> None:
    """A new folder: request.md for people, request.json for programs, each image once under a name of its own."""
    folder.mkdir()
    named = _with_names(request)
    for part in (p for m in named.messages for p in m.parts if p.image is not None):
        PillowImage.fromarray(np.asarray(part.image)).save(folder / part.image_name)
    (folder / "request.md").write_text(named.markdown(), encoding="utf-8", errors="replace")
    messages = [{"role": m.role, "parts": [*map(_plain, m.parts)]} for m in named.messages]
    content = {"protocol": PROTOCOL, "number": number, "messages": messages}
    (folder / "request.json").write_text(json.dumps(content, indent=2) + "\n", encoding="ascii")


def _plain(part: Part) -> dict[str, Any]:
    return {"text": part.text} if part.image is None else {"image": part.image_name}


def _with_names(request: Request) -> Request:
    """The request with its images called image_1.png and so on: their own names lead into the run folder."""
    messages = []
    number = 0
    for message in request.messages:
        parts = []
        for part in message.parts:
            if part.image is not None:
                number += 1
                part = replace(part, image_name=f"image_{number}.png")
            parts.append(part)
        messages.append(Message(message.role, tuple(parts)))
    return Request(tuple(messages))


def _gist(request: Request) -> str:
    """What is asked in a line: "Instruction: ...", or that the last answer was not accepted; a run says why."""
    if len(request.messages) > 1:
        return "the last answer was not accepted; the end of the request says why"
    texts = [part.text for part in request.messages[-1].parts if part.text.strip()]
    return clean_line(texts[-1].removeprefix("## Now")) if texts else "(a picture)"


def _like_a_reply(path: Path) -> list[str]:
    """Names beside a reply that is missing under which somebody may have meant to write it."""
    with suppress(OSError):
        return sorted(p.name for p in path.parent.iterdir() if p.name.casefold().startswith("reply"))[:3]
    return []


def _signature(path: Path) -> tuple[int, ...]:
    """What changes when a file is written or replaced; empty if there is none."""
    try:
        status = path.stat()
    except OSError:  # not there, or between two names
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns) if path.is_file() else ()


def _read(path: Path, seen: tuple[int, ...]) -> str:
    """The text of a file; empty if it changed meanwhile. VLMTruncated if there is too much of it."""
    if seen[1] > MAX_REPLY_BYTES:
        raise VLMTruncated(f"the reply {path.name} has {seen[1]:,} bytes, and {MAX_REPLY_BYTES:,} are read")
    try:
        content = path.read_bytes()
    except OSError:  # renamed or removed in this moment
        return ""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return content.decode(encoding, errors="replace") if _signature(path) == seen else ""


def _withdraw(place: Path, reason: str) -> None:
    with suppress(OSError):  # the request may be gone, and something else is being told already
        (place / WITHDRAWN).write_text(f"No answer is needed any more: {clean_line(reason)}.\n", encoding="utf-8")
