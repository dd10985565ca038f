"""What a server does not take is left out or asked for in its way, and that is noted."""

from __future__ import annotations

import numpy as np
import pytest
from chat_server import ChatServer, answer, delta, error, fastapi, good, google, stream

from iker_agent.vlm.errors import VLMConfigurationError
from iker_agent.vlm.openai_chat import OpenAIChat
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Message, Part, Reply, Request

ASKED = Request((Message("user", (Part("rules"), Part(image=np.zeros((4, 6, 3), np.uint8)))),))
TEXT = "```python\ndef get_interaction_data(k):\n    return\n```"


def ask(server: ChatServer, **settings) -> tuple[Reply, list[float]]:
    """The reply and the seconds that were waited between attempts."""
    waits: list[float] = []
    chosen = AskSettings(model="seer", base_url=server.url, timeout_s=20.0, **settings)
    return OpenAIChat(chosen, sleep=waits.append).complete(ASKED), waits


NOT_TAKEN = [
    ("FastAPI", fastapi("max_tokens"), "max_tokens"),
    (
        "Mistral",
        answer(
            {
                "object": "error",
                "message": {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "temperature"],
                            "msg": "Extra inputs are not permitted",
                        }
                    ]
                },
            },
            422,
        ),
        "temperature",
    ),
    (
        "vLLM",
        answer(
            {
                "object": "error",
                "message": "[{'loc': ('body', 'temperature'), 'msg': 'Extra inputs are not permitted'}]",
                "code": 400,
            },
            400,
        ),
        "temperature",
    ),
    ("Anthropic", error("temperature: Extra inputs are not permitted", 400), "temperature"),
    ("deprecated", error("`temperature` is deprecated for this model.", 400), "temperature"),
    (
        "OpenAI",
        error(
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
            400,
            code="unsupported_parameter",
            param="max_tokens",
        ),
        "max_tokens",
    ),
    (
        "OpenAI's value",
        error(
            "'temperature' does not support 0.0 with this model. Only the default (1) is.",
            400,
            param="temperature",
            code="unsupported_value",
        ),
        "temperature",
    ),
    (
        "Google",
        google(
            'Invalid JSON payload received. Unknown name "max_tokens": Cannot find field.',
            status="INVALID_ARGUMENT",
            code=400,
        ),
        "max_tokens",
    ),
    ("Groq", error("property 'temperature' is unsupported", 400), "temperature"),
    ("under 200", error("Unrecognized request argument supplied: temperature", code=400), "temperature"),
]


@pytest.mark.parametrize(("step", "name"), [case[1:] for case in NOT_TAKEN], ids=[case[0] for case in NOT_TAKEN])
def test_a_parameter_that_is_not_taken_is_left_out_and_the_question_asked_again(step, name):
    with ChatServer(step, good(TEXT)) as server:
        reply, waits = ask(server)
    assert reply.text == TEXT and waits == [] and len(server.requests) == 2
    assert name in server.requests[0] and name not in server.requests[1]
    assert len(reply.notes) == 1 and reply.notes[0].startswith(f"the server does not take {name}; ")


def test_the_detail_of_images_is_left_out_where_it_is_not_taken():
    place = ["body", "messages", 0, "content", 1, "image_url", "detail"]
    step = answer({"detail": [{"type": "extra_forbidden", "loc": place, "msg": "Extra inputs are not permitted"}]}, 422)
    with ChatServer(step, good(TEXT)) as server:
        reply, _ = ask(server)
    images = [request["messages"][0]["content"][1]["image_url"] for request in server.requests]
    assert set(images[0]) == {"url", "detail"} and set(images[1]) == {"url"}
    assert reply.notes == ("the server does not take detail; it was left out",)


def test_a_server_that_refuses_the_same_parameter_for_ever_is_left():
    with ChatServer(fastapi("max_tokens")) as server, pytest.raises(VLMConfigurationError, match="Extra inputs"):
        ask(server)
    assert len(server.requests) < 5


@pytest.mark.parametrize(
    "words",
    [
        "This model only support stream mode, please enable the stream parameter to access the model.",
        "stream must be set to true",
        "Only streaming requests are supported",
    ],
)
def test_a_server_that_replies_in_streams_only_is_asked_for_one(words):
    chunks = stream(
        delta("```py"), delta("thon\n"), delta("```", "stop"), {"choices": [], "usage": {"total_tokens": 9}}
    )
    with ChatServer(error(words, 400), chunks) as server:
        reply, _ = ask(server)
    assert (reply.text, reply.finish, reply.model) == ("```python\n```", "stop", "served-1")
    assert reply.usage["total_tokens"] == 9 and reply.notes == (
        "the server replies in a stream only; one was asked for",
    )
    assert server.requests[1]["stream"] is True and "stream" not in server.requests[0]


def test_a_stream_that_was_not_asked_for_is_read_as_well():
    with ChatServer(stream(delta("a", reasoning_content="b"), delta("c", "stop"))) as server:
        assert ask(server)[0].text == "ac"
