"""Typographic characters and f-strings of newer Pythons in programs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from program_here import run_here
from test_program_language import HEAD, POINTS, TAIL, lift, shown

from iker_agent.program.typography import straightened

CHARACTERS = {
    "no-break space": "kp['5'] +=\u00a00.1",
    "narrow no-break space": "kp['5']\u202f+= 0.1",
    "wide space": "kp['5']\u3000+= 0.1",
    "zero width space": "kp['5'] += 0.1\u200b",
    "byte order mark inside": "kp\ufeff['5'] += 0.1",
    "soft hyphen": "k\u00adp['5'] += 0.1",
    "curly quotes": "kp[\u20185\u2019] += 0.1",
    "double curly quotes": "kp[\u201c5\u201d] += 0.1",
    "low quotes": "kp[\u201e5\u201c] += 0.1",
    "minus sign": "kp['5'] += 0.3 \u2212 0.2",
    "dash": "kp['5'] += 0.3 \u2013 0.2",
    "multiplication sign": "kp['5'] += 0.05 \u00d7 2",
    "division sign": "kp['5'] += 0.2 \u00f7 2",
    "less or equal": "kp['5'] += 0.1 if 1 \u2264 2 else 0",
    "wide punctuation": "kp\uff3b'5'\uff3d\uff0b\uff1d 0.1",
    "line separator": "x = 1\u2028    kp['5'] += 0.1",
    "curly text with a curly quote": "x = \u201cit\u2019s\u201d\n    kp['5'] += 0.1",
    "curly f-string": "x = f\u201c{kp[\u20185\u2019][0] \u2212 1:.2f}\u201d\n    kp['5'] += 0.1",
}


@pytest.mark.parametrize("line", CHARACTERS.values(), ids=CHARACTERS)
def test_typographic_characters_are_read_with_a_note(line):
    result = run_here(f"{HEAD}    {line}\n{TAIL}", POINTS)
    assert lift(result) == pytest.approx(0.1)
    assert any("(U+" in warning and "was read as" in warning for warning in result.warnings)


def test_characters_in_strings_and_comments_stay():
    text = "\u201ca\u00a0b\u201d \u2212"
    assert shown(f"len('{text}'), '\u200b' == '\\u200b', '\u201c' == '\\u201c'") == f"{len(text)} True True"
    broken = f"x\u00a0= '{text}'  # \u2212"
    assert straightened(broken)[0] == f"x = '{text}'  # \u2212"


def test_other_characters_are_named():
    message = run_here(f"{HEAD}    x = 5 \u00b0\n{TAIL}", POINTS).message
    assert message.startswith("line 2: syntax error: invalid character '\u00b0' (U+00B0)")


NESTED_QUOTES = {
    'f"{kp["5"][0]:.2f}"': "0.45",
    "f'{kp['5'][0]:.1f} m'": "0.5 m",
    'f"{", ".join(["a", "b"])}"': "a, b",
    'f"{f"{1}"}"': "1",
    'f"{kp["5"][0]:{">"}6.2f}|"': "  0.45|",
}


@pytest.mark.parametrize(("text", "expected"), NESTED_QUOTES.items(), ids=NESTED_QUOTES)
def test_f_strings_of_python_3_12_are_read(text, expected):
    assert shown(text) == expected


@given(st.text(st.sampled_from("abx'\"{}\\#\n \u201c\u2019\u00a0\u2212f=1"), max_size=40))
def test_straightening_any_text_ends_and_settles(text):
    once, _ = straightened(text)
    assert len(once) <= 4 * len(text) + 4


@given(st.lists(st.sampled_from(["x = 1", "s = 'a\u00a0b'", "# \u2212", 'f"{x}"', "t = '''\u201c\n'''"]), max_size=5))
def test_what_python_reads_is_left_alone(lines):
    code = "\n".join(lines)
    assert straightened(code) == (code, [])
