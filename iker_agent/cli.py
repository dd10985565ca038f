"""The `iker` command.

Exit codes: 0 the task is done (or the check passed), 1 it is not, 2 wrong usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iker_agent.commands.tasks import tasks
from iker_agent.commands.train import add_commands as add_training_commands
from iker_agent.plain_text import echo

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Iterative keypoint rewards: language and vision specify manipulation tasks.",
)

NOT_DONE = 1
USAGE = 2
app.command()(tasks)


def main() -> None:
    """Entry point: ValueErrors are usage errors, and so are paths that cannot be used; both told in one sentence."""
    try:
        app()
    except ValueError as error:
        problem = str(error)
    except OSError as error:
        if error.filename is None:
            raise
        problem = f"{str(error.filename)!r} cannot be used: {error.strerror}"
    else:
        return
    echo(f"iker: {problem}", err=True)
    raise SystemExit(USAGE)


bench_app = typer.Typer(no_args_is_help=True, help="Measure, and print a table.")
app.add_typer(bench_app, name="bench")

Overrides = Annotated[list[str] | None, typer.Argument(help="Settings, such as learn.budget_s=120 or run.retries=0.")]
TaskName = Annotated[str | None, typer.Option(help="Task name, or path of a task YAML.")]
Instruction = Annotated[str | None, typer.Option(help="What to do; default: the task's own instruction.")]
Seed = Annotated[int | None, typer.Option(help="Seed of world, noise and learning.")]
Number = Annotated[int | None, typer.Option(help="Arrangement of the task, counted from 0.")]
Backend = Annotated[str | None, typer.Option(help="Who writes the programs: annotated, openai or replay.")]
ModelName = Annotated[str | None, typer.Option(help="Model that the backend openai asks for.")]
Address = Annotated[str | None, typer.Option(help="Server of the backend openai, such as http://127.0.0.1:8000/v1.")]
Cassette = Annotated[Path | None, typer.Option(help="Run folder that the backend replay answers from.")]
Preset = Annotated[str, typer.Option(help="Settings from cfg/presets, such as paper.")]
Out = Annotated[Path | None, typer.Option(help="Folder to write into; default: a new one in runs/.")]


def _config(overrides: list[str] | None, preset: str, model, base_url, cassette, **top):
    from iker_agent.config import make_config

    given = {"model": model, "base_url": base_url, "cassette": str(cassette) if cassette else None}
    asked = {name: value for name, value in given.items() if value is not None}
    config = make_config(overrides or (), preset, ask=asked or None, **top)
    for name in asked:
        needed = "replay" if name == "cassette" else "openai"
        if config.vlm != needed:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} needs --vlm {needed}; {config.vlm} would not use it")
    return config


@app.command()
def run(
    overrides: Overrides = None,
    task: TaskName = None,
    instruction: Instruction = None,
    learner: Annotated[str | None, typer.Option(help="ppo (trains) or waypoint (a fixed rule).")] = None,
    seed: Seed = None,
    configuration: Number = None,
    vlm: Backend = None,
    model: ModelName = None,
    base_url: Address = None,
    cassette: Cassette = None,
    disturb: Annotated[
        str | None, typer.Option(help="Something happens: snatch, gap, too_wide or new_instruction.")
    ] = None,
    preset: Preset = "",
    out: Out = None,
) -> None:
    """Do a task: look, ask for a program, learn a policy in simulation, act, look again, until done.

    By default the task shoe_rack with human-written programs, shipped policies, PPO where they do not do, and a
    simulated world: a minute or two; with learn.warm_start=false, without the shipped ones, minutes a stage.
    --learner waypoint takes seconds.
    """
    from iker_agent.commands.run import start_run

    top = {"task": task, "instruction": instruction, "learner": learner, "seed": seed, "vlm": vlm}
    top |= {"configuration": configuration, "disturb": disturb}
    config = _config(overrides, preset, model, base_url, cassette, **top)
    raise typer.Exit(0 if start_run(config, out) else NOT_DONE)


@app.command()
def query(
    overrides: Overrides = None,
    task: TaskName = None,
    instruction: Instruction = None,
    seed: Seed = None,
    configuration: Number = None,
    vlm: Backend = None,
    model: ModelName = None,
    base_url: Address = None,
    cassette: Cassette = None,
    preset: Preset = "",
    out: Out = None,
) -> None:
    """Look once, ask once, and show marked image, prompt, reply, program and goal; nothing moves."""
    from iker_agent.commands.console import PlainConsole
    from iker_agent.commands.query import query as ask_once
    from iker_agent.commands.query import show

    top = {"task": task, "instruction": instruction, "seed": seed, "vlm": vlm, "configuration": configuration}
    result = ask_once(_config(overrides, preset, model, base_url, cassette, **top), out)
    show(result, PlainConsole())
    raise typer.Exit(0 if result.answer else NOT_DONE)


@app.command()
def replay(
    folder: Annotated[Path, typer.Argument(help="Folder of the run to execute again.")],
    out: Out = None,
) -> None:
    """Execute a recorded run again: its answers, its policies, no network; says whether all goals are the same."""
    from iker_agent.commands.run import replay_run

    found = replay_run(folder, out)
    if found is None:
        raise typer.Exit(NOT_DONE)
    for stage in found.different:
        echo(f"{stage}: another goal than in the record")
    if found.unequal_requests:
        echo(f"{found.unequal_requests} questions were not worded as in the record")
    if found.trained:
        echo(f"trained again, for want of a policy: {', '.join(found.trained)}")
    echo(f"{len(found.equal)} of {len(found.equal) + len(found.different)} goals are equal, bit by bit")
    raise typer.Exit(0 if found.exact else NOT_DONE)


@bench_app.command("vlm")
def bench_vlm(
    overrides: Overrides = None,
    task: Annotated[list[str] | None, typer.Option(help="Task name or path, may be repeated; default: all.")] = None,
    contract: Annotated[str, typer.Option(help="keypoints, poses or both.")] = "both",
    samples: Annotated[int, typer.Option(help="Drawn scenes per arrangement.")] = 1,
    seed: Seed = None,
    vlm: Backend = None,
    model: ModelName = None,
    base_url: Address = None,
    cassette: Cassette = None,
    out: Out = None,
) -> None:
    """Programs only, no training: how often is a model's target where the annotated one is? Minutes, not hours."""
    from iker_agent.commands.bench import bench_vlm as measure

    config = _config(overrides, "", model, base_url, cassette, seed=seed, vlm=vlm)
    raise typer.Exit(0 if measure(config, task or (), contract, samples, out) else NOT_DONE)


