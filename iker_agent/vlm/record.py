"""Every question and answer of a run, written down so that the run can be replayed without the model.

    Recorder(inner, folder, settings)  ->  folder/calls.jsonl, folder/images/HASH.png
    read_calls(folder)                 ->  the rows

A row is one call: the request with images by hash, its keys, the reply or the error. No header and no key of a server
is ever seen here. Failures are rows too, so that a replay meets the same repair dialogue.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from iker_agent.vlm.errors import VLMError
from iker_agent.vlm.types import VLM, Reply, Request

CALLS = "calls.jsonl"


class Recorder:
    """Wraps a backend and appends every call to a folder; `settings` (no secrets) are written into each row."""

    def __init__(self, inner: VLM, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.inner = inner
        self.folder = Path(folder)
        self.settings = dict(settings)
        self._number = 0

    def complete(self, request: Request) -> Reply:
        """Pass on a request and write down what came of it."""
        row = {"number": self._number + 1, "settings": self.settings, **describe(request)}
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
        with (self.folder / CALLS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")  # ASCII: a lone surrogate in a reply stays what it is

    def _save_images(self, request: Request) -> None:
        for image in (p.image for m in request.messages for p in m.parts if p.image is not None):
            path = self.folder / "images" / f"{image_hash(image)}.png"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                PillowImage.fromarray(np.asarray(image)).save(path)


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


def read_calls(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of a record: of its own folder, or of a run folder; ValueError says what is wrong with it."""
    folder = Path(folder)
    path = next((p for p in (folder / CALLS, folder / "vlm" / CALLS) if p.is_file()), None)
    if path is None:
        raise ValueError(f"{str(folder)!r} holds no record: neither {CALLS} nor vlm/{CALLS}")
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError(f"line {number} of {str(path)!r} is not JSON; the record is damaged") from None
        if not _is_call(row):
            raise ValueError(f"line {number} of {str(path)!r} is not a recorded call")
        rows.append(row)
    return rows


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
    try:
        Reply.from_dict(reply)
    except ValueError:
        return False
    return True
