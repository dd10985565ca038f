"""What servers say when something is wrong, in the forms of many of them, and the one sentence of its true kind."""

from __future__ import annotations

import re

import numpy as np
import pytest
from chat_server import (
    ChatServer,
    Step,
    answer,
    broken,
    completion,
    delta,
    error,
    fastapi,
    google,
    html,
    quota,
    retry_info,
    stream,
)

from iker_agent.vlm.budget import Budget
from iker_agent.vlm.errors import VLMConfigurationError as CONFIG
from iker_agent.vlm.errors import VLMEmpty, VLMError, VLMRefused, VLMTruncated, VLMUnavailable
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


LASTING = [
    ("402", error("Add credits", 402), CONFIG, r"has to be paid for \(status 402\): Add credits"),
    ("402 under 200", error("Add credits", code=402), CONFIG, r"paid for \(error 402 under status 200\)"),
    (
        "402 under 200 in a choice",
        answer({"choices": [{"error": {"code": 402, "message": "Pay"}}]}),
        CONFIG,
        "paid for.*Pay",
    ),
    ("text code under 200", error("Pay", code="402"), CONFIG, "has to be paid for"),
    ("balance", error("Insufficient Balance", 429, code="1113"), CONFIG, "quota.* is used up"),
    ("balance under 200", error("Insufficient credits"), CONFIG, "quota.* is used up"),
    (
        "credit at Anthropic",
        error("Your credit balance is too low", 400, type="invalid_request_error"),
        CONFIG,
        "quota.* is used up",
    ),
    ("quota", error("You exceeded your current quota", 429, code="insufficient_quota"), CONFIG, "is used up"),
    ("quota under 200", error("You exceeded your current quota", code="insufficient_quota"), CONFIG, "is used up"),
    ("quota without a code", error("You exceeded your current quota, check your billing", 429), CONFIG, "is used up"),
    (
        "quota of a day",
        google(
            "You exceeded your current quota. Please retry in 34.07s.",
            quota("GenerateRequestsPerDayPerProject"),
            retry_info("34s"),
        ),
        CONFIG,
        "is used up",
    ),
    (
        "key under 200",
        error("Bad key", code="invalid_api_key", type="invalid_request_error"),
        CONFIG,
        "not accept the key in OPENAI_API_KEY",
    ),
    (
        "key at Google",
        google("API key not valid. Please pass a valid API key.", status="INVALID_ARGUMENT", code=400),
        CONFIG,
        "not accept the key",
    ),
    ("401", error("no", 401), CONFIG, "not accept the key"),
    ("403", error("no", 403), CONFIG, "not accept the key"),
    ("403 of a proxy", html(403), CONFIG, r"a proxy on the way .*\(status 403\): 403 Forbidden$"),
    ("407", html(407), CONFIG, "a proxy on the way"),
    ("404 page", html(404), CONFIG, "most addresses end in /v1"),
    ("no model", error("gone", 404, code="model_not_found"), CONFIG, "no model 'seer'"),
    ("no model under 400", error("gone", 400, code="model_not_found"), CONFIG, "no model 'seer'"),
    (
        "no model under 200",
        error("gone", code="model_not_found", type="invalid_request_error"),
        CONFIG,
        "no model 'seer'",
    ),
    (
        "no model at Anthropic",
        answer({"type": "error", "error": {"type": "not_found_error", "message": "model: seer"}}, 404),
        CONFIG,
        "no model 'seer'",
    ),
    (
        "too long",
        error("maximum context length is 4096", 400, code="context_length_exceeded"),
        CONFIG,
        "too long for 'seer'",
    ),
    ("too long in words", error("the request exceeds the available context size", 400), CONFIG, "too long for 'seer'"),
    (
        "too long in vLLM",
        error("'max_tokens' is too large: 4096. This model's maximum context length is 2048", 400),
        CONFIG,
        "too long for 'seer'",
    ),
    (
        "too long for a minute",
        error("Request too large for seer on tokens per min (TPM)", 429, code="rate_limit_exceeded"),
        CONFIG,
        "too long for 'seer'",
    ),
    (
        "too long for a proxy",
        html(413, "<html><title>413 Request Entity Too Large</title></html>"),
        CONFIG,
        "too long for 'seer'",
    ),
    ("not implemented", error("no", 501), CONFIG, "does not accept the request"),
    (
        "bad value",
        error("temperature must be below 2", 400, param="temperature", code="invalid_value"),
        CONFIG,
        "does not accept the request",
    ),
    (
        "bad value in FastAPI",
        fastapi("temperature", "less_than", "Input should be less than 2"),
        CONFIG,
        "body.temperature: Input should be less than 2",
    ),
    (
        "filter at Azure",
        error(
            "The response was filtered", 400, code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}
        ),
        VLMRefused,
        "filter does not let the request through",
    ),
    (
        "filter at Azure, inner code",
        error("The response was filtered", 400, innererror={"code": "ResponsibleAIPolicyViolation"}),
        VLMRefused,
        "filter",
    ),
    ("filter under 200", error("blocked", code="content_filter"), VLMRefused, "filter"),
    ("blocked prompt at Google", answer({"promptFeedback": {"blockReason": "SAFETY"}}), VLMRefused, "filter.*SAFETY"),
    *(
        (
            f"finish {reason}",
            answer(completion(TEXT, reason)),
            VLMRefused,
            rf"content filter stopped the reply \({reason}\)",
        )
        for reason in (
            "SAFETY",
            "RECITATION",
            "PROHIBITED_CONTENT",
            "BLOCKLIST",
            "SPII",
            "IMAGE_SAFETY",
            "content_filter",
            "refusal",
            "sensitive",
        )
    ),
    ("safety without text", answer(completion(None, "SAFETY")), VLMRefused, "SAFETY"),
    (
        "cut reasoning",
        answer(completion(None, "length", reasoning_content="Let me think")),
        VLMTruncated,
        "used up by reasoning before the reply began; .*raise ask.max_tokens",
    ),
    (
        "reasoning only",
        answer(completion("", reasoning_content="Let me think")),
        VLMEmpty,
        "reasoned but gave no reply",
    ),
    (
        "reasoning only, other name",
        answer(completion(None, reasoning="Let me think")),
        VLMEmpty,
        "reasoned but gave no reply",
    ),
    (
        "reasoning in parts",
        answer(completion([{"type": "thinking", "thinking": "x", "text": "x"}], thinking="x")),
        VLMEmpty,
        "reasoned",
    ),
    (
        "tool call",
        answer(completion(None, "tool_calls", tool_calls=[{"id": "1"}])),
        VLMEmpty,
        "calls a tool and has no text",
    ),
    ("null message", answer({"choices": [{"message": None, "finish_reason": "stop"}]}), VLMEmpty, "no text"),
    ("other finish", answer(completion(None, "OTHER")), VLMEmpty, r"no text \(OTHER\)"),
    ("cut by the context", answer(completion("x", "model_length")), VLMTruncated, "cut at the limit"),
    ("null choice", answer({"choices": [None]}), VLMEmpty, "holds no reply"),
    ("no choices", answer({"model": "x"}), VLMEmpty, "holds no reply"),
    ("cut stream", stream(delta("half", "length")), VLMTruncated, "cut at the limit"),
    ("filter in a stream", stream(delta("half"), delta(None, "content_filter")), VLMRefused, "content filter"),
    (
        "payment in a stream",
        stream(delta("half"), {"error": {"code": 402, "message": "Pay"}}),
        CONFIG,
        "has to be paid",
    ),
]


