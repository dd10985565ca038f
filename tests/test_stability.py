"""No world diverges or explodes, whatever the actions; benchmarks/stability.py runs the long version."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from stability import KINDS, environments, run


@pytest.mark.parametrize(("num_envs", "ticks"), [(24, 40), pytest.param(128, 240, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_no_world_becomes_unstable(kind, num_envs, ticks):
    for name, env in environments(num_envs):
        count = run(env, KINDS[kind](), ticks, seed=2)
        env.close()
        assert count.steps == num_envs * ticks and (count.unstable, count.exploding) == (0, 0), name
        assert count.fastest_m_s > 0.05, f"{name}: nothing was hit"


def test_an_unstable_world_is_seen_and_ends_its_episode():
    _, env = next(environments(3))
    env.reset(seed=0)
    state = env.get_state()
    state["stage"]["sim"]["state"]["qvel"][1, 0] = np.nan
    env.set_state(state)
    _, reward, terminated, _, _ = env.step(np.zeros((3, 6)))
    np.testing.assert_array_equal(terminated, [False, True, False])
    assert np.isfinite(reward).all()
    env.reset(options={"reset_mask": terminated})
    assert not env.step(np.zeros((3, 6)))[2].any()
    env.close()
