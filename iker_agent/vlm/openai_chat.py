"""The `openai` backend: any server that speaks OpenAI's chat completions (OpenAI, vLLM, Ollama, llama.cpp, ...).

    Request  ->  messages (images as PNG data URLs)  ->  chat.completions  ->  read_completion  ->  Reply | VLMError

Attachments are never sent. The way to the server is connection.py, what it complains about openai_errors.py.
"""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image as PillowImage

from iker_agent.plain_text import clean_line
from iker_agent.vlm.connection import Connection
from iker_agent.vlm.errors import VLMUnavailable
from iker_agent.vlm.openai_answers import read_body, read_completion
from iker_agent.vlm.openai_errors import Complaint, complaint, explain, refused_parameter, wants_stream
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.surroundings import addressed, check_accounts, key_of
from iker_agent.vlm.types import Message, Reply, Request

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_OPENAI_HOST = "api.openai.com"
_TOKEN_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_HIDDEN = "[key]"
_MAX_WORDS = 100  # characters of what the JSON reader says


class OpenAIChat:
    """Asks one model on one server; `sleep` waits between attempts, in seconds.

    ValueError if no model is named, if OpenAI's own server is to be asked without a key, if the package is missing, or
    if an environment variable holds what cannot be used (surroundings.py). `settings` have the address that is asked.
    """

    def __init__(self, settings: AskSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        if not settings.model:
            raise ValueError("no model is named; add --model NAME (there is no default, since models come and go)")
        self.settings = addressed(settings)
        self._sleep = sleep
        self._key = key_of(settings)
        check_accounts()
        at_openai = urlsplit(self.settings.base_url).hostname == _OPENAI_HOST
        if not self._key and at_openai:
            raise ValueError(f"{_OPENAI_HOST} wants a key: put it into the environment variable {settings.key_env}")
        self._connection = Connection(self.settings, self._key, self._hide)
        token_param = settings.token_param
        if token_param == "auto":
            token_param = "max_completion_tokens" if at_openai else "max_tokens"
        self._parameters: dict[str, Any] = {token_param: settings.max_tokens, "temperature": settings.temperature}
        self._detail = settings.detail
        self._rejected: set[str] = set()

    def complete(self, request: Request) -> Reply:
        """Ask, and ask again while the server is busy or the connection breaks; VLMError when there is no answer."""
        start = time.monotonic()
        notes: list[str] = []
        for attempt in range(self.settings.retries + 1):
            try:
                reply = self._ask(request, notes)
            except VLMUnavailable as problem:
                wait = problem.wait_s if problem.wait_s is not None else _FIRST_WAIT_S * 2**attempt
                if attempt == self.settings.retries or wait > _LONGEST_WAIT_S:
                    raise VLMUnavailable(f"{problem}, after {_times(attempt + 1)}", problem.reply) from None
                self._sleep(wait)
            else:
                usage = {**reply.usage, "attempts": float(attempt + 1)}
                return replace(reply, usage=usage, notes=tuple(notes), seconds=time.monotonic() - start)
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, request: Request, notes: list[str]) -> Reply:
        """One attempt; what the server says that it does not take is changed or left out, and noted."""
        while True:
            messages = [chat_message(m, self._detail) for m in request.messages]
            response = self._connection.post({"model": self.settings.model, "messages": messages, **self._parameters})
            try:
                body = _body_of(response, self.settings)
                problem = complaint(response.status_code, body, response.headers, self._hide)
            except (ValueError, RecursionError) as error:  # no JSON, although the status is 200, or nested without end
                words = clean_line(self._hide(str(error)), _MAX_WORDS)
                raise VLMUnavailable(f"the server's answer is not JSON ({words})") from None
            if problem is None:
                return read_completion(body, self.settings, self._hide)
            change = self._adapt(problem)
            if not change:
                raise explain(problem, self.settings)
            notes.append(change)

    def _adapt(self, problem: Complaint) -> str:
        """Change what is sent so that the server may take it; says what was done, or nothing if there is nothing."""
        if "stream" not in {*self._parameters, *self._rejected} and wants_stream(problem):
            self._parameters |= {"stream": True, "stream_options": {"include_usage": True}}
            return "the server replies in a stream only; one was asked for"
        name = refused_parameter(problem, (*self._parameters, *(("detail",) if self._detail else ())))
        if name == "detail":
            self._detail = ""
        elif name:
            return self._without(name)
        return f"the server does not take {name}; it was left out" if name else ""

    def _without(self, name: str) -> str:
        """Go on without a parameter, under its other name if it has one that was not tried; says what was done."""
        value = self._parameters.pop(name)
        self._rejected.add(name)
        other = _TOKEN_NAMES.get(name)
        if other is None or other in self._rejected:
            return f"the server does not take {name}; it was left out"
        self._parameters[other] = value
        return f"the server does not take {name}; {other} was sent"

    def _hide(self, text: str) -> str:
        """The text without the key: servers quote it in errors."""
        return text.replace(self._key, _HIDDEN) if self._key else text


def _body_of(response: Any, settings: AskSettings) -> Any:
    """The data of a body; of an error's, its text where it is no data."""
    if response.status_code < 400:
        return read_body(response.content, response.headers.get("content-type", "").lower(), settings)
    text = response.content.decode("utf-8-sig", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _times(count: int) -> str:
    return "one attempt" if count == 1 else f"{count} attempts"


def chat_message(message: Message, detail: str) -> dict[str, Any]:
    """A message as chat completions want it: plain text, or a list of parts where there are images."""
    if not any(part.image is not None for part in message.parts):
        return {"role": message.role, "content": _sendable("\n\n".join(part.text for part in message.parts))}
    how = {"detail": detail} if detail else {}
    content = [
        {"type": "text", "text": _sendable(part.text)}
        if part.image is None
        else {"type": "image_url", "image_url": {"url": _data_url(part.image), **how}}
        for part in message.parts
    ]
    return {"role": message.role, "content": content}


def _sendable(text: str) -> str:
    """UTF-8 has no halves of surrogate pairs, which file names and YAML can bring."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _data_url(rgb: np.ndarray) -> str:
    rgb = np.ascontiguousarray(rgb, dtype=np.uint8)
    return _encoded(rgb.shape, rgb.tobytes())


@lru_cache(maxsize=32)  # the images of the history are sent again with every question
def _encoded(shape: tuple[int, ...], pixels: bytes) -> str:
    stream = io.BytesIO()
    PillowImage.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape)).save(stream, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
