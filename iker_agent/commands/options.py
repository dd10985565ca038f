"""The options that several verbs share, each written once.

RunOptions, ...  (one field an option)  ->  spread(verb)  ->  a command line        options.config()  ->  RunConfig
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from iker_agent.config import RunConfig

_ASKED = {  # option of `ask` -> the backends that read it
    "model": ("openai", "files"),
    "base_url": ("openai",),
    "cassette": ("replay",),
    "box": ("files",),
}


def named_path(text: str | Path) -> Path:
    """The path that a user names; an empty name is refused, since it would mean the current folder.

    A default is a Path already.
    """
    if not str(text).strip():
        raise typer.BadParameter("a path has a name; '' has none")
    return Path(text)


Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings, such as learn.budget_s=120 or run.retries=0; see below."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of world, noise and learning.")]
Out = Annotated[
    Path | None, typer.Option(parser=named_path, metavar="FOLDER", help="Where to write; default: a new one in runs/.")
]
RunFolder = Annotated[Path, typer.Argument(parser=named_path, metavar="FOLDER", help="A run folder.")]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Which task."""

    task: Annotated[str | None, typer.Option(help="Task name, or path of a task YAML.")] = None
    instruction: Annotated[str | None, typer.Option(help="What to do; default: the task's own instruction.")] = None
    configuration: Annotated[int | None, typer.Option(help="Arrangement of the task, counted from 0.")] = None


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What every verb takes that asks for programs: settings, and whom to ask."""

    overrides: Overrides = None
    seed: Seed = None
    vlm: Annotated[str | None, typer.Option(help="Who writes programs: annotated, openai, replay or files.")] = None
    model: Annotated[str | None, typer.Option(help="Model that openai asks for; with files, who answers.")] = None
    base_url: Annotated[
        str | None, typer.Option(help="Server of the backend openai, such as http://127.0.0.1:8000/v1.")
    ] = None
    cassette: Annotated[
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="FOLDER",
            help="Run folder that replay answers from, or the name of a shipped record.",
        ),
    ] = None
    box: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="FOLDER", help="Folder that the backend files asks in; see iker talk."),
    ] = None
    preset: Annotated[str, typer.Option(help="Settings from cfg/presets, such as paper.")] = ""

    def config(self) -> RunConfig:
        """The settings asked for; ValueError if one is wrong, or an option is for another backend than the chosen."""
        from iker_agent.config import make_config  # numpy and omegaconf load once a verb is called

        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("overrides", "preset")}
        asked = {name: str(given[name]) for name in _ASKED if given[name] is not None}
        top = {name: value for name, value in given.items() if name not in _ASKED}
        config = make_config(self.overrides or (), self.preset, ask=asked or None, **top)
        for name in asked:
            if config.vlm not in _ASKED[name]:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} needs --vlm {' or '.join(_ASKED[name])}; {config.vlm} would not use it")
        return config


@dataclass(frozen=True, kw_only=True)
class QueryOptions(ModelOptions, TaskOptions):
    """What to ask about, and whom."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(QueryOptions):
    """What to do, whom to ask, how to learn, and what happens meanwhile."""

    success: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|FILE", help="When it is done: 'on(left_shoe, rack)', or a file; default: the task's own."
        ),
    ] = None
    method: Annotated[str | None, typer.Option(help="iker, or voxposer: the baseline of value maps.")] = None
    learner: Annotated[str | None, typer.Option(help="ppo (trains) or waypoint (a fixed rule).")] = None
    world: Annotated[
        str | None, typer.Option(help="sim, lab (an emulated robot, started and stopped by itself) or real.")
    ] = None
    real: Annotated[str | None, typer.Option(metavar="FILE", help="The robot.yaml of --world real.")] = None
    clock: Annotated[float | None, typer.Option(help="Of --world lab: its seconds in a second, such as 0.5.")] = None
    disturb: Annotated[
        str | None, typer.Option(help="Something happens: snatch, gap, too_wide or new_instruction.")
    ] = None


def spread(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as typer wants it: its parameter `options`, a dataclass, becomes one option for each field."""
    hints = get_type_hints(verb, include_extras=True)
    kind = hints["options"]
    names = [f.name for f in fields(kind)]
    kinds = get_type_hints(kind, include_extras=True)
    parameters = [_parameter(f.name, f.default, kinds[f.name]) for f in fields(kind)]
    own = [p for p in inspect.signature(verb).parameters.values() if p.name != "options"]
    parameters += [_parameter(p.name, p.default, hints[p.name]) for p in own]

    @wraps(verb)
    def command(**given: Any) -> None:
        verb(options=kind(**{name: given.pop(name) for name in names}), **given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what `inspect` asks for
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