@app.command()
def envs() -> None:
    """List the environment ids, their spaces, and one line on each."""
    import gymnasium as gym
    from rich.markup import escape
    from rich.table import Table

    import iker_envs
    from iker_agent.commands.console import PlainConsole
    from iker_envs.spec import Spec
    from iker_envs.task import load_task

    table = Table("id", "observation", "action", "what it is")
    spec = Spec()
    spaces = f"Box({spec.observation_dim},)", f"Box({spec.action_dim},)"
    for id_ in iker_envs.IDS:
        assert id_ in gym.registry
        task = iker_envs.TASKS.get(id_)
        line = load_task(task).description if task else "Any scene and goal: gym.make(id, scene=..., goal=...)."
        table.add_row(id_, *spaces, escape(line))
    PlainConsole().print(table)


@app.command()
def check(task: Annotated[str, typer.Argument(help="Task name, or path of a task YAML.")]) -> None:
    """Check a task: it rests, is reachable and visible, its programs give its goals, a waypoint policy solves it."""
    from iker_agent.authoring.check import check_task
    from iker_envs.task import find_task

    find_task(task)
    faults = check_task(task)
    for fault in faults:
        echo(f"fault: {fault}")
    echo(f"{task}: {'no faults found' if not faults else f'{len(faults)} found'}")
    raise typer.Exit(NOT_DONE if faults else 0)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html of a run folder again."""
    from iker_agent.records.report import write_report

    echo(str(write_report(folder)))


add_training_commands(app)

if __name__ == "__main__":
    main()
