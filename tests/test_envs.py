"""Every registered environment: gymnasium's own check, spaces, seeds, time limit, outcome, and its spec as text."""

import json
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

import iker_envs
from iker_envs.geometry import pose_apply
from iker_envs.rewards import ROWS
from iker_envs.scene import Outcome, upright_pose
from iker_envs.spec import Spec
from iker_envs.task import load_task

INFO = {"is_success", "is_success_strict", "goal_error_m"} | {f"reward/{row}" for row in ROWS}
every_id = pytest.mark.parametrize("env_id", iker_envs.IDS)


@pytest.fixture
def make(kwargs_of):
    """gym.make with what the id needs; everything is closed afterwards."""
    made = []

    def build(env_id: str, **kwargs) -> gym.Env:
        made.append(gym.make(env_id, **{**kwargs_of(env_id), **kwargs}))
        return made[-1]

    yield build
    for env in made:
        env.close()


def trajectory(env: gym.Env, seed: int, steps: int = 12) -> list[np.ndarray]:
    """Observations and rewards under random actions that depend on nothing."""
    actions = np.random.default_rng(5).uniform(-1, 1, (steps, 6)).astype(np.float32)
    rows = [env.reset(seed=seed)[0]]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        rows += [observation, np.array([reward, terminated, truncated], dtype=float)]
    return rows


def identical(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@every_id
@pytest.mark.parametrize("observation", ["keypoints", "pose"])
def test_gymnasiums_check_passes_without_a_warning(make, env_id, observation):
    env = make(env_id, observation=observation, episode_s=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)  # "human" needs a display


@every_id
def test_observations_rewards_and_info(make, env_id):
    env = make(env_id)
    assert env.observation_space.shape == (Spec().observation_dim,) == (38,)
    observation, info = env.reset(seed=3)
    assert env.observation_space.contains(observation) and isinstance(info["is_success"], bool)
    for _ in range(15):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert set(info) == INFO and (type(terminated), type(truncated)) == (bool, bool)
        assert reward == pytest.approx(sum(v for k, v in info.items() if k.startswith("reward/"))) and np.isfinite(
            reward
        )
        if terminated or truncated:
            env.reset()


@every_id
def test_equal_seeds_give_equal_trajectories_to_the_last_bit(make, env_id):
    first = make(env_id)
    second = make(env_id)
    once = trajectory(first, 11)
    again = trajectory(second, 11)
    assert identical(once, again)
    assert not np.array_equal(trajectory(second, 12)[0], once[0])
    assert identical(trajectory(second, 11), once), "an earlier episode left traces"


@every_id
def test_episodes_after_a_seed_differ_and_repeat(make, env_id):
    env = make(env_id)
    series = [[env.reset(seed=4)[0], env.reset()[0], env.reset()[0]] for _ in range(2)]
    assert identical(*series)
    assert not np.array_equal(series[0][1], series[0][2])


@every_id
def test_doing_nothing_ends_at_the_time_limit(make, env_id):
    env = make(env_id)
    env.reset(seed=0)
    ends = [env.step(np.zeros(6))[2:4] for _ in range(60)]
    assert ends == [(False, False)] * 59 + [(False, True)], "6 s at 10 Hz"


@every_id
def test_the_outcome_of_an_episode(make, env_id):
    env = make(env_id, episode_s=0.5)
    env.reset(seed=1)
    for _ in range(3):
        env.step(np.zeros(6))
    outcome = env.unwrapped.finish()
    assert isinstance(outcome, Outcome) and outcome.num_steps == 3
    assert set(outcome.object_poses) == {o.name for o in env.unwrapped.scene.objects}
    assert not outcome.success_strict and outcome.reason and outcome.happened and outcome.goal_error_m > 0.05
    assert (outcome.annotated_error_m is not None) == (env_id != "IKER-Stage-v0")
    assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict()))).to_dict() == outcome.to_dict()
    if (error := outcome.annotated_error_m) is not None:
        assert error == pytest.approx(outcome.goal_error_m)


