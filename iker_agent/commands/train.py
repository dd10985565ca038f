"""`iker train` and `iker eval`: one policy over all configurations of a task, and how good a policy is.

Both are thin: learning/task_training.py trains and learning/evaluate.py measures; here are their arguments and output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from iker_agent.learning.evaluate import Evaluation, TaskEvaluation
    from iker_agent.learning.policy import Policy
    from iker_agent.learning.ppo_config import PPOConfig
    from iker_agent.learning.task_training import TrainSettings
    from iker_envs.randomisation import Randomisation
    from iker_envs.scene import Goal, Scene
    from iker_envs.spec import Spec
    from iker_envs.task import Task

NOT_DONE = 1


def add_commands(app: typer.Typer) -> None:
    """Make `train` and `eval` commands of an app."""
    app.command()(train)
    app.command("eval")(evaluate)


def train(
    task: Annotated[str, typer.Argument(help="Task name, path of a task YAML, or a family: push, carry.")] = "",
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings, such as learn.max_steps=3000000.")] = None,
    observation: Annotated[str | None, typer.Option(help="keypoints (default) or pose.")] = None,
    randomisation: Annotated[str | None, typer.Option(help="on (default), off, or a YAML file of ranges.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of worlds, network and exploration; default 0.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of this training; default: runs/train_TASK_NNN.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Folder of a training to go on with.")] = None,
) -> None:
    """Train one policy over all configurations of a task or of a family's stages; Ctrl-C saves, --resume goes on.

    Ends when deterministic strict success on fresh copies reaches learn.stop_success twice, or after learn.max_steps.
    """
    from iker_agent.learning import distributed

    overrides = list(overrides or ())
    if resume and any(option is not None for option in (observation, randomisation, seed, out)):
        raise ValueError("a resumed training keeps its observation, randomisation, seed and folder; leave them out")
    if resume and task:
        overrides.insert(0, task)  # the task is known from the folder: what looks like one is a setting
    with distributed.joined_group():
        done = _train(task, overrides, observation or "keypoints", randomisation or "on", seed or 0, out, resume)
        code = 0 if done else NOT_DONE
        if distributed.num_processes() > 1:
            distributed.leave(code)
    raise typer.Exit(code)


def _train(task: str, overrides: Sequence[str], observation, randomisation, seed: int, out, resume) -> bool:
    """Train or go on; False when it was interrupted."""
    from rich.markup import escape

    from iker_agent.commands.display import Screen
    from iker_agent.learning import distributed
    from iker_agent.learning.task_training import TaskTraining, write_settings

    settings, folder, changed = _settings(task, overrides, observation, randomisation, seed, out, resume)
    writer = distributed.rank() == 0
    if writer:
        folder.mkdir(parents=True, exist_ok=True)
        write_settings(folder, settings)
    with Screen(settings.learn.budget_s) as screen:
        if writer:
            screen.console.print(f"[bold]{escape(settings.task)}[/bold]  {escape(str(folder))}", soft_wrap=True)
        if writer and changed:
            screen.note("the task has changed since this training began")
        run = TaskTraining(settings, folder, resume=resume is not None, report=screen.learning)
        policy = run.run()
        if writer:
            screen.note(_closing(policy.header, run.interrupted))
            screen.console.print(f"  policy: {escape(str(folder))}/policy.safetensors", soft_wrap=True)
            if not policy.header["good_enough"]:
                screen.console.print(f"  go on with: iker train --resume {escape(str(folder))}", soft_wrap=True)
    return not run.interrupted


def _closing(header: dict[str, Any], interrupted: bool) -> str:
    state = "good enough" if header["good_enough"] else "interrupted" if interrupted else "the budget is used up"
    return f"{state} after {header['env_steps']:,} steps and {header['seconds']:.0f} s"


def _settings(
    task: str, overrides, observation: str, randomisation: Any, seed: int, out: Path | None, resume: Path | None
) -> tuple[TrainSettings, Path, bool]:
    """(settings, folder, whether the task has changed since the folder was begun)."""
    from iker_agent.learning.provenance import stages_facts
    from iker_agent.learning.shipped import FAMILIES, stages_of
    from iker_agent.learning.task_training import TrainSettings, read_settings
    from iker_envs.randomisation import as_randomisation
    from iker_envs.task import load_task

    if resume is not None:
        settings, facts = read_settings(resume)
        settings = replace(settings, learn=_learn(overrides, settings.learn))
        now = stages_facts(stages_of(settings.task), settings.observation)
        if now["spec_hash"] != facts["spec_hash"]:
            raise ValueError(f"{str(resume)!r} was trained for spec {facts['spec_hash']}, this is {now['spec_hash']}")
        return settings, resume, now["task_hash"] != facts["task_hash"]
    if not task:
        raise ValueError("say which task to train, such as `iker train shoe_push`")
    name = task if task in FAMILIES else load_task(task).name
    if randomisation not in ("on", "off"):
        randomisation = {
            key: list(map(float, limits)) for key, limits in as_randomisation(randomisation).ranges.items()
        }
    settings = TrainSettings(task, observation, randomisation, seed, _learn(overrides, _defaults()))
    return settings, _fresh_folder(out, name), False


def _defaults() -> PPOConfig:
    """A task has more to learn than a stage: more worlds, and steps rather than minutes end it."""
    from iker_agent.learning.ppo_config import PPOConfig

    return PPOConfig(num_envs=512, budget_s=float("inf"), max_steps=5_000_000)


def _learn(overrides: Sequence[str], base: PPOConfig) -> PPOConfig:
    """The `learn` settings with overrides on top of `base`."""
    from iker_agent.config import make_config

    for override in overrides:
        if not override.startswith("learn."):
            raise ValueError(
                f"a training reads settings of learn only, such as learn.max_steps=3000000, not {override!r}"
            )
    return make_config([*(f"learn.{key}={value}" for key, value in asdict(base).items()), *overrides]).learn


def _fresh_folder(out: Path | None, task: str) -> Path:
    from iker_agent.learning import distributed
    from iker_agent.learning.task_training import CONFIG
    from iker_agent.records.run_folder import fresh_folder

    if distributed.rank():
        return Path()  # never written to
    if out is not None and (out / CONFIG).exists():
        raise ValueError(f"{str(out)!r} already holds a training; go on with --resume {out}, or choose another folder")
    return fresh_folder(out, f"train_{task}")


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
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None,
) -> None:
    """Measure a policy: deterministic episodes, finish() included, both measures of success with 95 % intervals."""
    from iker_agent.commands.console import PlainConsole
    from iker_agent.learning.conditions import parse_configurations
    from iker_agent.learning.evaluate import evaluate_task
    from iker_agent.learning.provenance import task_facts
    from iker_agent.limits import check_seed
    from iker_envs.task import load_task

    check_seed(seed)
    if num_envs < 1 or episodes < 1:
        raise ValueError(f"--num-envs and --episodes are at least 1, not {num_envs}, {episodes}")
    if json_path is not None:
        _check_writable(json_path)
    if policy == "waypoint" and observation != "keypoints":
        raise ValueError(f"waypoint reads keypoints, not {observation!r}; leave --observation out")
    if policy and policy != "waypoint" and not Path(policy).is_file():
        raise ValueError(f"there is no policy file {policy!r}; give a .safetensors file, waypoint, or nothing")
    loaded = load_task(task)
    chosen = parse_configurations(configurations, len(loaded.configurations))
    ranges, world_seed = _conditions(randomisation, seed)
    policy_of, spec, source = _policy(policy, loaded, observation, stage_index)
    console = PlainConsole()
    stderr = PlainConsole(stderr=True)
    result = evaluate_task(
        policy_of,
        chosen,
        num_envs=num_envs,
        episodes=episodes,
        seed=world_seed,
        report=lambda index, part: stderr.print(f"configuration {index}: {100 * part.success_rate:.1f} %"),
        task=task,
        stage_index=stage_index,
        observation=spec.observation,
        randomisation=ranges,
    )
    console.print(_table(result, f"{loaded.name}, {source['policy']}, randomisation {randomisation}, seed {seed}"))
    if json_path:
        facts = {**task_facts(loaded, spec.observation), **source}
        asked = {
            "seed": seed,
            "stage_index": stage_index,
            "randomisation": randomisation,
            "ranges": _plain(ranges),
            "num_envs": num_envs,
        }
        json_path.write_text(json.dumps({**result.to_dict(), **facts, **asked, "episodes": episodes}, indent=2) + "\n")


def _check_writable(path: Path) -> None:
    try:
        path.open("a").close()
    except OSError as error:
        raise ValueError(f"--json is a file that can be written, not {str(path)!r}: {error.strerror}") from None


def _conditions(randomisation: str, seed: int) -> tuple[Randomisation, int]:
    from iker_agent.learning.conditions import conditions

    try:
        return conditions(randomisation, seed)
    except ValueError as error:
        raise ValueError(f"--randomisation knows shifted too; {error}") from None


def _plain(ranges: Randomisation) -> dict[str, list[float]]:
    return {name: [float(x) for x in limits] for name, limits in ranges.ranges.items()}


def _policy(
    given: str, task: Task, observation: str, stage_index: int
) -> tuple[Callable[[int], Policy], Spec, dict[str, str]]:
    """(configuration -> policy, spec, what a result file says about it)."""
    from iker_agent.learning.policy_files import load_policy
    from iker_agent.learning.provenance import fingerprint
    from iker_agent.learning.shipped import family_of, shipped_names, shipped_policy
    from iker_agent.learning.waypoint import WaypointLearner
    from iker_envs.spec import spec_of

    spec = spec_of(task.sample(None), observation)
    if given == "waypoint":
        rule = lambda index: WaypointLearner().learn(*_stage(task, stage_index, index))  # noqa: E731
        return rule, spec, {"policy": "waypoint"}
    if given:
        policy = load_policy(given)
        return lambda _: policy, policy.spec, {"policy": given, "policy_hash": fingerprint(Path(given))}
    family = family_of(_stage(task, stage_index, 0)[1])
    for name in (family,) if stage_index else (task.name, family):  # a task's own policy is for its first stage
        if shipped := shipped_policy(name, spec):
            return lambda _, policy=shipped: policy, spec, {"policy": f"shipped {name}"}
    known = ", ".join(shipped_names()) or "none"
    raise ValueError(f"no policy is shipped for {task.name} ({observation}); give a policy file. Shipped: {known}")


def _stage(task: Task, stage_index: int, configuration: int) -> tuple[Scene, Goal]:
    from iker_envs.stage.starts import TaskStart

    start = TaskStart(task, stage_index).sample(None, configuration)
    return start.scene, start.goal


def _table(result: TaskEvaluation, title: str):
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=escape(title))
    for name in ("config", "episodes", "success", "95 %", "strict", "95 %", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    for index, part in [*result.configurations.items(), ("all", result.overall)]:
        table.add_row(str(index), str(part.num_episodes), *_cells(part), f"{100 * part.mean_error_m:.1f} cm")
    return table


def _cells(part: Evaluation) -> list[str]:
    pairs = ((part.success_rate, part.interval), (part.success_rate_strict, part.interval_strict))
    return [text for rate, (low, high) in pairs for text in (f"{rate:.3f}", f"{low:.3f}-{high:.3f}")]
