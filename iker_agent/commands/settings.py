"""Every setting that is given as KEY=VALUE, with its default and its meaning: what `--help` ends with.

settings(sections)  ->  (name, default, meaning), ...        the meaning is the comment beside the setting's field
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from typer.core import TyperCommand

_COMMENT = re.compile(r"^    (\w+): [^#\n]*(?:#[ ]?(.*))?$", re.MULTILINE)


class Setting(NamedTuple):
    """One setting: its name with that of its section before it, its default as it is typed, what it means."""

    name: str
    default: str
    meaning: str


def settings(config: Any = None, prefix: str = "") -> Iterator[Setting]:
    """The settings of a section (default: of a run), plain ones first, then those of its own sections."""
    if config is None:
        from iker_agent.config import RunConfig

        config = RunConfig()
    meaning = dict(_COMMENT.findall(inspect.getsource(type(config))))
    own = {f.name: getattr(config, f.name) for f in fields(config)}
    for name, value in own.items():
        if not is_dataclass(value):
            yield Setting(prefix + name, str(value).lower() if isinstance(value, bool) else str(value), meaning[name])
    for name, value in own.items():
        if is_dataclass(value):
            yield from settings(value, f"{prefix}{name}.")


class RunCommand(TyperCommand):
    """A verb whose help ends with its settings, those of a run."""

    def settings(self) -> list[Setting]:
        """What the verb takes as KEY=VALUE."""
        return list(settings())

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the options, then the settings; typer has no public names for what it is given."""
        super().format_help(ctx, formatter)
        lines = [(f"{s.name}={s.default}", s.meaning) for s in self.settings()]
        with formatter.section("Settings, with their defaults; any number of them as KEY=VALUE after the options"):
            formatter.write_dl(lines, col_max=34)


class TrainCommand(RunCommand):
    """A verb whose help ends with its settings, those of learning a task."""

    def settings(self) -> list[Setting]:
        """What the verb takes as KEY=VALUE."""
        from iker_agent.commands.train import train_defaults

        return list(settings(train_defaults(), "learn."))
