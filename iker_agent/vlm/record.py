"""Every question and answer of a run, written down so that the run can be replayed without the model.

    Recorder(inner, folder, settings)  ->  folder/calls.jsonl, folder/images/HASH.png
    read_calls(folder, faults)         ->  the rows; `faults` are told what of the record cannot be used

A row is one call: the request with images by hash, its keys, the reply or the error. No header and no key of a server
is ever seen here. Failures are rows too, so that a replay meets the same repair dialogue.

A row is written whole or not at all. Where a machine stopped in the middle of one all the same, the rest is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from iker_agent.vlm.errors import VLMError
from iker_agent.vlm.types import VLM, Reply, Request

CALLS = "calls.jsonl"
_MAX_RECORD_BYTES = 256 * 2**20  # a run of 60 calls writes some 2 MB
_BOM = b"\xef\xbb\xbf"  # some editors put it before the first line


class Recorder:
    """Wraps a backend and appends every call to a folder; `settings` (no secrets) are written into each row.

    A record that is there is continued. OSError with the file's name if it cannot be written, and then nothing of the
    row or picture is left.
    """

    def __init__(self, inner: VLM, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.inner = inner
        self.folder = Path(folder)
        self.settings = dict(settings)
        self._number = _count_lines(self.folder / CALLS)

    def complete(self, request: Request) -> Reply:
        """Pass on a request and write down what came of it."""
        row = {"number": self._number + 1, "settings": self.settings, **describe(request)}
        row["instruction"] = str(request.attachments.get("instruction", ""))
        self._number += 1
        self._save_images(request)
        try:
            reply = self.inner.complete(request)
        except VLMError as error:
            partial = error.reply.to_dict() if error.reply is not None else None
            self._append({**row, "error": {"kind": error.kind, "message": str(error), "reply": partial}})
            raise
        self._append({**row, "reply": reply.to_dict()})
        return reply

    def _append(self, row: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(row).encode("ascii") + b"\n"  # escaped: a lone surrogate in a reply stays what it is
        _append_line(self.folder / CALLS, line)

    def _save_images(self, request: Request) -> None:
        for image in (p.image for m in request.messages for p in m.parts if p.image is not None):
            path = self.folder / "images" / f"{image_hash(image)}.png"
            if not _has_content(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                stream = io.BytesIO()
                PillowImage.fromarray(np.asarray(image)).save(stream, "PNG")
                _write_whole(path, stream.getvalue())


def _count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _append_line(path: Path, line: bytes) -> None:
    """Add a line, all or nothing, on a line of its own even if the last one was cut."""
    with path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        try:
            _write_all(file, line)
        except OSError as error:
            with contextlib.suppress(OSError):  # a device has no end to be cut back to
                file.truncate(end)
            raise OSError(error.errno, f"{_reason(error)}; the calls before are kept", str(path)) from None


def _reason(error: OSError) -> str:
    """What went wrong, without the name of the file."""
    return str(error) if error.errno is None else os.strerror(error.errno)


def _write_all(file: io.RawIOBase, content: bytes) -> None:
    """A nearly full disk takes a part and refuses the rest at the next attempt."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file, all or nothing."""
    temporary = path.with_suffix(".part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, _reason(error), str(path)) from None


def describe(request: Request) -> dict[str, Any]:
    """A request as JSON: `request` with images by hash, `key` of all of it, `text_key` of all but the pixels."""
    messages = [
        {
            "role": m.role,
            "parts": [{"text": p.text} if p.image is None else {"image": image_hash(p.image)} for p in m.parts],
        }
        for m in request.messages
    ]
    blind = [{**m, "parts": [p if "text" in p else {"image": ""} for p in m["parts"]]} for m in messages]
    return {"request": messages, "key": _key(messages), "text_key": _key(blind)}


def image_hash(rgb: np.ndarray) -> str:
    """A name for the pixels of an image (H, W, 3), whatever file format they travel in."""
    rgb = np.ascontiguousarray(rgb, dtype=np.uint8)
    return hashlib.sha256(str(rgb.shape).encode() + rgb.tobytes()).hexdigest()[:32]


def _key(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def read_calls(folder: str | Path, faults: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a record: of its own folder, or of a run folder.

    One sentence on each part that is cut, doubled or missing is added to `faults`. ValueError if there is no record,
    or if nothing of it can be used.
    """
    folder = Path(folder)
    path = next((p for p in (folder / CALLS, folder / "vlm" / CALLS) if p.is_file()), None)
    if path is None:
        raise ValueError(f"{str(folder)!r} holds no record: neither {CALLS} nor vlm/{CALLS}")
    if path.stat().st_size > _MAX_RECORD_BYTES:
        raise ValueError(f"{str(path)!r} is larger than {_MAX_RECORD_BYTES // 2**20} MiB, the limit for a record")
    rows: list[dict[str, Any]] = []
    found: list[str] = []
    known: set[bytes] = set()
    for number, line in enumerate(path.read_bytes().removeprefix(_BOM).splitlines(), start=1):
        try:
            row = _read_row(line)
        except ValueError as error:
            found.append(f"line {number} of {str(path)!r} {error}")
            continue
        if row is not None and "number" in row and line in known:  # numbered rows are never equal
            found.append(f"line {number} of {str(path)!r} is there twice and is used once")
        elif row is not None:
            known.add(line)
            rows.append(row)
    if found and not rows:
        raise ValueError(f"{found[0]}, and nothing else is there")
    if faults is not None:
        faults += [*(f"{fault}; the rest is read" for fault in found), *_missing_images(path, rows)]
    return rows


def _read_row(line: bytes) -> dict[str, Any] | None:
    """A line as a call, None if it is blank; ValueError says what it is instead."""
    if not line.strip():
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("is cut or not JSON") from None
    if not _is_call(row):
        raise ValueError("is not a recorded call")
    return row


def _missing_images(calls: Path, rows: list[dict[str, Any]]) -> list[str]:
    """One sentence if pictures of the record are missing or empty; answers do not need them."""
    parts = [part for row in rows for message in _list(row.get("request")) for part in _list(message, "parts")]
    names = {part["image"] for part in parts if isinstance(part, dict) and isinstance(part.get("image"), str)}
    missing = sorted(name for name in names if not _has_content(calls.parent / "images" / f"{Path(name).name}.png"))
    if not missing:
        return []
    return [f"{len(missing)} of {len(names)} pictures of {str(calls)!r} are missing or empty, such as {missing[0]!r}"]


def _list(holder: Any, name: str = "") -> list[Any]:
    value = holder.get(name) if name and isinstance(holder, dict) else holder
    return value if isinstance(value, list) else []


def _is_call(row: Any) -> bool:
    """Keys as text, and a reply, or an error with kind, message and perhaps a reply."""
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in ("key", "text_key")):
        return False
    error = row.get("error")
    if "error" in row and not (isinstance(error, dict) and isinstance(error.get("kind"), str)):
        return False
    reply = error.get("reply") if error else row.get("reply")
    if error and reply is None:
        return True
    if not isinstance(reply, dict):
        return False
    try:
        Reply.from_dict(reply)
    except ValueError:
        return False
    return True
