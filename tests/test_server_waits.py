"""Trouble that passes is waited for, as long as the server asks and no longer than a minute."""

from __future__ import annotations

import re
from email.utils import formatdate
from time import time

import numpy as np
import pytest
from chat_server import ChatServer, answer, completion, delta, error, failure, good, google, quota, retry_info, stream

from iker_agent.vlm.errors import VLMUnavailable
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


PASSING = [
    ("error under 200", error("no slot"), "reports an error: no slot", 1.0),
    ("error text under 200", answer({"error": "no slot"}), "reports an error: no slot", 1.0),
    ("detail under 200", answer({"detail": "no slot"}), "no slot", 1.0),
    ("message under 200", answer({"object": "error", "message": "no slot", "code": 50001}), "no slot", 1.0),
    ("errors of Cloudflare", answer({"success": False, "errors": [{"code": 7, "message": "no slot"}]}), "no slot", 1.0),
    ("503 under 200", error("busy", code=503), r"answers with error 503 under status 200: busy", 1.0),
    (
        "overloaded",
        answer({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529),
        "529",
        1.0,
    ),
    (
        "overloaded under 200",
        answer({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        "Overloaded",
        1.0,
    ),
    (
        "provider behind a router",
        error("Provider returned error", 429, metadata={"raw": "seer is busy"}),
        "Provider returned error: seer is busy",
        1.0,
    ),
    (
        "error in a choice",
        answer({"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "gone"}}]}),
        "502 .*gone",
        1.0,
    ),
    ("broken off", answer(completion("half", "error")), "broke off", 1.0),
    ("aborted", answer(completion("half", "abort")), "broke off", 1.0),
    ("stream broken off", stream(delta("half"), end=""), "broke off", 1.0),
    (
        "minute",
        error("Rate limit reached on requests per min (RPM): Limit 3", 429, code="rate_limit_exceeded"),
        "429",
        30.0,
    ),
    ("minute in words", error("Rate limit reached. Please try again in 20s. Visit ...", 429), "wait 20 s", 20.0),
    ("34 s in words", error("Slow down, retry in 34 s", 429), "wait 34 s", 34.0),
    ("fraction in words", error("Please retry in 34.074824224s.", 429), "wait 34 s", 34.074824224),
    ("wait in words", error("Please wait 34 seconds before you ask again", 429), "wait 34 s", 34.0),
    ("about in words", error("You can retry in about 34 secs", 429), "wait 34 s", 34.0),
    ("words without a time", error("Wait a minute, try again in a few seconds", 429), "429", 1.0),
    ("retry_after beside the error", answer({"error": "slow", "retry_after": 12}, 429), "wait 12 s", 12.0),
    ("a span as header", failure(429, "slow", Retry_After="7s"), "wait 7 s", 7.0),
    ("a negative header", failure(429, "slow", Retry_After="-7"), "429: slow", 1.0),
    ("limits told with other trouble", failure(500, "oops", x_ratelimit_reset="50"), "500: oops", 1.0),
    ("minutes in words", error("Please try again in 0m30.5s.", 429), "wait", 30.5),
    ("milliseconds in words", error("Please try again in 450ms", 429), "wait", 0.45),
    (
        "Azure's words",
        error("exceeded token rate limit of your tier. Please retry after 34 seconds. To raise your quota, visit", 429),
        "wait 34 s",
        34.0,
    ),
    (
        "quota of a minute",
        google(
            "You exceeded your current quota. Please retry in 34.5s.",
            quota("GenerateRequestsPerMinutePerProject"),
            retry_info("34s"),
        ),
        "wait 34 s",
        34.0,
    ),
    ("quota of a minute without a time", google("Quota exceeded for metric requests per minute"), "429", 30.0),
    ("labelled quota of a minute", error("requests per minute exceeded", 429, code="insufficient_quota"), "429", 30.0),
    ("retry_after in the body", error("slow", 429, metadata={"retry_after": 12}), "wait 12 s", 12.0),
    ("503 with a header", failure(503, "loading", Retry_After="5"), "wait 5 s", 5.0),
    ("zero", failure(429, "slow", Retry_After="0"), "429: slow", 0.0),
    ("date that is past", failure(429, "slow", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), "429: slow", 0.0),
    ("no date", failure(429, "slow", Retry_After="soon, 99"), "429: slow", 1.0),
    ("reset as a span", failure(429, "slow", x_ratelimit_reset_requests="8.64s"), "wait 9 s", 8.64),
    (
        "reset of what is used up",
        failure(
            429,
            "slow",
            x_ratelimit_reset_requests="6m0s",
            x_ratelimit_remaining_requests="7",
            x_ratelimit_reset_tokens="12s",
            x_ratelimit_remaining_tokens="0",
        ),
        "wait 12 s",
        12.0,
    ),
    ("reset in seconds", failure(429, "slow", ratelimit_reset="17"), "wait 17 s", 17.0),
    (
        "Anthropic's reset is past",
        failure(429, "slow", anthropic_ratelimit_requests_reset="2020-01-01T00:00:00Z"),
        "429: slow",
        0.0,
    ),
]


@pytest.mark.parametrize(("step", "words", "wait"), [case[1:] for case in PASSING], ids=[case[0] for case in PASSING])
def test_what_passes_is_waited_for_as_long_as_the_server_asks(step, words, wait):
    with ChatServer(step, good(TEXT)) as server:
        reply, waits = ask(server)
    assert reply.text == TEXT and waits == pytest.approx([wait])
    with ChatServer(step) as server, pytest.raises(VLMUnavailable) as caught:
        ask(server, retries=1)
    assert len(server.requests) == 2 and re.search(words, str(caught.value)), str(caught.value)


def test_a_date_to_come_is_waited_for_by_the_servers_own_clock():
    later = formatdate(time() + 40, usegmt=True)
    with ChatServer(failure(429, "slow", Retry_After=later), good(TEXT)) as server:
        assert 38 < ask(server)[1][0] < 41
    clock = {"Date": "Wed, 21 Oct 2015 07:27:45 GMT", "Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    with ChatServer(failure(429, "slow", **clock), good(TEXT)) as server:
        assert ask(server)[1] == [15.0]


@pytest.mark.parametrize(
    "step",
    [
        failure(429, "slow", Retry_After="61"),
        failure(503, "slow", Retry_After=formatdate(time() + 4000, usegmt=True)),
        error("on tokens per day (TPD): Limit 100. Please try again in 7m12s", 429),
        failure(429, "slow", x_ratelimit_reset=str(int(1000 * (time() + 5000)))),
        failure(429, "slow", x_ratelimit_reset=str(int(time() + 5000))),
    ],
    ids=["seconds", "date", "words", "epoch in milliseconds", "epoch"],
)
def test_more_than_a_minute_is_not_waited(step):
    with ChatServer(step, good(TEXT)) as server:
        with pytest.raises(VLMUnavailable, match=r"asks to wait \d+ s.*after one attempt"):
            ask(server)
        assert len(server.requests) == 1