@every_id
def test_the_goal_that_is_told_is_the_goal_that_is_observed(make, env_id):
    env = make(env_id, randomisation=None)
    for seed in (0, 1):
        observation, _ = env.reset(seed=seed)
        goal = env.unwrapped.goal
        model = env.unwrapped.scene.object(env.unwrapped.goal.object).model
        wanted = pose_apply(goal.target_pose, model.control_keypoints_m())
        np.testing.assert_allclose(observation[26:38].reshape(4, 3), wanted, atol=1e-5)


@every_id
def test_an_environment_is_remade_from_its_spec(make, env_id):
    env = make(env_id, episode_s=0.5)
    text = env.spec.to_json()
    for spec in (EnvSpec.from_json(text), pickle.loads(pickle.dumps(env.spec))):
        again = gym.make(spec)
        assert identical(trajectory(again, 2, 3), trajectory(env, 2, 3))
        again.close()


@every_id
def test_an_id_has_no_step_limit_of_gymnasiums(env_id):
    spec = gym.spec(env_id)
    assert spec.max_episode_steps is None
    assert spec.entry_point == "iker_envs.env:StageEnv" and isinstance(spec.vector_entry_point, str)


@every_id
def test_what_the_cameras_see(make, env_id):
    env = make(env_id, view_size=(320, 240))
    env.reset(seed=0)
    scene = env.unwrapped.scene
    view = env.unwrapped.view()
    assert set(view.cameras) == {c.name for c in scene.cameras} and set(view.true_poses) == set(scene.movable)
    seen = np.unique(view.image.segmentation)
    assert {float(k) for k in range(len(scene.objects))} <= set(seen), "an object cannot be seen"
    assert view.image.segmentation.dtype.kind == "i" and view.image.stamp_s == 0.0
    env.step(np.zeros(6))
    later = env.unwrapped.view()
    assert later.image.stamp_s == pytest.approx(0.1)
    before = [np.array(p) for p in later.true_poses.values()]
    assert identical(before, list(env.unwrapped.view().true_poses.values()))


def test_a_view_may_be_of_the_query_camera_alone(make):
    env = make("IKER-ShoePush-v0", view_cameras="query", view_size=(64, 48))
    env.reset(seed=0)
    view = env.unwrapped.view()
    assert list(view.cameras) == [view.query] and view.image.rgb.shape == (48, 64, 3)
    with pytest.raises(ValueError, match="view_cameras is 'all' or 'query', not 'side'"):
        make("IKER-ShoePush-v0", view_cameras="side")


