"""`iker train` and `iker eval`: one policy over all configurations of a task, and how good a policy is.

Both are thin: learning/task_training.py trains, learning/task_evaluation.py measures and writes the result file; here
are their arguments and what they print.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iker_agent.commands.ending import DONE, NOT_DONE
from iker_agent.commands.options import Out, named_path

if TYPE_CHECKING:
    from iker_agent.learning.evaluate import Evaluation, TaskEvaluation
    from iker_agent.learning.ppo_config import PPOConfig
    from iker_agent.learning.training_folder import TrainSettings


Resume = Annotated[
    Path | None, typer.Option(parser=named_path, metavar="FOLDER", help="Folder of a training to go on with.")
]
Start = Annotated[
    Path | None,
    typer.Option(
        parser=named_path, metavar="POLICY", help="Policy file to begin with, instead of random weights: fine-tuning."
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", parser=named_path, metavar="FILE", help="Write the result to this file.")
]


def train(
    task: Annotated[str, typer.Argument(help="Task name, path of a task YAML, or a family: push, carry.")] = "",
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings, such as learn.max_steps=3000000.")] = None,
    observation: Annotated[str | None, typer.Option(help="keypoints (default) or pose.")] = None,
    randomisation: Annotated[str | None, typer.Option(help="on (default), off, or a YAML file of ranges.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of worlds, network and exploration; default 0.")] = None,
    start: Start = None,
    out: Out = None,
    resume: Resume = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="With --resume: begin at step 0 in a folder that has no checkpoint.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export-isaacgymenvs",
            parser=named_path,
            metavar="DIR",
            help="Train nothing; write the settings as YAML files for IsaacGymEnvs' and rl_games' users.",
        ),
    ] = None,
) -> None:
    """Train one policy for a task or a family of stages; Ctrl-C saves, --resume goes on.

    Ends when deterministic strict success on fresh copies reaches learn.stop_success twice, or after learn.max_steps.
    """
    from iker_agent.learning import distributed

    overrides = list(overrides or ())
    if resume and any(option is not None for option in (observation, randomisation, seed, start, out)):
        raise ValueError(
            "a resumed training keeps its observation, randomisation, seed, first policy and folder; leave them out"
        )
    if restart and not resume:
        raise ValueError("--restart is for --resume FOLDER; a new training begins at step 0 anyway")
    if resume and task:
        overrides.insert(0, task)  # the task is known from the folder: what looks like one is a setting
    if export:
        if resume or out or start:
            raise ValueError("--export-isaacgymenvs DIR trains nothing; leave --resume, --start and --out out")
        _write_cfg(export, _settings(task, overrides, observation, randomisation, seed))
        raise typer.Exit(DONE)
    with distributed.joined_group():
        if resume:
            done = _resume(resume, overrides, restart)
        else:
            done = _begin(_settings(task, overrides, observation, randomisation, seed, start), out)
        code = DONE if done else NOT_DONE
        if distributed.num_processes() > 1:
            distributed.leave(code)
    raise typer.Exit(code)


def _settings(
    task: str,
    overrides: Sequence[str],
    observation: str | None,
    randomisation: str | None,
    seed: int | None,
    start: Path | None = None,
) -> TrainSettings:
    """The settings of a new training, from the arguments of the command."""
    from iker_agent.learning.training_folder import new_settings

    learn = _learn(overrides, train_defaults())
    first = "" if start is None else str(start.absolute())
    return new_settings(task, observation or "keypoints", randomisation or "on", seed or 0, learn, first)


def _write_cfg(folder: Path, settings: TrainSettings) -> None:
    """Write what would be trained as configuration files of IsaacGymEnvs' style."""
    from iker_agent.learning.isaacgymenvs_cfg import write_cfg
    from iker_agent.plain_text import echo

    for path in write_cfg(folder, settings):
        echo(str(path))


