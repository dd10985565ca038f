"""What a model thinks aloud is no answer: thoughts are taken out of a reply before a program is looked for.

In: the text of a reply. Out: the text without its thoughts, and the thoughts. Two forms are known: tags such as
<think>, and channels, which servers leave in the text when they do not take their model's format apart (harmony's
`<|channel|>analysis<|message|>`, gemma's `<|channel>thought`). The text is read once, line by line.
"""

from __future__ import annotations

import re

from iker_agent.program.fences import Fence, before_closing, opened

_TAGS = "(?:think|thinking|thought|thoughts|reasoning|analysis|reflection|scratchpad|seed:think)"
_STARTS = re.compile(rf"[ \t]*<{_TAGS}>", re.IGNORECASE)
_ENDS = re.compile(rf"</{_TAGS}>", re.IGNORECASE)
_LONE_END = re.compile(rf"[ \t]*</{_TAGS}>", re.IGNORECASE)
# In the middle of a line an end without a start may be spoken of; before code or a new sentence it is meant.
_END_BEFORE_ANSWER = re.compile(rf"</{_TAGS}>(?=[ \t]*(?:$|[`~#*]|[A-Z]|def\b|import\b|from\b))", re.IGNORECASE)
_OTHER_TAGS = re.compile(r"\[(/?)THINK\]|\u25c1(/?)think\u25b7|<\|(begin|end)_of_thought\|>")

_CHANNEL = re.compile(
    r"<\|channel\|?>[ \t]*(?P<name>\w*)[^\n<]*(?:<\|constrain\|>\w*)?(?:<\|message\|>)?"
    r"|(?P<closed><channel\|>|<unused95>)"
    r"|(?P<unused><unused94>)(?:thought)?"
    r"|(?P<turn><\|(?:start|end|return|call)\|>(?:assistant)?)"
)
_THOUGHT_CHANNELS = ("analysis", "thought", "thinking", "reasoning")
_BARE_FINAL = "assistantfinal"  # what is left of harmony's marks where a server drops all special tokens


def without_thoughts(text: str) -> tuple[str, str]:
    """The text outside of thoughts, and the text of the thoughts."""
    text = _OTHER_TAGS.sub(_as_tag, text)
    text, channels = _without_channels(text)
    kept, tagged = _without_tagged(text.split("\n"))
    return "\n".join(kept), channels + "\n" + "\n".join(tagged)


def _as_tag(found: re.Match[str]) -> str:
    ends = "/" in (found[1] or "") + (found[2] or "") or found[3] == "end"
    return "</think>" if ends else "<think>"


def _without_channels(text: str) -> tuple[str, str]:
    if text.lstrip().startswith("analysis") and _BARE_FINAL in text:
        thought, _, answer = text.rpartition(_BARE_FINAL)
        return answer, thought
    kept: list[str] = []
    thoughts: list[str] = []
    channel = ""
    position = 0
    for mark in _CHANNEL.finditer(text):
        (thoughts if channel in _THOUGHT_CHANNELS else kept).append(text[position : mark.start()])
        position = mark.end()
        channel = "thought" if mark["unused"] else (mark["name"] or "").lower()
    (thoughts if channel in _THOUGHT_CHANNELS else kept).append(text[position:])
    return "".join(kept), "".join(thoughts)


def _without_tagged(lines: list[str]) -> tuple[list[str], list[str]]:
    """Drops tagged thoughts; also what stands before a lone closing tag (servers swallow the opening one).

    Tags count at the start of a line and outside code blocks only: prose and programs may speak of them.
    """
    kept: list[str] = []
    thoughts: list[str] = []
    inside = False
    fence: Fence | None = None
    for line in lines:
        if fence:
            kept.append(line)
            fence = None if before_closing(line, fence) is not None else fence
            continue
        inside, position = _after_thoughts(line, inside, kept, thoughts)
        thoughts.append(line[:position])
        if not inside:
            kept.append(line[position:])
            fence = opened(kept[-1])
    return kept, thoughts


def _after_thoughts(line: str, inside: bool, kept: list[str], thoughts: list[str]) -> tuple[bool, int]:
    """Whether a thought goes on after a line, and where the line's own text starts; a lone end empties `kept`."""
    position = 0
    while True:
        if inside:
            if not (tag := _ENDS.search(line, position)):
                return True, len(line)
            inside = False
        elif tag := _STARTS.match(line, position):
            inside = True
        elif tag := _LONE_END.match(line, position) or _END_BEFORE_ANSWER.search(line.rstrip(), position):
            thoughts += kept
            kept.clear()
        else:
            return False, position
        position = tag.end()
