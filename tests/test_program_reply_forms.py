"""Replies in every form that models and servers give them: one reading, or one sentence back; never a silent pick."""

from __future__ import annotations

import html
import json

import pytest

from iker_agent.program import extract_program

MOVES = "import numpy as np\n\ndef get_interaction_data(kp):\n    x = 1\n    return 'a', ['1'], True, kp\n"
OTHER = MOVES.replace("x = 1", "x = 2")
STUB = "def get_interaction_data(kp):\n    ...\n"
DONE = "def get_interaction_data(kp):\n    return None\n"


def fenced(code: str, language: str = "python", mark: str = "```") -> str:
    return f"{mark}{language}\n{code}{mark}"


def lines(code: str, first: str, further: str) -> str:
    head, *rest = code.strip().split("\n")
    return "\n".join([first + head, *(further + line for line in rest)]) + "\n"


# ------------------------------------------------------------------ which of several counts

COUNTS = {
    "a draft, then the final program without a fence": (f"{fenced(MOVES)}\nWait, wrong. Final:\n\n{OTHER}", OTHER),
    "a draft in a harmony channel": (
        f"<|channel|>analysis<|message|>Maybe\n{fenced(MOVES)}<|end|><|start|>assistant<|channel|>final<|message|>"
        f"{fenced(OTHER)}<|return|>",
        OTHER,
    ),
    "a draft in a harmony channel whose marks are lost": (f"analysisWe\n{fenced(MOVES)}assistantfinal{OTHER}", OTHER),
    "a draft in a gemma channel": (f"<|channel>thought\nhm\n{fenced(MOVES)}<channel|>{fenced(OTHER)}", OTHER),
    "a draft in a medical gemma channel": (f"<unused94>thought\n{fenced(MOVES)}\n<unused95>{fenced(OTHER)}", OTHER),
    "a draft in bracketed thoughts": (f"[THINK]{fenced(MOVES)}[/THINK]\n{fenced(OTHER)}", OTHER),
    "a draft before a lone end of thoughts": (f"{fenced(MOVES)}\nSo I push.</think>\n{fenced(OTHER)}", OTHER),
    "a correction on the line of the fence": (f"{fenced(MOVES)}\nCorrected: ```python\n{OTHER}```", OTHER),
    "a correction behind a colon": (f"{fenced(MOVES)}\nCorrected version: ```\n{OTHER}```", OTHER),
    "a later case that would be done": (f"{fenced(MOVES)}\nOnce it is there, I would answer:\n{fenced(DONE)}", MOVES),
    "a condition under which it is done": (
        f"{fenced(MOVES)}\nIf it is there, None instead:\n{fenced(DONE)}",
        MOVES,
    ),
    "a correction that it is done": (f"{fenced(MOVES)}\nWait, the image shows it in place:\n{fenced(DONE)}", DONE),
    "two without a word between": (f"{fenced(MOVES)}\n{fenced(OTHER)}", OTHER),
    "a draft that is thought over": (f"{fenced(MOVES)}\nHmm, it would collide. Again:\n{fenced(OTHER)}", OTHER),
    "a correction of the same stage": (f"Stage 1:\n{fenced(MOVES)}\nStage 1, corrected:\n{fenced(OTHER)}", OTHER),
    "a case that does not hold first": (f"If it were there:\n{fenced(DONE)}\nBut it is not:\n{fenced(MOVES)}", MOVES),
    "a note about a later case": (f"{fenced(MOVES)}\nIf it tips over, wait for the next image.", MOVES),
    "an example call": (f"{fenced(MOVES)}\nExample:\n{fenced('get_interaction_data({})' + chr(10))}", MOVES),
    "a draft in analysis, code in a tool's call": (
        f"<|channel|>analysis<|message|>{fenced(OTHER)}<|end|><|start|>assistant<|channel|>commentary to=functions.run "
        f"<|constrain|>json<|message|>{json.dumps({'code': MOVES})}<|call|>",
        MOVES,
    ),
    "the same twice": (f"{fenced(MOVES)}\nIn short:\n{fenced(MOVES)}", MOVES),
    "the head repeated": (
        f"{fenced(MOVES)}\n{fenced(STUB)}",
        MOVES,
    ),
    "prose with conditions": (
        f"If the box is wide, I push it.\n{fenced(MOVES)}\nThen it is done.",
        MOVES,
    ),
}


