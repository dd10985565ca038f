"""The program in a model's reply.

In: the reply's text, as it came: prose, thoughts, fenced blocks of any kind, or bare code. Out: the source of the
program and what was unusual about the form. The text is read line by line, in linear time; nothing is parsed as
Python here.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from iker_agent.program.contracts import contract_named

_THOUGHT = re.compile(r"<(/?)(?:think|thinking|reasoning)>")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)")
_CODE_START = re.compile(r"[ \t]*(?:import [\w., ]+$|from [\w.]+ import |(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|\w+ *=)")
_CODE_AT_MARGIN = re.compile(
    r"(?:import|from|def|class|async|if|elif|else|for|while|try|except|finally|with|return)\b"
    r"|[#@)\]}]|[A-Za-z_][\w.]*(?:\[|\(|\s*[-+*/]?=|\s*:[^=]*=)"
)


@dataclass(frozen=True)
class _Block:
    code: str
    closed: bool


def extract_program(reply_text: str, contract: str = "keypoints") -> tuple[str | None, tuple[str, ...]]:
    """The source of the last program in a reply, and warnings about its form.

    Returns (None, (reason,)) when no code defines the contract's function. ValueError for an unknown contract or
    a reply that is not text.
    """
    function = contract_named(contract).function
    if not isinstance(reply_text, str):
        raise ValueError(f"the reply must be text, got {type(reply_text).__name__}")
    text = reply_text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text = _without_thoughts(text)
    defines = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{function}[ \t]*\(", re.MULTILINE)
    if not defines.search(text):
        return None, (f"the reply contains no code that defines {function}",)
    blocks = [block for block in _fenced_blocks(text) if defines.search(block.code)]
    if not blocks:
        return _bare_code(text, defines), ("the code is not in a fenced block",)
    warnings = []
    if len(blocks) > 1:
        warnings.append(f"{len(blocks)} code blocks define {function}: the last one is used")
    if not blocks[-1].closed:
        warnings.append("the code block is not closed: the reply may be cut")
    return blocks[-1].code, tuple(warnings)


def _without_thoughts(text: str) -> str:
    """Drops <think> blocks; also what stands before a lone closing tag (servers swallow the opening one)."""
    kept, inside, position = [], False, 0
    for tag in _THOUGHT.finditer(text):
        closing = bool(tag[1])
        if not inside:
            kept.append(text[position : tag.start()])
        if closing and not inside:
            kept.clear()
        inside, position = not closing, tag.end()
    return "".join(kept if inside else [*kept, text[position:]])


def _fenced_blocks(text: str) -> list[_Block]:
    """Blocks between ``` or ~~~ lines (CommonMark: the closing fence is at least as long as the opening one)."""
    blocks: list[_Block] = []
    fence, lines = "", []
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if not fence and mark and "`" not in mark[2]:
            fence, lines = mark[1], []
        elif fence and mark and mark[1].startswith(fence) and not mark[2].strip():
            blocks.append(_Block(textwrap.dedent("\n".join(lines)) + "\n", closed=True))
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        blocks.append(_Block(textwrap.dedent("\n".join(lines)) + "\n", closed=False))
    return blocks


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
