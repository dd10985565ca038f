"""Success as text: conditions joined by and, or, not, read into a judge.

"on(left_shoe, rack) and upright(left_shoe)"  ->  parse  ->  Criterion  ->  judge(now, start)  ->  Verdict

The text is read by Python's own parser and only looked at, never run. Object names stand bare or in quotes; lengths and
angles are plain numbers in metres and degrees.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from iker_envs.judging.bodies import TABLE
from iker_envs.judging.conditions import WORDS, Condition, Finding, Moment
from iker_envs.judging.relations import CONDITIONS
from iker_envs.scene import Scene

MAX_CHARACTERS = 4000
MAX_DEPTH = 40
MAX_M = 2.0  # no length of a table-top scene is more, but many in centimetres are
MAX_DEG = 180.0
MAX_LOOSE_M = 0.5  # and no tolerance is half of that scene
_LOOSE = ("tolerance_m", "within_m", "aside_m", "max_gap_m")
_OBJECTS = ("a", "b", "c")
_SIGNED = ("by_m", "forward_m", "left_m", "left_deg")  # all other numbers are sizes and tolerances


@dataclass(frozen=True)
class Verdict:
    """Is the criterion fulfilled, and if not, what is not: one clause each."""

    fulfilled: bool
    unmet: tuple[str, ...] = ()

    def sentence(self) -> str:
        """What is not fulfilled, as one sentence; empty when all is."""
        return "" if self.fulfilled else "; ".join(self.unmet)


@dataclass(frozen=True)
class Criterion:
    """What a text asks of a scene."""

    text: str
    _root: ast.expr

    def judge(self, now: Scene, start: Scene | None = None) -> Verdict:
        """Judge a scene; `start` is the scene in which the instruction was given. ValueError if it cannot be judged."""
        holds, unmet = _judge(self._root, Moment(now, start))
        return Verdict(holds, () if holds else tuple(dict.fromkeys(unmet)))


def parse(text: str, objects: Collection[str]) -> Criterion:
    """Read a criterion about objects of these names; ValueError says in one sentence what is wrong with it."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"success is a text such as 'on(left_shoe, rack)', not {text!r}")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the success text has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    return _criterion(" ".join(text.split()), frozenset(objects))


