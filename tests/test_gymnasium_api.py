"""What gymnasium takes and tells of every environment: its standard arguments, time limits, specs as text."""

import json
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.vector import AutoresetMode

import iker_envs
from iker_envs.task import load_task, task_folders

PUSH = "IKER-ShoePush-v0"
ACTIONS = np.random.default_rng(7).uniform(-1, 1, (12, 3, 6))
MODES = {"same_step": AutoresetMode.SAME_STEP, "next_step": AutoresetMode.NEXT_STEP, "disabled": AutoresetMode.DISABLED}
every_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def make():
    """gym.make, or gym.make_vec where `num_envs` is given; everything is closed afterwards."""
    made = []

    def build(env_id, **kwargs):
        made.append((gym.make_vec if "num_envs" in kwargs else gym.make)(env_id, **kwargs))
        return made[-1]

    yield build
    for env in made:
        env.close()


@contextmanager
def registered(env_id: str, **arguments):
    """An id of its own for as long as it is needed."""
    gym.register(
        env_id, "iker_envs.env:StageEnv", vector_entry_point="iker_envs.vector_env:StageVectorEnv", **arguments
    )
    try:
        yield env_id
    finally:
        del gym.registry[env_id]


def ticks(env) -> int:
    """How long an episode is in which nothing is done."""
    env.reset(seed=0)
    for count in range(1, 200):
        _, _, terminated, truncated, _ = env.step(np.zeros(env.action_space.shape))
        assert not np.any(terminated)
        if np.all(truncated):
            return count
    raise AssertionError("no time limit")


# -- the time limit ----------------------------------------------------------------------------------------------------


LIMITS = [
    ({}, 60),
    ({"max_episode_steps": 5}, 5),
    ({"max_episode_steps": 5, "episode_s": 1.0}, 5),
    ({"max_episode_steps": 20, "episode_s": 1.0}, 10),
    ({"max_episode_steps": -1, "episode_s": 0.5}, 5),
]


@pytest.mark.parametrize(("arguments", "expected"), LIMITS, ids=str)
@pytest.mark.parametrize("form", [{}, {"num_envs": 2}, {"num_envs": 2, "vectorization_mode": "sync"}], ids=str)
def test_a_limit_in_ticks_is_accepted_by_every_form(make, form, arguments, expected):
    assert ticks(make(PUSH, **form, **arguments)) == expected


def test_a_limit_may_be_later_than_the_tasks_own(make):
    env = make(PUSH, num_envs=2, max_episode_steps=np.int64(70))
    assert ticks(env) == 70 == env.spec.max_episode_steps and '"max_episode_steps": 70' in env.spec.to_json()
    with registered("Long-v0", kwargs={"task": "shoe_push", "max_episode_steps": 70}):
        assert ticks(make("Long-v0")) == ticks(make("Long-v0", num_envs=2)) == 70


def test_a_registered_limit_holds_in_every_form(make):
    with registered("Short-v0", kwargs={"task": "shoe_push"}, max_episode_steps=4):
        assert ticks(make("Short-v0")) == ticks(make("Short-v0", num_envs=2)) == 4
        assert make("Short-v0").spec.max_episode_steps == make("Short-v0", num_envs=2).spec.max_episode_steps == 4
        assert ticks(make("Short-v0", num_envs=2, max_episode_steps=6)) == ticks(make("Short-v0", max_episode_steps=6))


@pytest.mark.parametrize(("arguments", "expected"), [({}, 60), ({"max_episode_steps": 5}, 5), ({"episode_s": 0.7}, 7)])
def test_the_spec_tells_the_limit_so_that_time_can_be_observed(make, arguments, expected):
    env = make(PUSH, **arguments)
    assert env.spec.max_episode_steps == expected
    timed = gym.wrappers.TimeAwareObservation(env, flatten=True)
    assert timed.max_timesteps == expected and timed.reset(seed=0)[0].shape == (39,)
    assert make(PUSH, num_envs=2, **arguments).spec.max_episode_steps == expected
    wrapped = make(
        PUSH, num_envs=2, vectorization_mode="sync", wrappers=[gym.wrappers.TimeAwareObservation], **arguments
    )
    wrapped.reset(seed=0)
    assert wrapped.step(ACTIONS[0, :2])[0][:, 38].tolist() == [1.0, 1.0], "a tick has passed"


@pytest.mark.parametrize("limit", [0, -2, 2.5, "5", True, np.nan], ids=str)
def test_what_is_no_limit_is_told_in_one_sentence(make, limit):
    with pytest.raises(ValueError, match="max_episode_steps is a whole number of at least 1, not") as caught:
        make(PUSH, num_envs=2, max_episode_steps=limit)
    assert "\n" not in str(caught.value)


# -- other arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [{}, {"num_envs": 2}], ids=["single", "vector"])
def test_an_unknown_argument_is_named_beside_the_known_ones(make, form):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'colour'; .*episode_s, .*free, grasp_bank"):
        make(PUSH, colour=1, **form)


@pytest.mark.parametrize("disabled", [None, True, False])
def test_gymnasiums_checks_may_be_disabled(make, disabled):
    env = make(PUSH, disable_env_checker=disabled)
    assert ("PassiveEnvChecker" in str(env)) == (not disabled)
    assert np.isfinite(env.reset(seed=0)[0]).all() and make(env.spec).spec == env.spec


