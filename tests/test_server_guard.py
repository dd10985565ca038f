"""A question goes only where the user said, and no answer fills the memory."""

from __future__ import annotations

import gzip
import re
import tracemalloc
import zlib
from functools import cache

import numpy as np
import pytest
from chat_server import ChatServer, Step, completion, endless, endless_headers, good, packed, redirect

from iker_agent.vlm.errors import VLMConfigurationError, VLMEmpty, VLMUnavailable
from iker_agent.vlm.openai_chat import OpenAIChat
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.transport import MAX_ANSWER_BYTES
from iker_agent.vlm.types import Message, Part, Reply, Request

MIB = 2**20
SOCKET_BUFFERS = 8 * MIB  # what a server may have sent that nobody read
ASKED = Request((Message("user", (Part("rules"), Part(image=np.zeros((4, 6, 3), np.uint8)))),))
LIMIT = r"longer than 4 MiB, the limit for one; it was not read further"


def client(server: ChatServer, **settings) -> OpenAIChat:
    chosen = AskSettings(model="seer", base_url=server.url, **{"retries": 0, "timeout_s": 60.0, **settings})
    return OpenAIChat(chosen, sleep=lambda _: None)


def ask(server: ChatServer, **settings) -> Reply:
    return client(server, **settings).complete(ASKED)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-guarded")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_port_is_refused_and_nothing_is_sent_there(code):
    with ChatServer(good("stolen")) as other, ChatServer(redirect(f"{other.url}/chat/completions", code)) as server:
        with pytest.raises(VLMConfigurationError) as caught:
            ask(server, retries=2)
        assert len(server.requests) == 1, "asking again would not help"
        assert other.connections == 0 and other.requests == []
        there = other.url.removesuffix("/v1")
        assert re.search(rf"redirects to {there} \(status {code}\); nothing was sent there", str(caught.value))


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://127.0.0.1:1/v1/chat/completions", "https://127.0.0.1:1"),
        ("http://evil.example/v1?key=sk-test-guarded", "http://evil.example "),
        ("//evil.example/v1", "http://evil.example "),
        ("http://me:secret@evil.example:8080/", "http://evil.example:8080"),
        ("http://sk-test-guarded.evil.example/", r"http://\[key\].evil.example"),
        ("http://127.0.0.1@evil.example/", "http://evil.example "),
        ("ftp://evil.example/", "ftp://evil.example"),
        ("/v1/other", "a path that was not named"),
        ("?again", "a path that was not named"),
        ("http://[::1", "no readable address"),
        ("http://evil.example:x/", "no readable address"),
    ],
)
def test_no_redirect_is_followed_whatever_it_looks_like(location, told):
    with ChatServer(redirect(location), good("followed")) as server:
        with pytest.raises(VLMConfigurationError, match=f"redirects to {told}") as caught:
            ask(server)
        assert server.connections == 1 and len(server.requests) == 1
    assert "secret" not in str(caught.value) and "sk-test" not in str(caught.value)


def test_addresses_in_a_body_and_cookies_lead_nowhere():
    with ChatServer(good("never asked")) as other:
        body = {**completion("fine"), "url": other.url, "next": other.url, "links": {"self": other.url}}

        def tempting(handler) -> None:
            content = repr(body).replace("'", '"').replace("None", "null").encode()
            handler.send_response(200)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                "Set-Cookie": "track=me",
                "Refresh": f"0; url={other.url}",
                "Content-Location": other.url,
                "Alt-Svc": f'h2="{other.url}"',
            }.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)

        with ChatServer(tempting) as server:
            chat = OpenAIChat(AskSettings(model="seer", base_url=server.url))
            assert [chat.complete(ASKED).text for _ in range(2)] == ["fine", "fine"]
            assert other.connections == 0 and "cookie" not in server.headers[1]


def test_nothing_is_told_about_this_machine():
    with ChatServer(good("fine")) as server:
        ask(server)
    assert [name for name in server.headers[0] if "stainless" in name] == []


@cache
def bomb(coding: str) -> bytes:
    """128 MiB of blanks as 128 kB; zlib's format is deflate's, and gzip's with another frame."""
    if coding == "gzip in gzip":
        return gzip.compress(bomb("gzip"))
    packer = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    return b"".join([*(packer.compress(b" " * MIB) for _ in range(128)), packer.flush()])


def bombed(coding: str, named: str, code: int = 200) -> Step:
    """The bomb, made when it is sent: that takes a moment."""
    return lambda handler: packed(bomb(coding), named, code)(handler)


ENDLESS = [
    ("endless", endless(), LIMIT),
    ("chunked", endless(chunked=True), LIMIT),
    ("error", endless(code=500), LIMIT),
    ("braces", endless(b"[" * 65536), LIMIT),
    ("gzip", bombed("gzip", "gzip"), LIMIT),
    ("x-gzip error", bombed("gzip", "X-GZip", 429), LIMIT),
    ("deflate", bombed("deflate", "deflate"), LIMIT),
    ("gzip in gzip", bombed("gzip in gzip", "gzip, gzip"), "packs its answer as 'gzip, gzip'"),
    ("brotli", packed(b"\x00" * 100, "br"), "packs its answer as 'br', which was not asked for"),
    ("zstd", packed(b"\x28\xb5\x2f\xfd" + b"\x00" * 100, "zstd"), "packs its answer as 'zstd'"),
    ("no gzip", packed(b"plain", "gzip"), "is packed as gzip and cannot be unpacked"),
    ("headers", endless_headers, "no connection with"),
]


@pytest.mark.parametrize(("step", "words"), [e[1:] for e in ENDLESS], ids=[e[0] for e in ENDLESS])
def test_an_answer_without_end_is_told_and_not_kept(step: Step, words: str):
    with ChatServer(step) as server:
        chat = client(server)  # what it imports is no part of the answer
        tracemalloc.start()
        with pytest.raises(VLMUnavailable, match=words) as caught:
            chat.complete(ASKED)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert server.sent_bytes < MAX_ANSWER_BYTES + SOCKET_BUFFERS
    assert peak < 24 * MIB and "\n" not in str(caught.value)


def test_what_fits_is_read_packed_or_not():
    text = "x" * 150_000
    body = repr(completion(text)).replace("'", '"').encode()
    steps = (packed(gzip.compress(body), "gzip"), packed(zlib.compress(body), "deflate"), packed(body, "identity"))
    with ChatServer(*steps) as server:
        assert [ask(server).text for _ in steps] == [text] * 3
    assert server.headers[0]["accept-encoding"] == "identity"


def test_an_answer_of_many_small_parts_stays_small():
    body = b'{"choices": [' + b"{}," * (MAX_ANSWER_BYTES // 3 - 100) + b"{}]}"
    with ChatServer(packed(body, "identity")) as server:
        tracemalloc.start()
        with pytest.raises(VLMEmpty, match="no reply"):
            ask(server)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 160 * MIB