@lru_cache(maxsize=1024)
def _criterion(flat: str, objects: frozenset[str]) -> Criterion:
    """A task's text is read again for every scene that it judges."""
    try:
        root = ast.parse(flat, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise ValueError(f"the success text {_short(flat)!r} {_unreadable(flat, error)}") from None
    _check(root, objects, 0)
    return Criterion(flat, root)


def _unreadable(text: str, error: Exception) -> str:
    """Where a text stops to make sense, and what would, as the end of a sentence."""
    if not isinstance(error, SyntaxError) or "nested" in error.msg:
        return "cannot be read: it is nested too deeply"
    at = (error.offset or 1) - 1
    rest = _short(text[at:].lstrip())
    where = f"cannot be read from {rest!r} on" if at > 0 and rest else "cannot be read"
    return f"{where}: conditions are joined by and, or, not, such as 'on(a, b) and not near(a, c, within_m=0.05)'"


def _check(node: ast.expr, objects: frozenset[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"the success text is nested more than {MAX_DEPTH} deep")
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _check(value, objects, depth + 1)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(node.operand, objects, depth + 1)
    elif isinstance(node, ast.Call):
        _check_call(node, objects)
    else:
        raise ValueError(f"success joins conditions by and, or, not; {_short(ast.unparse(node))!r} is none of these")


def _check_call(node: ast.Call, objects: frozenset[str]) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    if name not in CONDITIONS:
        raise ValueError(f"there is no condition {_short(name)!r}{_nearest(name, CONDITIONS)}; {_known(CONDITIONS)}")
    signature = _signature(CONDITIONS[name])
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        raise ValueError(f"{name}() takes its arguments one by one, without *")
    keys = [keyword.arg for keyword in node.keywords]
    if twice := [str(key) for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        raise ValueError(f"{name}() is given {' and '.join(twice)} twice")
    try:
        bound = signature.bind(*node.args, **{k.arg: k.value for k in node.keywords if k.arg})
    except TypeError as error:
        takes = ", ".join(
            f"{p.name}=..." if p.kind is p.KEYWORD_ONLY else p.name for p in signature.parameters.values()
        )
        raise ValueError(f"{name}({takes}): {error}") from None
    if name == "at" and not {"forward_m", "left_m"} & set(bound.arguments):
        raise ValueError("at() needs forward_m or left_m, in metres")
    if {"gap_m", "distance_m"} <= set(bound.arguments):
        raise ValueError(f"{name}() takes gap_m (between the outlines) or distance_m (between the centres), not both")
    about = [_text(bound.arguments[key]) for key in _OBJECTS if key in bound.arguments]
    if twice := [word for word in about if about.count(word) > 1]:
        number = {2: "two", 3: "three"}[len(about)]
        raise ValueError(f"{name}() is about {number} objects, not {_short(twice[0])!r} twice")
    for key, value in bound.arguments.items():
        parameter = signature.parameters[key]
        if key in WORDS:
            _check_word(f"{key} of {name}()", value, WORDS[key])
        elif parameter.kind is parameter.KEYWORD_ONLY:
            _check_number(key, name, value, parameter.annotation)
        else:
            table = TABLE if name == "on" and key == "b" else ()
            _check_word(f"{key} of {name}()", value, [*sorted(objects), *table])


def _check_word(what: str, node: ast.expr, known: Collection[str]) -> None:
    word = _text(node)
    if word not in known:
        raise ValueError(f"{what} is {_short(word)!r}{_nearest(word, known)}; {_known(known)}")


def _check_number(key: str, condition: str, node: ast.expr, annotation: str) -> None:
    value = _value(node)
    what = f"{key} of {condition}()"
    if annotation == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"{what} is True or False, not {_short(ast.unparse(node))!r}")
        return
    unit, most = ("metres", MAX_M) if key.endswith("_m") else ("degrees", MAX_DEG)
    most = MAX_LOOSE_M if key in _LOOSE else most
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{what} is a number in {unit}, not {_short(ast.unparse(node))!r}")
    least = -most if key in _SIGNED else 0.0
    if not least <= value <= most:
        centimetres = f"; {value:g} cm are {value / 100:g}" if unit == "metres" and value > most else ""
        raise ValueError(f"{what} is {value:g}, and in {unit} it is between {least:g} and {most:g}{centimetres}")


def _judge(node: ast.expr, moment: Moment) -> tuple[bool, list[str]]:
    """Does an expression hold, and the clauses that tell why it does or does not."""
    if isinstance(node, ast.Call):
        finding = _call(node, moment)
        return finding.holds, [finding.text]
    if isinstance(node, ast.UnaryOp):
        holds, texts = _judge(node.operand, moment)
        return not holds, [f"{text.partition(', wanted')[0]}, which is not wanted" for text in texts]
    assert isinstance(node, ast.BoolOp)
    parts = [_judge(value, moment) for value in node.values]
    if isinstance(node.op, ast.And):
        failed = [text for holds, texts in parts if not holds for text in texts]
        return not failed, failed or [text for _, texts in parts for text in texts]
    if any(holds for holds, _ in parts):
        return True, [text for holds, texts in parts if holds for text in texts]
    return False, [" and ".join(text for _, texts in parts for text in texts)]


def _call(node: ast.Call, moment: Moment) -> Finding:
    assert isinstance(node.func, ast.Name)
    words = {k.arg: k.value for k in node.keywords if k.arg}
    keywords: dict[str, Any] = {
        key: _text(value) if isinstance(value, ast.Name) else _value(value) for key, value in words.items()
    }
    return CONDITIONS[node.func.id](moment, *(_text(a) for a in node.args), **keywords)


@cache
def _signature(condition: Condition) -> inspect.Signature:
    """The signature as a task writes it: without the moment."""
    whole = inspect.signature(condition)
    return whole.replace(parameters=list(whole.parameters.values())[1:], return_annotation=inspect.Signature.empty)


def _text(node: ast.expr) -> str:
    """A bare or quoted word."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ast.unparse(node)


def _value(node: ast.expr) -> object:
    """A literal; None where the text is no literal."""
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _nearest(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word.casefold(), list(known), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _known(words: Collection[str]) -> str:
    return f"known: {', '.join(words) or 'none'}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
