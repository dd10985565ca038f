"""The forms in which servers write errors, read without trust: any field may be missing, of another type, or endless.

body  ->  text_of (what is said)   labels_of (how it is filed)   refused_names (parameters that are not taken)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_MAX_NESTING = 5  # of an error's body
_MAX_PARTS = 40  # mappings of it that are looked at
_MAX_LISTED = 5  # complaints of a list that are told
_MAX_TEXT = 10_000  # characters
_ECHOES = ("input", "ctx", "messages", "url")  # what was sent comes back in these
_LABELS = ("code", "type", "status", "reason")
_TITLE = re.compile(r"<title[^<>]{0,100}>([^<>]{1,300})</title>", re.IGNORECASE)
_UNSEEN = re.compile(r"<(script|style)\b.{0,10000}?</\1>", re.IGNORECASE | re.DOTALL)


def text_of(body: Any) -> str:
    """The message in an error, whatever its form: OpenAI's, FastAPI's, a list, a page, plain text."""
    for _ in range(_MAX_NESTING):
        if isinstance(body, list) and body:
            listed = [_listed(entry) for entry in body[:_MAX_LISTED] if isinstance(entry, dict) and "msg" in entry]
            body = "; ".join(listed) if listed else body[0]
        elif isinstance(body, dict):
            said = next((body[n] for n in ("message", "error", "errors", "detail", "msg") if body.get(n)), None)
            body = str(body)[:_MAX_TEXT] if said is None else _with_cause(said, body)
    text = "" if body is None else str(body)[:_MAX_TEXT]
    if text.lstrip().startswith("<"):
        title = _TITLE.search(text)
        text = title[1] if title else _UNSEEN.sub(" ", text)
    return re.sub(r"<[^<>]*>", " ", text)


def _listed(entry: dict[str, Any]) -> str:
    """One complaint of FastAPI: {"loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted"}."""
    place = entry.get("loc")
    where = ".".join(str(step) for step in place[:_MAX_NESTING]) if isinstance(place, list) else ""
    return f"{where}: {entry['msg']}" if where else str(entry["msg"])


def _with_cause(said: Any, body: dict[str, Any]) -> Any:
    """A router's message with that of the provider behind it."""
    metadata = body.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{said}: {raw}" if isinstance(said, str) and isinstance(raw, str) else said


def labels_of(body: Any) -> tuple[str, ...]:
    """Codes, types and statuses under which an error is filed, in lower case, the outermost and most exact first."""
    values = (part.get(name) for part in _parts(body) for name in _LABELS)
    return tuple(str(v).lower() for v in values if type(v) in (str, int) and len(str(v)) < 100)


def refused_names(body: Any, not_taken: re.Pattern[str]) -> list[str]:
    """Names of parameters in those parts of an error that say that something is not taken."""
    names = []
    for part in _parts(body):
        said = " ".join(str(part.get(name))[:_MAX_TEXT] for name in ("message", "msg", *_LABELS))
        place = part.get("loc") or part.get("param")
        steps = place.split(".") if isinstance(place, str) else place
        if isinstance(steps, list) and steps and not_taken.search(said):
            names.append(str(steps[-1]))
    return names


def _parts(body: Any) -> Iterator[dict[str, Any]]:
    """The mappings in a body, the outer ones first; not what it quotes of the request."""
    level = [body]
    seen = 0
    for _ in range(2 * _MAX_NESTING):
        inner: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                seen += 1
                yield part
                inner += [value for name, value in part.items() if name not in _ECHOES]
            elif isinstance(part, list):
                inner += part[:_MAX_PARTS]
            if seen == _MAX_PARTS:
                return
        level = inner[:_MAX_PARTS]
