"""Sentences are enough: a scripted model that sees nothing and reads what it is told ends its runs as asked.

The reader (sentence_reader.py) begins with what models answered first; every number that it changes stood in a refusal,
a forecast, an outcome, or in what was not fulfilled.
"""

from __future__ import annotations

import numpy as np
import pytest
from reader_plans import PLANS, RUNS
from sentence_reader import DONE, SentenceReader, Step

from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.types import Message, Part, Request
from tests.quiet_display import Quiet


class TextOnly:
    """Hands on the text of a request alone: no picture, no attachment."""

    def __init__(self, reader: SentenceReader) -> None:
        self.reader = reader

    def complete(self, request):
        text = [Message(m.role, tuple(Part(p.text) for p in m.parts if p.text)) for m in request.messages]
        return self.reader.complete(Request(tuple(text)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [21, 22, 25])
@pytest.mark.parametrize("name", list(RUNS))
def test_a_model_that_knows_only_the_sentences_ends_as_asked(tmp_path, name, seed):
    reader = SentenceReader(PLANS[name]())
    config = make_config(("run.video=false",), learner="waypoint", seed=seed, **RUNS[name])
    result = run_task(config, Folder(tmp_path), Quiet(), TextOnly(reader))
    assert (result.success, result.done, result.unmet) == (True, True, []), (result.reason, reader.dialogue)
    assert reader.unread == []


def told(reader: SentenceReader, *, refusal: str = "", unmet: str = "", ended: str = "") -> str:
    """What the reader answers to a sentence."""
    if ended:
        return reader.complete(Request((Message("user", (Part("Earlier"), Part(ended), Part("Now"))),))).text
    said = f"Your answer cannot be used: {refusal}. Answer again with the whole corrected program."
    if unmet:
        said = f"You say that the task is done, but it is not. Not fulfilled: {unmet}. Answer with the program."
    turns = (Message("user", (Part("rules"),)), Message("assistant", (Part("code"),)), Message("user", (Part(said),)))
    return reader.complete(Request(turns)).text


@pytest.mark.parametrize(
    ("sentence", "changed"),
    [
        ("it is outside; the nearest accepted position is x 0.1, y 0.2, z 0.3 (1.5 cm towards -y, 0.4 cm towards +x)",
         {"y": -0.015}),
        ("the nearest accepted middle of its keypoints is x 0.1, y 0.2, z 0.3 (9.0 cm towards +z)", {"z": 0.09}),
        ("no room: they need 4.0 cm there, on the -y side, and have 2.5 cm", {"y": 0.015}),
        ("it is too wide; a push (grasp_mode False) to the same target is accepted", {"grasp": False}),
        ("the nearest accepted target turns it 12 degrees to the right about z, position x 0, y 0", {"turn_deg": -12}),
        ("in simulation, in 58 of 64 copies, cup tips over the far edge of tray; none succeeds; a push of its centre "
         "to x 0.61, y -0.20 succeeds instead", {"place": {"x": 0.61}}),
    ],
)  # fmt: skip
def test_a_refusal_changes_one_number(sentence, changed):
    before = Step("cup", "{numbers}")
    reader = SentenceReader([Step("cup", "{numbers}")])
    told(reader, refusal=sentence)
    after = reader.plan[0]
    for name in ("x", "y", "z", "turn_deg", "grasp", "place"):
        wanted = changed.get(name, getattr(before, name))
        assert getattr(after, name) == (pytest.approx(wanted) if isinstance(wanted, float) else wanted), name


def test_what_is_not_fulfilled_moves_the_object_it_speaks_of_and_a_miss_is_tried_again():
    reader = SentenceReader([Step("cup", "cup {numbers}"), Step("jug", "jug {numbers}", reference="tray", y=0.1)])
    assert "cup" in told(reader, ended="The instruction")
    assert "cup" in told(reader, ended="This stage failed: cup ended 9 cm from its target (9 cm too near).")
    assert "jug" in told(reader, ended="This stage succeeded: its keypoints are 0.4 cm from their targets.")
    told(reader, unmet="the centre of jug is 3 cm left of the centre of tray, wanted 4 cm right of it, within 3 cm")
    assert np.isclose(reader.plan[1].y, -0.04)
    assert DONE in told(reader, ended="This stage succeeded: its keypoints are 0.4 cm from their targets.")
    told(reader, unmet="the centre of jug is 3 cm left of the centre of tray, wanted 4 cm right of it, within 3 cm")
    assert np.isclose(reader.plan[1].y, -0.11)


def test_a_sentence_that_says_nothing_is_kept():
    reader = SentenceReader([Step("cup", "{numbers}")])
    told(reader, refusal="it does not work")
    assert reader.unread == ["it does not work"]