def test_pictures_of_the_motion(make):
    env = make("IKER-ShoePush-v0", render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3 and first.std() > 10
    for _ in range(3):
        env.step(np.array([0, 0, 1.0, 0, 0, 0]))
    assert (env.render() != first).any(axis=-1).mean() > 0.001
    blind = make("IKER-ShoePush-v0")
    blind.reset(seed=0)
    assert blind.unwrapped.render() is None


def test_without_randomisation_a_fixed_scene_is_the_same_for_all_seeds(make, kwargs_of):
    env = make("IKER-Stage-v0", randomisation="off")
    assert identical(trajectory(env, 0), trajectory(env, 1))
    scene = kwargs_of("IKER-Stage-v0")["scene"]
    env.reset(seed=0)
    for now, given in zip(env.unwrapped.scene.objects, scene["objects"], strict=True):
        np.testing.assert_allclose(now.pose, given["pose"], atol=1e-6)


def test_the_policy_moves_the_hand_as_the_spec_says(make):
    env = make("IKER-Stage-v0", randomisation="off")
    start = env.reset(seed=0)[0][:3].copy()
    for _ in range(5):
        observation, *_ = env.step(np.array([0, 0, 0.5, 0, 0, 0]))
    np.testing.assert_allclose(observation[:3] - start, [0, 0, 5 * 0.015], atol=0.012)


@pytest.mark.parametrize("name", [None, "scene.json", "scene.yaml"])
def test_scene_and_goal_come_as_objects_or_files_too(make, kwargs_of, rack_scene, tmp_path, name):
    plain = kwargs_of("IKER-Stage-v0")
    given = {"scene": rack_scene}
    if name:
        (tmp_path / name).write_text(json.dumps(plain["scene"]))
        given = {"scene": str(tmp_path / name)}
    assert identical(trajectory(make("IKER-Stage-v0", **given), 1, 3), trajectory(make("IKER-Stage-v0"), 1, 3))


BAD_ARGUMENTS = {
    "nothing": (dict(scene=None, goal=None), "from a task, or from a scene and a goal"),
    "both": (dict(task="shoe_place"), "give one of the two"),
    "no goal": (dict(goal=None), "a scene needs a goal"),
    "unknown task": (dict(scene=None, goal=None, task="shoe_sort"), "no task 'shoe_sort'; known: .*shoe_rack"),
    "goal of nothing": (dict(goal={"object": "sock", "target_pose": [0, 0, 0, 1, 0, 0, 0]}), "'sock'.*left_shoe"),
    "goal of furniture": (dict(goal={"object": "rack", "target_pose": [0, 0, 0, 1, 0, 0, 0]}), "'rack' is furniture"),
    "short pose": (dict(goal={"object": "left_shoe", "target_pose": [0.4, 0.1, 0.045]}), "target_pose"),
    "goal far away": (
        dict(goal={"object": "left_shoe", "target_pose": [50, 0, 0.045, 1, 0, 0, 0]}),
        "has a keypoint at 50.14 m; give one",
    ),
    "goal under the table": (
        dict(goal={"object": "left_shoe", "target_pose": [0.4, 0, -3, 1, 0, 0, 0]}),
        "has a keypoint 3.00 m below the table",
    ),
    "unknown field": (dict(goal={"object": "left_shoe", "pose": [0] * 7}), "Goal has no field 'pose'"),
    "scene of numbers": (dict(scene=5), "a scene is given as itself, as a mapping or as a file, not as 5"),
    "no such file": (dict(scene="nowhere.json"), r"nowhere\.json"),
    "layout": (dict(observation="pixels"), "'pixels' is unknown; known: keypoints, pose"),
    "render mode": (dict(render_mode="ansi"), "'ansi' is unknown; known: None, 'rgb_array'"),
    "free": (dict(free="some"), "'near' or 'all', not 'some'"),
    "randomisation": (dict(randomisation={"colour": [0, 1]}), "'colour' cannot be randomised"),
    "no time": (dict(episode_s=0.0), "episode_s"),
    "time backwards": (dict(episode_s=-1.0), "episode_s"),
    "less than a tick": (dict(episode_s=0.05), "at least one tick, 0.1 s, not 0.05"),
    "no end": (dict(episode_s=float("inf")), "episode_s is a finite number"),
    "time as text": (dict(episode_s="6"), "episode_s is a finite number, not '6'"),
    "task of another type": (dict(scene=None, goal=None, task=3), "by its name or as a file, not as 3"),
    "goal of a task": (dict(scene=None, task="shoe_push"), "a task has its own goals"),
    "a folder": (dict(scene="."), "'.' cannot be read: Is a directory"),
    "layout of another type": (dict(observation=["pose"]), "is unknown; known: keypoints, pose"),
    "ranges of another type": (dict(randomisation={"ranges": 3}), "ranges are a mapping.*not 3"),
    "ranges in no file": (dict(randomisation="nowhere.yaml"), r"a mapping of ranges, not 'nowhere\.yaml'; .*cannot be"),
}


@pytest.mark.filterwarnings("ignore:.*render")
@pytest.mark.parametrize(("kwargs", "words"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_told_in_one_sentence(make, kwargs, words):
    with pytest.raises((ValueError, OSError), match=words) as caught:
        make("IKER-Stage-v0", **kwargs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"{", bytes(range(128, 256)), b"[1, 2]"], ids=["broken", "binary", "a list"])
@pytest.mark.parametrize("argument", ["scene", "randomisation"])
def test_a_file_that_cannot_be_used_is_named(make, tmp_path, argument, content):
    (path := tmp_path / "given.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"given\.yaml|a mapping") as caught:
        make("IKER-Stage-v0", **{argument: str(path)})
    assert "\n" not in str(caught.value)


SHOE_AT = {
    "in the table": ([0.335, 0.17, 0.030], "left_shoe is 15 mm inside the table"),
    "in another": ([0.335, -0.10, 0.045], "left_shoe is 30 mm inside right_shoe"),
    "in the air": ([0.335, 0.17, 0.090], "left_shoe moved by 4.5 cm within 0.5 s"),
}


@pytest.mark.parametrize(("position", "words"), SHOE_AT.values(), ids=SHOE_AT)
def test_a_scene_that_is_not_at_rest_is_refused(make, rack_scene, position, words):
    with pytest.raises(ValueError, match=f"the scene is not at rest: {words}"):
        make("IKER-Stage-v0", scene=rack_scene.with_poses({"left_shoe": upright_pose(position)}))


def test_the_time_limit_is_the_tasks_unless_another_is_asked_for(make):
    task = replace(load_task("shoe_push"), episode_s=1.5)
    for kwargs, steps in (({}, 15), ({"episode_s": 0.7}, 7)):
        env = gym.make("IKER-Stage-v0", task=task, **kwargs).unwrapped
        assert env.worlds.config.max_steps == steps
        env.close()


@pytest.mark.parametrize("make_one", [gym.make, lambda i: gym.make_vec(i, num_envs=2)], ids=["single", "vector"])
def test_before_the_first_reset_and_after_the_end_is_told(make_one):
    env = make_one("IKER-ShoePush-v0").unwrapped
    action = np.zeros(env.action_space.shape)
    for name, call in (("step", lambda: env.step(action)), ("finish", env.finish)):
        with pytest.raises(ValueError, match=rf"call reset\(\) before {name}\(\)"):
            call()
    env.reset(seed=0)
    state = env.get_state()
    env.close(), env.close()
    for call in (env.reset, lambda: env.step(action), env.finish, env.get_state, lambda: env.set_state(state)):
        with pytest.raises(ValueError, match="the environment is closed; make another one"):
            call()


@pytest.mark.parametrize(
    "action",
    [
        *(np.zeros(5), np.zeros((1, 6)), np.full(6, np.nan), np.array([0, 0, np.inf, 0, 0, 0])),
        *("abc", None, [[1], [1, 2]], np.zeros(6) * 1j),
    ],
    ids=str,
)
def test_bad_actions_are_told_in_one_sentence_and_do_nothing(make, action):
    env = make("IKER-ShoePush-v0").unwrapped
    env.reset(seed=0)
    before = env.worlds.sim.state().gripper_pose.copy()
    with pytest.raises(ValueError, match="an action is 6 finite numbers"):
        env.step(action)
    np.testing.assert_array_equal(env.worlds.sim.state().gripper_pose, before)
    assert env.worlds.episode.step_count[0] == 0


def test_gymnasium_can_import_the_package_by_the_id():
    code = "import gymnasium as g; e = g.make('iker_envs:IKER-ShoePush-v0'); print(e.reset(seed=0)[0].shape)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "(38,)"


@every_id
def test_the_docstring_explains_every_number(env_id):
    text = gym.spec(env_id).entry_point.split(":")
    documented = getattr(__import__(text[0], fromlist=[text[1]]), text[1]).__doc__
    for row in ("gripper_quaternion", "| 14:26 | keypoints", "| 26:38 | targets", "| 3:6 | rotation"):
        assert row in documented
