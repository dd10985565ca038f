"""A reply cut into code and what stands between: fenced blocks of all kinds, and code that stands bare.

In: lines of a reply. Out: `Part`s in the order of the reply. Fences are those of CommonMark (the closing one at least
as long as the opening one), and what models make of them: a fence at the end of a sentence, code on the line of the
fence, a fence around a fence. Nothing is parsed as Python here; each line is read a bounded number of times.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace

_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})(.*)")
_SLACK = 3  # columns by which a closing fence may be further in than its opening (CommonMark)
_LANGUAGE = r"(?:python|py|python3|py3|ipython|pycon)"
_AFTER_PROSE = re.compile(rf"([^`~]*[^\s`~])[ \t]*(`{{3,}}|~{{3,}})[ \t]*({_LANGUAGE})?[ \t]*", re.IGNORECASE)
_CODE_BEHIND = re.compile(rf"[ \t]*{_LANGUAGE}[ \t]+((?:import|from|def|class|#|@)\b.*|#.*)", re.IGNORECASE)
_WRAPPERS = ("", "markdown", "md", "text", "txt", "plaintext", "json")
_CODE_START = re.compile(
    r"[ \t]*(?:import [\w., ]+$|from [\w.]+ import |(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|\w+ *=|@\w)"
)
_CODE_AT_MARGIN = re.compile(
    r"(?:import|from|def|class|async|if|elif|else|for|while|try|except|finally|with|return)\b"
    r"|>>> |\.\.\.(?: |$)|[#@)\]}]|[A-Za-z_][\w.]*(?:\[|\(|\s*[-+*/]?=|\s*:[^=]*=)"
)
_MAX_NESTING = 3


@dataclass(frozen=True)
class Fence:
    """An opening fence: its characters, its column, its first word, and code on the same line."""

    mark: str
    column: int
    language: str = ""
    code: str = ""


@dataclass(frozen=True)
class Part:
    """A piece of a reply. kind: "prose", "block" (fenced) or "bare" (code without a fence)."""

    kind: str
    text: str
    closed: bool = True
    language: str = ""


def opened(line: str) -> Fence | None:
    """The fence that a line opens, at its start or after a sentence."""
    if "```" not in line and "~~~" not in line:
        return None
    if mark := _FENCE.match(line):
        if "`" in mark[3]:
            return None
        code = _CODE_BEHIND.fullmatch(mark[3])
        words = mark[3].split()
        return Fence(mark[2], len(mark[1].expandtabs()), words[0].lower() if words else "", code[1] if code else "")
    after = _AFTER_PROSE.fullmatch(line)
    if after and (after[3] or after[1].endswith(":")):
        return Fence(after[2], len(line) - len(line.lstrip()), (after[3] or "").lower())
    return None


def before_closing(line: str, fence: Fence) -> str | None:
    """The code before the fence that closes a block, nearly always empty; None if the line does not close it."""
    if mark := _FENCE.match(line):
        near = len(mark[1].expandtabs()) <= fence.column + _SLACK
        return "" if near and mark[2].startswith(fence.mark) and not mark[3].strip() else None
    line = line.rstrip()
    code = line.rstrip(fence.mark[0])
    spoken_of = "#" in code or fence.mark[:3] in code
    return code if line[len(code) :].startswith(fence.mark) and not spoken_of else None


def parts_of(text: str, defines: re.Pattern[str], depth: int = 0) -> list[Part]:
    """The parts of a text in order; prose that defines the function is taken apart into prose and bare code."""
    parts: list[Part] = []
    prose: list[str] = []
    fence: Fence | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        if fence is None:
            fence = opened(line)
            if fence is None:
                prose.append(line)
                continue
            at_start = _FENCE.match(line)
            prose += [] if at_start else [line[: line.index(fence.mark)]]
            parts += _taken_apart(prose, defines)
            prose = []
            lines = [fence.code] if fence.code else []
        elif (code := before_closing(line, fence)) is not None:
            lines += [code] if code else []
            parts += _unwrapped(Part("block", _dedented(lines), True, fence.language), defines, depth)
            fence = None
        else:
            lines.append(line)
    if fence:
        parts += _unwrapped(Part("block", _dedented(lines), False, fence.language), defines, depth)
    return parts + _taken_apart(prose, defines)


def _unwrapped(block: Part, defines: re.Pattern[str], depth: int) -> list[Part]:
    """The blocks inside a block that is only a wrapper around them."""
    fenced = block.language in _WRAPPERS and any(_FENCE.match(line) for line in block.text.split("\n"))
    if not fenced or depth >= _MAX_NESTING:
        return [block]
    inner = parts_of(block.text, defines, depth + 1)
    if not any(part.kind == "block" and defines.search(part.text) for part in inner):
        return [block]
    return [replace(part, closed=part.closed or block.closed) for part in inner]


def _dedented(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)) + "\n"


def _taken_apart(lines: list[str], defines: re.Pattern[str]) -> list[Part]:
    """Prose and bare code: code is what can be neither prose before nor prose after a definition of the function."""
    parts: list[Part] = []
    prose: list[str] = []
    run: list[str] = []
    for line in [*lines, None]:
        if line is not None and _may_be_code(line):
            run.append(line)
            continue
        if any(defines.match(candidate) for candidate in run):
            start = next(
                i for i, candidate in enumerate(run) if _CODE_START.match(candidate) or defines.match(candidate)
            )
            parts += [Part("prose", "\n".join([*prose, *run[:start]])), _bare(run[start:])]
            prose = []
        else:
            prose += run
        run = []
        prose += [] if line is None else [line]
    return [*parts, Part("prose", "\n".join(prose))] if prose else parts


def _bare(lines: list[str]) -> Part:
    return Part("bare", textwrap.dedent("\n".join(lines)).rstrip() + "\n")


def _may_be_code(line: str) -> bool:
    return (
        not line.strip()
        or line[0] in " \t"
        or _CODE_AT_MARGIN.match(line) is not None
        or line.startswith((">>> ", "..."))
    )
