"""States are saved and restored to the last bit, environments are pickled, worlds have goals of their own."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import iker_envs
from iker_envs.geometry import pose_apply
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, upright_pose

TASKS = tuple(iker_envs.TASKS)
BUSY = np.random.default_rng(9).uniform(-1, 1, (30, 4, 6))


def play(env, steps: range) -> list[np.ndarray]:
    """Observations and rewards; an episode that ends is followed by the next one."""
    rows = []
    for step in steps:
        action = BUSY[step] if hasattr(env, "num_envs") else BUSY[step, 0]
        observation, reward, terminated, truncated, _ = env.step(action)
        if not hasattr(env, "num_envs") and (terminated or truncated):
            observation, _ = env.reset()
        rows += [np.array(observation), np.array(reward, dtype=float)]
    return rows


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def make(env_id: str, form: str, **kwargs):
    kwargs = {"episode_s": 0.9, "randomisation": "all", **kwargs}
    return gym.make(env_id, **kwargs) if form == "single" else gym.make_vec(env_id, num_envs=4, **kwargs)


@pytest.mark.parametrize("form", ["single", "vector"])
def test_a_spec_is_json_and_makes_the_environment_again(rack_scene, form):
    goal = Goal("left_shoe", upright_pose([0.42, 0.08, 0.045]))
    ranges = Randomisation().scaled(0.5)
    env = make("IKER-Stage-v0", form, scene=rack_scene, goal=goal, randomisation=ranges)
    text = env.spec.to_json()
    again = (gym.make if form == "single" else gym.make_vec)(EnvSpec.from_json(text))
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])
    assert again.spec.to_json() == text and pickle.loads(pickle.dumps(env.unwrapped)).spec.to_json()


@pytest.mark.parametrize("form", ["single", "vector"])
@pytest.mark.parametrize("env_id", TASKS)
def test_a_restored_state_goes_on_to_the_last_bit_through_episode_ends(env_id, form):
    env = make(env_id, form)
    env.reset(seed=1)
    play(env, range(4))
    state = env.unwrapped.get_state()
    first = play(env, range(4, 20))
    env.unwrapped.set_state(state)
    assert same(play(env, range(4, 20)), first)
    other = make(env_id, form)
    other.reset(seed=77)
    other.unwrapped.set_state(pickle.loads(pickle.dumps(state)))
    assert same(play(other, range(4, 20)), first), "another environment of the same making"
    env.close(), other.close()


@pytest.mark.parametrize("copied", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy], ids=["pickle", "copy"])
@pytest.mark.parametrize("form", ["single", "vector"])
def test_environments_are_pickled_in_mid_episode(form, copied):
    env = make("IKER-ShoePush-v0", form)
    env.reset(seed=1)
    play(env, range(4))
    again = copied(env)
    assert again.spec == env.spec and again.unwrapped is not env.unwrapped
    assert same(play(again, range(4, 14)), play(env, range(4, 14)))
    env.close(), again.close()


def test_a_restored_world_is_seen_as_it_was():
    env = make("IKER-ShoePush-v0", "single", randomisation={"geometry_scale": [0.8, 1.2]}, render_mode="rgb_array")
    saved = []
    for seed, configuration in ((0, 0), (0, 4), (1, 4)):
        env.reset(seed=seed, options={"configuration": configuration})
        saved.append((env.unwrapped.get_state(), env.render(), env.unwrapped.view().image.rgb))
    for state, picture, seen in saved:
        env.unwrapped.set_state(state)
        np.testing.assert_array_equal(env.render(), picture)
        np.testing.assert_array_equal(env.unwrapped.view().image.rgb, seen)
    env.close()


def test_an_environment_is_pickled_before_its_first_reset():
    env = make("IKER-ShoePlace-v0", "single")
    again = pickle.loads(pickle.dumps(env))
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])
    env.close(), again.close()


def test_a_state_of_another_number_of_worlds_is_refused():
    few, many = (gym.make_vec("IKER-ShoePush-v0", num_envs=n) for n in (2, 3))
    few.reset(seed=0), many.reset(seed=0)
    with pytest.raises(ValueError, match="the state is one of 2 worlds, these are 3"):
        many.set_state(few.get_state())
    few.close(), many.close()


# -- goals of their own ------------------------------------------------------------------------------------------------


@pytest.fixture
def worlds():
    env = gym.make_vec("IKER-ShoePush-v0", num_envs=4, episode_s=0.4)
    yield env
    env.close()


def targets(observation: np.ndarray) -> np.ndarray:
    return observation[:, 26:38].reshape(-1, 4, 3)


POSES = np.array([upright_pose([0.42, y, 0.045], yaw) for y, yaw in ((0.0, 0), (0.05, 0.2), (-0.02, -0.3), (0.3, 0))])


@pytest.mark.parametrize("form", ["poses", "lists", "goals", "dictionaries"])
def test_every_world_may_have_a_goal_of_its_own(worlds, form):
    goals = [Goal("left_shoe", pose) for pose in POSES]
    given = {"poses": POSES, "lists": POSES.tolist(), "goals": goals, "dictionaries": [g.to_dict() for g in goals]}[
        form
    ]
    observation, _ = worlds.reset(seed=0, options={"goals": given, "configuration": 0})
    local = worlds.worlds.episode.local_m[0]
    wanted = np.array([pose_apply(pose, local) for pose in POSES])
    np.testing.assert_allclose(targets(observation), wanted, atol=1e-6)
    for step in range(6):  # over the end of an episode
        observation, *_ = worlds.step(BUSY[step])
    np.testing.assert_allclose(targets(observation), wanted, atol=1e-6)
    observation, _ = worlds.reset(options={"goals": None, "configuration": 0})
    assert np.abs(targets(observation) - wanted).max(axis=(1, 2)).min() > 0.005, "the task's own goals are back"


def test_goals_of_other_objects_are_measured_on_those(worlds):
    goals = [Goal(name, upright_pose([0.45, y, 0.045])) for name, y in (("left_shoe", 0.0), ("right_shoe", -0.2)) * 2]
    observation, _ = worlds.reset(seed=0, options={"goals": goals})
    objects = worlds.worlds.sim.objects
    assert [objects[k] for k in worlds.worlds.episode.object_index] == ["left_shoe", "right_shoe"] * 2
    true = worlds.worlds.state.object_pose[np.arange(4), worlds.worlds.episode.object_index, :3]
    np.testing.assert_allclose(observation[:, 7:10], true, atol=0.006)
    keypoints = observation[:, 14:26].reshape(-1, 4, 3)
    error = np.linalg.norm(keypoints - targets(observation), axis=-1).mean(axis=-1)
    np.testing.assert_allclose(worlds.worlds.errors().goal_m, error, atol=0.006)


def test_goals_survive_in_worlds_that_are_not_reset(worlds):
    before, _ = worlds.reset(seed=0, options={"goals": POSES, "configuration": 0})
    mask = np.array([True, False, False, False])
    after, _ = worlds.reset(
        options={"goals": POSES + np.array([0, 0.05, 0, 0, 0, 0, 0]), "reset_mask": mask, "configuration": 0}
    )
    np.testing.assert_array_equal(after[1:], before[1:])
    np.testing.assert_allclose(targets(after)[0, :, 1], targets(before)[0, :, 1] + 0.05, atol=1e-5)


def test_a_grasp_task_takes_goals_too():
    env = gym.make_vec("IKER-ShoePlace-v0", num_envs=2, randomisation="off")
    poses = np.array([upright_pose([0.65, y, 0.145]) for y in (-0.1, 0.1)])
    observation, _ = env.reset(seed=0, options={"goals": poses})
    np.testing.assert_allclose(targets(observation).mean(axis=1), poses[:, :3], atol=1e-6)
    observation, _ = env.reset(options={"goals": None})
    own = [
        env.worlds.source.task.goal(0, env.worlds.scene_now(w), env.worlds.episode.configuration[w]) for w in range(2)
    ]
    np.testing.assert_allclose(targets(observation).mean(axis=1), [g.target_pose[:3] for g in own], atol=1e-3)
    env.close()


def test_a_hand_that_holds_one_object_takes_no_goal_of_another():
    env = gym.make_vec("IKER-ShoeRack-v0", num_envs=1, stage_index=1, free="all")
    env.reset(seed=0)
    held = env.worlds.episode.goals[0]
    other = next(name for name in env.worlds.sim.free if name != held.object)
    with pytest.raises(ValueError, match=f"'{other}', but the hand begins with '{held.object}'"):
        env.reset(options={"goals": [Goal(other, held.target_pose, grasp=True)]})
    env.close()


@pytest.mark.parametrize("state", [{}, None, {"stage": 1, "kept": 2}, "of another task"], ids=str)
def test_what_is_no_state_of_this_environment_is_refused(worlds, state):
    before, _ = worlds.reset(seed=0)
    if state == "of another task":
        other = gym.make_vec("IKER-BookPush-v0", num_envs=4)
        other.reset(seed=0)
        state = other.get_state()
        other.close()
    with pytest.raises(ValueError, match="state is"):
        worlds.set_state(state)
    np.testing.assert_array_equal(worlds.worlds.observe(), before)


OTHERS = [{"randomisation": "off"}, {"free": "near"}, {"observation": "pose"}, {"episode_s": 1.0}, {"start_bank": 2}]


@pytest.mark.parametrize("arguments", [*OTHERS, {"rewards": {"bonus": 1.0}}], ids=str)
def test_a_state_of_an_environment_made_otherwise_is_refused(worlds, arguments):
    before, _ = worlds.reset(seed=0)
    other = gym.make_vec("IKER-ShoePush-v0", num_envs=4, **{"episode_s": 0.4, **arguments})
    other.reset(seed=1)
    with pytest.raises(ValueError, match="other arguments"):
        worlds.set_state(other.get_state())
    np.testing.assert_array_equal(worlds.worlds.observe(), before)
    other.close()


def test_a_state_may_come_from_one_with_other_threads_and_rewards_of_the_same_value(worlds):
    other = gym.make_vec("IKER-ShoePush-v0", num_envs=4, episode_s=0.4, num_threads=1, rewards={"success_steps": 5.0})
    expected, _ = other.reset(seed=1)
    worlds.set_state(other.get_state())
    np.testing.assert_array_equal(worlds.worlds.observe(), expected)
    other.close()


def damaged(state, *path):
    """The state with one of its parts changed: the last of the path is its new value, None to leave it out."""
    *way, name, value = path
    part = state
    for step in way:
        part = part[step]
    part.pop(name) if value is None else part.__setitem__(name, value)
    return state


DAMAGES = {
    "part": (("stage", "sensing", None), "the state is damaged: KeyError.*sensing"),
    "last part": (("stage", "grasps", None), "the state is damaged: KeyError.*grasps"),
    "array": (("stage", "sim", "state", "qpos", np.zeros((4, 3))), "the state is damaged: ValueError"),
    "generator": (("stage", "rngs", [{}] * 4), "the state is damaged: "),
    "kept": (("kept", "_done", None), r"what get_state\(\) of this form of environment gave"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_refused_as_a_whole(worlds, damage, words):
    worlds.reset(seed=0)
    before = pickle.dumps(worlds.get_state())
    worlds.step(BUSY[0])
    after = pickle.dumps(worlds.get_state())
    with pytest.raises(ValueError, match=words) as caught:
        worlds.set_state(damaged(pickle.loads(before), *damage))
    assert "\n" not in str(caught.value) and pickle.dumps(worlds.get_state()) == after


BAD_GOALS = {
    "too few": (POSES[:2], "holds 2 goals for 4 worlds"),
    "absent": ([Goal("sock", POSES[0])] * 4, "'sock' is not movable; movable: right_shoe, left_shoe"),
    "a grasp": ([Goal("left_shoe", POSES[0], grasp=True)] * 4, "`grasp`"),
    "short": (POSES[:, :3], "target_pose"),
    "far away": (
        POSES * [1, 1, 1, 0, 0, 0, 0] + upright_pose([50, 0, 0]),
        r"\[50.42, .* has a keypoint at 50.56 m; give",
    ),
    "under the table": (POSES - [0, 0, 3, 0, 0, 0, 0], "has a keypoint 2.96 m below the table; give one"),
    "not a number": (np.full((4, 7), np.nan), "target_pose"),
}


@pytest.mark.parametrize(("goals", "words"), BAD_GOALS.values(), ids=BAD_GOALS)
def test_bad_goals_are_told_and_change_nothing(worlds, goals, words):
    before, _ = worlds.reset(seed=0)
    with pytest.raises(ValueError, match=words) as caught:
        worlds.reset(options={"goals": goals})
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(worlds.worlds.observe(), before)


# -- a window ----------------------------------------------------------------------------------------------------------


def test_a_window_needs_a_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(RuntimeError, match=r"no display here.*use 'rgb_array'") as caught:
        gym.make("IKER-ShoePush-v0", render_mode="human")
    assert "\n" not in str(caught.value)


def test_the_window_shows_every_step(monkeypatch):
    shown = []

    class Recorder:
        def __init__(self, model, data, tick_s):
            self.data = data

        def show(self):
            shown.append(self.data.body("hand").xpos.copy())

        def close(self):
            shown.append(None)

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("iker_envs.env.Viewer", Recorder)
    env = gym.make("IKER-ShoePush-v0", render_mode="human")
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.array([0, 0, 1.0, 0, 0, 0]))
    assert len(shown) == 4 and shown[3][2] > shown[0][2] + 0.03 and env.render() is None
    env.close()
    assert shown[-1] is None
