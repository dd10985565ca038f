"""What a chat-completions server said, good or bad, as a Reply or as one of our errors.

    answer object  ->  read_completion  ->  Reply          | VLMTruncated, VLMEmpty, VLMRefused, VLMUnavailable
    SDK exception  ->  explain          ->  VLMError in one sentence

Nothing of an answer is trusted: the client library builds its objects without validation, so any field may be missing
or of another type.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from iker_agent.plain_text import clean_line
from iker_agent.vlm.errors import (
    VLMConfigurationError,
    VLMEmpty,
    VLMError,
    VLMRefused,
    VLMTruncated,
    VLMUnavailable,
)
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Reply

_BLIND = re.compile(r"\bimages?\b|image_url|vision|multi-?modal|mmproj", re.IGNORECASE)
_FLAGGED = re.compile(r"moderation|flagged|content policy", re.IGNORECASE)
_QUOTA = re.compile(r"\bquota\b|\bbilling\b", re.IGNORECASE)
_FILTERED = {"content_filter", "content_policy_violation", "moderation_blocked"}
_SPENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_CUT = ("length", "max_tokens")  # finish reasons of different servers, in any case
_UNSUPPORTED = ("unsupported_parameter", "unsupported_value", "unknown_parameter")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_MAX_COUNT = 10**12  # tokens; more are no count
_MAX_NESTING = 5  # of an error's body
_MAX_QUOTE = 200  # characters of a server's own words
_MAX_REPLY = 200_000  # characters; nothing that a program needs, and it would be sent again in a repair turn


def read_completion(answer: Any, settings: AskSettings, hide: Callable[[str], str]) -> Reply:
    """The reply in an answer; `hide` takes secrets out of text."""
    if isinstance(answer, (str, bytes)):
        raise VLMUnavailable(
            f"the server at {settings.base_url} sent text or a web page in the place of a completion; "
            "check the address (most end in /v1)"
        )
    if error := getattr(answer, "error", None):
        raise VLMUnavailable(f"the server reports an error: {_quote(_text_of(error), hide)}")
    choices = getattr(answer, "choices", None)
    usage = _usage(getattr(answer, "usage", None))
    model = hide(_string(getattr(answer, "model", None))) or settings.model
    blank = Reply("", "openai", model, finish="", usage=usage)
    if not isinstance(choices, list) or not choices:
        raise VLMEmpty("the server's answer holds no reply", blank)
    message = getattr(choices[0], "message", None)
    finish = _string(getattr(choices[0], "finish_reason", None))
    text = hide(_content(getattr(message, "content", None)))
    if len(text) > _MAX_REPLY:
        text = text[:1000]
        finish = "length"
    if finish.lower() in _CUT:
        finish = "length"
    reply = Reply(text, "openai", model, finish=finish or "stop", usage=usage)
    _check(reply, _string(getattr(message, "refusal", None)), settings, hide)
    return reply


def _check(reply: Reply, refusal: str, settings: AskSettings, hide: Callable[[str], str]) -> None:
    if reply.finish == "content_filter":
        raise VLMRefused("the server's content filter stopped the reply", reply)
    if refusal:
        raise VLMRefused(f"the model declines to answer: {_quote(refusal, hide)}", reply)
    if reply.finish == "error":
        raise VLMUnavailable("the server broke off the reply with an error", reply)
    if reply.finish == "length":
        raise VLMTruncated(f"the reply was cut at the limit of {settings.max_tokens} tokens; write less", reply)
    if not reply.text.strip():
        raise VLMEmpty("the reply has no text", reply)


def explain(error: Exception, settings: AskSettings, hide: Callable[[str], str]) -> VLMError:
    """Our error for an exception of the client library."""
    status = getattr(error, "status_code", None)
    labels = _labels(error)
    words = _quote(_text_of(getattr(error, "body", None)) or str(error), hide)
    if status is None:
        return _unreached(error, settings, words)
    if labels & _FILTERED or (status == 403 and _FLAGGED.search(words)):
        return VLMRefused(f"the server's filter does not let the request through: {words}")
    if status in (401, 403):
        return VLMConfigurationError(f"the server does not accept the key in {settings.key_env}: {words}")
    if status == 404 and "model_not_found" not in labels and settings.model.lower() not in words.lower():
        return VLMConfigurationError(f"nothing at {settings.base_url}; most addresses end in /v1: {words}")
    if status == 404:
        return VLMConfigurationError(f"no model {settings.model!r} at {settings.base_url}: {words}")
    if status == 429 and (labels & _SPENT or ("RESOURCE_EXHAUSTED" in labels and _QUOTA.search(words))):
        return VLMConfigurationError(f"the quota of the key in {settings.key_env} is used up: {words}")
    if status in (400, 413, 415, 422, 500) and _BLIND.search(words):
        return VLMConfigurationError(f"{settings.model!r} does not take the images: {words}")
    if status in (408, 409, 429) or status >= 500:
        wait_s = _retry_after_s(error)
        asked = f" (and asks to wait {wait_s:.0f} s)" if wait_s else ""
        return VLMUnavailable(f"the server answers with status {status}{asked}: {words}", wait_s=wait_s)
    return VLMConfigurationError(f"the server does not accept the request (status {status}): {words}")


def _unreached(error: Exception, settings: AskSettings, words: str) -> VLMError:
    """For what never became an answer: the library's class names are the same in all its versions."""
    kind = type(error).__name__
    if kind == "APITimeoutError":
        return VLMUnavailable(f"no answer from {settings.base_url} within {settings.timeout_s:g} s")
    if kind == "APIConnectionError":
        cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
        return VLMUnavailable(f"no connection with {settings.base_url}{cause}")
    return VLMUnavailable(f"the server's answer cannot be read: {words}")


