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
    + r"|^\W*or\b",
    re.IGNORECASE | re.MULTILINE,
)
_LATER = re.compile(
    _any_of("if", "once", "when", "would", "afterwards", "after that", "later", "in case", "for example", "suppose")
    + "|"
    + _any_of("hypothetical", "hypothetically", "as soon as", "next (?:stage|step|time|image|turn)", "in the end"),
    re.IGNORECASE,
)
_STAGE = re.compile(
    r"\b(?:stage|step|phase)[ \t#]*(\d{1,2})\b|\b(first|second|third|fourth|last) (?:stage|step|phase)\b", re.IGNORECASE
)
_TAKEN_BACK = re.compile(
    r"\b(?:ignore|discard|disregard|do not (?:use|run)|don't (?:use|run)|scratch) "
    r"(?:the |this |that |my )?(?:above|program|code|block|draft|answer|function|that|it)\b[^\n]{0,20}[.!]"
    r"|\b(?:wait|hmm|oops|no)\b[,.!:]* (?:that|this|it)(?:'s| is| was)? (?:wrong|incorrect|a mistake|not right)",
    re.IGNORECASE,
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


def is_for_later(prose: str) -> bool:
    """This program is for another case than the present one; the last paragraph says so."""
    return _LATER.search(prose.strip().rsplit("\n\n", 1)[-1]) is not None


def stage_of(heading: str) -> str:
    """The number or word of the last stage that is named, empty if none is."""
    named = list(_STAGE.finditer(heading))
    return (named[-1][1] or named[-1][2]).lower() if named else ""


def is_taken_back(prose: str) -> bool:
    """The text after a program says that it is not to be used."""
    return _TAKEN_BACK.search(prose) is not None
