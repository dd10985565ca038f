"""What `iker bench vlm` does on the screen: a line per answer while it runs, then the tables and the files.

    settings, what to ask  ->  bench_vlm  ->  rows.jsonl, results.json

A folder of a benchmark that was stopped is continued: what is there is not asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from iker_agent.backends import make_vlm, told
from iker_agent.commands.terminal import make_console, notes, show_table
from iker_agent.config import RunConfig
from iker_agent.experiments.bench_rows import PRECISE, TIERS, BenchRow, RowFile
from iker_agent.experiments.bench_tables import Summary, asked_under, by_skill, costs, results, summarise
from iker_agent.experiments.dummies import scores_of
from iker_agent.experiments.dummies import table as dummies_table
from iker_agent.experiments.items import Item, load_items
from iker_agent.experiments.vlm_bench import Bench, BenchPlan, precise_items
from iker_agent.learning.evaluate import wilson
from iker_agent.program.signatures import CONTRACTS
from iker_agent.records.run_folder import Folder, claimed_folder, locked
from iker_agent.vlm.errors import Unanswered
from iker_envs.documents import read_document
from iker_envs.task import load_task, task_names

ALL = "all"
_PLAN = "bench.json"


@dataclass(frozen=True)
class Asked:
    """What the command line asks about."""

    tasks: Sequence[str] = ()  # of the precise tier; empty: all
    contract: str = "both"
    samples: int = 1
    tier: str = PRECISE
    items: Sequence[str] = ()  # by name; empty: all of the tier
    execute: bool = False


def bench_vlm(config: RunConfig, asked: Asked, out: Path | None) -> bool:
    """Ask about tasks and items; True if every question was answered, rightly or wrongly."""
    if asked.contract not in (*CONTRACTS, "both"):
        raise ValueError(f"contract {asked.contract!r} is unknown; known: {', '.join(CONTRACTS)}, both")
    if asked.samples < 1:
        raise ValueError(f"samples is at least 1, not {asked.samples}")
    contracts = CONTRACTS if asked.contract == "both" else (asked.contract,)
    plan = BenchPlan(chosen_items(asked), contracts, config, asked.samples, asked.execute)
    vlm = make_vlm(config, plan.items[0].task)  # wrong settings leave no folder behind
    with _folder(out, plan) as folder, notes(make_console(stderr=True)):
        return _asked(plan, folder, told(vlm))


def bench_dummies(tier: str, out: Path | None) -> None:
    """Ask models that do not look about a tier's items, and print and write the table of their scores."""
    if tier not in TIERS[1:]:
        raise ValueError(f"tier {tier!r} has no dummies; known: {', '.join(TIERS[1:])}")
    items = load_items(tier)
    console = make_console()
    with _continued(out) as folder:
        scores = list(scores_of(items, folder.path, lambda name, row: console.print(f"{name}: {_progress_of(row)}")))
        console.print(escape(str(folder.text("dummies.md", dummies_table(scores)))))
    console.print(dummies_table(scores), soft_wrap=True)


@contextmanager
def _continued(out: Path | None) -> Iterator[Folder]:
    """A fresh folder, or one that dummies were asked in before."""
    if out is not None and out.is_dir():
        with locked(out):
            yield Folder(out)
        return
    with claimed_folder(out, "bench_dummies") as folder:
        yield folder


def _progress_of(row: BenchRow) -> str:
    return escape(f"{row.item} {'right' if row.right else f'wrong: {row.reason}'}")


def chosen_items(asked: Asked) -> tuple[Item, ...]:
    """The items of a tier, or of tasks, or those that are named; ValueError says which are known."""
    if asked.tier not in (*TIERS, ALL):
        raise ValueError(f"tier {asked.tier!r} is unknown; known: {', '.join(TIERS)}, {ALL}")
    if asked.tasks and asked.tier not in (PRECISE, ALL):
        raise ValueError(f"--task names tasks of the tier {PRECISE}; with --tier {asked.tier} leave it out")
    tiers = TIERS if asked.tier == ALL or asked.items else (asked.tier,)
    found: list[Item] = []
    for tier in tiers:
        if tier == PRECISE:
            tasks = [load_task(name) for name in asked.tasks or task_names()]
            found += precise_items(tasks, load_items(PRECISE))
        else:
            found += load_items(tier)
    known = {item.name: item for item in found}
    if unknown := [name for name in asked.items if name not in known]:
        raise ValueError(f"no item {unknown[0]!r}; known: {', '.join(known)}")
    chosen = [known[name] for name in dict.fromkeys(asked.items)] if asked.items else found
    if not chosen:
        raise ValueError(f"the tier {asked.tier} has no items")
    return tuple(chosen)


