"""The `iker` command.

Exit codes: 0 the task is done (or the check passed), 1 it is not, 2 wrong usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iker_agent.cli_tasks import tasks

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Iterative keypoint rewards: language and vision specify manipulation tasks.",
)

NOT_DONE, USAGE = 1, 2
app.command()(tasks)


def main() -> None:
    """Entry point: ValueErrors are usage errors, told in one sentence."""
    try:
        app()
    except ValueError as error:
        typer.echo(f"iker: {error}", err=True)
        raise SystemExit(USAGE) from None


@app.command()
def run(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings, such as learn.budget_s=120 or run.retries=0.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task name, or path of a task YAML.")] = None,
    instruction: Annotated[str | None, typer.Option(help="What to do; default: the task's own instruction.")] = None,
    learner: Annotated[str | None, typer.Option(help="ppo (trains) or waypoint (a fixed rule).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of world, noise and learning.")] = None,
    configuration: Annotated[int | None, typer.Option(help="Arrangement of the task, counted from 0.")] = None,
    vlm: Annotated[str | None, typer.Option(help="Who writes the programs: annotated.")] = None,
    preset: Annotated[str, typer.Option(help="Settings from cfg/presets, such as paper.")] = "",
    out: Annotated[Path | None, typer.Option(help="Run folder; default: runs/TASK_NNN.")] = None,
) -> None:
    """Do a task: look, ask for a program, learn a policy in simulation, act, look again, until done.

    By default the task shoe_rack with human-written programs, PPO on the CPU and a simulated world; about ten minutes.
    Add --learner waypoint to see the loop in less than one.
    """
    from iker_agent.config import make_config

    config = make_config(
        overrides or (),
        preset,
        task=task,
        instruction=instruction,
        learner=learner,
        seed=seed,
        configuration=configuration,
        vlm=vlm,
    )
    raise typer.Exit(_run(config, out))


def _run(config, out: Path | None) -> int:
    from iker_agent.display import Screen
    from iker_agent.loop import run_task
    from iker_agent.report import write_report
    from iker_agent.run_folder import Folder, fresh_folder
    from iker_envs.task import load_task

    task = load_task(config.task)
    task.configuration(config.configuration)
    folder = Folder(fresh_folder(out, task.name))
    with Screen(config.learn.budget_s) as screen:
        screen.console.print(
            f"[bold]{config.instruction or task.configuration(config.configuration).instruction}[/bold]"
        )
        try:
            result = run_task(config, folder, screen)
        except KeyboardInterrupt:
            write_report(folder.path)
            screen.note(f"interrupted; what was done so far is in {folder.path}")
            return NOT_DONE
        report = write_report(folder.path)
        screen.closing(result, str(report))
    return 0 if result.success else NOT_DONE


@app.command()
def envs() -> None:
    """List the environment ids, their spaces, and one line on each."""
    import gymnasium as gym
    from rich.console import Console
    from rich.table import Table

    import iker_envs
    from iker_envs.spec import Spec
    from iker_envs.task import load_task

    table = Table("id", "observation", "action", "what it is")
    spec = Spec()
    spaces = f"Box({spec.observation_dim},)", f"Box({spec.action_dim},)"
    for id_ in iker_envs.IDS:
        assert id_ in gym.registry
        task = iker_envs.TASKS.get(id_)
        line = load_task(task).description if task else "Any scene and goal: gym.make(id, scene=..., goal=...)."
        table.add_row(id_, *spaces, line)
    Console().print(table)


@app.command()
def check(task: Annotated[str, typer.Argument(help="Task name, or path of a task YAML.")]) -> None:
    """Check a task: it rests, is reachable and visible, its programs give its goals, a waypoint policy solves it."""
    from iker_agent.check import check_task

    faults = check_task(task)
    for fault in faults:
        typer.echo(f"fault: {fault}")
    typer.echo(f"{task}: {'no faults found' if not faults else f'{len(faults)} found'}")
    raise typer.Exit(NOT_DONE if faults else 0)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html of a run folder again."""
    from iker_agent.report import write_report

    typer.echo(str(write_report(folder)))
