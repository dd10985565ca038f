"""Seeds that are derived from others, the same in every process and on every machine."""

from __future__ import annotations

import numpy as np


def seed_for(seed: int, *path: int) -> int:
    """The seed itself for a first start in process 0 (all of `path` zero), else one derived from both."""
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0] >> 1) if any(path) else seed
