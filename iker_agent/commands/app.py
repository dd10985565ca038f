"""The verbs of the `iker` command: each reads its options, calls one function, and says how it ended.

arguments  ->  call(arguments)  ->  exit code (ending.py)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from iker_agent.commands.calibrate import board, calibrate
from iker_agent.commands.ending import DONE, NOT_DONE, USAGE
from iker_agent.commands.lab import doctor, lab
from iker_agent.commands.options import ModelOptions, Out, QueryOptions, RunFolder, RunOptions, named_path, spread
from iker_agent.commands.reproduce import reproduce_app
from iker_agent.commands.scan import scan
from iker_agent.commands.settings import RunCommand, TrainCommand
from iker_agent.commands.sweep import sweep
from iker_agent.commands.talk import talk
from iker_agent.commands.tasks import envs, tasks
from iker_agent.commands.train import evaluate, train
from iker_agent.plain_text import echo

_UsageError = typer.BadParameter.__base__  # what typer says about any wrong command line; it has no public name
_PLAIN_WIDTH = 100  # characters of help in a file or pipe


def _at_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if _at_terminal() else None,
    context_settings=None if _at_terminal() else {"terminal_width": _PLAIN_WIDTH},
)
bench_app = typer.Typer(invoke_without_command=True)
app.add_typer(bench_app, name="bench")
app.add_typer(reproduce_app, name="reproduce")


def call(arguments: Sequence[str]) -> int:
    """Call a verb and give its exit code; ValueError says what is wrong with the command line."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("iker", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except _UsageError as error:  # type: ignore[misc]  # no checker knows that a base of an exception is one
        where = error.ctx.command_path if error.ctx else "iker"
        raise ValueError(f"{error.format_message().rstrip('.')}; see {where} --help") from None
    return DONE