@pytest.mark.parametrize(("reply", "expected"), COUNTS.values(), ids=COUNTS)
def test_the_program_that_counts(reply, expected):
    code, _ = extract_program(reply)
    assert code is not None and code.strip() == expected.strip()


QUESTIONS = {
    "a block a stage": (f"Stage 1:\n{fenced(MOVES)}\nStage 2:\n{fenced(OTHER)}", "for the stages 1, 2"),
    "a block a step": (f"## Step 1: push\n{fenced(MOVES)}\n## Step 2: lift\n{fenced(OTHER)}", "for the stages 1, 2"),
    "stages named in comments": (fenced(f"# stage 1\n{MOVES}") + "\n" + fenced(f"# stage 2\n{OTHER}"), "1, 2"),
    "alternatives": (f"Option A:\n{fenced(MOVES)}\nOption B:\n{fenced(OTHER)}", "alternatives"),
    "an alternative after or": (f"{fenced(MOVES)}\nor:\n{fenced(OTHER)}", "alternatives"),
    "done without a word": (f"{fenced(MOVES)}\n\n{fenced(DONE)}", "not clear which"),
    "a later case that moves": (f"{fenced(MOVES)}\nFor the next stage:\n{fenced(OTHER)}", "not clear which"),
    "another stage later": (f"{fenced(MOVES)}\nLater, for stage 2:\n{fenced(OTHER)}", "not clear which"),
    "stages in words": (f"First stage:\n{fenced(MOVES)}\nSecond stage:\n{fenced(OTHER)}", "stages first, second"),
    "a program that is taken back": (f"{fenced(MOVES)}\nWait, that is wrong.", "takes its program back"),
    "a program that is to be ignored": (f"{fenced(MOVES)}\nPlease ignore the above program.", "takes its program back"),
    "a correction that is cut": (f"{fenced(MOVES)}\nWait, wrong:\n```python\n{OTHER}", "may be cut"),
    "a program in thoughts only": (f"<|channel|>analysis<|message|>\n{fenced(MOVES)}<|end|>", "thoughts"),
    "thoughts without an end": (f"<think>\nI push.\n{fenced(MOVES)}", "thoughts"),
    "too many programs": ("\n".join(fenced(MOVES.replace("1", str(i))) for i in range(30)), "30 times"),
}


@pytest.mark.parametrize(("reply", "says"), QUESTIONS.values(), ids=QUESTIONS)
def test_what_is_not_clear_is_asked(reply, says):
    code, (reason,) = extract_program(reply)
    assert (code is None and says in reason and "get_interaction_data" in reason) or "program" in reason


# ------------------------------------------------------------------------- wrappings

