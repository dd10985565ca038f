"""Environment variables about servers: honoured where that is right, told by name where they cannot be used."""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys

import pytest
from chat_server import ChatServer, answer, completion, good
from hypothesis import given
from hypothesis import strategies as st

from iker_agent.backends import make_vlm, recorded, told
from iker_agent.cli import main
from iker_agent.config import make_config
from iker_agent.vlm.errors import VLMConfigurationError, VLMUnavailable
from iker_agent.vlm.openai_chat import OpenAIChat
from iker_agent.vlm.settings import BACKENDS, AskSettings
from iker_agent.vlm.surroundings import is_this_machine, proxy_for
from iker_agent.vlm.types import Message, Part, Reply, Request
from iker_envs.task import load_task

ASKED = Request((Message("user", (Part("rules"),)),))
KEY = "sk-gateway-1234"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
FAR = "http://example.invalid/v1"  # never looked up: the way there begins at a proxy on this machine


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No variable of whoever runs the tests."""
    for name in [n for n in os.environ if n.startswith(("OPENAI_", "SSL")) or n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def dead_port() -> str:
    """An address on this machine where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"  # bound, so that nobody else takes it, and not listening


def chat(base_url: str = "", **settings) -> OpenAIChat:
    return OpenAIChat(AskSettings(model="seer", base_url=base_url, **{"retries": 0, "timeout_s": 20.0, **settings}))


def ask(base_url: str = "", **settings) -> Reply:
    return chat(base_url, **settings).complete(ASKED)


@pytest.mark.parametrize("variable", PROXIES)
@pytest.mark.parametrize("scheme", ["http", "socks5", "nonsense"])
def test_no_proxy_stands_between_here_and_this_machine(monkeypatch, dead_port, variable, scheme):
    monkeypatch.setenv(variable, dead_port.replace("http", scheme, 1))
    with ChatServer(good("fine")) as server:
        assert ask(server.url).text == "fine"
        assert ask(server.url.replace("127.0.0.1", "localhost")).text == "fine"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_dead_proxy_is_named(monkeypatch, dead_port, variable):
    monkeypatch.setenv(variable, dead_port.replace("//", "//me:secret@"))
    with pytest.raises(VLMUnavailable, match=rf"no connection with {FAR} through the proxy of {variable} ") as caught:
        ask(FAR)
    assert "secret" not in str(caught.value)


def test_a_proxy_is_used_for_other_machines_and_its_own_trouble_told(monkeypatch):
    with ChatServer(good("through"), answer({"error": {"message": "who?"}}, 407)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert ask(FAR).text == "through"
        with pytest.raises(VLMConfigurationError, match=r"a proxy on the way to .* \(status 407\): who\?"):
            ask(FAR)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(VLMUnavailable, match="through the proxy of HTTPS_PROXY"):
            ask(FAR.replace("http", "https"))
    assert proxy.headers[0]["host"] == "example.invalid"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("socks5://127.0.0.1:1080", r"package socksio.*pip install socksio.*NO_PROXY"),
        ("socks5h://me:secret@127.0.0.1:1080", "package socksio"),
        ("socks4://127.0.0.1:1080", "a proxy of another kind than http, https, socks5, socks5h"),
        ("ftp://me:secret@127.0.0.1", "a proxy of another kind"),
        ("http://me:secret@[::1", "cannot be read"),
        ("http://me:secret@127.0.0.1:abc", "cannot be read"),
        ("http://127.0.0.1:99999", "cannot be read"),
        ("http://", "cannot be read"),
        ("http://secret host:3128", "cannot be read"),
        ("http://secr\u00e4t\x1b:3128", "cannot be read"),
    ],
)
@pytest.mark.parametrize("variable", ["ALL_PROXY", "https_proxy"])
def test_a_proxy_that_cannot_be_used_is_told_by_its_variable(monkeypatch, variable, value, words):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"^{variable} .*{words}") as caught:
        chat("https://example.invalid/v1")
    assert "secret" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("listed", "address", "excepted"),
    [
        ("example.invalid", FAR, True),
        (".invalid", FAR, True),
        ("*", FAR, True),
        ("other.invalid", FAR, False),
        ("10.0.0.0/8, x", "http://10.1.2.3:8000/v1", True),
        ("10.0.0.0/8", "http://11.1.2.3/v1", False),
        ("10.1.2.3", "http://10.1.2.3:8000/v1", True),
        ("fd00::/8", "http://[fd00::1]:8000/v1", True),
    ],
)
def test_hosts_in_no_proxy_are_reached_directly(monkeypatch, listed, address, excepted):
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", listed)
    assert (proxy_for(address) is None) == excepted


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"),
        *("0.0.0.0", "::", "127.1", "2130706433", "0x7f.1"),
    ],
)
def test_this_machine_has_many_names(host):
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["", "example.invalid", "10.0.0.1", "localhost.evil.example", "128.0.0.1", "fd00::1"])
def test_other_machines_are_others(host):
    assert not is_this_machine(host)


