"""The program in a model's reply.

In: the reply's text, as it came: prose, thoughts, fenced blocks of any kind, or bare code. Out: the source of the
program and what was unusual about the form; or None and one sentence that says what was seen, where there is no
program or more than one could be meant. Nothing is parsed as Python here: that is for the sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from iker_agent.program.cues import (
    corrects,
    is_alternative,
    is_for_later,
    is_rejected,
    is_taken_back,
    item_of,
    prefers_first,
    replaces,
    stage_of,
)
from iker_agent.program.envelopes import code_as_text, plain_code, without_marks
from iker_agent.program.fences import Part, parts_of
from iker_agent.program.signature import Signature
from iker_agent.program.signatures import signature_named
from iker_agent.program.thoughts import without_thoughts

CUT = "the code block is not closed: the reply may be cut"
BARE = "the code is not in a fenced block"

_PREFIX = r"^[ \t]*+(?:>>> |\+|\d{1,4}[ \t]*+[|:]?[ \t]*+)?"
_RETURN = re.compile(r"^(?:[^#'\"\n]*:)?[ \t]*+return\b[ \t]*+([^#\n]*)", re.MULTILINE)
_HELPER = re.compile(r"^(?:def|class)[ \t]+(\w+)|^([A-Z][A-Z0-9_]+)[ \t]*(?::[^=\n]+)?=(?!=)", re.MULTILINE)
_DOCSTRING = re.compile(r"\bdef[ \t][^\n]*:[ \t]*\n[ \t]*[\"']{1,3}([^\n]{0,80})")
_IMPOSSIBLE = re.compile(r"""[(\[{]?\s*[rf]?["']{1,3}\W*impossible\b""", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_]\w*")
_PROGRAM_LANGUAGES = ("", "python", "py", "python3", "py3", "pycon", "ipython")
_MAX_PROSE = 500  # characters of the text before a program that are read for what they say about it
_MAX_PROGRAMS = 20
_ONE = "answer with one program, in one code block"


@dataclass(frozen=True)
class _Program:
    """A program in a reply, the text that leads to it, and the values that it returns, as text."""

    code: str
    closed: bool
    fenced: bool
    before: str
    returns: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Something is returned: a stub repeats the head only."""
        return bool(self.returns)

    @property
    def moves_nothing(self) -> bool:
        """It says done, or that it cannot be done."""
        return all(value in ("", "None") or _IMPOSSIBLE.match(value) for value in self.returns)

    @property
    def stage(self) -> str:
        """The stage that its heading, its first comment or its docstring names, empty if there is none."""
        heading = "\n".join(self.before.strip().split("\n")[-2:])
        docstring = _DOCSTRING.search(self.code)
        named = stage_of(heading) or stage_of(self.code[:200].partition("def ")[0]) or item_of(heading)
        return named or (stage_of(docstring[1]) if docstring else "")


class _Question(Exception):
    """More than one program may be meant, or none; the text is one sentence for the model."""


def extract_program(reply_text: str, contract: str | Signature = "keypoints") -> tuple[str | None, tuple[str, ...]]:
    """The source of the last whole program in a reply, and warnings about its form.

    Returns (None, (reason,)) when no code defines the contract's function, or when it cannot be told which of several
    programs is meant. ValueError for an unknown contract or a reply that is not text.
    """
    function = signature_named(contract).function
    if not isinstance(reply_text, str):
        raise ValueError(f"the reply must be text, got {type(reply_text).__name__}")
    text = reply_text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text, thoughts = without_thoughts(text)
    defines = re.compile(rf"{_PREFIX}(?:async[ \t]+)?def[ \t]+{function}[ \t]*\(", re.MULTILINE)
    parts = _parts(without_marks(text), function, defines)
    programs = _programs(parts, function, defines)
    if not programs:
        return None, (_nothing(text, thoughts, function),)
    try:
        chosen, warnings = _choose(programs, function)
        _check_not_taken_back(parts, defines)
        _check_defined_once(chosen.code, function)
    except _Question as question:
        return None, (str(question),)
    code, added = _with_helpers(chosen.code, parts, defines)
    if not chosen.fenced:
        warnings.append(BARE)
    if not chosen.closed:
        warnings.append(CUT)
    return code, (*warnings, *added)


def _parts(text: str, function: str, defines: re.Pattern[str]) -> list[Part]:
    """The parts of a reply; where none defines the function, those of what the reply holds in other forms."""
    if defines.search(text):
        return parts_of(text, defines)
    if not re.search(rf"def\s+{function}", text):
        return []
    named = code_as_text(text, function)
    if len(named) == 1:
        return _inner(named[0][1], defines)
    return [part for name, code in named for part in (Part("prose", f"{name}:"), *_inner(code, defines))]


def _inner(code: str, defines: re.Pattern[str]) -> list[Part]:
    parts = parts_of(code, defines)
    return parts if any(part.kind == "block" for part in parts) else [Part("block", code)]


def _programs(parts: Sequence[Part], function: str, defines: re.Pattern[str]) -> list[_Program]:
    programs = []
    before: list[str] = []
    for part in parts:
        if part.kind == "prose" or not defines.search(part.text):
            before.append(part.text if part.kind == "prose" else "")
            continue
        prose = "\n".join(before)[-_MAX_PROSE:]
        code = plain_code(part.text, function)
        returns = tuple(found.strip().rstrip(";") for found in _RETURN.findall(code))
        programs.append(_Program(code, part.closed, part.kind == "block", prose, returns))
        before = []
    return programs


def _nothing(text: str, thoughts: str, function: str) -> str:
    reason = f"the reply contains no code that defines {function}"
    if re.search(rf"\bdef\s+{function}\b", thoughts):
        return f"{reason} outside of its thoughts, which are not read; write the program after them"
    if re.search(rf"\bdef\s+{function}\b", text):
        return f"{reason} in a form that can be read; write it in one Python code block"
    return reason


# ---------------------------------------------------------------------------- choosing


def _choose(programs: list[_Program], function: str) -> tuple[_Program, list[str]]:
    """The program that counts: the last whole one, unless the reply itself says something else."""
    whole = [program for program in programs if program.is_whole]
    stands = whole or programs
    differing = list({program.code.strip(): program for program in stands}.values())
    if len(differing) == 1 or not whole:
        chosen = next((p for p in reversed(stands) if p.closed), stands[-1])
        return chosen, _counted(programs, chosen, function)
    if len(differing) > _MAX_PROGRAMS:
        raise _Question(f"the reply defines {function} {len(differing)} times; answer with one program")
    _check_stages(differing, function)
    if any(prefers_first(program.before) for program in programs):
        raise _Question(_unclear(function))
    for place in range(len(differing) - 1, 0, -1):
        last = differing[place]
        if not last.closed and corrects(last.before):
            raise _Question(f"the reply takes its program back, and the one after it may be cut; {_ONE}")
        if last.closed and _counts(last, differing[place - 1], function):
            return last, _counted(programs, last, function)
    return differing[0], _counted(programs, differing[0], function)


def _check_stages(programs: list[_Program], function: str) -> None:
    stages = [program.stage for program in programs]
    if all(stages) and len(set(stages)) == len(stages):
        raise _Question(
            f"the reply defines {function} {len(stages)} times, for the stages {', '.join(stages)}; "
            "answer with the program of the current stage only"
        )


def _counts(last: _Program, previous: _Program, function: str) -> bool:
    """Whether a later program is the one that is meant; False if it shows what would be answered in another case."""
    if is_rejected(last.before):
        raise _Question(_unclear(function))
    later = is_for_later(last.before) or (last.stage not in ("", "1", "first") and last.stage != previous.stage)
    if last.moves_nothing and not previous.moves_nothing:
        if later and not corrects(last.before):
            return False
        if not later and replaces(last.before):
            return True
    elif replaces(last.before):
        return True
    elif is_alternative(last.before):
        raise _Question(f"the reply gives alternatives for {function}; {_ONE}")
    elif not later:
        return True
    raise _Question(_unclear(function))


def _unclear(function: str) -> str:
    return f"the reply defines {function} twice, and it is not clear which one is meant now; {_ONE}"


def _counted(programs: list[_Program], chosen: _Program, function: str) -> list[str]:
    if len(programs) == 1:
        return []
    which = "last one" if chosen is programs[-1] else "last whole one"
    return [f"{len(programs)} code blocks define {function}: the {which} is used"]


def _check_not_taken_back(parts: Sequence[Part], defines: re.Pattern[str]) -> None:
    after: list[str] = []
    for part in reversed(parts):
        if part.kind != "prose" and defines.search(part.text):
            break
        after.append(part.text)
    if is_taken_back("\n".join(reversed(after))[:_MAX_PROSE]):
        raise _Question(f"the reply takes its program back without giving another; {_ONE}")


def _check_defined_once(code: str, function: str) -> None:
    """A block that defines the function again runs the last one; only a comment that corrects says that it is meant."""
    pieces = re.split(rf"^(?=def[ \t]+{function}[ \t]*\()", code, flags=re.MULTILINE)
    whole = [place for place in range(1, len(pieces)) if _RETURN.search(pieces[place])]
    if len(whole) < 2:
        return
    comments = "\n".join(line for line in pieces[whole[-1] - 1].split("\n") if line.startswith("#"))
    if not replaces(comments) and len({pieces[place].strip() for place in whole}) > 1:
        raise _Question(_unclear(function))


# ----------------------------------------------------------------------------- helpers


def _with_helpers(code: str, parts: Sequence[Part], defines: re.Pattern[str]) -> tuple[str, list[str]]:
    """The program with the functions and constants that it uses and that stand in other blocks of the reply."""
    blocks = [p.text for p in parts if p.kind == "block" and p.language in _PROGRAM_LANGUAGES]
    blocks = [block for block in blocks if not defines.search(block)]
    if not blocks:
        return code, []
    missing = set(_NAME.findall(code)) - _helpers(code)
    added: list[str] = []
    names: list[str] = []
    for block in reversed(blocks):
        if found := sorted(_helpers(block) & missing):
            added.insert(0, block)
            names += found
            missing = (missing | set(_NAME.findall(block))) - _helpers(block)
    if not added:
        return code, []
    note = f"{', '.join(sorted(names)[:5])} of another code block {'were' if len(names) > 1 else 'was'} added"
    return "\n".join([*(block.rstrip() + "\n" for block in added), code]), [note]


def _helpers(code: str) -> set[str]:
    return {function or constant for function, constant in _HELPER.findall(code)}
