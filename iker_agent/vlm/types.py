"""The contract between the agent and whatever writes programs: a Request goes in, a Reply comes out.

A request holds one or more messages of text and images. `attachments` (keypoints, instruction) are for backends that
run on this machine, such as the annotated one; no network backend sends them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from iker_envs.contract import Contract


@dataclass(frozen=True, eq=False)
class Part(Contract):
    """A piece of a message: text, or an image (H, W, 3) uint8 with its file name in the run folder."""

    text: str = ""
    image: np.ndarray | None = None
    image_name: str = ""


@dataclass(frozen=True, eq=False)
class Message(Contract):
    """What one side said; role is "user" or "assistant"."""

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class Request(Contract):
    """A dialogue so far, to be continued."""

    messages: tuple[Message, ...]
    attachments: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """The request as a person reads it, images by name."""
        blocks = []
        for message in self.messages:
            parts = (f"![{p.image_name}]({p.image_name})" if p.image is not None else p.text for p in message.parts)
            blocks.append(f"<!-- {message.role} -->\n\n" + "\n\n".join(parts))
        return "\n\n".join(blocks) + "\n"

    def followed_by(self, reply: str, answer: str) -> Request:
        """The dialogue with the assistant's reply and the user's answer to it added."""
        more = (Message("assistant", (Part(reply),)), Message("user", (Part(answer),)))
        return Request((*self.messages, *more), dict(self.attachments))


@dataclass(frozen=True, eq=False)
class Reply(Contract):
    """What came back: text, which backend and model wrote it, why it stopped ("stop", "length", ...).

    `usage` counts what the call cost: prompt_tokens, completion_tokens, total_tokens where the server tells them, and
    attempts, the number of times that the server was asked. `notes` say what was changed to get an answer.
    """

    text: str
    backend: str
    model: str = ""
    seconds: float = 0.0
    finish: str = "stop"
    usage: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class VLM(Protocol):
    """Writes the next program.

    A backend with `corrects = False` cannot write another program when it is told how its goal would end: a goal that
    would fail in simulation is then carried out with a note.
    """

    def complete(self, request: Request) -> Reply:
        """Answer a request; a VLMError (errors.py) says why there is no answer."""
        ...
