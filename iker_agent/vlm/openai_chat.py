"""The `openai` backend: any server that speaks OpenAI's chat completions (OpenAI, vLLM, Ollama, llama.cpp, ...).

    Request  ->  messages (images as PNG data URLs)  ->  chat.completions  ->  read_completion  ->  Reply | VLMError

Attachments are never sent. The package `openai` (extra `vlm`) loads on first use; only chat.completions and plain
numbers are used of it, so that its major versions 1 to 3 work alike.
"""

from __future__ import annotations

import base64
import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image as PillowImage

from iker_agent.vlm.errors import VLMUnavailable
from iker_agent.vlm.openai_answers import explain, read_completion, rejected_parameter
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Message, Reply, Request

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_OPENAI_HOST = "api.openai.com"
_TOKEN_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_HIDDEN = "[key]"


class OpenAIChat:
    """Asks one model on one server; `sleep` waits between attempts, in seconds.

    ValueError if no model is named, if OpenAI's own server is to be asked without a key, or if the package is missing.
    """

    def __init__(self, settings: AskSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self._sleep = sleep
        if not settings.model:
            raise ValueError("no model is named; add --model NAME (there is no default, since models come and go)")
        at_openai = urlsplit(settings.base_url).hostname == _OPENAI_HOST
        self._key = os.environ.get(settings.key_env, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise ValueError(
                f"the key in {settings.key_env} holds a line break or a letter that no key has; copy it again"
            )
        if not self._key and at_openai:
            raise ValueError(f"{_OPENAI_HOST} wants a key: put it into the environment variable {settings.key_env}")
        self._client = self._connect()
        token_param = settings.token_param
        if token_param == "auto":
            token_param = "max_completion_tokens" if at_openai else "max_tokens"
        self._parameters: dict[str, Any] = {token_param: settings.max_tokens, "temperature": settings.temperature}
        self._rejected: set[str] = set()

    def _connect(self) -> Any:
        try:
            import openai
        except ModuleNotFoundError:
            raise ValueError("the backend openai needs an extra: python -m pip install 'iker[vlm]'") from None
        self._api_error = openai.OpenAIError
        # Local servers want no key, the library wants some text. Retries are made here: a spent quota is not retried.
        try:
            return openai.OpenAI(
                api_key=self._key or "none",
                base_url=self.settings.base_url,
                timeout=self.settings.timeout_s,
                max_retries=0,
            )
        except Exception as error:
            if type(error).__name__ != "InvalidURL":  # of the library's HTTP client, which is not always the same one
                raise
            raise ValueError(f"ask.base_url {self.settings.base_url!r} is no address: {error}") from None

    def complete(self, request: Request) -> Reply:
        """Ask, and ask again while the server is busy or the connection breaks; VLMError when there is no answer."""
        start = time.monotonic()
        notes = []
        messages = [chat_message(m, self.settings.detail) for m in request.messages]
        for attempt in range(self.settings.retries + 1):
            try:
                reply = self._ask(messages, notes)
            except VLMUnavailable as problem:
                wait = problem.wait_s if problem.wait_s is not None else _FIRST_WAIT_S * 2**attempt
                if attempt == self.settings.retries or wait > _LONGEST_WAIT_S:
                    raise VLMUnavailable(f"{problem}, after {_times(attempt + 1)}") from None
                self._sleep(wait)
            else:
                usage = {**reply.usage, "attempts": float(attempt + 1)}
                return replace(reply, usage=usage, notes=tuple(notes), seconds=time.monotonic() - start)
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, messages: list[dict[str, Any]], notes: list[str]) -> Reply:
        """One attempt; a parameter that the server does not know is renamed or left out, and noted."""
        while True:
            try:
                answer = self._in_time(
                    lambda: self._client.chat.completions.create(
                        model=self.settings.model, messages=messages, **self._parameters
                    )
                )
                return read_completion(answer, self.settings, self._hide)
            except self._api_error as error:
                name = rejected_parameter(error)
                if name not in self._parameters:
                    raise explain(error, self.settings, self._hide) from None
                notes.append(self._without(name))
            except (ValueError, RecursionError) as error:  # no JSON, although the status is 200, or nested without end
                raise VLMUnavailable(f"the server's answer is not JSON ({self._hide(str(error))})") from None

    def _in_time(self, call: Callable[[], Any]) -> Any:
        """What `call` gives within timeout_s: the library's own limit begins anew with every byte that drips in."""
        ended = threading.Event()
        result = []
        problems = []

        def work() -> None:
            try:
                result.append(call())
            except Exception as problem:
                problems.append(problem)
            ended.set()

        threading.Thread(target=work, daemon=True).start()
        if not ended.wait(min(self.settings.timeout_s, threading.TIMEOUT_MAX)):
            self._client.close()  # ends the thread with the next byte
            self._client = self._connect()
            raise VLMUnavailable(f"no answer from {self.settings.base_url} within {self.settings.timeout_s:g} s")
        if problems:
            raise problems[0]
        return result[0]

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


def _times(count: int) -> str:
    return "one attempt" if count == 1 else f"{count} attempts"


def chat_message(message: Message, detail: str) -> dict[str, Any]:
    """A message as chat completions want it: plain text, or a list of parts where there are images."""
    if not any(part.image is not None for part in message.parts):
        return {"role": message.role, "content": "\n\n".join(part.text for part in message.parts)}
    content = [
        {"type": "text", "text": part.text}
        if part.image is None
        else {"type": "image_url", "image_url": {"url": _data_url(part.image), "detail": detail}}
        for part in message.parts
    ]
    return {"role": message.role, "content": content}


def _data_url(rgb: np.ndarray) -> str:
    rgb = np.ascontiguousarray(rgb, dtype=np.uint8)
    return _encoded(rgb.shape, rgb.tobytes())


@lru_cache(maxsize=32)  # the images of the history are sent again with every question
def _encoded(shape: tuple[int, ...], pixels: bytes) -> str:
    stream = io.BytesIO()
    PillowImage.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape)).save(stream, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
