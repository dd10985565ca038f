"""Families: stages of several tasks in one training, and one policy for all of them."""

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

from iker_agent.cli import app
from iker_agent.learning.mixture import MixtureCopies, make_mixture
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.seeds import seed_for
from iker_agent.learning.shipped import FAMILIES, family_of, stages_of
from iker_envs.spec import spec_of
from iker_envs.task import load_task

TWO = (("shoe_push", 0), ("book_push", 0))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stages_of_a_family_belong_to_it_and_share_a_spec(family):
    specs = set()
    for name, index in FAMILIES[family]:
        task = load_task(name)
        scene = task.sample(None)
        assert family_of(task.goal(index, scene)) == family
        specs.add(spec_of(scene))
    assert len(specs) == 1
    assert stages_of("shoe_push") == (("shoe_push", 0),)


def test_a_mixture_steps_like_its_parts():
    mixture = make_mixture(TWO, 5, num_threads=1)
    part = gym.make_vec("IKER-BookPush-v0", num_envs=2, num_threads=1, random_first_age=True)
    try:
        first = part.reset(seed=seed_for(4, 1))[0]
        np.testing.assert_array_equal(mixture.reset(seed=4)[0][3:], first)
        actions = np.random.default_rng(0).uniform(-1, 1, (5, 6))
        for _ in range(12):
            *columns, info = mixture.step(actions)
            *expected, expected_info = part.step(actions[3:])
            for column, rows in zip(columns, expected, strict=True):
                np.testing.assert_array_equal(column[3:], rows)
            assert set(info) == set(expected_info) - {"final_info", "_final_info"}
            np.testing.assert_array_equal(info["goal_error_m"][3:], expected_info["goal_error_m"])
    finally:
        mixture.close()
        part.close()


def test_one_stage_is_a_plain_environment_and_specs_do_not_mix():
    env = make_mixture(TWO[:1], 2, num_threads=1)
    assert env.worlds.goal.object == "left_shoe" and not hasattr(env, "envs")
    env.close()
    with pytest.raises(ValueError, match="have 2 specs"):
        make_mixture((("shoe_place", 0), ("book_stow", 0)), 2, num_threads=1)


def test_the_judge_gives_every_stage_the_same_weight(monkeypatch):
    good = {"shoe_push": 32, "book_push": 16}
    seen = []

    def copies(num_envs, *, task, **_):
        seen.append((task, num_envs))
        return lambda policy, seed: np.arange(num_envs) < good[task]

    monkeypatch.setattr("iker_agent.learning.mixture.StrictCopies", copies)
    assert MixtureCopies(TWO, 64)(None, 0).mean() == 0.75
    assert seen == [("shoe_push", 32), ("book_push", 32)]


def test_a_family_is_trained_by_its_name(tmp_path):
    arguments = ["train", "push", "--out", str(tmp_path / "push"), "learn.num_envs=6", "learn.horizon=4"]
    done = CliRunner().invoke(app, [*arguments, "learn.max_steps=24", "learn.num_threads=1"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    header = load_policy(tmp_path / "push" / "policy.safetensors").header
    assert header["task"] == "push" and header["env_steps"] == 24