def rejected_parameter(error: Exception) -> str:
    """The request parameter that a server says it does not take; empty if the error is about something else."""
    if getattr(error, "status_code", None) not in (400, 422):
        return ""
    code = _string(getattr(error, "code", None))
    name = _string(getattr(error, "param", None))
    if code in _UNSUPPORTED and name:
        return name
    match = re.search(r"(?:unsupported|unknown|unrecognized)[\w ]*: *'?(\w+)", str(error), re.IGNORECASE)
    return match[1] if match else ""


def _retry_after_s(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = _string(headers.get(name))
        if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
            return unit * float(text)
    return None


def _usage(usage: Any) -> dict[str, float]:
    counts = {name: getattr(usage, name, None) for name in _COUNTS}
    return {name: float(value) for name, value in counts.items() if type(value) is int and 0 <= value <= _MAX_COUNT}


def _content(content: Any) -> str:
    """A reply's text; some servers send it as a list of parts."""
    if not isinstance(content, list):
        return _string(content)
    return "".join(_string(part.get("text")) for part in content if isinstance(part, dict))


def _labels(error: Exception) -> set[str]:
    """The code, type and status under which a server files an error; Google's sends its error in a list."""
    body = getattr(error, "body", None)
    for _ in range(_MAX_NESTING):
        if isinstance(body, list) and body:
            body = body[0]
        elif isinstance(body, dict) and isinstance(body.get("error"), list | dict):
            body = body["error"]
    named = [body.get(name) for name in ("code", "type", "status")] if isinstance(body, dict) else []
    return {_string(value) for value in (getattr(error, "code", None), *named)} - {""}


def _text_of(body: Any) -> str:
    """The message in an error body, whatever its form."""
    for _ in range(_MAX_NESTING):
        if isinstance(body, list) and body:
            body = body[0]
        elif isinstance(body, dict):
            body = body.get("message") or body.get("error") or body.get("detail") or str(body)
    return "" if body is None else str(body)


def _string(value: Any) -> str:
    """Text that can be written and sent again: JSON may bring halves of surrogate pairs."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def _quote(text: str, hide: Callable[[str], str]) -> str:
    """A server's words as one short printable line without tags, secrets and a full stop."""
    return clean_line(re.sub(r"<[^<>]*>", " ", hide(text)), _MAX_QUOTE).rstrip(".") or "no reason is given"
