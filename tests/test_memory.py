"""Memory stays where it is over thousands of resets."""

from __future__ import annotations

import resource
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import iker_envs  # noqa: F401 (registers the environments)


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux' /proc")
@pytest.mark.parametrize("env_id", ["IKER-ShoePush-v0", "IKER-ShoePlace-v0"])
def test_resident_memory_grows_by_less_than_a_twentieth(env_id):
    env = gym.make_vec(env_id, num_envs=64, num_threads=2)
    env.reset(seed=0)
    resets = 0
    sizes = {}
    while resets < 10_000:
        for world in range(0, 64, 8):
            env.worlds.reset(np.arange(world, world + 8))
            env.step(np.zeros((64, 6)))
            resets += 8
        if resets in (1_024, 10_048):
            sizes[resets] = resident_bytes()
    env.close()
    print(f"{sizes[1_024] / 1e6:.0f} MB after 1024 resets, {sizes[10_048] / 1e6:.0f} MB after 10048")
    assert sizes[10_048] < 1.05 * sizes[1_024]
