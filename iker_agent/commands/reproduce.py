"""`iker reproduce table1 | table2 | fig5`: the paper's tables, their options, one verb each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iker_agent.commands.ending import DONE, NOT_DONE
from iker_agent.commands.options import ModelOptions, named_path, spread
from iker_agent.commands.settings import RunCommand

if TYPE_CHECKING:
    from iker_agent.config import RunConfig
    from iker_agent.reproduce.settings import ReproduceSettings

reproduce_app = typer.Typer(invoke_without_command=True)
_OWN = ("world", "configurations", "copies", "episodes", "policies")  # the others are settings of a run
_TABLES = {
    "table1": "Table I: tasks of one stage, human programs and a model's, in simulation and in the laboratory.",
    "table2": "Table II: policies trained with and without randomisation.",
    "fig5": "Figure 5: chains of three stages, ours, an open loop, pose programs and VoxPoser, stage by stage.",
}

Rows = Annotated[
    Path | None,
    typer.Option("--out", parser=named_path, metavar="FOLDER", help="Where to write, and to go on; default: in runs/."),
]


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions(ModelOptions):
    """Where a table is run, and how much of it."""

    world: Annotated[list[str] | None, typer.Option(help="sim or lab, may be repeated; default: sim.")] = None
    clock: Annotated[float | None, typer.Option(help="Of --world lab: its seconds in a second, such as 0.5.")] = None
    configurations: Annotated[int | None, typer.Option(help="Only the first so many of ten.")] = None
    copies: Annotated[int | None, typer.Option(help="Of a configuration, in one batch; default 32.")] = None
    episodes: Annotated[int | None, typer.Option(help="Of a configuration in one world; default 1.")] = None
    policies: Annotated[
        Path | None, typer.Option(parser=named_path, metavar="FOLDER", help="Trainings: TASK/pose and TASK/off.")
    ] = None

    def config(self) -> RunConfig:
        """The settings of every run of the table."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OWN}
        clock = given.pop("clock")
        overrides = [*(given.pop("overrides") or ()), *([f"clock={clock}"] if clock is not None else [])]
        return ModelOptions(overrides=overrides, **given).config()

    def settings(self) -> ReproduceSettings:
        """The settings of the table; what is not given keeps its default."""
        from iker_agent.reproduce.settings import ReproduceSettings

        own = {name: getattr(self, name) for name in ("configurations", "copies", "episodes")}
        return ReproduceSettings(
            config=self.config(),
            worlds=tuple(dict.fromkeys(self.world or ("sim",))),
            policies=str(self.policies or ""),
            **{name: value for name, value in own.items() if value is not None},
        )


def _verb(table: str) -> Callable[..., None]:
    @spread
    def reproduce(options: ReproduceOptions, out: Rows = None) -> None:
        from iker_agent.commands.reproduce_screen import reproduce as make

        raise typer.Exit(DONE if make(table, options.settings(), out) else NOT_DONE)

    reproduce.__doc__ = (
        f"{_TABLES[table]}\n\nEvery unit of work that is done is kept in the folder: stopped and started again, the "
        "same command goes on. Tables that share a folder share what they have in common; without --out it is "
        "runs/reproduce."
    )
    return reproduce


for _name in _TABLES:
    reproduce_app.command(_name, cls=RunCommand)(_verb(_name))