CALL = {"name": "run_python", "arguments": {"code": MOVES}}
CALL_AS_TEXT = {"tool_calls": [{"function": {"name": "python", "arguments": json.dumps({"code": MOVES})}}]}
WRAPPED = {
    **{
        f"the token {token}": f"```python\n{MOVES}```{token}"
        for token in (
            "<|im_end|>",
            "</s>",
            "<|eot_id|>",
            "<end_of_turn>",
            "<\uff5cend\u2581of\uff5c>",
            "<eos>",
        )
    },
    "five backticks around three": f"`````\n{fenced(MOVES)}\n`````",
    "four backticks and prose around three": f"````markdown\nHere:\n{fenced(MOVES)}\n````",
    "a markdown fence of the same length": f"```markdown\n{fenced(MOVES)}\n```",
    "a block quote": "\n".join(f"> {line}" for line in f"Here:\n{fenced(MOVES)}".split("\n")),
    "a block quote without spaces": "\n".join(f">{line}" for line in fenced(MOVES).split("\n")),
    "single backticks": f"`{MOVES.strip()}`",
    "single backticks on lines of their own": f"`\n{MOVES}`",
    "the call of a tool": f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>",
    "the call of a tool whose arguments are text": json.dumps(CALL_AS_TEXT),
    "JSON in a fence": fenced(json.dumps({"plan": "push", "code": MOVES}, indent=1) + "\n", "json"),
    "JSON with a fence in its text": json.dumps({"code": fenced(MOVES)}),
    "JSON after prose": f"Calling the tool: {json.dumps({'code': MOVES})} That is all.",
    "a list of content parts": json.dumps([{"type": "text", "text": fenced(MOVES)}]),
    "a tool's parameter as a tag": f"<function=run>\n<parameter=code>\n{MOVES}</parameter>\n</function>",
    "line breaks written out in a fence": fenced(MOVES.replace("\n", "\\n") + "\n"),
    "line breaks written out in quotes": '"' + MOVES.replace("\n", "\\n") + '"',
    "an interpreter's prompts": fenced(lines(MOVES, ">>> ", "... ").replace("... def", ">>> def")),
    "tags of HTML": f'<pre><code class="language-python">{MOVES}</code></pre>',
    "a code tag": f"<code>\n{MOVES}</code>",
    "a tag in brackets": f"[PYTHON]\n{MOVES}[/PYTHON]",
    "an answer tag": f"<answer>{fenced(MOVES)}</answer>",
    "code on the line of the fence": "```python import numpy as np\n" + MOVES.split("\n", 1)[1] + "```",
    "JSON with a list of lines": json.dumps({"code": MOVES.split("\n")}),
    "a tool's mark": f"<|python_tag|>{MOVES}<|eom_id|>",
    "a tool's call in XML": f'<invoke name="python">\n<parameter name="code">{MOVES}</parameter>\n</invoke>',
    "a class of the fence": fenced(MOVES, "{.python}"),
    "escaped backticks": f"\\`\\`\\`python\n{MOVES}\\`\\`\\`",
    "breaks of HTML": fenced(MOVES).replace("\n", "<br>\n"),
    "line numbers": fenced("".join(f"{i:2d} | {line}\n" for i, line in enumerate(MOVES.strip().split("\n"), 1))),
    "a patch": fenced(lines(MOVES, "+", "+"), "diff"),
    "an end of thoughts before the fence": f"So.</think>{fenced(MOVES)}",
    "a list item": "1. Answer:\n\n" + "".join(f"   {line}\n" for line in fenced(MOVES).split("\n")),
}


@pytest.mark.parametrize("reply", WRAPPED.values(), ids=WRAPPED)
def test_wrappings_are_taken_off(reply):
    code, _ = extract_program(reply)
    assert code is not None and [x for x in code.split("\n") if x] == [x for x in MOVES.split("\n") if x]


def test_html_entities_are_read_where_nothing_else_can_be_meant():
    code = MOVES.replace("x = 1", "x = 1 if 1 < 2 else 0")
    assert extract_program(fenced(html.escape(code)))[0] == code
    kept = MOVES.replace("x = 1", "x = '&lt;' if 1 < 2 else 0")
    assert extract_program(fenced(kept))[0] == kept


def test_a_helper_of_another_block_comes_with_the_function():
    helper = "import numpy as np\n\ndef centre(points):\n    return np.mean(points, axis=0)\n"
    uses = MOVES.replace("x = 1", "x = centre([LIFT])")
    code, warnings = extract_program(f"{fenced(helper)}\nand\n{fenced(uses)}\nwith\n{fenced('LIFT = 0.1' + chr(10))}")
    assert code.index("def centre") < code.index("def get_interaction_data") and "LIFT = 0.1" in code
    assert warnings == ("LIFT, centre of another code block were added",)
    unrelated = fenced("def other():\n    return 1\n")
    assert extract_program(f"{unrelated}\n{fenced(MOVES)}") == (MOVES, ())


def test_a_plain_reply_comes_out_as_it_went_in():
    code = MOVES.replace("x = 1", "x = '> <s> `a` &amp; \\n {0}'  # ``` no fence")
    assert extract_program(f"I see `a`.\n\n{fenced(code)}\n\nIt is > 5 cm.") == (code, ())
