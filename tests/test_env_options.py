"""`reset(options=...)`: a new world, or the next stage in the world as it stands, with another goal or grasp."""

import gymnasium as gym
import numpy as np
import pytest

import iker_envs  # noqa: F401 (registers the environments)
from iker_envs.geometry import pose_apply
from iker_envs.scene import Goal, Grasp, upright_pose
from iker_envs.sim import WorldReset

PUSH = Goal("right_shoe", upright_pose([0.42, -0.10, 0.045]))
CARRY = Goal("left_shoe", upright_pose([0.65, -0.20, 0.145]), grasp=True)
KEEP = {"world": "keep"}


@pytest.fixture
def env(kwargs_of):
    made = gym.make("IKER-Stage-v0", **kwargs_of("IKER-Stage-v0"), episode_s=0.5, randomisation="off").unwrapped
    yield made
    made.close()


@pytest.fixture
def ready(env):
    """After an episode of its own that ran out of time."""
    env.reset(seed=0)
    truncated = False
    while not truncated:
        *_, truncated, _ = env.step(np.array([0.0, -0.5, 0, 0, 0, 0]))
    return env


def poses(env) -> dict[str, np.ndarray]:
    return {o.name: np.array(o.pose) for o in env.scene.objects}


def run_out(env) -> int:
    """Steps until the time limit."""
    for count in range(1, 20):
        _, _, terminated, truncated, _ = env.step(np.zeros(6))
        assert not terminated
        if truncated:
            return count
    raise AssertionError("no time limit")


@pytest.mark.parametrize("as_data", [False, True], ids=["object", "dictionary"])
def test_keep_goes_on_from_the_world_as_it_stands(ready, as_data):
    before = poses(ready)
    observation, info = ready.reset(options={**KEEP, "goal": PUSH.to_dict() if as_data else PUSH})
    for name, pose in poses(ready).items():
        np.testing.assert_array_equal(pose, before[name], err_msg=f"{name} was touched")
    assert ready.goal.object == "right_shoe" and not info["is_success"]
    model = ready.scene.object("right_shoe").model
    np.testing.assert_allclose(observation[7:10], before["right_shoe"][:3], atol=1e-6)
    wanted = pose_apply(PUSH.target_pose, model.control_keypoints_m()).ravel()
    np.testing.assert_allclose(observation[26:], wanted, atol=1e-6)


def test_keep_stops_the_hand_and_nothing_else(ready):
    sim = ready.worlds.sim
    before = ready.worlds.sim.state()
    lifted = before.object_pose.copy()
    lifted[0, sim.objects.index("left_shoe"), 2] += 0.1
    sim.reset(np.arange(1), WorldReset(before.gripper_pose, np.zeros(1), lifted, np.zeros(1)))
    sim.step(before.gripper_pose, np.zeros(1), ready.worlds.substeps)
    falling = sim.state()
    ready.reset(options={**KEEP, "goal": PUSH})
    kept = sim.state()
    np.testing.assert_array_equal(kept.object_pose, falling.object_pose)
    np.testing.assert_array_equal(kept.object_twist, falling.object_twist)
    assert falling.object_twist.min() < -0.5, "nothing falls"
    ready.step(np.zeros(6))
    assert np.linalg.norm(sim.state().gripper_pose[0, :3] - kept.gripper_pose[0, :3]) < 0.002, "the hand is at rest"


def test_keep_starts_the_count_and_the_measures_anew(ready):
    ready.reset(options={**KEEP, "goal": PUSH})
    assert run_out(ready) == 5
    outcome = ready.finish()
    assert outcome.num_steps == 5 and outcome.others_moved_m < 0.002  # what an earlier stage moved does not count


def test_keep_without_a_goal_tries_the_same_one_again(ready):
    goal = ready.goal
    observation, _ = ready.reset(options=KEEP)
    assert ready.goal is goal
    np.testing.assert_allclose(
        observation[26:29], [0.42 + 0.14 * np.cos(0.3), 0.08 + 0.14 * np.sin(0.3), 0.045], atol=1e-6
    )


def test_a_new_world_forgets_the_goal_that_was_kept(ready):
    first = ready.reset(seed=0)[0]
    ready.reset(options={**KEEP, "goal": PUSH})
    again = ready.reset(seed=0, options={"world": "new"})[0]
    np.testing.assert_array_equal(again, first)
    assert ready.goal.object == "left_shoe"


def test_keep_grasps_in_physics(ready):
    before = poses(ready)["left_shoe"]
    observation, _ = ready.reset(options={**KEEP, "goal": CARRY})
    assert observation[9] > before[2] + 0.02, "the shoe has been lifted"
    assert np.linalg.norm(observation[:3] - observation[7:10]) < 0.15
    assert run_out(ready) == 5
    outcome = ready.finish()
    assert "lift" not in outcome.reason and outcome.object_poses["left_shoe"][2] < 0.10, "let go again"


def test_a_grasp_of_the_air_is_an_outcome_with_a_reason(ready):
    air = Grasp(np.array([0.45, 0.0, 0.10, 0, 1, 0, 0]), 0.06)
    for grasp in (air, air.to_dict()):
        ready.reset(options={**KEEP, "goal": CARRY, "grasp": grasp})
        outcome = ready.finish()
        assert (
            not outcome.success_strict and outcome.reason == "the fingers closed on nothing: left_shoe was not lifted"
        )


def test_a_goal_that_cannot_be_grasped_is_an_outcome_with_a_reason(ready):
    box = Goal("shoe_box", upright_pose([0.65, 0.2, 0.155]), grasp=True)
    ready.reset(options={**KEEP, "goal": box})
    outcome = ready.finish()
    assert "shoe_box cannot be grasped" in outcome.reason and "200 mm" in outcome.reason
    assert outcome.num_steps == 0


