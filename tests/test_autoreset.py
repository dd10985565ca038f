"""How episodes end and begin in many worlds, by autoreset mode: as in gymnasium's vector environment of single ones."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers

import iker_envs  # noqa: F401 (registers the environments)

PUSH = "IKER-ShoePush-v0"
CARRY = "IKER-ShoePlace-v0"
ACTIONS = np.random.default_rng(7).uniform(-1, 1, (12, 3, 6))
MODES = {"same_step": AutoresetMode.SAME_STEP, "next_step": AutoresetMode.NEXT_STEP, "disabled": AutoresetMode.DISABLED}
every_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def make():
    """gym.make_vec; everything is closed afterwards."""
    made = []

    def build(env_id, **kwargs):
        made.append(gym.make_vec(env_id, **kwargs))
        return made[-1]

    yield build
    for env in made:
        env.close()


# -- autoreset modes ---------------------------------------------------------------------------------------------------


def side_by_side(make, env_id: str, mode: str) -> tuple[SyncVectorEnv, gym.vector.VectorEnv]:
    """gymnasium's vector environment of our single ones, and ours."""
    theirs = make(
        env_id,
        num_envs=3,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": MODES[mode]},
        disable_env_checker=True,
        episode_s=0.3,
    )
    return theirs, make(env_id, num_envs=3, autoreset_mode=mode, episode_s=0.3)


def assert_told(ours: dict, theirs: dict) -> None:
    """Our info says all that gymnasium's says, in its layout."""
    for name, value in theirs.items():
        if isinstance(value, dict):
            assert_told(ours[name], value)
            assert set(ours[name]) == set(value)
        elif name == "final_obs":
            assert (ours[name].dtype, ours[name].shape) == (np.float32, (3, 38)), "rows of full width"
            for world in np.flatnonzero(theirs["_final_obs"]):
                np.testing.assert_array_equal(ours[name][world], value[world])
        else:
            assert (ours[name].dtype, ours[name].shape) == (value.dtype, value.shape), name
            if not name.startswith("_"):
                np.testing.assert_array_equal(ours[name][theirs[f"_{name}"]], value[theirs[f"_{name}"]], name)


@every_mode
@pytest.mark.parametrize("env_id", [PUSH, CARRY])
def test_episodes_end_and_begin_as_in_gymnasiums_own_vector_environment(make, env_id, mode):
    theirs, ours = side_by_side(make, env_id, mode)
    expected, told = theirs.reset(seed=3)
    observation, info = ours.reset(seed=3)
    np.testing.assert_array_equal(observation, expected)
    np.testing.assert_equal(info, told)
    ended = []
    for count, actions in enumerate(ACTIONS):
        if count == 1:  # two worlds are a step behind from here on
            mask = np.array([True, False, True])
            np.testing.assert_array_equal(*(e.reset(options={"reset_mask": mask})[0] for e in (ours, theirs)))
        *rows, info = ours.step(actions)
        *expected, told = theirs.step(actions)
        for row, wanted in zip(rows, expected, strict=True):
            np.testing.assert_array_equal(row, wanted)
        assert_told(info, told)
        done = rows[2] | rows[3]
        ended.append(done.tolist())
        assert ("final_info" in info) == ("_final_info" in info) == (mode == "same_step" and done.any())
        if mode == "disabled" and done.any():
            np.testing.assert_array_equal(*(e.reset(options={"reset_mask": done.copy()})[0] for e in (ours, theirs)))
    assert [True, False, True] in ended and [False, True, False] in ended


def test_what_gymnasium_masks_is_masked(make):
    theirs, ours = side_by_side(make, PUSH, "next_step")
    theirs.reset(seed=3), ours.reset(seed=3)
    for actions in ACTIONS[:4]:  # the fourth is spent on the reset
        *_, info = ours.step(actions)
        *_, told = theirs.step(actions)
    assert {name for name in info if name.startswith("_")} == {f"_{n}" for n in info if not n.startswith("_")}
    assert not info["_goal_error_m"].any() and info["_is_success"].all()
    for name in told:
        if name.startswith("_"):
            np.testing.assert_array_equal(info[name], told[name])
    assert "goal_error_m" not in told, "gymnasium says nothing of a world that was reset"


def test_the_last_info_of_an_episode_is_found_as_in_cleanrl(make):
    env = vector_wrappers.RecordEpisodeStatistics(make(PUSH, num_envs=3, episode_s=0.3))
    env.reset(seed=0)
    found = []
    for actions in ACTIONS:
        observation, _, terminations, truncations, infos = env.step(actions)
        next_observation = observation.copy()
        for world, ended in enumerate(terminations | truncations):
            if ended:
                next_observation[world] = infos["final_obs"][world]
        if "final_info" in infos:
            found.append(infos["final_info"]["goal_error_m"][infos["_final_info"]])
            assert (found[-1] > 0.0).all() and (infos["episode"]["l"] == 3).all()
            assert np.abs(next_observation - observation).max() > 1e-3
    assert len(found) == 4 and all(len(errors) == 3 for errors in found)


