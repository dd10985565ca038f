"""A person at the terminal who arranges a robot's table."""

from __future__ import annotations

import typer


def ask_person(request: str) -> bool:
    """Show a request; True once it is done, False if the person declines or nobody is there to answer."""
    try:
        return typer.confirm(f"please {request}\ndone?", default=True, err=True)
    except typer.Abort:  # the end of the input
        return False
