"""The console of the commands: tables, colours and progress, with all text cleaned on its way to the screen.

Beside it there is only `plain_text.echo`, for plain lines. So no text of a server, a model, a file or a user can carry
an escape sequence to the terminal, whichever line of the program prints it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from iker_agent.plain_text import clean_block


class PlainConsole(Console):
    """rich's console without highlighting and emoji codes; only styles and rich's own controls become escape codes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable, their text cleaned."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=clean_block(segment.text))