def _begin(settings: TrainSettings, out: Path | None) -> bool:
    """Train in a new folder; False when it was interrupted."""
    from iker_agent.learning import distributed

    if distributed.rank():
        return _train(settings, Path())  # never written to
    folder = _fresh_folder(out, settings.name)
    with _held(folder) as note:
        _check_fresh(folder)  # once more: another training may have come and gone
        return _train(settings, folder, notes=[note])


def _resume(folder: Path, overrides: Sequence[str], restart: bool) -> bool:
    """Go on with a training; False when it was interrupted."""
    from iker_agent.learning import distributed
    from iker_agent.learning.training_folder import check_training_folder, resumed

    check_training_folder(folder)
    with nullcontext("") if distributed.rank() else _held(folder) as note:
        found = resumed(folder, lambda learn: _learn(overrides, learn), restart=restart)
        changed = "the task has changed since this training began" if found.task_changed else ""
        return _train(found.settings, folder, resume=not restart, notes=[note, changed])


def _train(settings: TrainSettings, folder: Path, *, resume: bool = False, notes: Sequence[str] = ()) -> bool:
    """Train with progress on the screen; False when it was interrupted."""
    from rich.markup import escape

    from iker_agent.commands.display import Screen
    from iker_agent.learning import distributed
    from iker_agent.learning.task_training import TaskTraining

    writer = distributed.rank() == 0
    with Screen(settings.learn.budget_s) as screen:
        if writer:
            screen.console.print(f"[bold]{escape(settings.task)}[/bold]  {escape(str(folder))}", soft_wrap=True)
            for note in filter(None, notes):
                screen.note(note)
        run = TaskTraining(settings, folder, resume=resume, report=screen.learning)
        policy = run.run()
        if writer:
            screen.note(_closing(policy.header, run.interrupted))
            screen.console.print(f"  policy: {escape(str(folder))}/policy.safetensors", soft_wrap=True)
            if not policy.header["good_enough"]:
                screen.console.print(f"  go on with: iker train --resume {escape(str(folder))}", soft_wrap=True)
    if run.signals and distributed.num_processes() == 1:
        signal.raise_signal(run.signals[0])  # all is saved: now it ends the process, as it does in every verb
    return not run.interrupted


def _closing(header: dict[str, Any], interrupted: bool) -> str:
    state = "good enough" if header["good_enough"] else "interrupted" if interrupted else "the budget is used up"
    return f"{state} after {header['env_steps']:,} steps and {header['seconds']:.0f} s"


def train_defaults() -> PPOConfig:
    """A task has more to learn than a stage: more worlds, and steps rather than minutes end it."""
    from iker_agent.learning.ppo_config import PPOConfig

    return PPOConfig(num_envs=512, budget_s=float("inf"), max_steps=5_000_000)


def _learn(overrides: Sequence[str], base: PPOConfig) -> PPOConfig:
    """The `learn` settings with overrides on top of `base`."""
    from iker_agent.config import make_config
    from iker_envs.documents import yaml_text

    for override in overrides:
        if not override.startswith("learn."):
            raise ValueError(
                f"a training reads settings of learn only, such as learn.max_steps=3000000, not {override!r}"
            )
    return make_config([f"learn={yaml_text(asdict(base))}", *overrides]).learn


def _fresh_folder(out: Path | None, task: str) -> Path:
    from iker_agent.records.run_folder import fresh_folder

    if out is not None:
        _check_fresh(out)
    return fresh_folder(out, f"train_{task}")


def _check_fresh(folder: Path) -> None:
    from iker_agent.learning.training_folder import CONFIG

    if (folder / CONFIG).exists():
        where = str(folder)
        raise ValueError(f"{where!r} already holds a training; go on with --resume {where}, or choose another folder")


def _held(folder: Path):
    from iker_agent.records.run_folder import locked

    return locked(folder)


