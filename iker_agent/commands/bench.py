"""What `iker bench vlm` does on the screen: a line per wrong answer while it runs, then the table and the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from iker_agent.backends import make_vlm, told
from iker_agent.commands.terminal import make_console, notes, show_table
from iker_agent.config import RunConfig
from iker_agent.experiments.vlm_bench import BenchRow, Summary, bench, results, summarise
from iker_agent.learning.evaluate import wilson
from iker_agent.program.signatures import CONTRACTS
from iker_agent.records.run_folder import Folder, claimed_folder
from iker_agent.vlm.errors import Unanswered
from iker_envs.task import Task, load_task, task_names


def bench_vlm(config: RunConfig, names: Sequence[str], contract: str, samples: int, out: Path | None) -> bool:
    """Ask about tasks (all when no names are given); True if every question was answered, rightly or wrongly."""
    if contract not in (*CONTRACTS, "both"):
        raise ValueError(f"contract {contract!r} is unknown; known: {', '.join(CONTRACTS)}, both")
    if samples < 1:
        raise ValueError(f"samples is at least 1, not {samples}")
    tasks = [load_task(name) for name in names or task_names()]
    vlm = make_vlm(config, tasks[0])  # wrong settings leave no folder behind
    with claimed_folder(out, "bench_vlm") as folder, notes(make_console(stderr=True)):
        return _asked(tasks, CONTRACTS if contract == "both" else (contract,), samples, config, folder, told(vlm))


def _asked(
    tasks: Sequence[Task],
    contracts: Sequence[str],
    samples: int,
    config: RunConfig,
    folder: Folder,
    whom: Sequence[str],
) -> bool:
    console = make_console()
    for line in whom:
        console.print(escape(line))
    rows = []
    problem = ""
    try:
        for row in bench(tasks, contracts, samples, config, folder):
            rows.append(row)
            if not row.right:
                console.print(f"[yellow]{escape(_place(row))}[/yellow]: {escape(row.reason)}")
    except Unanswered as error:
        problem = str(error)
    finally:  # also when interrupted: the questions are paid for
        path = folder.json("results.json", results(rows, config, samples))
        console.print(f"results: {escape(str(path))}")
    show_summary(console, summarise(rows), config)
    if problem:
        console.print(f"[red]ended after {len(rows)} questions[/red]: {escape(problem)}")
    return not problem


def _place(row: BenchRow) -> str:
    return f"{row.task} {row.configuration} stage {row.stage} sample {row.sample} ({row.contract})"


def show_summary(console: Console, lines: Sequence[Summary], config: RunConfig) -> None:
    """Print rates of right targets with 95 % Wilson intervals."""
    rows = []
    for line in lines:
        rates = (_rate(line.first, line.asked), _rate(line.repaired, line.asked), _rate(line.near, line.targets))
        rows.append((line.contract, line.task, str(line.asked), *rates))
    who = config.ask.model or config.vlm
    numbers = ("asked", "first answer", "with repairs", "near annotation")
    title = f"{who}: answers that fulfil the task; targets within 5 cm and 15 degrees of the annotated ones"
    show_table(console, ("contract", "task", *numbers), rows, title=title, right=numbers)


def _rate(right: int, asked: int) -> str:
    if not asked:
        return "-"
    low, high = wilson(right, asked)
    return f"{100 * right / asked:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