def test_a_look_leaves_the_hand_out_of_a_new_world():
    env = gym.make("IKER-ShoePlace-v0").unwrapped
    observation, _ = env.reset(seed=3, options={"look": True, "configuration": 0})
    assert observation[9] == pytest.approx(0.045, abs=0.005), "the shoe stands on the table"
    assert observation[2] > 0.3 and np.linalg.norm(observation[:3] - observation[7:10]) > 0.2
    before = poses(env)["left_shoe"]
    lifted = env.reset(options={**KEEP, "goal": Goal("left_shoe", env.goal.target_pose, grasp=True)})[0]
    assert lifted[9] > before[2] + 0.02, "the stage begins with the grasp"
    env.close()


def test_a_configuration_can_be_chosen():
    env = gym.make("IKER-ShoePlace-v0", randomisation="off").unwrapped
    centres = [(0.335, 0.17), (0.325, -0.17), (0.34, 0.20)]
    assert len(env.task.configurations) >= 3
    for index, centre in enumerate(centres):
        start = env.reset(seed=index, options={"configuration": index})[0][7:9]
        np.testing.assert_allclose(start, centre, atol=0.06)
    env.close()


BAD_OPTIONS = {
    "unknown": ({"colour": 1}, "'colour' is unknown; known: configuration, goal, grasp, .*world"),
    "world": ({"world": "old"}, "'new' or 'keep', not 'old'"),
    "goal in a new world": ({"goal": PUSH}, r"need options\['world'\] = 'keep'"),
    "configuration": ({"configuration": 9}, "configuration 9 does not exist"),
    "configuration of a kept world": ({**KEEP, "configuration": 0}, "configuration"),
    "object": ({**KEEP, "goal": Goal("sock", PUSH.target_pose)}, "'sock'.*shoe_box, left_shoe, right_shoe"),
    "furniture": ({**KEEP, "goal": Goal("rack", PUSH.target_pose)}, "'rack'.*shoe_box, left_shoe, right_shoe"),
    "goal far away": (
        {**KEEP, "goal": Goal("left_shoe", upright_pose([0.4, -50.0, 0.045]))},
        "has a keypoint at -50.05 m",
    ),
    "goal under the table": ({**KEEP, "goal": Goal("left_shoe", upright_pose([0.4, 0, -3]))}, "3.00 m below the table"),
    "no pose": ({**KEEP, "goal": {"object": "left_shoe"}}, "Goal lacks target_pose"),
    "short pose": ({**KEEP, "goal": {"object": "left_shoe", "target_pose": [0.4, 0.1, 0.05]}}, "target_pose"),
    "not a pose": ({**KEEP, "goal": {"object": "left_shoe", "target_pose": [float("nan")] * 7}}, "target_pose|finite"),
    "goal of another kind": ({**KEEP, "goal": 5}, "goal"),
    "grasp of another kind": ({**KEEP, "goal": CARRY, "grasp": 5}, "grasp"),
    "wide grasp": ({**KEEP, "goal": CARRY, "grasp": Grasp([0.45, 0, 0.1, 0, 1, 0, 0], 0.2)}, "between 0 and 0.085 m"),
    "grasp far away": ({**KEEP, "goal": CARRY, "grasp": Grasp([5, 0, 0.1, 0, 1, 0, 0], 0.05)}, "far from where"),
    "grasp of a push": (
        {**KEEP, "goal": PUSH, "grasp": Grasp([0.45, 0, 0.1, 0, 1, 0, 0], 0.05)},
        "pushes 'right_shoe'",
    ),
    "look as text": ({"look": "no"}, "options.'look'. is True or False, not 'no'"),
    "look at a kept world": ({**KEEP, "look": True}, "options.'look'. needs options.'world'. = 'new'"),
    "world of another type": ({"world": np.array(["keep", "new"])}, "'new' or 'keep', not array"),
    "no mapping": (3, "reset options are a mapping with configuration, goal, .*, not 3"),
    "configuration of another type": ({"configuration": True}, "configuration True does not exist"),
    "grasp without a width": ({**KEEP, "goal": CARRY, "grasp": {"tcp_pose": [0] * 7}}, "Grasp lacks width_m"),
}


@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_are_told_in_one_sentence_and_change_nothing(ready, options, words):
    before = poses(ready)
    goal = ready.goal
    count = ready.worlds.episode.step_count[0]
    with pytest.raises(ValueError, match=words) as caught:
        ready.reset(options=options)
    assert "\n" not in str(caught.value)
    assert ready.goal is goal and ready.worlds.episode.step_count[0] == count
    for name, pose in poses(ready).items():
        np.testing.assert_array_equal(pose, before[name])
    assert ready.finish().object_poses.keys() == before.keys()


@pytest.mark.parametrize("options", [KEEP, {"world": "old"}, {"configuration": 99}, {"look": 1}], ids=str)
def test_a_refused_seed_seeds_nothing(ready, options):
    before = ready.np_random_seed, ready.np_random.bit_generator.state
    with pytest.raises(ValueError):
        ready.reset(seed=3, options=options)
    assert (ready.np_random_seed, ready.np_random.bit_generator.state) == before


def test_there_is_nothing_to_keep_before_the_first_reset(env):
    with pytest.raises(ValueError, match=r"call reset\(\) once before"):
        env.reset(options=KEEP)


def test_a_seed_makes_a_new_world_so_it_cannot_be_kept(ready):
    with pytest.raises(ValueError, match=r"call reset\(\) once before|seed"):
        ready.reset(seed=3, options=KEEP)
