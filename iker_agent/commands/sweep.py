"""`iker sweep`: many trainings from one file, carried out here or by Ray; sweep/ does it, here is what it prints."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iker_agent.commands.ending import DONE, NOT_DONE, need
from iker_agent.commands.options import named_path

if TYPE_CHECKING:
    from iker_agent.sweep.plan import Trial
    from iker_agent.sweep.run import Runner, SweepResult
    from iker_agent.sweep.runners import Outcome


def sweep(
    file: Annotated[Path, typer.Argument(parser=named_path, metavar="SWEEP.yaml", help="What is trained.")],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, metavar="FOLDER", help="Of the sweep; default runs/sweep_NAME, NAME the file's."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="CPUs of Ray's on this machine; 0: one by one, without Ray.")] = 2,
    address: Annotated[str, typer.Option(help="Of a Ray cluster, ray://HOST:10001; its machines share FOLDER.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, and what is finished.")
    ] = False,
) -> None:
    """Train tasks x seeds x settings; the same command again goes on and keeps what has finished.

    One table, results.md and results.json, is written after every trial. A trial that fails is told, and the others go
    on; the next call tries it again. For example, a file with:

        tasks: [shoe_push, book_push]
        seeds: [0, 1]
    """
    from iker_agent.commands.train import train_defaults
    from iker_agent.records.run_folder import locked
    from iker_agent.sweep.plan import read_sweep
    from iker_agent.sweep.run import run_sweep

    trials = read_sweep(file).trials(train_defaults())
    folder = out or Path("runs") / f"sweep_{file.stem}"
    if dry_run:
        _show_plan(trials, folder)
        raise typer.Exit(DONE)
    runner = _runner(trials, workers, address)
    with locked(folder):
        result = run_sweep(trials, folder, runner, _told)
    raise typer.Exit(DONE if _closing(result, folder) else NOT_DONE)


def _runner(trials: tuple[Trial, ...], workers: int, address: str) -> Runner:
    from iker_agent.sweep.runners import in_turn, on_ray

    if workers < 0:
        raise ValueError(f"--workers is at least 0, not {workers}")
    if not workers and not address:
        return in_turn
    need("ray")
    if not address and trials[0].cpus > workers:
        raise ValueError(f"a trial takes {trials[0].cpus:g} CPUs and --workers is {workers}; give as many")
    return partial(on_ray, workers=workers, address=address)


def _show_plan(trials: tuple[Trial, ...], folder: Path) -> None:
    from iker_agent.plain_text import echo
    from iker_agent.sweep.trial import finished

    for trial in trials:
        echo(f"{trial.name}: {'to be trained' if finished(trial, folder) is None else 'finished'}")


def _told(trial: Trial, outcome: Outcome) -> None:
    from iker_agent.plain_text import echo
    from iker_agent.sweep.runners import Failure

    if isinstance(outcome, Failure):
        echo(f"{trial.name}: failed: {outcome.reason}")
    else:
        echo(f"{trial.name}: strict success {outcome['evaluation']['success_rate_strict']:.3f}")


def _closing(result: SweepResult, folder: Path) -> bool:
    from iker_agent.plain_text import echo
    from iker_agent.sweep.run import TABLE

    done = len(result.outcomes) - len(result.failed)
    echo(f"{done} of {len(result.trials)} trials have a result, {result.kept} of them from before")
    if result.failed:
        echo(f"{len(result.failed)} failed; the same command tries them again")
    echo(f"table: {folder / TABLE}")
    return result.complete
