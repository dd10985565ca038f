"""What servers do, good and bad, and the one sentence of the right kind that each ends in."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from chat_server import (
    ChatServer,
    answer,
    broken,
    completion,
    drip,
    failure,
    good,
    hang_up,
    page,
    silence,
)
from PIL import Image

from iker_agent.vlm.budget import Budget
from iker_agent.vlm.errors import (
    BudgetSpent,
    VLMConfigurationError,
    VLMEmpty,
    VLMError,
    VLMRefused,
    VLMTruncated,
    VLMUnavailable,
)
from iker_agent.vlm.openai_chat import OpenAIChat
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Message, Part, Request

KEY = "sk-test-4f9a1c77e2"
PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
ASKED = Request(
    (Message("user", (Part("rules"), Part(image=PICTURE, image_name="marked.png"))),),
    {"keypoints": {"1": [0.123456789, 0, 0]}},
)
TEXT = "```python\ndef get_interaction_data(k):\n    return\n```"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(server: ChatServer, request: Request = ASKED, **settings):
    """One question; returns the reply and the seconds that were waited between attempts."""
    waits: list[float] = []
    timeout_s = settings.pop("timeout_s", 20.0)
    chosen = AskSettings(model="seer", base_url=server.url, timeout_s=timeout_s, **settings)
    return OpenAIChat(chosen, sleep=waits.append).complete(request), waits


def test_a_good_reply_is_text_model_and_usage():
    with ChatServer(good(TEXT)) as server:
        reply, waits = ask(server)
    assert (reply.text, reply.model, reply.backend, reply.finish) == (TEXT, "served-1", "openai", "stop")
    assert reply.usage == {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500, "attempts": 1}
    assert waits == [] and reply.notes == ()


def test_what_is_sent_is_the_dialogue_and_nothing_else():
    with ChatServer(good(TEXT)) as server:
        ask(server, ASKED.followed_by("first try", "not good"), max_tokens=77, temperature=0.5)
    sent = server.requests[0]
    assert set(sent) == {"model", "messages", "max_tokens", "temperature"}
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("seer", 77, 0.5)
    assert [m["role"] for m in sent["messages"]] == ["user", "assistant", "user"]
    text, image = sent["messages"][0]["content"]
    assert text == {"type": "text", "text": "rules"} and image["image_url"]["detail"] == "high"
    kind, data = image["image_url"]["url"].split(",")
    assert kind == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), PICTURE)
    assert [m["content"] for m in sent["messages"][1:]] == ["first try", "not good"]
    assert "0.123456789" not in str(sent), "attachments stay here"
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "trouble",
    [failure(429, "slow down"), failure(503, "loading"), page(502), hang_up, broken()],
    ids=["429", "503", "502 page", "dropped", "broken JSON"],
)
def test_passing_trouble_is_waited_out(trouble):
    with ChatServer(trouble, good(TEXT)) as server:
        reply, waits = ask(server)
    assert reply.text == TEXT and reply.usage["attempts"] == 2 and waits == [1.0]


@pytest.mark.parametrize(
    ("header", "wait"), [({"retry_after": "7"}, 7.0), ({"retry_after_ms": "250"}, 0.25), ({"retry_after": "soon"}, 1.0)]
)
def test_the_server_says_how_long_to_wait(header, wait):
    with ChatServer(failure(429, "slow down", **header), good(TEXT)) as server:
        assert ask(server)[1] == [wait]


def test_a_long_wait_is_not_waited():
    with ChatServer(failure(429, "slow down", retry_after="3600"), good(TEXT)) as server:
        with pytest.raises(VLMUnavailable, match="asks to wait 3600 s"):
            ask(server)
        assert len(server.requests) == 1


def nested(depth: int) -> dict:
    """An error in an error in an error."""
    return {"error": nested(depth - 1)} if depth else {"message": "deep"}


UNREADABLE = [
    ("500s", failure(500, "out of memory"), VLMUnavailable, "status 500: out of memory, after 3 attempts", 3),
    ("dropped connection", hang_up, VLMUnavailable, "no connection with http://127.0.0.1:.*after 3 attempts", 3),
    ("HTML page", page(), VLMUnavailable, "a web page in the place of a completion; check the address", 3),
    ("502 page", page(502), VLMUnavailable, "status 502: Welcome", 3),
    ("broken JSON", broken(), VLMUnavailable, "not JSON|cannot be read", 3),
    ("error under 200", answer({"error": {"message": "no slot"}, "choices": None}), VLMUnavailable, "no slot", 3),
    ("a list", answer([1, 2]), VLMEmpty, "holds no reply", 1),
    ("empty choices", answer({**completion(""), "choices": []}), VLMEmpty, "holds no reply", 1),
    ("null choices", answer({**completion(""), "choices": None}), VLMEmpty, "holds no reply", 1),
    ("no message", answer({"choices": [{"index": 0}]}), VLMEmpty, "no text", 1),
    ("null content", answer(completion(None)), VLMEmpty, "no text", 1),
    ("blank content", answer(completion(" \n")), VLMEmpty, "no text", 1),
    ("content of a wrong type", answer(completion([{"x": 1}])), VLMEmpty, "no text", 1),
    ("absurdly nested", broken("[" * 100_000), VLMUnavailable, "not JSON|cannot be read", 3),
    ("nested error", answer(nested(200), 400), VLMConfigurationError, "status 400", 1),
    ("broken off", answer(completion("half", "error")), VLMUnavailable, "broke off the reply", 3),
    ("cut, in Google's words", answer(completion("half", "MAX_TOKENS")), VLMTruncated, "cut at the limit", 1),
    ("cut reply", answer(completion(TEXT[:20], "length")), VLMTruncated, "cut at the limit of 4096 tokens", 1),
    ("refusal", answer(completion(None, refusal="I cannot help")), VLMRefused, "declines to answer: I cannot help", 1),
    ("content filter", answer(completion("", "content_filter")), VLMRefused, "content filter stopped", 1),
    (
        "filtered prompt",
        failure(400, "flagged", error_code="content_policy_violation"),
        VLMRefused,
        "filter does not let the request through: flagged",
        1,
    ),
    (
        "filtered image",
        failure(400, "This image violates our policy", error_code="content_policy_violation"),
        VLMRefused,
        "filter does not let the request through: This image",
        1,
    ),
    ("moderation", failure(403, "Your input was flagged"), VLMRefused, "filter does not let the request through", 1),
    ("wrong address", failure(404, "Not Found"), VLMConfigurationError, r"nothing at http.*end in /v1: Not Found", 1),
    ("unknown model", failure(404, "model 'seer' not found"), VLMConfigurationError, "no model 'seer' at http", 1),
    (
        "quota in the type",
        answer({"error": {"message": "Too much", "type": "insufficient_quota"}}, 429),
        VLMConfigurationError,
        "quota of the key in OPENAI_API_KEY is used up: Too much",
        1,
    ),
    (
        "quota in Google's words",
        answer([{"error": {"code": 429, "message": "You exceeded your quota", "status": "RESOURCE_EXHAUSTED"}}], 429),
        VLMConfigurationError,
        "quota of the key in OPENAI_API_KEY is used up: You exceeded",
        1,
    ),
    ("control characters", failure(400, "no\x1b[2J\ud800\u202e way"), VLMConfigurationError, r"no \[2J\? way$", 1),
    ("wrong key", failure(401, "invalid key"), VLMConfigurationError, "not accept the key in OPENAI_API_KEY", 1),
    (
        "wrong model",
        failure(404, "The model does not exist", error_code="model_not_found"),
        VLMConfigurationError,
        "no model 'seer' at http://127.0.0.1:.*does not exist",
        1,
    ),
    (
        "quota exhausted",
        failure(429, "You exceeded your quota", error_code="insufficient_quota"),
        VLMConfigurationError,
        "quota of the key in OPENAI_API_KEY is used up",
        1,
    ),
    (
        "no vision support",
        failure(400, "seer is not a multimodal model"),
        VLMConfigurationError,
        "'seer' does not take the images: seer is not a multimodal model",
        1,
    ),
    (
        "no vision support in llama.cpp",
        failure(500, "image input is not supported - hint: you may need to provide the mmproj"),
        VLMConfigurationError,
        "does not take the images",
        1,
    ),
    (
        "too many images in vLLM",
        failure(400, "At most 1 image(s) may be provided in one prompt"),
        VLMConfigurationError,
        r"At most 1 image\(s\)",
        1,
    ),
    (
        "prompt too long",
        failure(400, "maximum context length is 4096", error_code="context_length_exceeded"),
        VLMConfigurationError,
        "status 400.*maximum context length",
        1,
    ),
]


@pytest.mark.parametrize(
    ("step", "kind", "words", "attempts"), [u[1:] for u in UNREADABLE], ids=[u[0] for u in UNREADABLE]
)
def test_every_trouble_is_one_sentence_of_its_kind(step, kind, words, attempts):
    with ChatServer(step) as server:
        with pytest.raises(VLMError) as caught:
            ask(server)
        assert len(server.requests) == attempts
    assert type(caught.value) is kind and re.search(words, str(caught.value)), repr(caught.value)
    assert "\n" not in str(caught.value) and "<" not in str(caught.value) and not str(caught.value).endswith(".")


def test_a_server_that_does_not_answer_in_time():
    with ChatServer(silence(0.6)) as server, pytest.raises(VLMUnavailable, match=r"within 0\.1 s, after 2 attempts"):
        ask(server, timeout_s=0.1, retries=1)


def test_a_server_that_drips_is_not_waited_for():
    with ChatServer(drip(3.0)) as server, pytest.raises(VLMUnavailable, match=r"within 0\.3 s, after one attempt"):
        ask(server, timeout_s=0.3, retries=0)
    with ChatServer(drip(3.0), good(TEXT)) as server:
        assert ask(server, timeout_s=1.0)[0].text == TEXT, "the next attempt has a connection of its own"


def test_text_in_parts_is_joined_and_counts_that_are_none_are_left_out():
    parts = [{"type": "text", "text": TEXT[:9]}, {"type": "image"}, "x", {"type": "text", "text": TEXT[9:]}]
    body = {**completion(parts), "usage": {"prompt_tokens": 10**400, "completion_tokens": -3, "total_tokens": 7}}
    with ChatServer(answer(body)) as server:
        reply, _ = ask(server)
    assert reply.text == TEXT and reply.usage == {"total_tokens": 7, "attempts": 1}


@pytest.mark.parametrize("key", ["sk-secret\nagain", "sk-secret\u2026", "sk-secret\x00"])
def test_a_key_that_cannot_be_one_is_told_without_it(monkeypatch, key):
    monkeypatch.setattr("os.environ", {"OPENAI_API_KEY": key})
    with pytest.raises(ValueError, match="the key in OPENAI_API_KEY holds a line break") as caught:
        OpenAIChat(AskSettings(model="seer", base_url="http://127.0.0.1:9/v1"))
    assert "secret" not in str(caught.value)


def test_no_server_at_all():
    with ChatServer(good(TEXT)) as server:
        pass
    with pytest.raises(VLMUnavailable, match=f"no connection with {server.url}"):
        ask(server, retries=0)


def test_a_cut_reply_and_its_cost_come_with_the_error():
    with ChatServer(answer(completion(TEXT[:20], "length"))) as server, pytest.raises(VLMTruncated) as caught:
        ask(server)
    assert caught.value.reply.text == TEXT[:20] and caught.value.reply.usage["completion_tokens"] == 300


def test_a_reply_without_end_is_cut_and_half_characters_are_replaced():
    with ChatServer(good("x" * 300_000), good("half \ud800 of it")) as server:
        with pytest.raises(VLMTruncated) as caught:
            ask(server)
        assert len(caught.value.reply.text) == 1000
        assert ask(server)[0].text == "half ? of it"


def test_parameters_that_a_server_does_not_take_are_renamed_or_left_out():
    wrong = failure(400, "use max_completion_tokens", error_code="unsupported_parameter", param="max_tokens")
    fixed = failure(400, "only 1 is allowed", error_code="unsupported_value", param="temperature")
    with ChatServer(wrong, fixed, good(TEXT)) as server:
        reply, waits = ask(server)
    assert reply.text == TEXT and waits == []
    assert reply.notes == (
        "the server does not take max_tokens; max_completion_tokens was sent",
        "the server does not take temperature; it was left out",
    )
    sent = server.requests[-1]
    assert sent["max_completion_tokens"] == 4096 and not {"max_tokens", "temperature"} & set(sent)


def test_a_server_that_takes_no_parameter_ends_it():
    steps = [
        failure(400, f"Unrecognized request argument: {n}") for n in ("max_tokens", "max_completion_tokens", "zeal")
    ]
    with ChatServer(*steps) as server, pytest.raises(VLMConfigurationError, match="zeal"):
        ask(server)
    assert len(server.requests) == 3


def test_a_server_without_keys_gets_none(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with ChatServer(good(TEXT)) as server:
        assert ask(server)[0].text == TEXT
    assert server.headers[0]["authorization"] == "Bearer none"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": ""}, "no model is named; add --model"),
        ({"base_url": "nowhere"}, "no address"),
        ({"base_url": "http://127.0.0.1:abc/v1"}, "'http://127.0.0.1:abc/v1' is no address"),
        ({"base_url": "http://127.0.0.1\n/v1"}, "no address"),
        ({"base_url": "http://my host/v1"}, "'http://my host/v1' is no address"),
        ({"base_url": "http://[::1/v1"}, "no address"),
        ({"base_url": "http://[::1]x/v1"}, "no address"),
        ({"base_url": "http://127.0.0.1../v1"}, "no address"),
        ({"base_url": "http:///v1"}, "no address"),
        ({"temperature": float("nan")}, "temperature must be a finite number, not nan"),
        ({"timeout_s": float("inf")}, "timeout_s must be positive"),
        ({"timeout_s": 1e12}, "timeout_s is at most 86400 s"),
        ({"max_usd": float("nan")}, "cannot be negative or without end, not nan"),
        ({"base_url": "http://me:secret@host/v1"}, "user name, a password"),
        ({"key_env": KEY}, "name of the environment variable"),
        ({"token_param": "most"}, "known: auto, max_tokens"),
        ({"max_tokens": 0}, "max_tokens must be positive"),
        ({"retries": -1}, "cannot be negative"),
        ({"max_usd": 1.0}, "needs the prices"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_asked(settings, words):
    with pytest.raises(ValueError, match=words) as caught:
        OpenAIChat(AskSettings(**{"model": "seer", "base_url": "http://127.0.0.1:9/v1", **settings}))
    assert KEY not in str(caught.value) and "secret" not in str(caught.value)


def test_openai_itself_wants_a_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match=r"api\.openai\.com wants a key: .* OPENAI_API_KEY"):
        OpenAIChat(AskSettings(model="seer"))


def test_without_the_package_the_pip_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ValueError, match=r"pip install 'iker\[vlm\]'"):
        OpenAIChat(AskSettings(model="seer"))


def test_the_package_loads_on_first_use_only():
    code = "import sys, iker_agent.loop, iker_agent.cli, iker_agent.vlm.openai_chat; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_servers_that_quote_the_key_do_not_get_it_into_a_message():
    steps = (failure(401, f"Incorrect API key provided: {KEY}"), good(f"# {KEY}\n{TEXT}"))
    with ChatServer(*steps) as server:
        with pytest.raises(VLMConfigurationError, match=r"provided: \[key\]"):
            ask(server)
        assert KEY not in ask(server)[0].text


def budgeted(server: ChatServer, **limits) -> Budget:
    settings = AskSettings(model="seer", base_url=server.url, **limits)
    return Budget(OpenAIChat(settings), settings)


@pytest.mark.parametrize(
    ("limits", "calls", "words"),
    [
        ({"max_calls": 2}, 2, "2 calls is used up"),
        ({"max_total_tokens": 4000}, 3, "4000 tokens is used up by 4500"),
        ({"max_usd": 0.01, "usd_per_mtok_in": 2.5, "usd_per_mtok_out": 10.0}, 2, r"0\.01 USD is used up by 0\.012"),
    ],
)
def test_a_budget_ends_the_asking(limits, calls, words):
    with ChatServer(good(TEXT)) as server:
        vlm = budgeted(server, **limits)
        for _ in range(calls):
            vlm.complete(ASKED)
        with pytest.raises(BudgetSpent, match=words):
            vlm.complete(ASKED)
        assert len(server.requests) == calls and vlm.spent["prompt_tokens"] == calls * 1200


def test_replies_that_cannot_be_used_are_paid_for_too():
    with ChatServer(answer(completion("", "length"))) as server:
        vlm = budgeted(server)
        with pytest.raises(VLMTruncated):
            vlm.complete(ASKED)
    assert vlm.spent == {"calls": 1, "prompt_tokens": 1200, "completion_tokens": 300, "usd": None}


def test_a_budget_in_tokens_needs_a_server_that_counts():
    silent = {name: value for name, value in completion(TEXT).items() if name != "usage"}
    with ChatServer(answer(silent)) as server, pytest.raises(VLMConfigurationError, match=r"use ask\.max_calls"):
        budgeted(server, max_total_tokens=100).complete(ASKED)
