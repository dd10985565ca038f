"""What a chat-completions server answered, as a Reply or as one of our errors.

    status, body  ->  read_body        ->  JSON data            | VLMUnavailable (a web page, no JSON)
    JSON data     ->  read_completion  ->  Reply                | VLMTruncated, VLMEmpty, VLMRefused, VLMUnavailable

Nothing of an answer is trusted: any field may be missing or of another type. What servers say when something is wrong
is read in openai_errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from iker_agent.plain_text import clean_line
from iker_agent.vlm.errors import VLMEmpty, VLMRefused, VLMTruncated, VLMUnavailable
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Reply

# Finish reasons of different servers, in lower case.
_CUT = ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded")
_FILTERS = re.compile(r"content.?filter|safety|recitation|prohibited|blocklist|spii|refusal|sensitive")
_TEXTS = ("text", "output_text")  # types of the parts of a reply that are not reasoning
_BROKEN = ("error", "abort", "insufficient_system_resource")
_REASONING = ("reasoning_content", "reasoning", "thinking")  # where servers put what a model thought before it answered
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_MAX_COUNT = 10**12  # tokens; more are no count
_MAX_NAME = 200  # characters of a model's name or of a finish reason
_MAX_QUOTE = 200  # characters of a refusal
_MAX_REPLY = 200_000  # characters; nothing that a program needs, and it would be sent again in a repair turn


def read_body(content: bytes, kind: str, settings: AskSettings) -> Any:
    """The data in the body of a success; `kind` is its content type. A stream's pieces are put together."""
    text = content.decode("utf-8-sig", "replace")
    if kind.startswith("text/event-stream") or text.startswith(("data:", "event:")):
        return _joined(text)
    if "json" not in kind and text.lstrip()[:1] not in ("{", "["):
        what = "text or a web page" if text.strip() else "nothing"
        raise VLMUnavailable(
            f"the server at {settings.base_url} sent {what} in the place of a completion; check the address "
            "(most end in /v1)"
        )
    return json.loads(text)


def _joined(stream: str) -> dict[str, Any]:
    """A completion from the chunks of a stream (server-sent events); an error among them is the answer."""
    whole: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    finish = "error"  # a stream that ends before it says why was broken off
    for line in stream.splitlines():
        payload = line.removeprefix("data:").strip()
        if not line.startswith("data:") or payload == "[DONE]":
            continue
        chunk = json.loads(payload)
        if not isinstance(chunk, dict):
            continue
        if chunk.get("error"):
            return chunk
        whole |= {name: chunk[name] for name in ("model", "usage") if chunk.get(name)}
        choice = _first(chunk.get("choices"))
        for name, piece in _mapping(choice.get("delta") or choice.get("message")).items():
            if isinstance(piece, str):
                texts.setdefault(name, []).append(piece)
        finish = choice.get("finish_reason") or finish
    message = {name: "".join(pieces) for name, pieces in texts.items()}
    return {**whole, "choices": [{"message": message, "finish_reason": finish}]}


def read_completion(body: Any, settings: AskSettings, hide: Callable[[str], str]) -> Reply:
    """The reply in an answer's data; `hide` takes secrets out of text."""
    answer = _mapping(body)
    usage = _usage(_mapping(answer.get("usage")))
    model = clean_line(hide(_string(answer.get("model"))), _MAX_NAME) or settings.model
    choice = _first(answer.get("choices"))
    if not choice:
        raise VLMEmpty("the server's answer holds no reply", Reply("", "openai", model, finish="", usage=usage))
    message = _mapping(choice.get("message"))
    text = hide(_content(message.get("content")))
    finish = clean_line(hide(_string(choice.get("finish_reason"))), _MAX_NAME) or "stop"
    if len(text) > _MAX_REPLY:
        text = text[:1000]
        finish = "length"
    if finish.lower() in _CUT:
        finish = "length"
    reply = Reply(text, "openai", model, finish=finish, usage=usage)
    _check(reply, message, settings, hide)
    return reply


def _check(reply: Reply, message: dict[str, Any], settings: AskSettings, hide: Callable[[str], str]) -> None:
    """Raise what a reply is, if it is not one to work with."""
    if _FILTERS.search(reply.finish.lower()):
        raise VLMRefused(f"the server's content filter stopped the reply ({reply.finish})", reply)
    if refusal := clean_line(hide(_string(message.get("refusal"))), _MAX_QUOTE).rstrip("."):
        raise VLMRefused(f"the model declines to answer: {refusal}", reply)
    if reply.finish.lower() in _BROKEN:
        raise VLMUnavailable(f"the server broke off the reply with an error ({reply.finish})", reply)
    reasoned = not reply.text.strip() and any(_string(message.get(name)).strip() for name in _REASONING)
    if reply.finish == "length" and reasoned:
        raise VLMTruncated(
            f"the limit of {settings.max_tokens} tokens was used up by reasoning before the reply began; "
            "reason less, or raise ask.max_tokens",
            reply,
        )
    if reply.finish == "length":
        raise VLMTruncated(f"the reply was cut at the limit of {settings.max_tokens} tokens; write less", reply)
    if reasoned:
        raise VLMEmpty("the model reasoned but gave no reply; write the program after the reasoning", reply)
    if not reply.text.strip() and (message.get("tool_calls") or message.get("function_call")):
        raise VLMEmpty("the reply calls a tool and has no text; there are no tools, write the program as text", reply)
    if not reply.text.strip():
        why = "" if reply.finish == "stop" else f" ({reply.finish})"
        raise VLMEmpty(f"the reply has no text{why}", reply)


def _usage(usage: dict[str, Any]) -> dict[str, float]:
    counts = {name: usage.get(name) for name in _COUNTS}
    return {name: float(value) for name, value in counts.items() if type(value) is int and 0 <= value <= _MAX_COUNT}


def _content(content: Any) -> str:
    """A reply's text; some servers send it as a list of parts, reasoning among them."""
    if not isinstance(content, list):
        return _string(content)
    parts = (part for part in content if isinstance(part, dict) and part.get("type", "text") in _TEXTS)
    return "".join(_string(part.get("text")) for part in parts)


def _first(choices: Any) -> dict[str, Any]:
    return _mapping(choices[0]) if isinstance(choices, list) and choices else {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: Any) -> str:
    """Text that can be written and sent again: JSON may bring halves of surrogate pairs."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""
