"""The program in a model's reply.

In: the reply's text, as it came: prose, thoughts, fenced blocks of any kind, or bare code. Out: the source of the
program and what was unusual about the form. The text is read line by line, in linear time; nothing is parsed as
Python here: that is for the sandbox.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from iker_agent.program.signatures import signature_named

CUT = "the code block is not closed: the reply may be cut"

_TAGS = "(?:think|thinking|thought|reasoning|analysis)"
_THOUGHT_STARTS = re.compile(rf"[ \t]*<{_TAGS}>", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(rf"</{_TAGS}>", re.IGNORECASE)
_LONE_END = re.compile(rf"[ \t]*</{_TAGS}>", re.IGNORECASE)
_END_AT_END = re.compile(rf"</{_TAGS}>\Z", re.IGNORECASE)
_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})(.*)")
_FENCE_SLACK = 3  # columns by which a closing fence may be further in than its opening (CommonMark)
_RETURN = re.compile(r"^[ \t]*(?:[^#'\"\n]*:[ \t]*)?return\b", re.MULTILINE)
_CODE_START = re.compile(r"[ \t]*(?:import [\w., ]+$|from [\w.]+ import |(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|\w+ *=)")
_CODE_AT_MARGIN = re.compile(
    r"(?:import|from|def|class|async|if|elif|else|for|while|try|except|finally|with|return)\b"
    r"|[#@)\]}]|[A-Za-z_][\w.]*(?:\[|\(|\s*[-+*/]?=|\s*:[^=]*=)"
)


@dataclass(frozen=True)
class _Block:
    code: str
    closed: bool

    @property
    def standing(self) -> tuple[bool, bool]:
        """Blocks that return something come before stubs, whole ones before those that may be cut."""
        return _RETURN.search(self.code) is not None, self.closed


@dataclass(frozen=True)
class _Fence:
    mark: str
    column: int


def extract_program(reply_text: str, contract: str = "keypoints") -> tuple[str | None, tuple[str, ...]]:
    """The source of the last whole program in a reply, and warnings about its form.

    Returns (None, (reason,)) when no code defines the contract's function. ValueError for an unknown contract or
    a reply that is not text.
    """
    function = signature_named(contract).function
    if not isinstance(reply_text, str):
        raise ValueError(f"the reply must be text, got {type(reply_text).__name__}")
    text = reply_text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text = "\n".join(_without_thoughts(text.split("\n")))
    defines = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{function}[ \t]*\(", re.MULTILINE)
    if not defines.search(text):
        return None, (f"the reply contains no code that defines {function}",)
    blocks = [block for block in _fenced_blocks(text) if defines.search(block.code)]
    if not blocks:
        return _bare_code(text, defines), ("the code is not in a fenced block",)
    warnings = []
    chosen = max(reversed(blocks), key=lambda block: block.standing)  # of equals the last
    if len(blocks) > 1:
        which = "last one" if chosen is blocks[-1] else "last whole one"
        warnings.append(f"{len(blocks)} code blocks define {function}: the {which} is used")
    if not chosen.closed:
        warnings.append(CUT)
    return chosen.code, tuple(warnings)


def _without_thoughts(lines: list[str]) -> list[str]:
    """Drops <think> blocks; also what stands before a lone closing tag (servers swallow the opening one).

    Tags count at the start of a line and outside code blocks only: prose and programs may speak of them.
    """
    kept: list[str] = []
    inside = False
    fence = None
    for line in lines:
        if fence:
            kept.append(line)
            fence = None if _before_closing(line, fence) is not None else fence
            continue
        inside, position = _after_thoughts(line, inside, kept)
        if not inside:
            kept.append(line[position:])
            fence = _opened(kept[-1])
    return kept


def _after_thoughts(line: str, inside: bool, kept: list[str]) -> tuple[bool, int]:
    """Whether a thought goes on after a line, and where the line's own text starts; a lone end empties `kept`."""
    position = 0
    while True:
        if inside:
            if not (tag := _THOUGHT_ENDS.search(line, position)):
                return True, len(line)
            inside = False
        elif tag := _THOUGHT_STARTS.match(line, position):
            inside = True
        elif tag := _LONE_END.match(line, position) or _END_AT_END.search(line.rstrip(), position):
            kept.clear()
        else:
            return False, position
        position = tag.end()


def _fenced_blocks(text: str) -> list[_Block]:
    """Blocks between ``` or ~~~ lines (CommonMark: the closing fence is at least as long as the opening one)."""
    blocks: list[_Block] = []
    fence = None
    lines = []
    for line in text.split("\n"):
        if not fence:
            fence = _opened(line)
            lines = []
        elif (code := _before_closing(line, fence)) is not None:
            blocks.append(_Block(_dedented([*lines, code] if code else lines), closed=True))
            fence = None
        else:
            lines.append(line)
    if fence:
        blocks.append(_Block(_dedented(lines), closed=False))
    return blocks


def _dedented(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)) + "\n"


def _opened(line: str) -> _Fence | None:
    mark = _FENCE.match(line)
    return _Fence(mark[2], len(mark[1].expandtabs())) if mark and "`" not in mark[3] else None


def _before_closing(line: str, fence: _Fence) -> str | None:
    """The code before the fence that closes a block, nearly always empty; None if the line does not close it."""
    if mark := _FENCE.match(line):
        near = len(mark[1].expandtabs()) <= fence.column + _FENCE_SLACK
        return "" if near and mark[2].startswith(fence.mark) and not mark[3].strip() else None
    line = line.rstrip()
    code = line.rstrip(fence.mark[0])
    spoken_of = "#" in code or fence.mark[:3] in code
    return code if line[len(code) :].startswith(fence.mark) and not spoken_of else None


def _bare_code(text: str, defines: re.Pattern[str]) -> str:
    """The definition with the code lines around it: what can be neither prose before nor prose after."""
    lines = text.split("\n")
    definition = max(i for i, line in enumerate(lines) if defines.match(line))
    first = last = definition
    while first > 0 and _may_be_code(lines[first - 1]):
        first -= 1
    while last + 1 < len(lines) and _may_be_code(lines[last + 1]):
        last += 1
    while not _CODE_START.match(lines[first]):
        first += 1
    return textwrap.dedent("\n".join(lines[first : last + 1])).rstrip() + "\n"


def _may_be_code(line: str) -> bool:
    return not line.strip() or line[0] in " \t" or _CODE_AT_MARGIN.match(line) is not None