# What the page on the environments says of gymnasium's vector wrappers, by the modes in which they can be used.
ANY_MODE = {
    "RecordEpisodeStatistics": {},
    "NormalizeReward": {},
    "ClipReward": {"min_reward": -1, "max_reward": 1},
    "ClipAction": {},
    "RescaleAction": {"min_action": -2, "max_action": 2},
    "DictInfoToList": {},
}
NOT_SAME_STEP = {
    "FlattenObservation": {},
    "RescaleObservation": {"min_obs": -1, "max_obs": 1},
    "ReshapeObservation": {"shape": (2, 19)},
}
USABLE = {
    **{name: (kwargs, tuple(MODES)) for name, kwargs in ANY_MODE.items()},
    **{name: (kwargs, ("next_step", "disabled")) for name, kwargs in NOT_SAME_STEP.items()},
    "NormalizeObservation": ({}, ("next_step",)),
}


@every_mode
@pytest.mark.parametrize("name", USABLE)
def test_gymnasiums_vector_wrappers_work_in_the_modes_that_the_page_says(make, name, mode):
    kwargs, modes = USABLE[name]
    env = make(PUSH, num_envs=3, autoreset_mode=mode, episode_s=0.3)
    if mode not in modes:
        with pytest.raises(ValueError, match=r"Expected .*autoreset_mode"):
            getattr(vector_wrappers, name)(env, **kwargs)
        return
    wrapped = getattr(vector_wrappers, name)(env, **kwargs)
    wrapped.reset(seed=0)
    for actions in ACTIONS[:7]:
        observation, _, terminated, truncated, _ = wrapped.step(actions)
        assert len(observation) == 3
        if mode == "disabled" and (done := terminated | truncated).any():
            wrapped.reset(options={"reset_mask": done})
    if name == "RecordEpisodeStatistics":
        assert list(wrapped.length_queue) == [3] * 6, (
            "seven steps hold two episodes, with a step on a reset between them or without"
        )


# -- worlds that have ended, and seeds ---------------------------------------------------------------------------------


def test_without_autoreset_worlds_that_ended_are_not_stepped_on(make):
    env = make(PUSH, num_envs=3, autoreset_mode="disabled", episode_s=0.2)
    env.reset(seed=0)
    for actions in ACTIONS[:2]:
        observation, *_ = env.step(actions)
    state = env.get_state()
    for ended, mask in (("0, 1, 2", None), ("0, 2", [False, True, False]), ("2", [True, False, False])):
        if mask:
            observation, _ = env.reset(options={"reset_mask": np.array(mask)})
        with pytest.raises(ValueError, match=f"episodes ended in the worlds {ended}; call reset") as caught:
            env.step(ACTIONS[2])
        assert "\n" not in str(caught.value)
        np.testing.assert_array_equal(env.worlds.observe(), observation)
    env.reset(options={"reset_mask": np.array([False, False, True])})
    env.step(ACTIONS[2])
    env.set_state(state)
    with pytest.raises(ValueError, match="episodes ended in the worlds 0, 1, 2"):
        env.step(ACTIONS[2])
    assert env.finish().goal_m.shape == (3,), "they can still be measured"
    env.reset()
    env.step(ACTIONS[2])


@every_mode
def test_a_mask_that_chooses_no_world_is_refused_as_by_gymnasium(make, mode):
    for env in side_by_side(make, PUSH, mode):
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"reset_mask.*at least one True"):
            env.reset(options={"reset_mask": np.zeros(3, dtype=bool)})


@pytest.mark.parametrize("env_id", [PUSH, CARRY])
def test_a_world_without_a_seed_goes_on_with_its_own_generator(make, env_id):
    theirs, ours = side_by_side(make, env_id, "same_step")
    for seed in (5, [1, None, 3], [None, 8, None], [None] * 3, (4, None, None), None):
        np.testing.assert_array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0], err_msg=str(seed))
    np.testing.assert_array_equal(ours.step(ACTIONS[0])[0], theirs.step(ACTIONS[0])[0])


def test_the_first_reset_may_leave_seeds_out(make):
    rows = [make(PUSH, num_envs=3).reset(seed=[1, None, None])[0] for _ in range(2)]
    np.testing.assert_array_equal(rows[0][0], rows[1][0])
    assert (np.abs(rows[0][1:] - rows[1][1:]).max(axis=-1) > 0).all(), "the others are random"
    assert (np.abs(rows[0][1] - rows[0][2]) > 0).any()


def test_a_mask_leaves_the_generators_of_the_other_worlds_alone(make):
    env = make(PUSH, num_envs=3)
    env.reset(seed=0)
    env.reset(seed=[9, 9, None], options={"reset_mask": np.array([True, False, True])})
    expected = make(PUSH, num_envs=3)
    expected.reset(seed=[9, 1, 2])
    expected.reset(options={"reset_mask": np.array([False, False, True])})
    np.testing.assert_array_equal(env.reset()[0], expected.reset()[0])
    assert env.np_random_seed == 9