@given(st.text())
def test_any_host_is_one_or_the_other(host):
    assert is_this_machine(host) in (True, False)


@pytest.fixture
def authority(tmp_path):
    """Files that are no certificates."""
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("no certificate")
    return tmp_path


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9/v1", "https://127.0.0.1:9/v1"])
@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("SSL_CERT_FILE", "missing.pem"),
        ("SSL_CERT_FILE", "empty.pem"),
        ("SSL_CERT_FILE", "text.pem"),
        ("SSL_CERT_FILE", ""),
        ("SSL_CERT_DIR", "missing"),
        ("SSL_CERT_DIR", "text.pem"),
    ],
)
def test_certificates_that_cannot_be_read_are_told_by_their_variable(monkeypatch, authority, variable, name, base_url):
    monkeypatch.setenv(variable, str(authority / name))
    with pytest.raises(ValueError, match=rf"^{variable} names '.*{name}', which cannot be used: .*; mend it"):
        chat(base_url)


def test_a_key_log_that_cannot_be_written_is_told_by_its_variable(monkeypatch, authority):
    bundle = ssl.get_default_verify_paths().cafile
    if bundle is None:
        pytest.skip("this machine has no certificates: install its package ca-certificates")
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    monkeypatch.setenv("SSLKEYLOGFILE", str(authority / "none" / "keys.log"))
    with pytest.raises(ValueError, match=r"^SSLKEYLOGFILE names"):
        chat("http://127.0.0.1:9/v1")


def test_https_to_a_server_that_does_not_speak_it_is_told():
    with ChatServer(good("fine")) as server, pytest.raises(VLMUnavailable, match=r"does the server speak https\?"):
        ask(server.url.replace("http", "https"))


