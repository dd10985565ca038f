"""What the rows of a benchmark add up to: rates with intervals by tier, contract and skill, and results.json.

rows  ->  summarise, by_skill, costs  ->  lines of tables        rows, plan  ->  results  ->  results.json
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from iker_agent.experiments.bench_rows import PRECISE, TIERS, BenchRow
from iker_agent.experiments.conditions import arrangement_hash, conditions, digest, item_hash
from iker_agent.experiments.items import SKILLS
from iker_agent.experiments.scoring import NEAR_M, NEAR_RAD
from iker_agent.experiments.vlm_bench import BenchPlan
from iker_agent.learning.evaluate import wilson

BENCHMARK = "iker-vlm"
SIGNED = "digest"


@dataclass(frozen=True)
class Summary:
    """Counts of right answers among `asked` for one task and contract ("all" for all of a tier)."""

    task: str
    contract: str
    asked: int
    first: int
    repaired: int  # first ones included
    targets: int = 0  # proposed in the end, done not counted
    near: int = 0  # of these, within 5 cm and 15 degrees of the annotated ones
    tier: str = PRECISE
    carried_out: int = 0  # runs in worlds of their own
    executed: int = 0  # of these, that ended as asked


@dataclass(frozen=True)
class Costs:
    """What the answers of a contract cost; `usd` is None without prices."""

    contract: str
    questions: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    usd: float | None


def summarise(rows: Sequence[BenchRow]) -> list[Summary]:
    """A line per tier, contract and task of the precise tier, then one over all of that tier and contract."""
    lines = []
    for tier in TIERS:
        for contract in dict.fromkeys(r.contract for r in rows):
            mine = [r for r in rows if (r.tier, r.contract) == (tier, contract)]
            tasks = dict.fromkeys(r.task for r in mine) if tier == PRECISE else ()
            for task in (*tasks, *(["all"] if mine else [])):
                lines.append(_summary(tier, contract, task, [r for r in mine if task in (r.task, "all")]))
    return lines


def _summary(tier: str, contract: str, task: str, group: Sequence[BenchRow]) -> Summary:
    near = [r.near for r in group if r.near is not None]
    runs = [r.executed for r in group if r.executed is not None]
    counts = (sum(r.first for r in group), sum(r.right for r in group), len(near), sum(near))
    return Summary(task, contract, len(group), *counts, tier, len(runs), sum(runs))


def by_skill(rows: Sequence[BenchRow]) -> list[Summary]:
    """A line per skill and contract over all tiers; a row counts for each skill that it needs."""
    lines = []
    for contract in dict.fromkeys(r.contract for r in rows):
        for skill in SKILLS:
            group = [r for r in rows if r.contract == contract and skill in r.skills]
            if group:
                counts = (len(group), sum(r.first for r in group), sum(r.right for r in group))
                lines.append(Summary(skill, contract, *counts, tier="all"))
    return lines


def costs(rows: Sequence[BenchRow]) -> list[Costs]:
    """A line per contract."""
    lines = []
    for contract in dict.fromkeys(r.contract for r in rows):
        spent = [r.cost for r in rows if r.contract == contract]
        usd = [c.usd for c in spent if c.usd is not None]
        counts = (sum(c.calls for c in spent), sum(c.prompt_tokens for c in spent))
        more = (sum(c.completion_tokens for c in spent), round(sum(c.seconds for c in spent), 1))
        lines.append(Costs(contract, len(spent), *counts, *more, round(sum(usd), 6) if usd else None))
    return lines


def hashes(plan: BenchPlan) -> dict[str, dict[str, str]]:
    """The hash of every item that is asked about, by tier."""
    found: dict[str, dict[str, str]] = {}
    for item in plan.items:
        is_precise = item.tier == PRECISE
        name = arrangement_hash(item.task, item.configuration) if is_precise else item_hash(item)
        found.setdefault(item.tier, {})[item.name] = name
    return found


def asked_under(plan: BenchPlan) -> dict[str, Any]:
    """Whom is asked, and what has to stay the same when a benchmark is continued; not how much is asked."""
    ask = plan.config.ask
    whom = {"backend": plan.config.vlm, "model": ask.model, "base_url": ask.base_url}
    sampling = {"temperature": ask.temperature, "max_tokens": ask.max_tokens, "detail": ask.detail}
    fixed = conditions(plan.config, plan.contracts, {})
    return {"version": version("iker"), **whom, **sampling, **{k: v for k, v in fixed.items() if k != "tiers"}}


def results(rows: Sequence[BenchRow], plan: BenchPlan) -> dict[str, Any]:
    """results.json: what was asked of whom under which conditions, the summaries with intervals, every row, a digest.

    The digest is one of everything else: it shows a slip of the editor, and proves nothing.
    """
    rows = sorted(rows, key=lambda row: (TIERS.index(row.tier), row.contract))
    settings = plan.config.to_dict()
    items = hashes(plan)
    keys = set(plan.keys())
    content = {
        "benchmark": BENCHMARK,
        "version": version("iker"),
        "backend": plan.config.vlm,
        "model": plan.config.ask.model,
        "seed": plan.config.seed,
        "samples": plan.samples,
        "contracts": list(plan.contracts),
        "tiers": list(items),
        "questions": len(keys),
        "answered": len(keys & {row.key for row in rows}),
        "near": {"position_m": NEAR_M, "angle_deg": float(np.rad2deg(NEAR_RAD))},
        "config_hash": digest(settings),
        "spec_hash": conditions(plan.config, (), {})["spec_hash"],
        "conditions": conditions(plan.config, plan.contracts, items),
        "items": items,
        "summary": [with_intervals(s) for s in summarise(rows)],
        "skills": [with_intervals(s) for s in by_skill(rows)],
        "costs": [asdict(c) for c in costs(rows)],
        "rows": [row.to_dict() for row in rows],
        "config": settings,
    }
    return {**content, SIGNED: digest(content)}


def with_intervals(line: Summary) -> dict[str, Any]:
    """A line with its 95 % Wilson intervals."""
    pairs: Iterable[tuple[str, int, int]] = (
        ("first_interval", line.first, line.asked),
        ("repaired_interval", line.repaired, line.asked),
        ("near_interval", line.near, line.targets),
        ("executed_interval", line.executed, line.carried_out),
    )
    return {**asdict(line), **{name: list(wilson(right, asked)) for name, right, asked in pairs}}
