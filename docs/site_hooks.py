"""Hooks of mkdocs: pages that are files of the repository's root, and links that leave docs/.

README.md, CONTRIBUTING.md and CHANGELOG.md  ->  index.md, contributing.md, changes.md
[text](../iker_envs/env.py)                  ->  `text`, since the site holds no source files
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
_PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changes.md": "CHANGELOG.md"}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?://)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the root's pages; their links into docs/ become links between pages."""
    for page, source in _PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        text = re.sub(r"\]\(docs/", "](", text)
        files.append(File.generated(config, page, content=_LINK.sub(_named, text)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links out of docs/ become the names that they stand for."""
    return _LINK.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    text, target, section = link.groups()
    for page, source in _PAGES.items():
        if Path(target).name == source:
            return f"[{text}]({page}{section or ''})"
    inside = not target.startswith("..") and (ROOT / "docs" / target).exists()
    if inside:
        return link.group()
    return text if "`" in text else f"`{text}`"
