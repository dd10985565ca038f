"""Typographic characters in a program's code become the ones that Python reads.

In: source text that Python cannot parse. Out: the same program with no-break spaces, curly quotes, long dashes and
their like written plainly, and one note for each character that was changed. What stands inside strings and comments
is left alone. Quotes inside the braces of an f-string that are also its own (allowed from Python 3.12 on) are
exchanged for the other kind. The text is read once, from left to right.
"""

from __future__ import annotations

import re
import unicodedata

_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_NOTHINGS = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63"
_OPERATORS = {"\u00d7": "*", "\u00f7": "/", "\u2264": "<=", "\u2265": ">=", "\u2260": "!=", "\u2026": "..."}
_WIDE = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # the wide forms of ! to ~
_SINGLE = "\u2018\u2019\u201a\u201b\u2032"
_DOUBLE = "\u201c\u201d\u201e\u201f\u2033"
_PLAIN = {
    **{c: wide for c, wide in _WIDE.items() if not (c.isalnum() or c == "\uff3f") or c.isdecimal()},
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_NOTHINGS, ""),
    **dict.fromkeys(_DASHES, "-"),
    **dict.fromkeys("\u2028\u2029\u0085", "\n"),
    **_OPERATORS,
}
_COMMENT = re.compile(r"#[^\n]*")
_STRING = re.compile(rf"(?<![\w.])([A-Za-z]{{0,2}})('''|\"\"\"|['\"]|[{_DOUBLE}]{{3}}|[{_SINGLE}{_DOUBLE}])")


class _Straightener:
    """Walks over `source`; `position` is where it stands, `out` what it has written."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.position = 0
        self.out: list[str] = []
        self.changed: dict[str, str] = {}
        self.exchanged = False

    def code(self, enclosing: str = "", end: str = "") -> None:
        """Copies code up to `end` or the end of the text; `enclosing` holds the quotes of the f-strings around it."""
        depth = 0
        while self.position < len(self.source):
            c = self.source[self.position]
            if end and depth == 0 and c == end:
                return
            depth += (c in "([{") - (c in ")]}")
            if string := _STRING.match(self.source, self.position):
                self.string(string, enclosing)
            elif not end and (comment := _COMMENT.match(self.source, self.position)):
                self.copy(comment.group())
            else:
                self.position += 1
                self.out.append(self.plain(c))

    def copy(self, text: str) -> None:
        self.out.append(text)
        self.position += len(text)

    def plain(self, c: str) -> str:
        if c not in _PLAIN:
            return c
        self.changed[c] = _PLAIN[c]
        return _PLAIN[c]

    def string(self, start: re.Match[str], enclosing: str) -> None:
        """Copies one string literal, with plain quotes of its own that are none of the enclosing ones."""
        prefix = start[1]
        opening = start[2]
        mark = "'" if opening[0] in _SINGLE + "'" else '"'
        closings = (opening,) if opening[0] in "'\"" else self._closings(opening)
        for quote in opening if opening[0] not in "'\"" else "":
            self.changed[quote] = mark
        self.position = start.end()
        written = len(self.out)
        formatted = "f" in prefix.lower()
        quote = mark * len(opening)
        self.out.append("")  # the opening, when the content is known
        closed = self._content(closings, formatted, enclosing + (quote if len(quote) == 1 else ""), mark)
        content = "".join(self.out[written + 1 :])
        if quote in enclosing:
            quote = self._other(quote, content, enclosing)
        self.out[written:] = [prefix + quote, content, quote if closed else ""]

    def _closings(self, opening: str) -> tuple[str, ...]:
        kind = _DOUBLE + '"' if opening[0] in _DOUBLE else _SINGLE + "'"
        return tuple(c * len(opening) for c in kind)

    def _content(self, closings: tuple[str, ...], formatted: bool, enclosing: str, mark: str) -> bool:
        """Copies up to and without the closing quotes, and steps over them; False if there are none."""
        one_line = len(closings[0]) == 1
        while self.position < len(self.source):
            if self.source.startswith(closings, self.position):
                self.position += len(closings[0])
                return True
            c = self.source[self.position]
            if c == "\n" and one_line:
                return False
            if c == "\\":
                self.copy(self.source[self.position : self.position + 2])
            elif formatted and self.source.startswith(("{{", "}}"), self.position):
                self.copy(c * 2)
            elif formatted and c == "{":
                self.copy(c)
                self.code(enclosing, end="}")
            else:
                self.copy(f"\\{c}" if c == mark and one_line else c)
                self.position -= c == mark and one_line  # the backslash is ours
        return False

    def _other(self, quote: str, content: str, enclosing: str) -> str:
        other = "'" if quote == '"' else '"'
        if other in enclosing or other in content or "\\" in content:
            return quote  # there is no quote left for it
        self.exchanged = True
        return other


def straightened(source: str) -> tuple[str, list[str]]:
    """`source` with plain characters, and notes that name what was changed; no notes when nothing was."""
    straightener = _Straightener(source)
    straightener.code()
    notes = [
        f"{unicodedata.name(c, 'a character').lower()} (U+{ord(c):04X}) was read as {_spoken(plain)}"
        for c, plain in straightener.changed.items()
    ]
    if straightener.exchanged:
        notes.append("an f-string uses its own quotes inside braces: the inner ones were exchanged")
    return "".join(straightener.out), notes


def _spoken(plain: str) -> str:
    return {"": "nothing", " ": "a space", "\n": "a new line"}.get(plain, plain)
