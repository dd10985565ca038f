"""A table of models from results.json files, and why a file is not in it.

    folder of results.json files  ->  read_results  ->  judge_results(content, Wanted)  ->  Standing or Refused
    all of them  ->  page  ->  Markdown

What enters was asked everything of a tier, under the conditions of this version: the same items, prompts, limits and
start poses. Nothing here can tell an honest file from one that was made up; the digest shows a slip alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from iker_agent.config import RunConfig
from iker_agent.experiments.bench_rows import PRECISE, TIERS, BenchRow
from iker_agent.experiments.bench_tables import (
    BENCHMARK,
    SIGNED,
    Summary,
    by_skill,
    costs,
    hashes,
    summarise,
    with_intervals,
)
from iker_agent.experiments.conditions import conditions, digest
from iker_agent.experiments.items import SKILLS, load_items
from iker_agent.experiments.vlm_bench import BenchPlan
from iker_agent.learning.evaluate import wilson
from iker_agent.program.signatures import CONTRACTS

_MAX_BYTES = 64 * 2**20
_SAME = ("seed", "repairs", "max_stages", "project", "spec_hash")  # of the conditions
_PEOPLE = "annotated"
_WORDS = ("model", "contract", "first answer", "with repairs", "carried out")
_NUMBERS = ("tokens", "seconds", "USD", "samples")  # the first two a question
_COLUMNS = (*_WORDS, *_NUMBERS, "version")


@dataclass(frozen=True, eq=False)
class Standing:
    """What a file shows of one tier and contract."""

    model: str
    file: str
    version: str
    samples: int
    summary: Summary
    rows: tuple[BenchRow, ...]


@dataclass(frozen=True)
class Refused:
    """A file, or one tier and contract of it, that is not in the tables, and why in one clause."""

    file: str
    part: str
    reason: str


@dataclass(frozen=True, eq=False)
class Wanted:
    """What this version asks with its default settings."""

    config: RunConfig = field(default_factory=RunConfig)

    @cached_property
    def plan(self) -> BenchPlan:
        """All tiers and contracts."""
        return BenchPlan(tuple(item for tier in TIERS for item in load_items(tier)), CONTRACTS, self.config)

    @cached_property
    def conditions(self) -> dict[str, Any]:
        """Those of the plan."""
        return conditions(self.config, CONTRACTS, hashes(self.plan))

    def keys(self, tier: str, contract: str, samples: int) -> set[tuple]:
        """Every question of a tier and contract."""
        items = tuple(item for item in self.plan.items if item.tier == tier)
        return set(BenchPlan(items, (contract,), self.config, samples).keys())


def read_results(path: Path) -> dict[str, Any]:
    """The content of a results.json; ValueError in one clause if it is none, or if it was changed by hand."""
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"it is larger than {_MAX_BYTES // 2**20} MiB")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(content, dict) or content.get("benchmark") != BENCHMARK:
        raise ValueError(f"it is no results.json of {BENCHMARK}")
    if content.get(SIGNED) != digest({name: value for name, value in content.items() if name != SIGNED}):
        raise ValueError("its digest does not fit its content: it was changed after it was written")
    return content


def judge_results(name: str, content: dict[str, Any], wanted: Wanted) -> list[Standing | Refused]:
    """What of a results.json enters: an entry per tier and contract of it; `name` is that of its file."""
    try:
        rows = [BenchRow.from_dict(row) for row in content["rows"]]
        samples = int(content["samples"])
        given = dict(content["conditions"])
        prompts, tiers = dict(given["prompts"]), dict(given["tiers"])
    except (KeyError, TypeError, ValueError) as error:
        return [Refused(name, "all", f"it lacks what it should hold: {error}")]
    whole = _of_the_whole(content, rows, given, samples, wanted)
    if whole:
        return [Refused(name, "all", whole)]
    found: list[Standing | Refused] = []
    model = str(content.get("model") or _PEOPLE)
    for tier in TIERS:
        for contract in CONTRACTS:
            mine = tuple(r for r in rows if (r.tier, r.contract) == (tier, contract))
            if not mine:
                continue
            reason = _of_a_part(tier, contract, mine, prompts, tiers, samples, wanted)
            if reason:
                found.append(Refused(name, f"{tier}, {contract}", reason))
            else:
                summary = summarise(mine)[-1]
                found.append(Standing(model, name, str(content.get("version")), samples, summary, mine))
    return found or [Refused(name, "all", "it has no rows")]


def _of_the_whole(
    content: dict[str, Any], rows: Sequence[BenchRow], given: dict[str, Any], samples: int, wanted: Wanted
) -> str:
    """Why nothing of a file can enter; empty if something may."""
    if not content.get("model") and content.get("backend") != _PEOPLE:
        return "nobody says which model answered; name it (--model, or ask.model=NAME)"
    if samples < 1:
        return f"samples is at least 1, not {samples}"
    for name in _SAME:
        if given.get(name) != wanted.conditions[name]:
            return f"it was asked with {name} {given.get(name)!r}, wanted {wanted.conditions[name]!r}"
    keys = [row.key for row in rows]
    if len(set(keys)) < len(keys):
        return f"a question is in it twice: {_named(next(key for key in keys if keys.count(key) > 1))}"
    if content.get("summary") != [with_intervals(line) for line in summarise(rows)]:
        return "its summary is not that of its rows"
    return ""


def _of_a_part(
    tier: str,
    contract: str,
    rows: Sequence[BenchRow],
    prompts: dict[str, Any],
    tiers: dict[str, Any],
    samples: int,
    wanted: Wanted,
) -> str:
    """Why a tier and contract of a file cannot enter; empty if it can."""
    prompt, ours = prompts.get(contract), wanted.conditions["prompts"][contract]
    if prompt != ours:
        return f"it was asked with another prompt ({prompt}, wanted {ours})"
    keys = wanted.keys(tier, contract, samples)
    there = {row.key for row in rows}
    if missing := keys - there:
        return f"{len(missing)} of {len(keys)} questions are missing, such as {_named(min(missing))}"
    if more := there - keys:
        return f"it has questions that are none of this version, such as {_named(min(more))}"
    tier_hash = wanted.conditions["tiers"].get(tier)
    if tiers.get(tier) != tier_hash:
        return f"its items are not those of this version ({tiers.get(tier)}, wanted {tier_hash})"
    return ""


def _named(key: tuple) -> str:
    tier, item, _, stage, sample, contract = key
    return f"{item}{f' stage {stage}' if tier == PRECISE else ''} sample {sample} ({contract})"


# ------------------------------------------------------------------------------------------------------------- the page


def judge_folder(folder: Path, wanted: Wanted | None = None) -> list[Standing | Refused]:
    """What the results of a folder show: its results.json, else all *.json and the results.json of folders in it.

    ValueError if there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is no folder; name one that holds results.json files")
    wanted = wanted or Wanted()
    found: list[Standing | Refused] = []
    own = folder / "results.json"
    paths = [own] if own.is_file() else [*sorted(folder.glob("*.json")), *sorted(folder.glob("*/results.json"))]
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            found += judge_results(name, read_results(path), wanted)
        except ValueError as problem:
            found.append(Refused(name, "all", str(problem)))
    return found