@contextmanager
def _folder(out: Path | None, plan: BenchPlan) -> Iterator[Folder]:
    """A fresh folder, or that of a benchmark that is continued; ValueError where that one asked otherwise."""
    now = asked_under(plan)
    if out is None or not (out / _PLAN).is_file():
        with claimed_folder(out, "bench_vlm") as folder:
            folder.json(_PLAN, now)
            yield folder
        return
    before = read_document(out / _PLAN)
    for name, value in now.items():
        then = before.get(name) if isinstance(before, dict) else None
        if name == "prompts" and isinstance(then, dict):
            value = {**then, **value}
            now["prompts"] = value
            then = {**value, **then}
        if then != value:
            raise ValueError(
                f"{str(out)!r} holds a benchmark with another {name} ({then!r}, now {value!r}): continue it with its "
                "own settings, or choose another folder"
            )
    with locked(out):
        folder = Folder(out)
        folder.json(_PLAN, now)
        yield folder


def _asked(plan: BenchPlan, folder: Folder, whom: Sequence[str]) -> bool:
    console = make_console()
    for line in whom:
        console.print(escape(line))
    file = RowFile(folder, keep=plan.config.vlm != "replay")  # a record is asked from its beginning
    keys = plan.keys()
    wanted = set(keys)
    known = len(wanted & file.known)
    if known:
        console.print(f"{known} of {len(keys)} answers are there already")
    bench = Bench(plan, folder, file)
    problem = ""
    began_s = time.monotonic()
    try:
        for number, row in enumerate(bench.rows(), start=1):
            number += len(bench.unanswered)
            left_s = (time.monotonic() - began_s) / number * (len(keys) - known - number)
            console.print(_progress(row, known + number, len(keys), left_s))
    except Unanswered as error:
        problem = str(error)
    finally:  # also when interrupted: the questions are paid for
        rows = [row for row in file.rows if row.key in wanted]
        path = folder.json("results.json", results(rows, plan))
        console.print(f"results: {escape(str(path))}")
    show_summary(console, rows, plan.config)
    if problem:
        console.print(f"[red]ended after {len(rows)} questions[/red]: {escape(problem)}")
    if bench.unanswered:
        console.print(f"[red]the record has no answer to {len(bench.unanswered)} of {len(keys)} questions[/red]")
    return not problem and not bench.unanswered


def _progress(row: BenchRow, number: int, total: int, left_s: float) -> str:
    """A line about an answer."""
    about = f"stage {row.stage} " if row.tier == PRECISE else ""
    item = f"{row.task} {row.configuration}" if row.tier == PRECISE else f"{row.tier} {row.item}"
    place = escape(f"{item} {about}sample {row.sample} ({row.contract})")
    if row.right:
        said = f"right{'' if row.first else f', with {row.answers} answers'}"
    else:
        said = f"[yellow]wrong[/yellow]: {escape(row.reason)}"
    if row.executed is not None:
        said += "; carried out" if row.executed else f"; [yellow]not carried out[/yellow]: {escape(row.execution)}"
    minutes, seconds = divmod(round(left_s), 60)
    left = f", {minutes}:{seconds:02d} left" if number < total else ""
    return f"[dim]\\[{number}/{total}{left}][/dim] {place}: {said}"


def show_summary(console: Console, rows: Sequence[BenchRow], config: RunConfig) -> None:
    """Print rates of right answers with 95 % Wilson intervals, by tier and by skill, and what they cost."""
    who = config.ask.model or config.vlm
    lines = summarise(rows)
    was_executed = any(line.carried_out for line in lines)
    numbers = ["asked", "first answer", "with repairs", "near annotation", *(["carried out"] if was_executed else [])]
    title = f"{who}: answers that fulfil the task; targets within 5 cm and 15 degrees of the annotated ones"
    table = [_cells(line, executed=was_executed) for line in lines]
    show_table(console, ("tier", "contract", "task", *numbers), table, title=title, right=numbers)
    if skills := by_skill(rows):
        table = [(s.contract, s.task, str(s.asked), *_rates(s)) for s in skills]
        title = f"{who}: by skill; an answer counts for each skill that it needs"
        show_table(console, ("contract", "skill", *numbers[:3]), table, title=title, right=numbers[:3])
    headings = ("contract", "questions", "calls", "prompt tokens", "completion tokens", "seconds of answers", "USD")
    spent = [
        (c.contract, *map(str, (c.questions, c.calls, c.prompt_tokens, c.completion_tokens, c.seconds)), _usd(c.usd))
        for c in costs(rows)
    ]
    show_table(console, headings, spent, title=f"{who}: cost", right=headings[1:])


def _cells(line: Summary, *, executed: bool) -> tuple[str, ...]:
    near = rate(line.near, line.targets)
    ran = (rate(line.executed, line.carried_out),) if executed else ()
    return (line.tier, line.contract, line.task, str(line.asked), *_rates(line), near, *ran)


def _rates(line: Summary) -> tuple[str, str]:
    return rate(line.first, line.asked), rate(line.repaired, line.asked)


def rate(right: int, asked: int) -> str:
    """A rate with its interval; "-" where nothing was asked."""
    if not asked:
        return "-"
    low, high = wilson(right, asked)
    return f"{100 * right / asked:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _usd(usd: float | None) -> str:
    return "-" if usd is None else f"{usd:.2f}"
