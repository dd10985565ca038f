"""What `iker bench vlm` does on the screen: a line per wrong answer while it runs, then the table and the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from iker_agent.backends import make_vlm, told
from iker_agent.commands.console import PlainConsole
from iker_agent.config import CONTRACTS, RunConfig
from iker_agent.experiments.vlm_bench import Row, Summary, bench, results, summarise
from iker_agent.learning.evaluate import wilson
from iker_agent.records.run_folder import Folder, fresh_folder
from iker_agent.vlm.errors import Unanswered
from iker_envs.task import load_task, task_names


def bench_vlm(config: RunConfig, names: Sequence[str], contract: str, samples: int, out: Path | None) -> bool:
    """Ask about tasks (all when no names are given); True if every question was answered, rightly or wrongly."""
    if contract not in (*CONTRACTS, "both"):
        raise ValueError(f"contract {contract!r} is unknown; known: {', '.join(CONTRACTS)}, both")
    if samples < 1:
        raise ValueError(f"samples is at least 1, not {samples}")
    tasks = [load_task(name) for name in names or task_names()]
    vlm = make_vlm(config, tasks[0])  # wrong settings leave no folder behind
    folder = Folder(fresh_folder(out, "bench_vlm"))
    console = PlainConsole()
    for line in told(vlm):
        console.print(escape(line), soft_wrap=True)
    rows = []
    problem = ""
    try:
        for row in bench(tasks, CONTRACTS if contract == "both" else (contract,), samples, config, folder):
            rows.append(row)
            if not row.right:
                console.print(f"[yellow]{escape(_place(row))}[/yellow]: {escape(row.reason)}", soft_wrap=True)
    except Unanswered as error:
        problem = str(error)
    path = folder.json("results.json", results(rows, config, samples))
    console.print(table(summarise(rows), config))
    if problem:
        console.print(f"[red]ended after {len(rows)} questions[/red]: {escape(problem)}", soft_wrap=True)
    console.print(f"results: {escape(str(path))}", soft_wrap=True)
    return not problem


def _place(row: Row) -> str:
    return f"{row.task} {row.configuration} stage {row.stage} sample {row.sample} ({row.contract})"


def table(lines: Sequence[Summary], config: RunConfig) -> Table:
    """Rates of right targets with 95 % Wilson intervals."""
    who = config.ask.model or config.vlm
    shown = Table(title=f"{escape(who)}: targets within 5 cm and 15 degrees of the annotated ones")
    for name, justify in (("contract", "left"), ("task", "left"), ("asked", "right")):
        shown.add_column(name, justify=justify)
    for name in ("first answer", "with repairs"):
        shown.add_column(name, justify="right")
    for line in lines:
        rates = (_rate(line.first, line.asked), _rate(line.repaired, line.asked))
        style = "bold" if line.task == "all" else None
        shown.add_row(
            line.contract, escape(line.task), str(line.asked), *rates, style=style, end_section=line.task == "all"
        )
    return shown


def _rate(right: int, asked: int) -> str:
    low, high = wilson(right, asked)
    return f"{100 * right / asked:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
