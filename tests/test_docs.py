"""Documents tell the truth: generated pages match the code, and README's links and commands exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("maker", ["make_environments.py", "make_settings.py", "make_tasks.py", "make_items.py"])
def test_a_generated_page_matches_code_and_data(maker):
    module = runpy.run_path(str(ROOT / "docs" / maker))
    assert module["PAGE"].read_text(encoding="utf-8") == module["page"]()


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert len(local) > 15
    assert [link for link in local if not (ROOT / link).exists()] == []
