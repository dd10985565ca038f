"""The table of a sweep: one line a trial, as Markdown for people and as JSON for programs.

trial, its outcome  ->  row  ->  plain values  ->  markdown
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from iker_agent.sweep.plan import Trial
from iker_agent.sweep.runners import Failure, Outcome

_HEADINGS = ("task", "settings", "seed", "success", "strict", "steps", "minutes", "hash", "state")


def row(trial: Trial, outcome: Outcome | None) -> dict[str, Any]:
    """A trial and its numbers; rates are fractions with their 95 % intervals, None where there is no result."""
    plain: dict[str, Any] = {
        "task": trial.settings.name,
        "variant": trial.variant,
        "seed": trial.settings.seed,
        "hash": trial.hash,
        "folder": trial.name,
    }
    if outcome is None or isinstance(outcome, Failure):
        state = "not finished" if outcome is None else "failed"
        reason = None if outcome is None else outcome.reason
        empty = (
            "success_rate",
            "interval",
            "success_rate_strict",
            "interval_strict",
            "steps",
            "minutes",
            "good_enough",
        )
        return {**plain, **dict.fromkeys(empty), "state": state, "reason": reason}
    rates = ("success_rate", "interval", "success_rate_strict", "interval_strict")
    return {
        **plain,
        **{name: outcome["evaluation"][name] for name in rates},
        "steps": outcome["steps"],
        "minutes": outcome["minutes"],
        "good_enough": outcome["good_enough"],
        "state": "finished",
        "reason": None,
    }


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [_line(_HEADINGS), _line(["---"] * len(_HEADINGS)), *(_line(_cells(each)) for each in rows)]
    return "\n".join(lines) + "\n"


def _cells(values: Mapping[str, Any]) -> list[str]:
    name = [values["task"], values["variant"], str(values["seed"])]
    if values["state"] != "finished":
        told = f"{values['state']}: {values['reason']}" if values["reason"] else values["state"]
        return [*name, "", "", "", "", values["hash"], told]
    rates = [_rate(values["success_rate"], values["interval"])]
    rates += [_rate(values["success_rate_strict"], values["interval_strict"])]
    state = "good enough" if values["good_enough"] else "budget used up"
    return [*name, *rates, f"{values['steps']:,}", f"{values['minutes']:.1f}", values["hash"], state]


def _rate(rate: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{rate:.3f} [{low:.3f}, {high:.3f}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
