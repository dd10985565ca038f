"""Servers without keys are given words such as EMPTY: a reply that holds the same letters comes out as it was."""

from __future__ import annotations

import pytest
from chat_server import ChatServer, failure, good

from iker_agent.vlm.errors import VLMConfigurationError
from iker_agent.vlm.openai_chat import OpenAIChat
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Message, Part, Request

PROGRAM = "def get_interaction_data(kp):\n    none = dummy = EMPTY = ollama = 1\n    return 'a', ['1'], True, kp\n"


def ask(server: ChatServer):
    settings = AskSettings(model="seer", base_url=server.url)
    return OpenAIChat(settings, sleep=lambda _: None).complete(Request((Message("user", (Part("?"),)),)))


@pytest.mark.parametrize("key", ["k", "1", "EMPTY", "ollama", "none", "dummy"])
def test_a_placeholder_for_a_key_changes_no_reply(key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with ChatServer(good(PROGRAM)) as server:
        assert ask(server).text == PROGRAM


def test_a_secret_key_is_hidden_in_replies_and_errors(monkeypatch):
    key = "s3cret-8"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with ChatServer(good(f"it is {key}"), failure(401, f"wrong key {key}")) as server:
        assert ask(server).text == "it is [key]"
        with pytest.raises(VLMConfigurationError) as caught:
            ask(server)
    assert key not in str(caught.value)