@pytest.mark.parametrize(("step", "kind", "words"), [case[1:] for case in LASTING], ids=[case[0] for case in LASTING])
def test_what_asking_again_would_not_mend_is_asked_once(step, kind, words):
    with ChatServer(step) as server:
        with pytest.raises(VLMError) as caught:
            ask(server)
        assert len(server.requests) == 1
    told = str(caught.value)
    assert type(caught.value) is kind and re.search(words, told), repr(caught.value)
    assert told.isprintable() and "<" not in told and not told.endswith(".")


def test_json_of_any_label_and_with_a_mark_before_it_is_read():
    body = "\ufeff" + repr(completion("fine")).replace("'", '"')
    step: Step = lambda handler: broken(body)(handler)  # noqa: E731
    with ChatServer(step) as server:
        assert ask(server)[0].text == "fine"


def test_names_that_a_server_gives_are_short_and_printable():
    body = {**completion(TEXT, "stop\x1b[2J"), "model": "m\x1b]0;x\x07" + "y" * 5000}
    with ChatServer(answer(body)) as server:
        reply, _ = ask(server)
    assert reply.model.isprintable() and len(reply.model) <= 200 and reply.finish == "stop [2J"


def test_words_of_a_server_that_are_made_to_take_long_do_not():
    with ChatServer(error("unsupported " * 300_000, 400)) as server, pytest.raises(CONFIG):
        ask(server)
    with ChatServer(html(500, "<script" * 400_000)) as server, pytest.raises(VLMUnavailable):
        ask(server, retries=0)


def test_what_a_reply_that_broke_off_has_cost_is_counted():
    with ChatServer(answer(completion("half", "error"))) as server:
        settings = AskSettings(model="seer", base_url=server.url, retries=0)
        vlm = Budget(OpenAIChat(settings), settings)
        with pytest.raises(VLMUnavailable):
            vlm.complete(ASKED)
    assert vlm.spent["prompt_tokens"] == 1200
