"""The `replay` backend: answers from a record (record.py) in the place of a model, failures included.

A row is used once, so that equal questions get their answers in the order in which they came. What counts as the same
question is `match`: "exact" (text and pixels), "text" (images may differ: another machine, another renderer),
"instruction" (the n-th question about it gets the n-th answer, whatever the prompt; where question and record both
say which task, configuration and stage they are of, only those of the same), "order" (the n-th call gets
the n-th answer).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from iker_agent.vlm.errors import ERRORS, ReplayMiss, Unanswered, VLMError
from iker_agent.vlm.record import describe, read_calls
from iker_agent.vlm.settings import MATCHES
from iker_agent.vlm.types import Reply, Request

_KEYS = {"exact": "key", "text": "text_key"}


class Replay:
    """Answers from the record in `folder`, a run folder or its vlm/; ValueError if it cannot be used.

    `unequal` counts requests whose text differed, `faults` say what of the record could not be used.
    """

    def __init__(self, folder: str | Path, match: str = "text") -> None:
        if match not in MATCHES:
            raise ValueError(f"match {match!r} is unknown; known: {', '.join(MATCHES)}")
        self.folder = _found(folder)
        self.match = match
        self.unequal = 0
        self.faults: list[str] = []
        self._rows = read_calls(self.folder, self.faults)

    def complete(self, request: Request) -> Reply:
        """The recorded answer, or the recorded VLMError; ReplayMiss says what differs."""
        asked = describe(request)
        row = self._find(asked, str(request.attachments.get("instruction", "")), request.attachments.get("place", {}))
        self._rows.remove(row)
        self.unequal += row["text_key"] != asked["text_key"]
        if "error" in row:
            raise _error(row["error"])
        return Reply.from_dict(row["reply"])

    def _find(self, asked: dict[str, Any], instruction: str, place: Mapping[str, Any]) -> dict[str, Any]:
        if not self._rows:
            raise ReplayMiss(f"the record in {str(self.folder)!r} has no answers left{self._damage}")
        if self.match == "order":
            return self._rows[0]
        about_it = [row for row in self._rows if instruction and row.get("instruction") == instruction]
        about_it = [row for row in about_it if _is_of(row, place)]
        if self.match == "instruction":
            if about_it:
                return about_it[0]
            raise ReplayMiss(f"the record in {str(self.folder)!r} has no answer left to {instruction!r}{self._damage}")
        column = _KEYS[self.match]
        for row in self._rows:
            if row[column] == asked[column]:
                return row
        if any(row["text_key"] == asked["text_key"] for row in self._rows):
            raise ReplayMiss("the record has this question with another image; match by text (ask.match=text)")
        hint = "; it has answers to this instruction (ask.match=instruction)" if about_it else ""
        raise ReplayMiss(
            "the record has no answer to this question: task, seed, prompt or history differ from those of the record"
            + hint
            + self._damage
        )

    @property
    def _damage(self) -> str:
        return f" ({self.faults[0]})" if self.faults else ""


def _is_of(row: Mapping[str, Any], place: Mapping[str, Any]) -> bool:
    """Is a row of a task, configuration and stage, as far as it says?"""
    settings = row.get("settings")
    told = settings if isinstance(settings, dict) else {}
    return all(told.get(name, value) == value for name, value in place.items())


def _found(name: str | Path) -> Path:
    """The folder of a record: one of the user's, else a shipped one of that name."""
    shipped = Path(str(files("iker_cfg").joinpath("cassettes"))) / name
    return shipped if not Path(name).exists() and Path(name).name == str(name) and shipped.is_dir() else Path(name)


def _error(recorded: dict[str, Any]) -> VLMError:
    kind = ERRORS.get(recorded.get("kind", ""), Unanswered)
    reply = recorded.get("reply")
    return kind(str(recorded.get("message")), Reply.from_dict(reply) if reply else None)
