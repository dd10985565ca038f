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
    r"\b(?:(?:retry|try again|available|resets?|wait)\b[\w ]{0,40}?\b(?:in|after|for|least|about|another)|wait)\s+"
    rf"((?:{_SPAN}[ ,]*(?:and )?){{1,4}})",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,13}(\.\d{1,12})?")
_EPOCH_S = 1e9  # a number of seconds beyond this is a date, since no server asks to wait for thirty years
_EPOCH_MS = 1e12
_LIMITS = ("x-ratelimit", "ratelimit", "anthropic-ratelimit")
_LIMITED = ("", "-requests", "-tokens", "-input-tokens", "-output-tokens")  # what servers limit apart
_WAIT_FIELDS = ("retryDelay", "retry_after", "retry_after_seconds", "retryAfter")
_MAX_DETAILS = 20


def asked_wait_s(headers: Mapping[str, str], body: Any, words: str, *, limited: bool) -> float | None:
    """The wait that is asked for; None if none is, or none that can be understood.

    `limited`: too much was asked, so that headers about limits count, which many servers send with every answer.
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return 0.001 * float(milliseconds)
    waits = [_moment_s(headers.get("retry-after", ""), headers), _in_details(body), _in_words(words)]
    if limited:
        waits.append(_until_reset(headers))
    return next((wait for wait in waits if wait is not None), None)


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
    outer = body[0] if isinstance(body, list) and body else body
    holders = [outer]
    for part in (outer, outer.get("error") if isinstance(outer, dict) else None):
        if isinstance(part, dict):
            details = part.get("details")
            holders += [part, part.get("metadata"), *(details[:_MAX_DETAILS] if isinstance(details, list) else ())]
    values = [h.get(name) for h in holders if isinstance(h, dict) for name in _WAIT_FIELDS]
    return next((wait for wait in map(_field_s, values) if wait is not None), None)


def _field_s(value: Any) -> float | None:
    if isinstance(value, str):
        return _span_s(value)
    return float(value) if type(value) in (int, float) and 0 <= value < _EPOCH_S else None


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """When the limit that is used up is lifted; of several the last, since each of them stops a question."""
    waits = []
    for limit, kind in ((limit, kind) for limit in _LIMITS for kind in _LIMITED):
        left = headers.get(f"{limit}-remaining{kind}") or headers.get(f"{limit}{kind}-remaining") or "0"
        reset = headers.get(f"{limit}-reset{kind}") or headers.get(f"{limit}{kind}-reset") or ""
        if left.strip() == "0":
            waits.append(_moment_s(reset, headers))
    return max((wait for wait in waits if wait is not None), default=None)


def _moment_s(text: str, headers: Mapping[str, str]) -> float | None:
    """Seconds until a moment: "17", "6m0s", a date, or a date as seconds or milliseconds since 1970."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return _span_s(text) if _PART.match(text) else _until(text, headers)
    number = float(text)
    if number < _EPOCH_S:
        return number
    return max((number / 1000 if number > _EPOCH_MS else number) - time.time(), 0.0)
