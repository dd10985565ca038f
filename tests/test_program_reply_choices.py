"""Replies with more than one program: the text around them says which one counts, or the model is asked."""

from __future__ import annotations

import pytest

from iker_agent.program import extract_program

MOVES = "def get_interaction_data(kp):\n    x = 1\n    return 'a', ['1'], True, kp\n"
OTHER = MOVES.replace("x = 1", "x = 2")
DONE = "def get_interaction_data(kp):\n    return None\n"
NOT_CLEAR = "not clear which"
TAKEN_BACK = "takes its program back"


def fenced(*codes: str) -> str:
    return "```python\n" + "\n".join(codes) + "```"


def told(docstring: str, code: str) -> str:
    return code.replace("    x", f'    """{docstring}"""\n    x')


FIRST = fenced(MOVES)
SECOND = fenced(OTHER)
ASKED = {
    "a wrong approach shown second": (f"{FIRST}\nA wrong approach would be:\n{SECOND}", NOT_CLEAR),
    "how not to write it": (f"{FIRST}\nDon't write it like this:\n{SECOND}", NOT_CLEAR),
    "good, then bad": (f"Good:\n{FIRST}\nBad:\n{SECOND}", NOT_CLEAR),
    "correct, then incorrect": (f"Correct:\n{FIRST}\n**Incorrect:**\n{SECOND}", NOT_CLEAR),
    "the previous program repeated": (f"New program:\n{FIRST}\nThe previous program was:\n{SECOND}", NOT_CLEAR),
    "an earlier one for reference": (f"{FIRST}\nFor reference, what I wrote before:\n{SECOND}", NOT_CLEAR),
    "the first one named before both": (f"Use the first program, not the other.\n{FIRST}\n{SECOND}", NOT_CLEAR),
    "another idea": (f"{FIRST}\nAnother idea:\n{SECOND}", "alternatives"),
    "what could be done as well": (f"{FIRST}\nYou could also push it:\n{SECOND}", "alternatives"),
    "stages in Roman numbers": (f"Stage I:\n{FIRST}\nStage II:\n{SECOND}", "stages i, ii"),
    "stages as items of a list": (f"1. Push:\n{FIRST}\n2. Grasp:\n{SECOND}", "stages 1, 2"),
    "stages in docstrings": (
        fenced(told("Stage 1: push", MOVES)) + "\n" + fenced(told("Stage 2: grasp", OTHER)),
        "stages 1, 2",
    ),
    "the current stage and the next one": (
        fenced(told("Current stage: push", MOVES)) + "\n" + fenced(told("Next stage: grasp", OTHER)),
        "stages current, next",
    ),
    "stages in one block": (fenced("# Stage 1", MOVES, "# Stage 2", OTHER), NOT_CLEAR),
    "done later, in the same block": (fenced(MOVES, "# when it is in place", DONE), NOT_CLEAR),
    "an error found afterwards": (f"{FIRST}\nI was wrong: the left shoe must move.", TAKEN_BACK),
    "a line to be replaced": (f"{FIRST}\nCorrection: replace line 2 by `x = 5`.", TAKEN_BACK),
    "a change afterwards": (f"{FIRST}\nChange it to:\n```python\n    x = 5\n```", TAKEN_BACK),
    "a second thought": (f"{FIRST}\nHmm, wait: point 3 is hidden. It should be pushed instead.", TAKEN_BACK),
}


@pytest.mark.parametrize(("reply", "says"), ASKED.values(), ids=ASKED)
def test_the_model_is_asked_where_the_last_program_may_not_be_meant(reply, says):
    code, (reason,) = extract_program(reply)
    assert code is None and says in reason


READ = {
    "bad, then good": (f"Bad:\n{FIRST}\nGood:\n{SECOND}", OTHER),
    "the previous one, then the fixed one": (f"Previous attempt:\n{FIRST}\nFixed:\n{SECOND}", OTHER),
    "a correction that names the previous one": (f"{FIRST}\nThe previous one was wrong, corrected:\n{SECOND}", OTHER),
    "items of a list that correct": (f"1. Draft:\n{FIRST}\n2. Corrected:\n{SECOND}", OTHER),
    "a remark with wait": (f"{FIRST}\nIf it tips over, wait; it should be upright then.", MOVES),
    "a check afterwards": (f"{FIRST}\nWait, let me check the height: 5 cm, so it is right.", MOVES),
    "one program that is called the first": (f"{FIRST}\nThe first stage moves the box.", MOVES),
}


@pytest.mark.parametrize(("reply", "expected"), READ.values(), ids=READ)
def test_one_program_is_read_where_the_text_is_clear(reply, expected):
    code, _ = extract_program(reply)
    assert code is not None and code.strip() == expected.strip()


def test_a_correction_within_a_block_is_the_program():
    code, _ = extract_program(fenced(MOVES, "# corrected:", OTHER))
    assert code is not None and code.rstrip().endswith(OTHER.rstrip())