def evaluate(
    policy: Annotated[
        str, typer.Argument(help="Policy file, or waypoint; default: the one that is shipped for the task.")
    ] = "",
    task: Annotated[str, typer.Option(help="Task name, or path of a task YAML.")] = "shoe_push",
    configurations: Annotated[str, typer.Option(help="all, or numbers such as 0,3.")] = "all",
    stage_index: Annotated[int, typer.Option(help="Stage of the task, counted from 0, earlier ones done.")] = 0,
    num_envs: Annotated[int, typer.Option(help="Copies of each configuration.")] = 128,
    episodes: Annotated[int, typer.Option(help="Episodes in each copy.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the worlds.")] = 0,
    randomisation: Annotated[str, typer.Option(help="on, off, shifted, or a YAML file of ranges.")] = "on",
    observation: Annotated[str, typer.Option(help="Of the shipped policy: keypoints or pose.")] = "keypoints",
    world: Annotated[str, typer.Option(help="sim, lab (an emulated robot) or real; both act one by one.")] = "sim",
    sim: Annotated[
        str, typer.Option(help="Physics engine of --world sim: threads, warp (MuJoCo Warp) or isaac.")
    ] = "threads",
    real: Annotated[str, typer.Option(metavar="FILE", help="The robot.yaml of --world real.")] = "",
    clock: Annotated[float, typer.Option(help="Of --world lab: its seconds in a second, such as 0.5.")] = 1.0,
    json_path: JsonFile = None,
) -> None:
    """Measure a policy: deterministic episodes, both measures of success, hard contacts.

    The last column is the share of episodes in which the hand met more force than the reward lets pass; on a robot,
    where it is not felt, there is none.
    """
    from iker_agent.commands.operator import ask_person
    from iker_agent.commands.terminal import make_console
    from iker_agent.learning.task_evaluation import EvalSettings, measure, write_record

    copies = num_envs, episodes, seed, randomisation, observation
    settings = EvalSettings(policy, task, configurations, stage_index, *copies, world, sim, real, clock)
    if json_path is not None:
        _check_writable(json_path)
    stderr = make_console(stderr=True)
    measured = measure(
        settings,
        lambda index, part: stderr.print(f"configuration {index}: {100 * part.success_rate:.1f} %"),
        ask_person if world == "real" else None,
    )
    _show(measured.result, measured.title)
    if faults := measured.record.get("faults"):
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items()))
        make_console().print(f"cut short by faults: {told}", soft_wrap=True)
    if json_path is not None:
        write_record(json_path, measured.record)
    if measured.stopped is not None:
        stderr.print("the table holds the episodes until then", soft_wrap=True)
        raise measured.stopped


def _check_writable(path: Path) -> None:
    """ValueError if the file could not be written; it is not made."""
    is_new = not path.exists()
    try:
        path.open("a").close()
    except OSError as error:
        raise ValueError(f"--json is a file that can be written, not {str(path)!r}: {error.strerror}") from None
    if is_new:
        path.unlink()


def _show(result: TaskEvaluation, title: str) -> None:
    from iker_agent.commands.terminal import make_console, show_table
    from iker_envs.rewards import RewardConfig

    headings = ["config", "episodes", "success", "95 %", "strict", "95 %", "error"]
    if result.overall.hard_rate is not None:
        headings.append(f"> {RewardConfig.force_limit_N:.0f} N")
    rows = []
    for index, part in [*result.configurations.items(), ("all", result.overall)]:
        cells = [str(index), str(part.num_episodes), *_cells(part), f"{100 * part.mean_error_m:.1f} cm"]
        rows.append(cells if part.hard_rate is None else [*cells, f"{part.hard_rate:.2f}"])
    show_table(make_console(), headings, rows, title=title, right=headings)


def _cells(part: Evaluation) -> list[str]:
    pairs = ((part.success_rate, part.interval), (part.success_rate_strict, part.interval_strict))
    return [text for rate, (low, high) in pairs for text in (f"{rate:.3f}", f"{low:.3f}-{high:.3f}")]
