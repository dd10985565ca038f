"""Under which conditions a policy is evaluated: which configurations, which randomisation, which seed.

    "all" | "0,3"                       ->  parse_configurations  ->  indices
    "on" | "off" | "shifted" | a file   ->  conditions            ->  Randomisation, seed

The shifted world is one that no policy was trained in: every range half as wide again, larger pose noise, and late
observations. What a task's file fixes (where objects start) is as in training.
"""

from __future__ import annotations

import numpy as np

from iker_agent.learning.seeds import seed_for
from iker_envs.randomisation import Randomisation, as_randomisation

SHIFT = 1.5  # factor on the width of all ranges
SHIFTED_NOISE = {"observation_position": (-0.005, 0.005), "observation_rotation": (-0.0349, 0.0349)}  # 5 mm, 2 degrees
SHIFTED_LATENCY = {"observation_latency": (1.0, 1.0)}  # ticks
_SHIFTED_SEED = 7  # the shifted world has its own seed: no start, mass or friction is met in both


def conditions(randomisation: str, seed: int) -> tuple[Randomisation, int]:
    """The randomisation of an evaluation, and the seed of its worlds."""
    if randomisation != "shifted":
        return as_randomisation(randomisation), seed
    added = {name: np.array(low_high) for name, low_high in {**SHIFTED_NOISE, **SHIFTED_LATENCY}.items()}
    return Randomisation({**Randomisation().scaled(SHIFT).ranges, **added}), seed_for(seed, _SHIFTED_SEED)


def parse_configurations(text: str, count: int) -> list[int]:
    """Indices from "all" or a list such as "0,3"; ValueError if one does not exist."""
    if text == "all":
        return list(range(count))
    try:
        chosen = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"configurations are 'all' or numbers such as 0,3, not {text!r}") from None
    if wrong := [index for index in chosen if not 0 <= index < count]:
        raise ValueError(f"configuration {wrong[0]} does not exist; there are 0 to {count - 1}")
    return list(dict.fromkeys(chosen))
