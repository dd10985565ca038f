"""Python text as HTML with coloured words, for the report: programs of any quality, broken ones too."""

from __future__ import annotations

import keyword
import re

from markupsafe import Markup, escape

_TOKEN = re.compile(
    r"(?P<comment>#[^\n]*)"
    r"|(?P<string>(?:\b[rbfuRBFU]{1,2})?(?:\"\"\".*?(?:\"\"\"|\Z)|'''.*?(?:'''|\Z)"
    r"|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?))"
    r"|(?P<number>\b\d[\d_.]*(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*)",
    re.DOTALL,
)


def coloured(code: str) -> Markup:
    """Python text as HTML with a class for comments, strings, numbers and keywords; broken programs as well."""
    html = []
    end = 0
    for token in _TOKEN.finditer(code):
        kind = token.lastgroup
        text = escape(token[0])
        if kind == "name":
            kind = "keyword" if keyword.iskeyword(token[0]) else ""
        html += [
            escape(code[end : token.start()]),
            Markup('<span class="{}">{}</span>').format(kind, text) if kind else text,
        ]
        end = token.end()
    return Markup("").join([*html, escape(code[end:])])
