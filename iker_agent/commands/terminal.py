"""Where the verbs print: boxes and colours for a person at a terminal, plain lines for files, pipes and dumb terminals.

    make_console()  ->  Console        show_table(console, ...)        show_code(console, ...)        notes(console)

Plain lines are whole: nothing is wrapped, cut off or coloured, and a record is one line, for grep and awk.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from iker_agent.commands.console import PlainConsole

_GAP = "  "  # between columns; a table's frame takes as much, and one character more
_LEAST_WRAPPED = 24  # characters for a column of sentences at a terminal; with less room it is printed as plain lines
_LOGGERS = ("iker_envs", "iker_agent")


class _Console(PlainConsole):
    """A console that reports a closed pipe: rich would end the process, with an exit code of its own."""

    def on_broken_pipe(self) -> None:
        raise


def make_console(*, stderr: bool = False) -> Console:
    """The console of a verb; long lines are left to the terminal to wrap, so that they can be copied whole."""
    return _Console(soft_wrap=True, stderr=stderr)


def is_plain(console: Console) -> bool:
    """Are boxes, colours and moving bars out of place? FORCE_COLOR makes no terminal of a file."""
    isatty = getattr(console.file, "isatty", None)
    return isatty is None or not isatty() or console.is_dumb_terminal


def show_table(
    console: Console,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    right: Sequence[str] = (),
    wrapped: bool = False,
) -> None:
    """Print a table; `right` are the headings of columns to align on the right, `wrapped`: the last column may wrap.

    A table that is too wide for its terminal becomes plain lines.
    """
    lines = [[" ".join(cell.split()) for cell in row] for row in (headings, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    least = [*widths[:-1], min(widths[-1], _LEAST_WRAPPED)] if wrapped else widths
    if is_plain(console) or sum(least) + len(_GAP) * len(least) + 1 > console.width:
        _show_lines(console, title, lines, widths, [heading in right for heading in headings])
        return
    table = Table(box=SIMPLE_HEAD, title=escape(title), padding=(0, 1, 0, 0))
    for heading, width in zip(headings, least, strict=True):
        table.add_column(escape(heading), justify="right" if heading in right else "left", min_width=width)
    for line in lines[1:]:
        table.add_row(*map(escape, line))
    console.print(table, soft_wrap=False)


def _show_lines(console: Console, title: str, lines: list[list[str]], widths: list[int], right: list[bool]) -> None:
    if title:
        show_text(console, title)
    for line in lines:
        padded = []
        for cell, width, is_right in zip(line, widths, right, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if is_right else cell + space)
        show_text(console, _GAP.join(padded).rstrip())


def show_text(console: Console, text: str) -> None:
    """Print a text as it is."""
    console.print(text, markup=False, emoji=False)


def show_code(console: Console, code: str) -> None:
    """Print Python code, coloured at a terminal; its lines stay whole."""
    if is_plain(console):
        show_text(console, code.rstrip("\n"))
    else:
        text = Syntax("", "python", background_color="default").highlight(code)  # a Syntax itself crops long lines
        text.rstrip()
        console.print(text)


@contextmanager
def notes(console: Console) -> Iterator[None]:
    """Inside, what the packages log (level INFO and above) is printed as dim lines: why something takes its time."""
    handler = _Notes(console)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


class _Notes(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        self.console.print(f"[dim]{escape(self.format(record))}[/dim]")
