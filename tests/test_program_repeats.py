"""The same program on the same keypoints gives the same goal, in every process."""

from __future__ import annotations

import numpy as np
import pytest
from program_here import run_here
from test_program_language import HEAD, POINTS, TAIL, shown

from iker_agent.program import run_program

REPEATS = [
    "str(print), repr(len)",
    "f'{print} {len!r:>60} {kp.get}'",
    "'%s %r' % (print, [len])",
    "'{} {!r}'.format(print, len)",
    "format(lambda: 1), [lambda: 1], {1: print}",
    "(x for x in kp), iter([]), map(str, [])",
    "list(map(str, [print])), sorted([len, print], key=repr)",
    "str(ValueError(print)), np.array([print], dtype=object)",
    "object(), A(), A, A().f, {A(): 1}",
    "{'b', 'a', 'c'}, list({A(), A()}), set('hello')",
]


@pytest.mark.parametrize("expression", REPEATS)
def test_texts_and_sets_repeat(expression):
    code = f"class A:\n    def f(self):\n        return 1\n{HEAD}    print({expression})\n    kp['5'] += 0.1\n{TAIL}"
    first, second = (run_program(code, POINTS) for _ in range(2))
    assert first.status == "ok", first.message
    assert first.printed == second.printed and first.targets == second.targets


@pytest.mark.parametrize(
    "expression",
    [
        "np.array('now', 'M8[s]')",
        "np.array(['now'], dtype='datetime64[ms]')",
        "np.array(['today']).astype('M8[D]').astype(int)",
        "np.full(3, 'now', 'M8[s]')",
        "np.arange('now', '2100', dtype='M8[Y]')",
        "np.zeros(1, [('t', 'M8[s]')])",
        "{print, len}",
        "set([len, print])",
        "frozenset([lambda: 1])",
        "{f for f in [print, len]}",
        "np.array([print]).astype(str)",
    ],
)
def test_what_would_not_repeat_is_told(expression):
    result = run_here(f"{HEAD}    x = {expression}\n{TAIL}", POINTS)
    assert result.status == "error", result
    assert "clock" in result.message or "run to run" in result.message


def test_uninitialised_arrays_are_zero():
    assert shown("np.empty(3).tolist(), np.empty_like(kp['5']).tolist()") == "[0.0, 0.0, 0.0] [0.0, 0.0, 0.0]"


def test_numbers_are_not_changed_by_any_of_this():
    numbers = {k: tuple(np.random.default_rng(0).normal(size=3) * 0.1 + 0.4) for k in "12345"}
    body = "    total = sum(kp[k] for k in sorted(set(kp)))\n    kp['5'] = total / 5 % 0.7 + 0.001\n"
    result = run_here(HEAD + body + TAIL, numbers, check_targets=False)
    expected = sum(np.array(numbers[k]) for k in "12345") / 5 % 0.7 + 0.001
    assert result.targets["5"] == tuple(expected)
