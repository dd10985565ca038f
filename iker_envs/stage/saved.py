"""Is a saved state one that can be set? Asked before anything is assigned, so that a refusal changes nothing.

state of unknown origin, the present state  ->  check_state  ->  ValueError unless makings, parts and shapes agree
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np


def check_parts(state: Any, present: Any, where: str = "the state") -> None:
    """ValueError unless a state has the parts, array shapes and lengths that the present one has.

    What lists hold, and values that are neither mappings, dataclasses, arrays nor lists, may differ.
    """
    if isinstance(present, Mapping):
        if not isinstance(state, Mapping):
            raise ValueError(f"{where} is a mapping with {', '.join(map(str, present))}, not {short(state)}")
        if differing := [name for name in (*present, *state) if (name in present) != (name in state)]:
            verb = "lacks" if differing[0] in present else "has an unknown"
            raise ValueError(f"{where} {verb} {differing[0]!r}; it has: {', '.join(map(str, present))}")
        for name, value in present.items():
            check_parts(state[name], value, f"{where}'s {name}")
    elif isinstance(present, np.ndarray):
        if not isinstance(state, np.ndarray) or state.shape != present.shape or state.dtype.kind != present.dtype.kind:
            found = f"{state.dtype} {state.shape}" if isinstance(state, np.ndarray) else type(state).__name__
            raise ValueError(f"{where} is an array of {present.dtype} {present.shape}, not {found}")
    elif isinstance(present, list) or is_dataclass(present):
        if type(state) is not type(present):
            raise ValueError(f"{where} is a {type(present).__name__}, not {type(state).__name__}")
        if isinstance(present, list) and len(state) != len(present):
            raise ValueError(f"{where} has {len(present)} entries, not {len(state)}")
        if is_dataclass(present):
            check_parts(vars(state), vars(present), where)


def check_state(state: Any, present: Mapping[str, Any]) -> None:
    """ValueError unless worlds whose present state this is can be set to a state of unknown origin."""
    if not isinstance(state, Mapping) or "fingerprint" not in state:
        raise ValueError(f"a state is what get_state() gave, not {type(state).__name__}")
    if state["fingerprint"] != present["fingerprint"]:
        raise ValueError(
            "the state is one of another task, scene or goal, or of other arguments (randomisation, observation, "
            "episode_s, free, rewards); make the environment that it came from"
        )
    goals = state.get("goals")
    num_worlds = len(present["goals"])
    if isinstance(goals, list) and len(goals) != num_worlds:
        raise ValueError(f"the state is one of {len(goals)} worlds, these are {num_worlds}")
    rngs = state.get("rngs")
    if not isinstance(rngs, list) or len(rngs) not in (0, num_worlds):
        raise ValueError(f"the state's rngs are a list of {num_worlds} states of generators, not {short(rngs)}")
    check_parts({**state, "rngs": []}, {**present, "rngs": []})
    for bits in rngs:
        try:
            np.random.default_rng().bit_generator.state = bits
        except (TypeError, ValueError, KeyError, OverflowError):
            raise ValueError(f"the state's rngs are states of PCG64 generators, not {short(bits)}") from None


def short(value: Any) -> str:
    """A value as text of one line, at most 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
