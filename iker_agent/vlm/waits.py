"""How long a server asks to be left alone, in seconds: servers say it in headers, in the error's body, or in words.

headers, body, words  ->  asked_wait_s  ->  seconds or None
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
_SPAN = rf"(?:\d{{1,9}}(?:\.\d{{1,12}})?\s?{_UNIT}(?![a-z]))"
_PART = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,12}})?)\s?{_UNIT}(?![a-z])", re.IGNORECASE)
_IN_WORDS = re.compile(
    rf"\b(?:retry|try again|wait|available|resets?)\b[\w ]{{0,40}}?\b(?:in|after|for|wait|least|about)\s+"
    rf"((?:{_SPAN}[ ,]*(?:and )?){{1,4}})",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,13}(\.\d{1,12})?")
_EPOCH_S = 1e9  # a number of seconds beyond this is a date, since no server asks to wait for thirty years
_EPOCH_MS = 1e12
_DIMENSIONS = ("requests", "tokens", "input-tokens", "output-tokens")  # that servers limit apart
_MAX_DETAILS = 20


def asked_wait_s(headers: Mapping[str, str], body: Any, words: str) -> float | None:
    """The wait that is asked for; None if none is, or none that can be understood."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        wait = unit * float(text) if _NUMBER.fullmatch(text) else _until(text, headers)
        if wait is not None:
            return wait
    for wait in (_in_details(body), _in_words(words), _until_reset(headers)):
        if wait is not None:
            return wait
    return None


def _until(date: str, headers: Mapping[str, str]) -> float | None:
    """Seconds from the server's own present to a date, as headers (RFC 9110) or as ISO 8601 write it."""
    then = _timestamp(date)
    if then is None:
        return None
    now = _timestamp(headers.get("date", ""))
    return max(then - (time.time() if now is None else now), 0.0)


def _timestamp(date: str) -> float | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return read(date).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _span_s(text: str) -> float | None:
    """Seconds in a text like "34.07s", "1m30s" or "2 minutes"; None where there is none."""
    parts = [(float(number), unit.lower()) for number, unit in _PART.findall(text)]
    if not parts:
        return None
    return sum(n * _UNITS_S["ms" if u in ("ms", "millisecond", "milliseconds") else u[0]] for n, u in parts)


def _in_words(words: str) -> float | None:
    match = _IN_WORDS.search(words)
    return _span_s(match[1]) if match else None


def _in_details(body: Any) -> float | None:
    """Google's RetryInfo, {"details": [{"retryDelay": "34s"}]} beside the message; others have "retry_after": 34."""
    first = body[0] if isinstance(body, list) and body else body
    error = first.get("error", first) if isinstance(first, dict) else None
    if not isinstance(error, dict):
        return None
    details = error.get("details")
    metadata = error.get("metadata")
    for holder in (error, metadata, *(details[:_MAX_DETAILS] if isinstance(details, list) else ())):
        for name in ("retryDelay", "retry_after", "retry_after_seconds", "retryAfter"):
            value = holder.get(name) if isinstance(holder, dict) else None
            if isinstance(value, str) and (span := _span_s(value)) is not None:
                return span
            if type(value) in (int, float) and 0 <= value < _EPOCH_S:
                return float(value)
    return None


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """When the limit that is used up is lifted; of several the last, since each of them stops a question."""
    waits = []
    for prefix in ("x-ratelimit", "anthropic-ratelimit"):
        for dimension in _DIMENSIONS:
            left = headers.get(f"{prefix}-remaining-{dimension}") or headers.get(f"{prefix}-{dimension}-remaining")
            reset = headers.get(f"{prefix}-reset-{dimension}") or headers.get(f"{prefix}-{dimension}-reset")
            if reset and (left is None or left.strip() == "0"):
                waits.append(_reset_s(reset, headers))
    waits += [_reset_s(headers[name], headers) for name in ("x-ratelimit-reset", "ratelimit-reset") if name in headers]
    return max((w for w in waits if w is not None), default=None)


def _reset_s(text: str, headers: Mapping[str, str]) -> float | None:
    """A reset is a span ("6m0s"), a number of seconds, a date, or a date as seconds or milliseconds since 1970."""
    if not _NUMBER.fullmatch(text.strip()):
        return _span_s(text) if _PART.fullmatch(text.strip()) or _PART.match(text.strip()) else _until(text, headers)
    number = float(text)
    if number < _EPOCH_S:
        return number
    return max((number / 1000 if number > _EPOCH_MS else number) - time.time(), 0.0)
