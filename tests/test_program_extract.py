"""Finding the program in a reply, in every form that models have been seen to use."""

from __future__ import annotations

from textwrap import indent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iker_agent.program import extract_program

CODE = "import numpy as np\n\ndef get_interaction_data(kp):\n    x = 1\n\n    return None\n"
OTHER = "def get_interaction_data(kp):\n    return 2\n"
BARE = ("the code is not in a fenced block",)
WHOLE = ("2 code blocks define get_interaction_data: the last whole one is used",)
CUT = ("the code block is not closed: the reply may be cut",)


@pytest.mark.parametrize(
    ("reply", "warnings"),
    [
        (f"```python\n{CODE}```", ()),
        (f"```Python\n{CODE}```\n", ()),
        (f"```\n{CODE}```", ()),
        (f"```py3 title=x.py\n{CODE}```", ()),
        (f"~~~python\n{CODE}~~~", ()),
        (f"````python\n{CODE}````", ()),
        (f"```python\n{CODE}````", ()),
        (f"  ```python\n{CODE}  ```   ", ()),
        (f"\ufeff```python\n{CODE}```", ()),
        (f"I see a `box`.\n\n```python\n{CODE}```\nIt *moves* the box. Use ``` as you like.", ()),
        (f"1. First:\n   ```python\n{indent(CODE, '   ')}   ```", ()),
        (f"```python\n{CODE}```".replace("\n", "\r\n"), ()),
        (f"```python\n{CODE}```".replace("\n", "\r"), ()),
        (f"```bash\npip install numpy\n```\n```python\n{CODE}```\n```text\ndone\n```", ()),
        (f"<think>\n```python\n{OTHER}```\n</think>\n```python\n{CODE}```", ()),
        (f"maybe\n```python\n{OTHER}```\n</think>\n```python\n{CODE}```", ()),
        (f"<reasoning>a <think> b</reasoning>\n```python\n{CODE}```", ()),
        (
            f"```python\n{OTHER}```\nNo, better:\n```python\n{CODE}```",
            ("2 code blocks define get_interaction_data: the last one is used",),
        ),
        (f"Here it is:\n```python\n{CODE}", CUT),
        (f"```python\n{CODE.rstrip()}```", ()),
        (f"```python\n{CODE.rstrip()}```\nAnd so:\n```text\ndone\n```", ()),
        (f"<THINK>\n{OTHER}</Think>\n```python\n{CODE}```", ()),
        (f"<thought>{OTHER}</thought><analysis>\n```python\n{OTHER}```\n</analysis>\n```python\n{CODE}```", ()),
        (f"I do not need </think> here.\n```python\n{CODE}```\nNo <think> either.", ()),
        (f"```python\n{OTHER}```\nSo that is it.</think>\n```python\n{CODE}```", ()),
        (f"```python\n{CODE}```\n```python\ndef get_interaction_data(kp):\n    ...\n```", WHOLE),
        (f'```python\n{CODE}```\n```python\ndef get_interaction_data(kp):\n    """As above."""\n    pass\n```', WHOLE),
        (f"```python\n{CODE}```\nBetter:\n```python\n{OTHER}", WHOLE),
        (CODE, BARE),
        (f"Here is the program:\n\n{CODE}\nThis moves the box.", BARE),
        (f"{CODE}\nThe box moves by 0.1: that is enough.", BARE),
    ],
)
def test_forms(reply, warnings):
    code, said = extract_program(reply)
    assert code.strip() == CODE.strip()
    assert said == warnings


def test_bare_code_keeps_constants_and_helpers():
    code = f"SHELF = 0.2\n\ndef helper(x):\n    return [\n        x,\n]\n\n{CODE}\nTABLE: dict = {{\n    1: 2,\n}}\n"
    assert extract_program(f"Sure! Moving it.\n{code}\nGood luck")[0].strip() == code.strip()


def test_indented_bare_code_is_dedented():
    assert extract_program(f"The program:\n\n{indent(CODE, '    ')}")[0].strip() == CODE.strip()


def test_cut_in_the_middle_is_reported():
    code, warnings = extract_program(f"```python\nx = 1\n```\n```python\n{CODE[:60]}")
    assert code.strip() == CODE[:60].strip()
    assert warnings == CUT


def test_what_stands_in_a_docstring_belongs_to_the_program():
    text = '''    """
    Plan:
    ```
    push, then
</think>
    ```
    """
'''
    code = f"def get_interaction_data(kp):\n{text}    x = 'in # ```'\n    return None\n"
    assert extract_program(f"```python\n{code}```") == (code, ())


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot do that.",
        "```python\nprint(1)\n```",
        "Write a function get_interaction_data(x).",
        "```\n```",
        f"<think>```python\n{CODE}```",
        "def get_interaction_data2(x):\n    return",
        "# def get_interaction_data(x):",
    ],
)
def test_no_program(reply):
    code, warnings = extract_program(reply)
    assert code is None and "get_interaction_data" in warnings[0]


def test_contract_chooses_the_function():
    poses = CODE.replace("get_interaction_data", "get_final_poses")
    reply = f"```python\n{CODE}```\n```python\n{poses}```"
    assert extract_program(reply)[0] == CODE
    assert extract_program(reply, "poses")[0] == poses
    assert extract_program(CODE, "poses")[0] is None


def test_wrong_arguments():
    with pytest.raises(ValueError, match="unknown contract 'pose'"):
        extract_program("", "pose")
    with pytest.raises(ValueError, match="NoneType"):
        extract_program(None)


PIECES = st.sampled_from(
    [
        "```",
        "~~~",
        "```python\n",
        "\n",
        "\r\n",
        "<think>",
        "</think>",
        CODE,
        OTHER,
        "text",
        "    ",
        "\ud800",
        "x[a]:",
        "=",
    ]
)


@given(
    st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=30).map("".join), st.sampled_from(["keypoints", "poses"])
)
def test_any_reply(reply, contract):
    code, warnings = extract_program(reply, contract)
    assert all(isinstance(warning, str) for warning in warnings)
    assert warnings if code is None else "def " in code


@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "</think>",
        "```\n",
        "`" * 50,
        "x[",
        "x[]:",
        "def get_interaction_data(x):\n",
        " \n",
        "a:",
        " ",
        ": ",
        "1 ",
        "</answer>",
        "<br>",
    ],
)
def test_long_replies_are_read_in_linear_time(piece):
    """A quadratic reader would not come back from these within the patience of any test runner."""
    extract_program(piece * 100_000)
    extract_program("def get_interaction_data(x):\n    return\n" + piece * 100_000)
