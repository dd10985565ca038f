"""What tests of damaged files share: a field taken out or replaced, and the sentence that a reader refuses with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iker_agent.limits import Unusable

DELETED = object()  # in the place of a value: the field is not there


def refusal(read, *arguments: Any, **options: Any) -> str:
    """The sentence that a reader refuses a damaged file with."""
    with pytest.raises(Unusable) as refused:
        read(*arguments, **options)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600
    return str(refused.value)


def changed(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a dotted path replaced or DELETED."""
    content = json.loads(json.dumps(content))
    *folders, name = path.split(".")
    place = content
    for folder in folders:
        place = place[folder]
    if value is DELETED:
        del place[name]
    else:
        place[name] = value
    return content
