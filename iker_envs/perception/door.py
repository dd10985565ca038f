"""The door to models that cannot be dependencies: one question, one answer, over loopback HTTP or a process's pipes.

    Message (JSON + arrays)  ->  packed  ->  one .npz without pickles  ->  unpacked  ->  Message
    Door(address).ask("poses", Message)  ->  Message, or DoorError in one sentence

Protocol, version 1. HTTP: `POST {address}/v1/{verb}`, body and answer one .npz, status 200 or 400. A process: the same
bodies on its standard input and output, each after its length as 8 bytes, big-endian; the verb is in the JSON. In every
body the array `json` holds UTF-8 text with `version`; questions name their `verb`, answers that failed an `error`. What
verbs there are, and their arrays, is in docs/perception-door.md.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import select
import struct
import subprocess
import time
import urllib.parse
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from iker_envs.contract import check_number
from iker_envs.documents import shown

VERSION = 1
VERBS = ("poses", "masks", "grasps", "mesh")
MAX_BYTES = 512 << 20  # of a message, packed or unpacked
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LENGTH = struct.Struct(">Q")
_CHUNK = 1 << 16


class DoorError(ValueError):
    """A server that is not there, is late, refuses, or answers what is no answer: one sentence."""


@dataclass(frozen=True, eq=False)
class Message:
    """A question or an answer: what JSON can say, and arrays by name."""

    content: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def array(self, name: str, shape: tuple[int | None, ...], kinds: str = "fiu") -> np.ndarray:
        """An array of the message; ValueError unless its shape fits (None: any length) and its numbers are finite."""
        found = self.arrays.get(name)
        if found is None:
            raise ValueError(f"the array {shown(name)} is missing")
        fits = len(found.shape) == len(shape) and all(w in (None, g) for w, g in zip(shape, found.shape, strict=True))
        if not fits or found.dtype.kind not in kinds:
            wanted = " x ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(f"the array {shown(name)} is {wanted} numbers, not {found.shape} of {found.dtype}")
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise ValueError(f"the array {shown(name)} holds a number that is not finite")
        return found


def packed(message: Message) -> bytes:
    """The bytes of a message."""
    text = json.dumps({"version": VERSION, **message.content}).encode()
    buffer = io.BytesIO()
    named: dict[str, Any] = {"json": np.frombuffer(text, np.uint8), **message.arrays}
    np.savez(buffer, **named)
    return buffer.getvalue()


def unpacked(body: bytes) -> Message:
    """The message in some bytes; ValueError says what is wrong with them. Nothing in them is ever executed."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MAX_BYTES:
                raise ValueError(f"it unpacks to {size >> 20} MB, of at most {MAX_BYTES >> 20}")
        with np.load(io.BytesIO(body), allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (zipfile.BadZipFile, OSError, EOFError, KeyError) as error:
        raise ValueError(f"it is no .npz: {error}") from None
    text = arrays.pop("json", None)
    if text is None or text.dtype != np.uint8 or text.ndim != 1:
        raise ValueError("it has no array `json` of bytes")
    try:
        content = json.loads(text.tobytes())
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise ValueError("its JSON cannot be read") from None
    if not isinstance(content, dict):
        raise ValueError("its JSON is no object")
    if content.get("version") != VERSION:
        raise ValueError(f"it speaks version {shown(content.get('version'))} of the protocol, this is {VERSION}")
    return Message(content, arrays)


class Door:
    """Asks a server at a loopback address "http://127.0.0.1:PORT", or a process that a command (a list) starts."""

    def __init__(self, address: str | Sequence[str], timeout_s: float = 60.0) -> None:
        self._timeout_s = check_number("timeout_s of a door", timeout_s, above=0)
        self._process: subprocess.Popen[bytes] | None = None
        self._command = None if isinstance(address, str) else list(address)
        self.name = address if isinstance(address, str) else " ".join(address)
        if self._command is not None:
            if not self._command:
                raise ValueError("the command of a door is empty")
            return
        parts = urllib.parse.urlsplit(self.name)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK:
            raise ValueError(
                f"a door is at http://127.0.0.1:PORT, not at {shown(self.name)}; for a server on another machine, open "
                "a tunnel to it"
            )
        self._host = parts.hostname
        self._port = parts.port or 80
        self._path = parts.path.rstrip("/")

    def ask(self, verb: str, question: Message) -> Message:
        """The answer; DoorError in one sentence if there is none."""
        body = packed(Message({"verb": verb, **question.content}, question.arrays))
        try:
            answer = self._over_pipes(body) if self._command is not None else self._over_http(verb, body)
            message = unpacked(answer)
        except DoorError:
            raise
        except ValueError as error:
            self.close()
            raise DoorError(f"the answer of {self.name} cannot be used: {error}") from None
        if "error" in message.content:
            raise DoorError(f"{self.name} refused: {shown(message.content['error'], 500)}")
        return message

    def close(self) -> None:
        """End the process, if there is one."""
        process = self._process
        self._process = None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _late(self) -> DoorError:
        return DoorError(f"{self.name} did not answer within {self._timeout_s:g} s; it may be busy, or stuck")

    def _over_http(self, verb: str, body: bytes) -> bytes:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        deadline = time.monotonic() + self._timeout_s
        try:
            connection.request("POST", f"{self._path}/v1/{verb}", body, {"Content-Type": "application/x-npz"})
            response = connection.getresponse()
            answer = bytearray()
            while chunk := response.read(_CHUNK):
                answer += chunk
                if len(answer) > MAX_BYTES:
                    raise DoorError(f"the answer of {self.name} is larger than {MAX_BYTES >> 20} MB")
                if time.monotonic() > deadline:
                    raise self._late()
        except TimeoutError:
            raise self._late() from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DoorError(
                f"no server answers at {self.name} ({reason}); start it, or use perception.source=rgbd"
            ) from None
        finally:
            connection.close()
        if response.status not in (200, 400):
            raise DoorError(f"{self.name} answered {response.status} to {verb}; does it speak this protocol?")
        return bytes(answer)

    def _over_pipes(self, body: bytes) -> bytes:
        assert self._command is not None
        if self._process is None:
            try:
                self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            except OSError as error:
                raise DoorError(f"{self.name} cannot be started: {error.strerror}") from None
        try:
            return self._exchange(self._process, LENGTH.pack(len(body)) + body)
        except BaseException:
            self.close()  # what a half-read answer is followed by is anybody's guess
            raise

    def _exchange(self, process: subprocess.Popen[bytes], data: bytes) -> bytes:
        assert process.stdin is not None and process.stdout is not None
        deadline = time.monotonic() + self._timeout_s
        write, read = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(write, False)
        left = memoryview(data)
        answer = bytearray()
        wanted = LENGTH.size
        while len(answer) < wanted:
            waits = max(0.0, deadline - time.monotonic())
            ready, free, _ = select.select([read], [write] if left else [], [], waits)
            if not ready and not free:
                raise self._late()
            if free:
                try:
                    left = left[os.write(write, left[:_CHUNK]) :]
                except OSError:
                    left = left[:0]  # it closed its input: what it says, or its end, is read below
            if ready:
                chunk = os.read(read, _CHUNK)
                if not chunk:
                    raise DoorError(f"{self.name} ended without an answer")
                answer += chunk
            if wanted == LENGTH.size and len(answer) >= wanted:
                (length,) = LENGTH.unpack(bytes(answer[:wanted]))
                if length > MAX_BYTES:
                    raise DoorError(f"{self.name} announces an answer of {length >> 20} MB, of at most "
                                    f"{MAX_BYTES >> 20}; does it print to its standard output?")  # fmt: skip
                wanted += length
        return bytes(answer[LENGTH.size : wanted])
