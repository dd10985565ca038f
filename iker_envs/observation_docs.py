"""Tables of the observation and action spaces, generated from spec.py so that they cannot go stale."""

from __future__ import annotations

from iker_envs.spec import ACTION_ROWS, LAYOUTS


def space_tables() -> str:
    """Markdown tables of both observation layouts and of the action."""
    tables = [_table(f'Observation "{name}"', rows) for name, rows in LAYOUTS.items()]
    return "\n\n".join([*tables, _table("Action, each in [-1, 1]", ACTION_ROWS)])


def _table(title: str, rows) -> str:
    lines = [f"{title}:", "", "| index | name | unit | meaning |", "|---|---|---|---|"]
    start = 0
    for name, width, unit, meaning in rows:
        lines.append(f"| {start}:{start + width} | {name} | {unit} | {meaning} |")
        start += width
    return "\n".join(lines)


def document(cls: type) -> type:
    """Append the tables to a class docstring."""
    cls.__doc__ = f"{cls.__doc__}\n\n{space_tables()}\n"
    return cls
