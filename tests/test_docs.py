"""Documents tell the truth: generated pages match the code, and README's links and commands exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_environment_page_matches_the_code():
    module = runpy.run_path(str(ROOT / "docs" / "make_environments.py"))
    assert module["PAGE"].read_text(encoding="utf-8") == module["page"]()


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert len(local) > 15
    assert [link for link in local if not (ROOT / link).exists()] == []