def _help_without_verb(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        echo(context.get_help())
        raise typer.Exit(USAGE)


@app.callback()
def iker(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the versions that results depend on.")] = False,
) -> None:
    """Iterative keypoint rewards: language and vision specify manipulation tasks.

    Exit codes: 0 the task is done or the check passed, 1 it is not, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    if version:
        from iker_agent.learning.provenance import versions

        found = versions()
        for name in sorted(found, key=lambda name: name != "iker"):  # this package first
            echo(f"{name} {found[name] or 'is not installed'}")
        raise typer.Exit(DONE)
    _help_without_verb(context)


@bench_app.callback()
def bench(context: typer.Context) -> None:
    """Measure, and print a table."""
    _help_without_verb(context)


@reproduce_app.callback()
def reproduce(context: typer.Context) -> None:
    """Run a table of the paper again, next to its figures."""
    _help_without_verb(context)


app.command()(tasks)
app.command()(envs)
app.command()(lab)
app.command()(doctor)
app.command()(board)
app.command()(calibrate)
app.command()(scan)


@app.command(cls=RunCommand)
@spread
def run(options: RunOptions, out: Out = None) -> None:
    """Do a task: look, ask for a program, learn, act, look again, until done.

    By default the task shoe_rack with human-written programs, shipped policies, PPO where they do not do, and a
    simulated world: a minute or two; with learn.warm_start=false, without the shipped ones, minutes a stage.
    --learner waypoint takes seconds. For example:

        iker run --task shoe_push --seed 3 run.retries=0 learn.budget_s=120
    """
    from iker_agent.commands.run import start_run

    raise typer.Exit(DONE if start_run(options.config(), out) else NOT_DONE)


@app.command(cls=RunCommand)
@spread
def query(options: QueryOptions, out: Out = None) -> None:
    """Look once, ask once, show image, prompt, reply, program and goal; nothing moves."""
    from iker_agent.commands.query import query as ask_once
    from iker_agent.commands.query import show
    from iker_agent.commands.terminal import make_console, notes

    with notes(make_console(stderr=True)):
        result = ask_once(options.config(), out)
    show(result, make_console())
    raise typer.Exit(DONE if result.answer else NOT_DONE)


@app.command("look", cls=RunCommand)
@spread
def look_around(
    options: QueryOptions,
    save_scene: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FILE", help="Write the scene as YAML, and FILE.png beside it."),
    ] = None,
    save_empty: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FILE", help="Write a view without objects, for perception.empty."),
    ] = None,
) -> None:
    """Look once with the depth cameras: where objects are, and the furniture that they rest on, as it is seen.

    Nothing in a picture tells a lying book from a board: what is not an object of the task becomes furniture. Look at
    the picture before you use the scene. For example:

        iker look --task shoe_rack --save-scene seen.yaml perception.source=rgbd
    """
    from iker_agent.commands.look import look_at_nothing, look_once
    from iker_agent.commands.look import save_scene as save

    if save_empty is not None:
        from iker_agent.atomic import replace_file
        from iker_envs.perception.views import view_bytes

        content = view_bytes(look_at_nothing(options.config()))
        replace_file(save_empty, lambda file: file.write_bytes(content))
        echo(f"saved: {save_empty}; use it with perception.source=rgbd perception.empty={save_empty}")
        raise typer.Exit(DONE)
    seen = look_once(options.config())
    for obj in seen.scene.objects:
        x, y, z = (f"{100 * v:.1f}" for v in obj.pose[:3])
        size = " x ".join(f"{100 * s:.1f}" for s in obj.model.size_m)
        echo(f"{obj.name}: {'object' if obj.movable else 'furniture'}, {size} cm, at x {x}, y {y}, z {z} cm")
    for note in seen.notes:
        echo(f"note: {note}")
    if save_scene is not None:
        echo(f"saved: {save_scene}, picture: {save(seen, save_scene)}")
    raise typer.Exit(DONE if seen.is_at_rest else NOT_DONE)


app.command(cls=RunCommand)(spread(talk))


@app.command()
def replay(folder: RunFolder, out: Out = None) -> None:
    """Execute a recorded run again, with its answers and policies; are all goals the same?"""
    from iker_agent.commands.run import replay_run

    found = replay_run(folder, out)
    for stage in found.different:
        echo(f"{stage}: another goal than in the record")
    if found.unequal_requests:
        echo(f"{found.unequal_requests} questions were not worded as in the record")
    if found.trained:
        echo(f"trained again, for want of a policy: {', '.join(found.trained)}")
    echo(f"{len(found.equal)} of {len(found.equal) + len(found.different)} goals are equal, bit by bit")
    raise typer.Exit(DONE if found.exact else NOT_DONE)


app.command(cls=TrainCommand)(train)
app.command("eval")(evaluate)
app.command()(sweep)


@bench_app.command("vlm", cls=RunCommand)
@spread
def bench_vlm(
    options: ModelOptions,
    task: Annotated[list[str] | None, typer.Option(help="Task name or path, may be repeated; default: all.")] = None,
    contract: Annotated[str, typer.Option(help="keypoints, poses or both.")] = "both",
    samples: Annotated[int, typer.Option(help="Drawn scenes per arrangement or item.")] = 1,
    tier: Annotated[str, typer.Option(help="Of the instructions: precise, natural, hard or all.")] = "precise",
    items: Annotated[list[str] | None, typer.Option(help="Name of an item, may be repeated; default: all.")] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Also carry right answers out, each in a world of its own.")
    ] = False,
    out: Out = None,
) -> None:
    """How often is a model right? Answers are judged by what success is; nothing is learned.

    A benchmark that was stopped goes on where it was when it is started again with its --out FOLDER. For example:

        iker bench vlm --vlm openai --model MODEL --tier all --out FOLDER ask.max_calls=0
    """
    from iker_agent.commands.bench import Asked
    from iker_agent.commands.bench import bench_vlm as measure

    asked = Asked(task or (), contract, samples, tier, items or (), execute)
    raise typer.Exit(DONE if measure(options.config(), asked, out) else NOT_DONE)


@bench_app.command("dummies")
def dummies(
    tier: Annotated[str, typer.Option(help="Of the instructions: natural or hard.")] = "hard",
    out: Out = None,
) -> None:
    """What does the benchmark give to who does not look: always the same answer, or random ones?"""
    from iker_agent.commands.bench import bench_dummies

    bench_dummies(tier, out)


@bench_app.command("leaderboard")
def leaderboard(
    folder: Annotated[Path, typer.Argument(parser=named_path, metavar="FOLDER", help="Holds results.json files.")],
) -> None:
    """Show the tables that results.json files make, and what does not enter, with the reason."""
    from iker_agent.experiments.leaderboard import Refused, judge_folder, tables

    found = judge_folder(folder)
    echo(tables(found))
    raise typer.Exit(NOT_DONE if not found or any(isinstance(entry, Refused) for entry in found) else DONE)


@app.command()
def check(task: Annotated[str, typer.Argument(help="Task name, or path of a task YAML.")]) -> None:
    """Check a task: at rest, reachable, visible, programs right, solved by a simple policy."""
    from iker_agent.authoring.check import check_task
    from iker_agent.commands.terminal import make_console, notes
    from iker_envs.task import find_task

    find_task(task)
    noted: list[str] = []
    with notes(make_console(stderr=True)):
        faults = check_task(task, note=noted.append)
    for text in noted:
        echo(f"note: {text}")
    for fault in faults:
        echo(f"fault: {fault}")
    echo(f"{task}: {'no faults found' if not faults else f'{len(faults)} found'}")
    raise typer.Exit(NOT_DONE if faults else DONE)


@app.command()
def report(folder: RunFolder) -> None:
    """Write report.html of a run folder again."""
    from iker_agent.records.report import write_report

    echo(str(write_report(folder)))