@pytest.mark.parametrize(
    "value", ["org-\u00e4", "org\x00", "org-1\n", "org-1\nX-Evil: 1", " org-1", "\ud800", "\u2026"]
)
@pytest.mark.parametrize("variable", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
def test_an_account_that_no_header_can_carry_is_told_by_its_variable(monkeypatch, variable, value):
    monkeypatch.setattr("os.environ", {**os.environ, variable: value})
    with pytest.raises(ValueError, match=rf"^{variable} holds a space, a line break or a letter"):
        chat("http://127.0.0.1:9/v1")


def test_accounts_and_headers_that_can_be_sent_are(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: one\nX-Team: two\n")  # newer versions send it
    with ChatServer(good("fine")) as server:
        ask(server.url)
    sent = server.headers[0]
    assert sent["openai-organization"] == "org-1" and sent.get("x-gateway", "one") == "one"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: \u00e4")
    with pytest.raises(ValueError, match=r"^OPENAI_CUSTOM_HEADERS holds"):
        chat(server.url)


@pytest.mark.parametrize("variable", ["OPENAI_ADMIN_KEY", "OPENAI_WEBHOOK_SECRET"])
def test_variables_for_other_services_are_not_sent(monkeypatch, variable):
    monkeypatch.setenv(variable, "secret-\u00e4")
    with ChatServer(good("fine")) as server:
        assert ask(server.url).text == "fine"
    assert "secret" not in str(server.headers)


def test_the_address_of_the_environment_is_asked_and_shown(monkeypatch, tmp_path):
    with ChatServer(good("fine")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f" {server.url} ")
        config = make_config(vlm="openai", ask={"model": "seer"})
        vlm = make_vlm(config, load_task("shoe_push"))
        recorded(config, vlm, tmp_path).complete(ASKED)
        assert told(vlm) == [f"asking seer at {server.url}"] and config.to_dict()["ask"]["base_url"] == server.url
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        row = json.loads((tmp_path / "calls.jsonl").read_text())
        assert row["settings"]["base_url"] == server.url
        with ChatServer(good("named")) as named:
            assert ask(named.url).text == "named", "what the user names wins"
        assert len(server.requests) == 1


def test_without_a_variable_openai_is_asked_and_other_backends_do_not_read_it(monkeypatch):
    assert chat().settings.base_url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert chat().settings.base_url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:secret@127.0.0.1/v1")
    assert make_config().ask.base_url == ""


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:8000/v1", "is no address; one begins with http:// or https://"),
        ("localhost:8000/v1", "is no address"),
        ("ftp://127.0.0.1/v1", "is no address"),
        ("http://127.0.0.1:8000/v1#here", "is no address"),
        ("http://127.0.0.1:8000/v1\x1b[2J", "is no address"),
        ("http://me:secret@127.0.0.1/v1", "holds a user name, a password or a query"),
        ("http://127.0.0.1/v1?key=secret", "holds a user name, a password or a query"),
        ("http://127.0.0.1:8/v1/chat/completions", "ends in /chat/completions, .* use 'http://127.0.0.1:8/v1'"),
        ("http://127.0.0.1:8/v1/chat/completions/", "ends in /chat/completions, .* use 'http://127.0.0.1:8/v1'"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_by_where_it_comes_from(monkeypatch, address, words):
    with pytest.raises(ValueError, match=rf"^ask\.base_url .*{words}") as caught:
        chat(address)
    assert "secret" not in str(caught.value) and str(caught.value).isprintable()
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(ValueError, match=f"^OPENAI_BASE_URL .*{words}"):
        chat()
    with pytest.raises(ValueError, match=r"^OPENAI_BASE_URL"):
        make_config(vlm="openai", ask={"model": "seer"})


@pytest.mark.parametrize("end", ["", "/", "//"])
def test_a_slash_at_the_end_of_an_address_does_not_matter(end):
    with ChatServer(answer(completion("fine"))) as server:
        assert ask(server.url + end).text == "fine"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OPENAI_BASE_URL", "localhost:8000/v1"), ("OPENAI_ORG_ID", "\u00e4"), ("SSL_CERT_FILE", "/none.pem")],
)
def test_the_command_ends_in_one_sentence_and_leaves_no_folder(monkeypatch, capsys, tmp_path, variable, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["iker", "query", "--vlm", "openai", "--model", "seer"])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and printed.startswith(f"iker: {variable} ") and "\n" not in printed
    assert list(tmp_path.iterdir()) == []


def test_every_backend_can_be_made(tmp_path):
    (tmp_path / "calls.jsonl").touch()
    ask = {
        "model": "seer",
        "base_url": "http://127.0.0.1:9/v1",
        "cassette": str(tmp_path),
        "box": str(tmp_path / "box"),
    }
    made = [make_vlm(make_config(vlm=name, ask=ask), load_task("shoe_push")) for name in BACKENDS]
    assert len({type(vlm) for vlm in made}) == len(BACKENDS) and all(callable(vlm.complete) for vlm in made)