def test_registered_wrappers_are_applied(make):
    clip = WrapperSpec(
        "ClipReward", "gymnasium.wrappers.transform_reward:ClipReward", {"min_reward": -0.1, "max_reward": 0.1}
    )
    with registered("Clipped-v0", kwargs={"task": "shoe_push"}, additional_wrappers=(clip,)):
        env = make("Clipped-v0")
        env.reset(seed=0)
        assert abs(env.step(np.ones(6))[1]) <= 0.1 and env.spec.additional_wrappers == (clip,)
        env.spec.to_json()
        many = make("Clipped-v0", num_envs=2, vectorization_mode="sync")
        many.reset(seed=0)
        assert (np.abs(many.step(ACTIONS[0, :2])[1]) <= 0.1).all()


def test_lists_of_pictures_are_collected(make):
    env = make(PUSH, render_mode="rgb_array_list", episode_s=0.2)
    env.reset(seed=0)
    env.step(np.zeros(6))
    assert [picture.shape for picture in env.render()] == [(360, 480, 3)] * 2


@every_mode
@pytest.mark.parametrize("vectorization_mode", ["sync", "async"])
def test_gymnasium_can_put_single_environments_side_by_side(make, vectorization_mode, mode):
    env = make(
        PUSH,
        num_envs=2,
        vectorization_mode=vectorization_mode,
        vector_kwargs={"autoreset_mode": MODES[mode]},
        wrappers=[gym.wrappers.RecordEpisodeStatistics],
        episode_s=0.2,
    )
    ours = make(PUSH, num_envs=2, autoreset_mode=mode, episode_s=0.2)
    np.testing.assert_array_equal(env.reset(seed=3)[0], ours.reset(seed=3)[0])
    for actions in ACTIONS[:2, :2]:
        np.testing.assert_array_equal(env.step(actions)[0], ours.step(actions)[0])


# -- specs as text -----------------------------------------------------------------------------------------------------


MODE_WORDS = [(word, word) for word in MODES] + [(m, w) for w, m in MODES.items()] + [("NextStep", "next_step")]


@pytest.mark.parametrize(("given", "word"), MODE_WORDS, ids=str)
def test_the_spec_keeps_the_word_of_the_mode(make, given, word):
    env = make(PUSH, num_envs=2, autoreset_mode=given)
    text = env.spec.to_json()
    again = make(EnvSpec.from_json(text), num_envs=2)
    assert again.metadata["autoreset_mode"] is again.autoreset_mode is env.autoreset_mode is MODES[word]
    assert again.spec.to_json() == text
    assert env.spec.kwargs.get("autoreset_mode", word) in (word, given)


TASK_FILE = task_folders()[0] / "shoe_push.yaml"
ODD_ARGUMENTS = {
    "numpy numbers": {"stage_index": np.int64(0), "episode_s": np.float32(0.5), "num_threads": np.int8(2)},
    "a path": {"task": TASK_FILE},
    "a task": {"task": load_task("shoe_push")},
    "the content of a file": {"task": yaml.safe_load(TASK_FILE.read_text(encoding="utf-8"))},
    "rewards": {"rewards": {"bonus": np.float64(3.0), "success_steps": np.int64(4)}},
    "ranges": {"randomisation": {"mass": (np.float64(0.8), 1.2), "friction": np.array([0.5, 1.0])}},
    "ranges in ranges": {"randomisation": {"ranges": {"mass": np.array([1, 2])}, "scale": np.float32(0.5)}},
}


@pytest.mark.parametrize("arguments", ODD_ARGUMENTS.values(), ids=ODD_ARGUMENTS)
@pytest.mark.parametrize("form", [{}, {"num_envs": np.int64(2)}], ids=["single", "vector"])
def test_a_spec_is_text_whatever_the_arguments_were_made_of(make, form, arguments):
    arguments = {"task": "shoe_push", **arguments}
    env = make("IKER-Stage-v0", **form, **arguments)
    text = env.spec.to_json()
    again = (gym.make_vec if form else gym.make)(EnvSpec.from_json(text))
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])
    assert again.spec.to_json() == text and json.loads(text)["max_episode_steps"] == again.spec.max_episode_steps
    assert not any(isinstance(value, Path) for value in env.spec.kwargs.values())
    again.close()


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({}, "Task lacks name"),
        ({**load_task("shoe_push").to_dict(), "configurations": []}, "no configuration"),
        (["shoe_push"], r"as itself, as a mapping, by its name or as a file, not as \['shoe_push'\]"),
    ],
    ids=["empty", "nothing in it", "a list"],
)
def test_a_task_that_is_none_is_told_in_one_sentence(make, task, words):
    with pytest.raises(ValueError, match=words) as caught:
        make("IKER-Stage-v0", task=task)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", [{}, {"num_envs": 2}], ids=["single", "vector"])
def test_both_forms_take_the_arguments_of_training(make, form):
    env = make(PUSH, **form, **iker_envs.TRAINING)
    config = env.unwrapped.worlds.config
    assert (config.free, config.grasp_bank, config.start_bank) == ("near", 4, 32)
    assert json.loads(env.spec.to_json())["kwargs"]["grasp_bank"] == 4


@pytest.mark.parametrize("name", ["grasp_bank", "start_bank", "num_threads"])
@pytest.mark.parametrize("value", [-1, 1.5, "4", True], ids=str)
def test_numbers_that_cannot_be_are_told_in_one_sentence(make, name, value):
    with pytest.raises(ValueError, match=f"{name} is a whole number of at least 0, not") as caught:
        make(PUSH, **{name: value})
    assert "\n" not in str(caught.value)
