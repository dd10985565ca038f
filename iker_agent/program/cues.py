"""What the text before a program says about it: a correction, an alternative, another stage, another case.

In: the prose between two programs of one reply. Out: yes or no. The lists hold what models write; a word that is
missing costs a question back to the model, or leaves the last program the one that counts.
"""

from __future__ import annotations

import re


def _any_of(*phrases: str) -> str:
    return rf"\b(?:{'|'.join(phrases)})\b"


_INTERJECTION = r"\b(?:no|wait|hmm|oops|sorry)\b\s*[,.:;!\u2013\u2014-]"
_STRONG = re.compile(
    _INTERJECTION
    + "|"
    + _any_of("mistake", "wrong", "incorrect", "ignore", "discard", "disregard", "scratch that", "corrected")
    + "|"
    + _any_of("correction", "do not use", "don't use", "revised", "fixed", "replaces"),
    re.IGNORECASE,
)
_MILD = re.compile(
    _any_of("actually", "instead", "better", "correct version", "fix", "revision", "updated", "improved", "final")
    + "|"
    + _any_of("finally", "error", "rather", "full version", "complete version", "so the answer", "cleaner"),
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(
    _any_of("options?", "alternatives?", "alternatively", "variants?", "possibility", "approach [2-9B-D]")
    + "|"
    + _any_of("another (?:idea|way|approach|solution)", "(?:can|could|may|might) also")
    + r"|^\W*or\b",
    re.IGNORECASE | re.MULTILINE,
)
_REJECTED = re.compile(
    r"\b(?:for (?:comparison|reference)|(?:do not|don't|never) (?:write|do) (?:it|this|that))\b"
    r"|^\W*(?:(?:the|my|an?) )?(?:bad|wrong|incorrect|old|previous|earlier|original|counter-?example)\b"
    r"(?: \w+){0,3}\W*$",
    re.IGNORECASE,
)
_PREFERS_FIRST = re.compile(
    r"\b(?:use|run|choose|pick|prefer|go with|submit) (?:the |my )?(?:first|former|earlier|original)"
    r"(?: (?:program|one|version|block|answer|option|function))?[ \t]*(?:[.,;!]|$)",
    re.IGNORECASE | re.MULTILINE,
)
_LATER = re.compile(
    _any_of("if", "once", "when", "would", "afterwards", "after that", "later", "in case", "for example", "suppose")
    + "|"
    + _any_of("hypothetical", "hypothetically", "as soon as", "next (?:stage|step|time|image|turn)", "in the end"),
    re.IGNORECASE,
)
_STAGE = re.compile(
    r"\b(?:stage|step|phase)[ \t#:]*(\d{1,2}|[ivx]{1,4}|one|two|three|four)\b"
    r"|\b(first|second|third|fourth|last|current|next) (?:stage|step|phase)\b",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^\W*(\d{1,2})[.)][ \t]")
_TAKEN_BACK = re.compile(
    r"\b(?:ignore|discard|disregard|do not (?:use|run)|don't (?:use|run)|scratch) "
    r"(?:the |this |that |my )?(?:above|program|code|block|draft|answer|function|that|it)\b[^\n]{0,20}[.!]"
    r"|\b(?:wait|hmm|oops|no)\b[,.!:]* (?:that|this|it)(?:'s| is| was)? (?:wrong|incorrect|a mistake|not right)"
    r"|\b(?:I (?:was|am) (?:wrong|mistaken)|I made an? (?:mistake|error)|I(?:'ve| have) made an? (?:mistake|error))\b"
    r"|(?:^|[.!] )(?:oops|correction)\b[ ]*[,.:!\u2014-]"
    r"|(?:^|[.!] )(?:wait|hmm|actually)\b[ ]*[,.:!\u2014-][^\n]{0,200}\b(?:instead|should (?:be|have been)|must be)\b"
    r"|(?:^|[.!] )(?:change (?:it|this|that|line \d{1,3}) to|replace line \d)\b",
    re.IGNORECASE | re.MULTILINE,
)


def corrects(prose: str) -> bool:
    """The program before was wrong."""
    return _STRONG.search(prose) is not None


def replaces(prose: str) -> bool:
    """This program is meant instead of the one before, for whatever reason."""
    return corrects(prose) or _MILD.search(prose) is not None


def is_alternative(prose: str) -> bool:
    """This program is one of several that would do."""
    return _ALTERNATIVE.search(prose) is not None


def is_rejected(prose: str) -> bool:
    """The last line before this program says that it shows what is not to be done, or what was written before."""
    return _REJECTED.search(prose.strip().rsplit("\n", 1)[-1]) is not None


def prefers_first(prose: str) -> bool:
    """The reply says that not its last program counts but an earlier one."""
    return _PREFERS_FIRST.search(prose) is not None


def is_for_later(prose: str) -> bool:
    """This program is for another case than the present one; the last paragraph says so."""
    return _LATER.search(prose.strip().rsplit("\n\n", 1)[-1]) is not None


def stage_of(heading: str) -> str:
    """The number or word of the last stage that is named, empty if none is."""
    named = list(_STAGE.finditer(heading))
    return (named[-1][1] or named[-1][2]).lower() if named else ""


def item_of(heading: str) -> str:
    """The number of a list's item that leads to a program, empty if there is none or it is a correction."""
    item = _ITEM.match(heading.strip().rsplit("\n", 1)[-1])
    return item[1] if item and not replaces(heading) else ""


def is_taken_back(prose: str) -> bool:
    """The text after a program says that it is not to be used."""
    return _TAKEN_BACK.search(prose) is not None
