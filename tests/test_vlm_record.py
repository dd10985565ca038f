"""A run is written down whole and without secrets, and the record stands in for the model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chat_server import ChatServer, answer, completion, failure, good

from iker_agent.vlm.errors import ReplayMiss, VLMConfigurationError, VLMTruncated
from iker_agent.vlm.openai_chat import OpenAIChat
from iker_agent.vlm.record import Recorder, describe, image_hash, read_calls
from iker_agent.vlm.replay import Replay
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import Message, Part, Reply, Request

KEY = "sk-test-0c1d2e3f4a5b"


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)


def request(text: str = "rules", seed: int = 0) -> Request:
    parts = (Part(text), Part(image=picture(seed), image_name="marked.png"))
    return Request((Message("user", parts),), {"keypoints": {"1": [0.987654321, 0.0, 0.0]}})


class Counting:
    """Answers with the number of the call."""

    count = 0

    def complete(self, request: Request) -> Reply:
        self.count += 1
        return Reply(f"answer {self.count} \ud800", backend="counting", usage={"prompt_tokens": 7.0})


@pytest.fixture
def record(tmp_path):
    recorder = Recorder(Counting(), tmp_path / "vlm", {"model": "seer"})
    for asked in (request(), request("other"), request(), request(seed=1)):
        recorder.complete(asked)
    return tmp_path


def test_a_row_holds_request_reply_and_settings(record):
    rows = read_calls(record)
    assert [r["number"] for r in rows] == [1, 2, 3, 4] and rows == read_calls(record / "vlm")
    assert rows[0]["settings"] == {"model": "seer"} and rows[0]["reply"]["usage"] == {"prompt_tokens": 7.0}
    text, image = rows[0]["request"][0]["parts"]
    assert rows[0]["request"][0]["role"] == "user" and text == {"text": "rules"}
    saved = record / "vlm" / "images" / f"{image['image']}.png"
    from PIL import Image

    assert np.array_equal(np.asarray(Image.open(saved)), picture())
    assert len(list(saved.parent.iterdir())) == 2, "equal images are kept once"
    assert "0.987654321" not in (record / "vlm" / "calls.jsonl").read_text(), "attachments are not sent, nor recorded"


def test_the_key_of_a_request_is_its_text_and_pixels():
    same = describe(request())
    moved = describe(request(seed=1))
    reworded = describe(request("other"))
    assert same == describe(request())
    assert moved["key"] != same["key"] and moved["text_key"] == same["text_key"]
    assert reworded["text_key"] != same["text_key"]
    assert image_hash(np.zeros((2, 3, 3), np.uint8)) != image_hash(np.zeros((3, 2, 3), np.uint8))


def test_equal_questions_get_their_answers_in_order_and_each_once(record):
    replay = Replay(record, "exact")
    assert replay.complete(request()).text == "answer 1 \ud800"
    assert replay.complete(request()).text == "answer 3 \ud800"
    with pytest.raises(ReplayMiss, match="another image; match by text"):
        replay.complete(request())
    assert replay.complete(request(seed=1)).text == "answer 4 \ud800"


def test_matching_by_text_does_not_look_at_pixels(record):
    replay = Replay(record, "text")
    assert [replay.complete(request(seed=9)).text[7] for _ in range(3)] == ["1", "3", "4"]
    with pytest.raises(ReplayMiss, match="no answer to this question"):
        replay.complete(request("never asked"))


def test_matching_by_order_counts_what_differs(record):
    replay = Replay(record, "order")
    assert [replay.complete(request("new wording")).text[7] for _ in range(4)] == list("1234")
    assert replay.unequal == 4
    with pytest.raises(ReplayMiss, match="no answers left"):
        replay.complete(request())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "holds no record"),
        ('{"key": ', "line 1 of .* not JSON"),
        ('{"key": "a"}', "line 1 of .* not a recorded call"),
        ('{"key": 1, "text_key": "a", "reply": {"text": "", "backend": "b"}}', "line 1 of .* not a recorded call"),
        ('{"key": "a", "text_key": "a", "reply": 3}', "line 1 of .* not a recorded call"),
        ('{"key": "a", "text_key": "a", "reply": {"text": [1], "backend": "b"}}', "line 1 of .* not a recorded call"),
        ('{"key": "a", "text_key": "a", "error": {"kind": ["x"]}}', "line 1 of .* not a recorded call"),
        ("[" * 100_000, "line 1 of .* not JSON"),
    ],
)
def test_a_damaged_record_is_told(tmp_path, content, words):
    if content is not None:
        (tmp_path / "calls.jsonl").write_text(content + "\n")
    with pytest.raises(ValueError, match=words):
        Replay(tmp_path)


def test_failures_are_recorded_and_replayed(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    steps = (answer(completion("half a", "length")), failure(401, f"wrong key {KEY}"), good(f"it was {KEY}"))
    with ChatServer(*steps) as server:
        settings = AskSettings(model="seer", base_url=server.url)
        recorder = Recorder(OpenAIChat(settings), tmp_path, {"base_url": server.url})
        errors = []
        for _ in range(2):
            with pytest.raises((VLMTruncated, VLMConfigurationError)) as caught:
                recorder.complete(request())
            errors.append(caught.value)
        assert recorder.complete(request()).text == "it was [key]"
    assert [r["error"]["kind"] for r in read_calls(tmp_path) if "error" in r] == ["truncated", "configuration"]
    replay = Replay(tmp_path, "exact")
    for recorded in errors:
        with pytest.raises(type(recorded)) as again:
            replay.complete(request())
        assert str(again.value) == str(recorded)
        assert (again.value.reply is None) == (recorded.reply is None)
    assert replay.complete(request()).text == "it was [key]"
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()
    assert json.loads((tmp_path / "calls.jsonl").read_text().splitlines()[0])["error"]["reply"]["text"] == "half a"
