"""Text from elsewhere (servers, models, files, users) made harmless for a terminal and a page.

    clean_line(text)   ->  one printable line            clean_block(text)  ->  the same with line breaks and tabs
    echo(text)         ->  printed, cleaned

Escape sequences, control codes, bidirectional overrides and lone surrogates become spaces or question marks, so that
text can neither move the cursor, colour or hide what stands beside it, nor set a title or a link.
"""

from __future__ import annotations

import re
import sys

MAX_LINE = 400  # characters; an exception's text may be anything
_ODD = re.compile(r"[^ -~\n\t]")  # all but printable ASCII is looked at one by one


def clean_line(text: str, limit: int = MAX_LINE) -> str:
    """`text` as one printable line of at most `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in _encodable(text[: 4 * limit])).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def clean_block(text: str, limit: int | None = None) -> str:
    """`text` in printable characters, line breaks and tabs, cut after `limit` characters if there is one.

    Every other character gives exactly one, so columns stay where they were.
    """
    return _ODD.sub(_printable, _encodable(text[:limit]))


def echo(text: str, *, err: bool = False) -> None:
    """Print a text and a line break, cleaned, to standard error if `err`."""
    print(clean_block(text), file=sys.stderr if err else sys.stdout)


def _printable(character: re.Match[str]) -> str:
    return character[0] if character[0].isprintable() else " "


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
