"""Many worlds at once: independent of each other's number, three ways to begin again, and goals that can be reached."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import iker_envs
from iker_agent.learning.evaluate import evaluate
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.scene import upright_pose
from iker_envs.sim import WorldReset

every_id = pytest.mark.parametrize("env_id", iker_envs.IDS)
PUSH = "IKER-ShoePush-v0"
BUSY = np.random.default_rng(9).uniform(-1, 1, (40, 4, 6))  # actions by step and world


@pytest.fixture
def make(kwargs_of):
    made = []

    def build(env_id: str, num_envs: int = 3, **kwargs):
        made.append(gym.make_vec(env_id, num_envs=num_envs, **{**kwargs_of(env_id), "num_threads": 2, **kwargs}))
        return made[-1]

    yield build
    for env in made:
        env.close()


def run(env, seeds, steps: int = 12, first: int = 0) -> list[tuple[np.ndarray, ...]]:
    rows = [(env.reset(seed=seeds)[0],)]
    for actions in BUSY[:steps, first : first + env.num_envs]:
        observation, reward, terminated, truncated, info = env.step(actions)
        rows.append((observation, reward, terminated, truncated, info["final_obs"]))
    return rows


def world(rows, index: int) -> list[np.ndarray]:
    return [column[index] for row in rows for column in row]


@every_id
def test_spaces_and_full_width_rows(make, env_id):
    env = make(env_id, episode_s=0.3)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.shape == (3, 38) and env.action_space.shape == (3, 6)
    for actions in BUSY[:5, :3]:
        assert env.observation_space.contains(observation)
        observation, reward, terminated, truncated, info = env.step(actions)
        assert reward.shape == terminated.shape == truncated.shape == (3,)
        assert terminated.dtype == truncated.dtype == bool
        assert all(value.shape[0] == 3 for name, value in info.items() if name != "final_info")
        rows = [value for name, value in info.items() if name.startswith("reward/")]
        np.testing.assert_allclose(sum(rows), reward)


@every_id
@pytest.mark.parametrize(("num_envs", "num_threads"), [(1, 1), (2, 2)])
def test_a_world_does_not_depend_on_the_worlds_beside_it(make, env_id, num_envs, num_threads):
    together = run(make(env_id, 3, episode_s=0.5), [7, 8, 9])
    fewer = run(make(env_id, num_envs, episode_s=0.5, num_threads=num_threads), [8, 9][:num_envs], first=1)
    for index in range(num_envs):
        for a, b in zip(world(together, 1 + index), world(fewer, index), strict=True):
            np.testing.assert_array_equal(a, b)


def throw_up(env, index: int) -> None:
    """Let the objects of one world fall from 3 m: it comes to rest long after the others."""
    state = env.worlds.sim.state()
    poses = state.object_pose[[index]].copy()
    poses[..., 2] += 3.0
    opening = state.opening_m[[index]]
    env.worlds.sim.reset(np.array([index]), WorldReset(state.gripper_pose[[index]], opening, poses, opening))


@every_id
def test_what_finish_measures_does_not_depend_on_the_worlds_beside_it(make, env_id):
    measured = []
    for num_envs, seeds, first in ((4, [5, 6, 7, 8], 0), (2, [6, 7], 1)):
        env = make(env_id, num_envs, episode_s=3.0)
        run(env, seeds, steps=15, first=first)
        if num_envs == 4:
            throw_up(env, 0)
        errors = env.finish()
        measured.append((errors.goal_m, errors.tilt_rad, errors.heading_rad))
    assert measured[0][0][0] > 0.03, "the fall was noticed"
    for all_four, two in zip(*measured, strict=True):
        np.testing.assert_array_equal(two, all_four[1:3])


@every_id
def test_equal_seeds_give_equal_trajectories_to_the_last_bit(make, env_id):
    env = make(env_id, episode_s=0.5)
    once = run(env, 3)
    again = run(env, [3, 4, 5])
    for index in range(3):
        for a, b in zip(world(once, index), world(again, index), strict=True):
            np.testing.assert_array_equal(a, b)
    assert len({row.tobytes() for row in once[0][0]}) == 3, "worlds start alike"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("arguments", [{}, {"free": "near", "grasp_bank": 2, "start_bank": 2}], ids=["plain", "banks"])
@pytest.mark.parametrize("env_id", [PUSH, "IKER-ShoePlace-v0"])
def test_the_single_and_the_vectorised_form_are_one_environment(make, env_id, arguments, dtype):
    vector = make(env_id, 3, episode_s=0.4, **arguments)
    single = gym.make(env_id, episode_s=0.4, **arguments)
    np.testing.assert_array_equal(single.reset(seed=6)[0], vector.reset(seed=[5, 6, 7])[0][1])
    for actions in BUSY[:12, :3].astype(dtype):  # three episodes
        observation, reward, terminated, truncated, info = vector.step(actions)
        alone = single.step(actions[1])
        np.testing.assert_array_equal(alone[0], info["final_obs"][1])
        assert alone[1] == reward[1] and reward.dtype == np.float64
        assert alone[2:4] == (terminated[1], truncated[1])
        if terminated[1] or truncated[1]:
            np.testing.assert_array_equal(single.reset()[0], observation[1])
    single.close()


def test_the_seed_is_remembered_unless_it_is_refused(make):
    env = make(PUSH)
    env.reset(seed=4)
    assert env.np_random_seed == 4
    with pytest.raises(ValueError):
        env.reset(seed=5, options={"configuration": 99})
    env.reset()
    assert env.np_random_seed == 4
    env.reset(seed=[7, 1, 2])
    assert env.np_random_seed == 7


def test_whole_numbers_are_actions_like_any_other(make):
    env = make(PUSH)
    env.reset(seed=0)
    state = env.get_state()
    rewards = []
    for dtype in (int, np.float32, np.float64):
        env.set_state(state)
        rewards.append(env.step(np.eye(3, 6, dtype=dtype))[1])
    np.testing.assert_array_equal(rewards[1:], rewards[:1] * 2)


def test_same_step_autoreset_keeps_the_last_observation(make):
    env = make(PUSH, episode_s=0.3)
    assert env.autoreset_mode == env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    env.reset(seed=0)
    env.worlds.episode.step_count[1] = 1  # world 1 is one step ahead
    for count, ended in enumerate(([0, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]), start=1):
        observation, _, _, truncated, info = env.step(np.zeros((3, 6)))
        ended = np.array(ended, dtype=bool)
        np.testing.assert_array_equal(truncated, ended, err_msg=f"step {count}")
        np.testing.assert_array_equal(info["_final_obs"], ended)
        assert info["final_obs"].shape == (3, 38)
        np.testing.assert_array_equal(info["final_obs"][~ended], observation[~ended])
        for w in np.flatnonzero(ended):
            assert np.abs(info["final_obs"][w, 7:9] - observation[w, 7:9]).max() > 1e-4, "another start was drawn"


def test_next_step_autoreset_spends_a_step_on_the_reset(make):
    env = make(PUSH, autoreset_mode="next_step", episode_s=0.3)
    reference = make(PUSH, episode_s=0.3)
    assert env.autoreset_mode == env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    env.reset(seed=0), reference.reset(seed=0)
    last = first = None
    for step in range(1, 9):
        observation, reward, terminated, truncated, info = env.step(BUSY[step, :3])
        assert "final_obs" not in info and not terminated.any()
        if step <= 3:
            last, *_, ending = reference.step(BUSY[step, :3])
        if step == 3:
            np.testing.assert_array_equal(observation, ending["final_obs"])
            first = last
        if step == 4:
            np.testing.assert_array_equal(reward, 0.0)
            assert not any(value.any() for name, value in info.items() if name.startswith("reward/"))
            np.testing.assert_array_equal(observation, first, err_msg="not the first observation of an episode")
        assert truncated.all() == (step in (3, 7)), f"step {step}: an episode has 3 actions"


def test_without_autoreset_chosen_worlds_begin_again_and_the_others_do_not_notice(make):
    env = make(PUSH, autoreset_mode="disabled", episode_s=0.3)
    assert env.autoreset_mode == env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    env.reset(seed=0)
    for step in range(3):
        before, _, _, truncated, info = env.step(BUSY[step, :3])
    assert truncated.all() and "final_obs" not in info
    after, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert np.abs(after[1, 7:9] - before[1, 7:9]).max() > 1e-4
    env.reset(options={"reset_mask": np.array([True, False, True])})
    assert not env.step(BUSY[3, :3])[3].any()


@pytest.mark.parametrize("seed", [None, 5])
def test_a_mask_protects_worlds_whatever_the_seed_and_mode_of_the_goal(make, seed):
    env = make("IKER-ShoePlace-v0", autoreset_mode="disabled")
    env.reset(seed=0)
    before, *_ = env.step(np.zeros((3, 6)))
    after, _ = env.reset(seed=seed, options={"reset_mask": np.array([True, False, False])})
    np.testing.assert_array_equal(after[1:], before[1:])


def test_a_masked_reset_of_a_grasp_task_depends_on_its_own_seed_alone(make):
    def first_world(num_envs: int, seed: int, again: dict) -> np.ndarray:
        env = make("IKER-ShoePlace-v0", num_envs, autoreset_mode="disabled")
        env.reset(seed=seed)
        mask = np.arange(num_envs) == 0
        return env.reset(**{**again, "options": {"reset_mask": mask, **again.get("options", {})}})[0][0]

    other = {"options": {"configuration": 3}}
    np.testing.assert_array_equal(first_world(1, 7, other), first_world(3, 7, other))
    np.testing.assert_array_equal(first_world(3, 1, {"seed": 7}), first_world(3, 2, {"seed": 7}))


@pytest.mark.parametrize("env_id", [PUSH, "IKER-ShoePlace-v0"])
def test_a_mask_protects_the_configuration_of_later_episodes_too(make, env_id):
    env = make(env_id, episode_s=0.2)
    env.reset(seed=0, options={"configuration": 5})
    env.reset(options={"reset_mask": np.array([True, False, False]), "configuration": 2})
    env.reset(options={"reset_mask": np.array([False, False, True])})
    for _ in range(3):
        env.step(np.zeros((3, 6)))
        assert env.worlds.episode.configuration.tolist()[:2] == [2, 5]
    state = env.get_state()
    env.reset(seed=1)
    env.set_state(state)
    env.step(np.zeros((3, 6)))
    assert env.worlds.episode.configuration.tolist()[:2] == [2, 5], "a state remembers what was chosen"


def test_a_reset_that_fails_gives_no_goal(make):
    env = make(PUSH)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="seed"):
        env.reset(seed=-1, options={"goals": np.tile(upright_pose([0.42, 0.0, 0.045]), (3, 1))})
    assert env.worlds.get_state()["given"] == [None] * 3


def test_arrays_are_fresh_at_every_step(make):
    env = make(PUSH)
    kept = [env.reset(seed=0)[0]]
    for actions in BUSY[:3, :3]:
        observation, reward, *_, info = env.step(actions)
        kept += [observation, reward, info["final_obs"], info["goal_error_m"]]
        assert not np.shares_memory(observation, info["final_obs"])
    copies = [k.copy() for k in kept]
    env.step(BUSY[4, :3])
    env.reset()
    for value, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(value, copy)


def test_first_episodes_begin_at_a_random_age_in_training_only(make):
    plain = make(PUSH, 4)
    training = make(PUSH, 4, random_first_age=True)
    plain.reset(seed=0), training.reset(seed=0)
    np.testing.assert_array_equal(plain.worlds.episode.step_count, 0)
    ages = training.worlds.episode.step_count
    assert len(set(ages)) > 1 and ages.min() >= 0 and ages.max() < training.worlds.config.max_steps


BAD_RESETS = {
    "option": (dict(options={"goal": None}), "'goal' is unknown; known: configuration, goals, reset_mask"),
    "mask of the wrong length": (dict(options={"reset_mask": np.ones(2, dtype=bool)}), r"\(3,\) bool"),
    "mask of numbers": (dict(options={"reset_mask": np.ones(3)}), r"\(3,\) bool, not float64"),
    "too few seeds": (dict(seed=[1, 2]), "2 seeds were given for 3 worlds"),
    "configuration": (dict(options={"configuration": 99}), "configuration 99 does not exist"),
    "negative seed": (dict(seed=-1), "seed is a whole number of at least 0, not -1"),
    "half a seed": (dict(seed=1.5), "seed is a whole number"),
    "seeds of text": (dict(seed=["a", 1, 2]), "each seed is a whole number of at least 0, not 'a'"),
    "ragged mask": (dict(options={"reset_mask": [[True], [True, False]]}), r"\(3,\) bool"),
    "first of some": (dict(options={"reset_mask": np.eye(3, dtype=bool)[0]}), "the first reset is of all worlds; call"),
    "no mapping": (dict(options=3), "reset options are a mapping"),
    "one goal": (dict(options={"goals": {"object": "left_shoe"}}), "one goal per world"),
    "goals of numbers": (dict(options={"goals": [1, 2, 3]}), "a goal is given as itself.*not as 1"),
}


@pytest.mark.parametrize(("kwargs", "words"), BAD_RESETS.values(), ids=BAD_RESETS)
def test_bad_resets_are_told_in_one_sentence(make, kwargs, words):
    with pytest.raises(ValueError, match=words) as caught:
        make(PUSH).reset(**kwargs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("actions", "words"),
    [(np.zeros((2, 6)), r"\(3, 6\) finite numbers.*not \(2, 6\)"), (np.full((3, 6), np.nan), "not.*(nan|finite)")],
)
def test_bad_actions_are_told_in_one_sentence(make, actions, words):
    env = make(PUSH)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        env.step(actions)


BAD_ARGUMENTS = {
    "autoreset mode": (dict(autoreset_mode="never"), "'never' is unknown; known: next_step, same_step, disabled"),
    "reward row": (dict(rewards={"charm": 1.0}), "charm.*distance"),
    "layout": (dict(observation="pixels"), "'pixels' is unknown; known: keypoints, pose"),
    "no worlds": (dict(num_envs=0), "num_envs"),
    "half a world": (dict(num_envs=1.5), "num_envs is a whole number of at least 1, not 1.5"),
    "threads": (dict(num_threads="2"), "num_threads is a whole number of at least 0, not '2'"),
    "no rewards": (dict(rewards=3), "rewards is a mapping"),
    "reward of text": (dict(rewards={"distance": "x"}), "is a finite number, not 'x'"),
    "pictures": (dict(render_mode="rgb_array"), "render_mode is None, not 'rgb_array'; gym.make"),
    "mode of another type": (dict(autoreset_mode=3), "3 is unknown; known: next_step"),
}


@pytest.mark.parametrize(("kwargs", "words"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_told_in_one_sentence(make, kwargs, words):
    with pytest.raises(ValueError, match=words) as caught:
        make(PUSH, **kwargs)
    assert "\n" not in str(caught.value)


def test_rewards_can_be_weighted(make):
    plain = make(PUSH)
    heavy = make(PUSH, rewards={"alignment": 3.0})
    rows = []
    for env in (plain, heavy):
        env.reset(seed=0)
        rows.append(env.step(BUSY[0, :3])[-1])
    np.testing.assert_allclose(rows[1]["reward/alignment"], 3 * rows[0]["reward/alignment"])
    np.testing.assert_allclose(rows[1]["reward/distance"], rows[0]["reward/distance"])


@pytest.mark.parametrize("task", ["shoe_place", "shoe_rack"])
def test_goals_can_be_reached_by_the_waypoint_learner(task):
    env = gym.make("IKER-Stage-v0", task=task).unwrapped
    env.reset(seed=0)
    policy = WaypointLearner().learn(env.scene, env.goal).policy
    env.close()
    evaluation = evaluate(policy, num_envs=32, seed=100, task=task)
    assert evaluation.num_episodes == 32 and evaluation.success_rate_strict >= 0.8
    assert evaluation.interval_strict[0] < evaluation.success_rate_strict <= evaluation.interval_strict[1]


def test_a_later_stage_begins_with_the_earlier_ones_done(make):
    env = make("IKER-ShoeRack-v0", stage_index=2)
    env.reset(seed=0, options={"configuration": 0})
    assert env.worlds.goal.object == "right_shoe" and env.worlds.grasped.all()
    names = list(env.worlds.sim.objects)
    rack = env.worlds.scene.object("rack").pose
    box, left = (env.worlds.episode.start_pose[:, names.index(name), :3] for name in ("shoe_box", "left_shoe"))
    np.testing.assert_allclose(box[:, 1] - rack[1], 0.20, atol=0.005)
    assert (left[:, 2] > rack[2] + 0.05).all(), "the left shoe stands on the rack"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"task": "shoe_rack", "stage_index": 3}, "stage_index 3 does not exist; shoe_rack has 0 to 2"),
        ({"task": "shoe_push", "stage_index": "all"}, "stage_index 'all' does not exist"),
    ],
)
def test_a_stage_that_is_not_there_is_named(arguments, says):
    with pytest.raises(ValueError, match=says):
        gym.make_vec("IKER-Stage-v0", num_envs=2, **arguments)
