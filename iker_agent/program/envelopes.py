"""What replies are wrapped in, taken off: marks of servers, quotes, tags, calls of tools, prompts of an interpreter.

In: the text of a reply, or of a program in it. Out: the text without the wrapping. Each form is undone only where the
text shows it on the lines of the program itself, so that a plain reply comes out as it went in.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

_TOKEN = (
    r"(?:<[|\uff5c][^<>|\uff5c\n]{1,40}[|\uff5c]>|</?s>|\[/?INST\]"
    r"|<(?:eos|bos|pad|end_of_turn|start_of_turn|end_of_utterance)>)"
)
_TOKENS = re.compile(rf"^{_TOKEN}+|{_TOKEN}+[ \t]*$", re.MULTILINE)
_LINE_BREAKS = re.compile(r"<br ?/?>[ \t]*$", re.IGNORECASE | re.MULTILINE)
_ANSWER_TAGS = re.compile(
    r"^[ \t]*</?(?:answer|solution|output|response|result|final|final_answer|tool_call|function_call)>[ \t]*"
    r"|</(?:answer|solution|output|response|result|final|final_answer|tool_call|function_call)>[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_CODE_TAG = r"(?:code|pre|python|tool_code|program|script|execute|execute_code)"
_CODE_STARTS = re.compile(rf"^[ \t]*(?:<{_CODE_TAG}(?:[ \t][^<>\n]*)?>)+[ \t]*|^[ \t]*\[PYTHON\][ \t]*", re.I | re.M)
_CODE_ENDS = re.compile(rf"(?:</{_CODE_TAG}>)+[ \t]*$|\[/PYTHON\][ \t]*$", re.I | re.M)
_TAG_BEFORE_CODE = re.compile(r"^[ \t]*<[\w:=]+[^<>\n]{0,80}>[ \t]*(?=(?:import|from|def)\b)", re.MULTILINE)
_QUOTED = re.compile(r"^ {0,3}> ?(?=`{3,}|~{3,}|def |import |from )", re.MULTILINE)
_QUOTE = re.compile(r"^ {0,3}>(?!>>)", re.MULTILINE)
_SPACED_QUOTE = re.compile(r"^ {0,3}> ?", re.MULTILINE)
_NARROW_QUOTE = re.compile(r"^ {0,3}>[^ >\n]", re.MULTILINE)
_TICK_BEFORE = re.compile(r"^([ \t]*)`(?!`)(?:python[ \t]+)?(?=(?:import|from|def)\b)", re.MULTILINE)
_ENTITY = re.compile(r"&(?:lt|gt|quot|amp|apos|nbsp|#\d{2,4}|#x[0-9a-f]{2,4});", re.IGNORECASE)
_PROMPTED = re.compile(r"[ \t]*(?:>>>|\.\.\.)(?: (.*))?")
_NUMBERED = re.compile(r"[ \t]*\d{1,4}(?:[ \t]*[|:]|[ \t])[ ]?(.*)")
_MAX_OBJECTS = 40  # JSON objects tried in one reply
_MAX_DEPTH = 6


def without_marks(text: str) -> str:
    """A reply without the marks of its server, block quotes and tags around the answer; tags around code are fences."""
    text = _LINE_BREAKS.sub("", _TOKENS.sub("", text))
    if "&#96;" in text or "&lt;code" in text:
        text = html.unescape(text)
    if _QUOTED.search(text):
        text = (_QUOTE if _NARROW_QUOTE.search(text) else _SPACED_QUOTE).sub("", text)
    text = _ANSWER_TAGS.sub("", text)
    if _CODE_STARTS.search(text) and _CODE_ENDS.search(text):
        text = _CODE_ENDS.sub("\n```", _CODE_STARTS.sub("```\n", text))
    return _without_ticks(_TAG_BEFORE_CODE.sub("", text))


def _without_ticks(text: str) -> str:
    """A reply whose program stands between single backticks, without them."""
    start = _TICK_BEFORE.search(text)
    if not start:
        return text
    lines = text[start.end() :].split("\n")
    odd = (i for i, line in enumerate(lines) if line.rstrip().endswith("`") and line.count("`") % 2)
    last = next(odd, None)
    if last is not None:
        lines[last] = lines[last].rstrip().removesuffix("`")
    return text[: start.start()] + start[1] + "\n".join(lines)


def code_as_text(text: str, function: str) -> list[str]:
    """Programs that stand in a reply as text: in JSON, as the arguments of a tool's call, or with \\n written out."""
    found: list[str] = []
    decoder = json.JSONDecoder(strict=False)
    position = 0
    for _ in range(_MAX_OBJECTS):
        position = text.find("{", position)
        if position < 0:
            break
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            continue
        found += _texts(value, function)
    if not found:
        found = [
            _unescaped(line)
            for line in text.split("\n")
            if re.search(rf"def {function}\([^\\\n]{{0,200}}\):\s*\\n", line)
        ]
    return list(dict.fromkeys(found))


def _texts(value: Any, function: str, depth: int = 0) -> list[str]:
    if depth > _MAX_DEPTH:
        return []
    if isinstance(value, list) and any(isinstance(v, str) and v.startswith(f"def {function}") for v in value):
        return ["\n".join(line.rstrip("\n") for line in value if isinstance(line, str)) + "\n"]  # a line an item
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return [text for item in items for text in _texts(item, function, depth + 1)]
    if not isinstance(value, str) or f"def {function}" not in value:
        return []
    if value.lstrip().startswith("{"):
        try:
            return _texts(json.loads(value, strict=False), function, depth + 1)
        except (ValueError, RecursionError):
            pass
    return [value]


def _unescaped(line: str) -> str:
    """The program in a line in which line breaks and quotes are written out."""
    start = re.search(r"(?:import|from|def)\b", line)
    code = line[start.start() :] if start else line
    signs = {"n": "\n", "t": "\t", "r": ""}
    code = re.sub(r"\\(.)", lambda sign: signs.get(sign[1], sign[1]), code)
    return code.rstrip().rstrip("`'\",}").rstrip() + "\n"


def plain_code(code: str, function: str) -> str:
    """A program without interpreter prompts, line numbers, marks of a patch, and HTML entities."""
    lines = code.split("\n")
    written = [line for line in lines if line.strip()]
    if re.search(rf"^[ \t]*>>> (?:async[ \t]+)?def[ \t]+{function}\b", code, re.MULTILINE):
        prompted = [_PROMPTED.fullmatch(line) for line in lines]
        code = "\n".join(found[1] or "" for found in prompted if found) + "\n"
    elif written and all(line.startswith("+") for line in written):
        code = "\n".join(line[1:] for line in lines)
    elif written and all(_NUMBERED.fullmatch(line) or line.strip().isdecimal() for line in written):
        numbered = [_NUMBERED.fullmatch(line) for line in lines]
        code = "\n".join(found[1] if found else "" for found in numbered) + "\n"
    if _ENTITY.search(code) and not re.search(r"[<>]", code):
        code = html.unescape(code).replace("\u00a0", " ")
    return code