def tables(found: Sequence[Standing | Refused]) -> str:
    """Markdown: a table per tier, best first answers first, one by skill, and what was refused."""
    standings = [entry for entry in found if isinstance(entry, Standing)]
    blocks = []
    for tier in TIERS:
        mine = [s for s in standings if s.summary.tier == tier]
        if mine:
            blocks.append(f"## {tier.capitalize()}\n\n{_ranking(mine)}")
    if standings:
        blocks.append(
            f"## By skill\n\nFirst answers of all tiers that are in the tables above.\n\n{_skills(standings)}"
        )
    refused = [entry for entry in found if isinstance(entry, Refused)]
    if refused:
        lines = [f"| `{r.file}` | {r.part} | {_cell(r.reason)} |" for r in refused]
        blocks.append("\n".join(["## Not entered\n", "| file | part | why |", "|---|---|---|", *lines]))
    return "\n\n".join(blocks) + "\n" if blocks else "No results yet.\n"


def _ranking(standings: Sequence[Standing]) -> str:
    lines = [f"| | {' | '.join(_COLUMNS)} |", f"|---:|{'---|' * len(_WORDS)}{'---:|' * len(_NUMBERS)}---|"]
    best = sorted(standings, key=lambda s: (-s.summary.first / s.summary.asked, -s.summary.repaired, s.model))
    for place, s in enumerate(best, start=1):
        line = s.summary
        (cost,) = costs(s.rows)
        tokens = (cost.prompt_tokens + cost.completion_tokens) / cost.questions
        shown = (
            f"{place}",
            _cell(s.model),
            line.contract,
            _rate(line.first, line.asked),
            _rate(line.repaired, line.asked),
            _rate(line.executed, line.carried_out),
            f"{tokens:.0f}" if tokens else "",
            f"{cost.seconds / cost.questions:.1f}",
            "" if cost.usd is None else f"{cost.usd:.2f}",
            f"{s.samples}",
            s.version,
        )
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def _skills(standings: Sequence[Standing]) -> str:
    lines = [f"| model | contract | {' | '.join(SKILLS)} |", f"|---|---|{'---|' * len(SKILLS)}"]
    for model, contract in dict.fromkeys((s.model, s.summary.contract) for s in standings):
        rows = [r for s in standings if (s.model, s.summary.contract) == (model, contract) for r in s.rows]
        found = {line.task: line for line in by_skill(rows)}
        cells = [_rate(found[skill].first, found[skill].asked) if skill in found else "" for skill in SKILLS]
        lines.append(f"| {_cell(model)} | {contract} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rate(right: int, asked: int) -> str:
    if not asked:
        return ""
    low, high = wilson(right, asked)
    return f"{right} of {asked}, {100 * right / asked:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _cell(text: str) -> str:
    """Text that stays in its cell: names come from files that others wrote."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())[:300]
