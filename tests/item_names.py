"""Names of items as their files have them: to read the items themselves takes every process of the tests seconds."""

from collections.abc import Iterator
from pathlib import Path

import yaml


def expected_answers(folder: Path) -> dict[str, str]:
    """What every item of a folder that is written out expects, by its name."""
    return dict(_expected_answers(folder))


def _expected_answers(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.yaml")):
        content = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        yield from ((item["name"], item.get("expects", "goal")) for item in content.get("items", []))
