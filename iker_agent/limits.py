"""Ranges of settings, checked where the settings are made: one sentence with the bad value and the good ones.

Unusable is for what no other setting mends: a damaged file, a folder that another process holds.
"""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite

MAX_SEED = 2**32 - 1  # what numpy, torch and gymnasium all take, also once a number of episodes is added


class Unusable(ValueError):
    """A file or folder cannot be used as it stands; the message names it, what is wrong with it, and a way out."""


def check_choice(name: str, value: str, known: Collection[str]) -> None:
    """ValueError unless a setting is one of the known values."""
    if value not in known:
        raise ValueError(f"{name} {value!r} is unknown; known: {', '.join(known)}")


def check_seed(seed: int) -> None:
    """ValueError unless it is a seed for every library that draws random numbers here."""
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed is a whole number from 0 to {MAX_SEED}, not {seed}")


def check_range(owner: object, names: str, low: float, high: float = float("inf"), *, section: str = "") -> None:
    """ValueError unless all fields of `owner` in `names`, apart by spaces, lie in [low, high]."""
    for name in names.split():
        value = getattr(owner, name)
        if not low <= value <= high:
            limits = f"at least {low:g}" if not isfinite(high) else f"from {low:g} to {high:g}"
            raise ValueError(f"{section}{name} is {limits}, not {value:g}")


def check_sim(name: str, value: str, *, installed: bool = True) -> None:
    """ValueError unless a setting is the name of a physics engine, by default of one that is installed."""
    # They load numpy, and a command that only begins goes without.
    from iker_envs.physics.engines import check_engine, engine_settings

    try:
        check_engine(value) if installed else engine_settings(value)
    except (ValueError, ModuleNotFoundError) as error:
        raise ValueError(f"{name}: {error}") from None
