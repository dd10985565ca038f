"""What is written down about one question or item of the benchmark, and the file that keeps it while it runs.

    BenchRow  ->  RowFile.append  ->  rows.jsonl, a line as soon as it is known     RowFile.rows  <-  an earlier start
    Meter(vlm).take()  ->  Cost since the last time

A benchmark that was killed is started again with the same folder: rows that are there are not asked for again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from iker_agent.records.run_folder import Folder
from iker_agent.vlm.errors import VLMError
from iker_agent.vlm.types import VLM, Reply, Request

_LOG = logging.getLogger(__name__)  # `iker bench vlm` shows it
ROWS = "rows.jsonl"
PRECISE = "precise"
TIERS = (PRECISE, "natural", "hard")

Key = tuple[str, str, int, int, int, str]  # tier, item, configuration, stage, sample, contract


@dataclass(frozen=True)
class Cost:
    """What answers cost: calls, tokens as the backend counts them, its seconds, and money where prices are known."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    usd: float | None = None


@dataclass(frozen=True)
class BenchRow:
    """A question of the precise tier, or an item of another one, and what came of it.

    Errors are None where no target was given. `stage` is counted from 1: in the precise tier the stage that was asked
    for, one more than the task has where done is the right answer; of an item how many looks it took.
    """

    task: str
    configuration: int
    stage: int
    sample: int
    contract: str
    right: bool
    answers: int  # replies until one was accepted or all repairs were used; of an item 1 and one for each repair
    near: bool | None = None  # the target is within 5 cm and 15 degrees of the annotated one; None without a target
    error_m: float | None = None
    error_deg: float | None = None
    reason: str = ""  # why it is not right
    tier: str = PRECISE
    item: str = ""
    skills: tuple[str, ...] = ()
    said: str = ""  # how it ended: goal, done, impossible, or nothing
    cost: Cost = Cost()
    executed: bool | None = None  # carried out in a world of its own, did it succeed? None: it was not carried out
    execution: str = ""  # how that ended

    @property
    def first(self) -> bool:
        """Right with the first answer, or with first answers at every look."""
        return self.right and self.answers == 1

    @property
    def key(self) -> Key:
        """What was asked; a dialogue about an item is one question, however many looks it takes."""
        stage = self.stage if self.tier == PRECISE else 0
        return (self.tier, self.item or self.task, self.configuration, stage, self.sample, self.contract)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "skills": list(self.skills)}

    @classmethod
    def from_dict(cls, data: Any) -> BenchRow:
        """The inverse of `to_dict`; ValueError if it is not one."""
        try:
            cost = Cost(**data["cost"])
            row = cls(**{**data, "skills": tuple(data["skills"]), "cost": cost})
        except (TypeError, KeyError) as error:
            raise ValueError(f"a row has {', '.join(f.name for f in fields(cls))}; {error}") from None
        right_kinds = isinstance(row.right, bool) and isinstance(row.stage, int) and isinstance(row.answers, int)
        if not (right_kinds and row.tier in TIERS and row.answers >= 1):
            raise ValueError(f"not a row of the benchmark: {str(data)[:200]}")
        return row


class RowFile:
    """The rows of a folder: those of an earlier start, unless not to `keep`, then what is appended.

    A line that was cut is left out, with a warning, and so is asked for again.
    """

    def __init__(self, folder: Folder, *, keep: bool = True) -> None:
        self._path = folder.path / ROWS
        self.rows: list[BenchRow] = []
        if keep and self._path.is_file():
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
            for number, line in enumerate(lines, start=1):
                try:
                    self.rows.append(BenchRow.from_dict(json.loads(line)))
                except ValueError as error:  # such as a line that was cut where the machine stopped
                    _LOG.warning("line %d of %s is left out, and asked for again: %s", number, self._path, error)
        folder.text(ROWS, "".join(map(_line, self.rows)))
        self.known = {row.key for row in self.rows}

    def append(self, row: BenchRow) -> None:
        """Add a row, on the disk before this returns."""
        self.rows.append(row)
        self.known.add(row.key)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(row))
            file.flush()
            os.fsync(file.fileno())


def _line(row: BenchRow) -> str:
    return json.dumps(row.to_dict()) + "\n"


class Meter:
    """Wraps a backend and counts what its answers cost; `usd_of` turns prompt and completion tokens into money."""

    def __init__(self, inner: VLM, usd_of: Callable[[float, float], float] | None = None) -> None:
        self.inner = inner
        self.usd_of = usd_of
        self._cost = Cost()

    def complete(self, request: Request) -> Reply:
        """Pass on a request and count the reply, also one that cannot be used."""
        try:
            reply = self.inner.complete(request)
        except VLMError as error:
            self._count(error.reply)
            raise
        self._count(reply)
        return reply

    def _count(self, reply: Reply | None) -> None:
        before = self._cost
        usage = reply.usage if reply is not None else {}
        self._cost = Cost(
            before.calls + 1,
            before.prompt_tokens + int(usage.get("prompt_tokens", 0)),
            before.completion_tokens + int(usage.get("completion_tokens", 0)),
            before.seconds + (reply.seconds if reply is not None else 0.0),
        )

    def take(self) -> Cost:
        """What was spent since the last time."""
        spent = self._cost
        self._cost = Cost()
        usd = self.usd_of(spent.prompt_tokens, spent.completion_tokens) if self.usd_of else None
        return Cost(spent.calls, spent.prompt_tokens, spent.completion_tokens, round(spent.seconds, 3), usd)
