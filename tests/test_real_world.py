"""A robot's world against its simulated twin, and what it refuses; in an emulated laboratory, by the maker's SDK."""

import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import iker_envs
from iker_agent.execute import execute
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.events import EventKind
from iker_envs.geometry import body_axis, rotation_angle
from iker_envs.planning.grasps import propose_grasps
from iker_envs.sim import WorldReset
from iker_envs.spec import unpack_observation
from iker_envs.world import World
from real_env.lab.client import LabProcess
from tests.real_cells import NUDGE, lab_config

KEEP = {"world": "keep"}
LENIENT_NM = [60.0] * 6  # this is about whole episodes; what a collision does is in test_real_faults


@pytest.fixture(scope="module")
def lab():
    with LabProcess("shoe_place", clock=2.0, cameras=False) as process:
        process.order("collision_thresholds", nm=LENIENT_NM)
        yield process


@pytest.fixture(scope="module")
def world(lab):
    config = lab_config(lab)
    from real_env.world import RealWorld

    world = RealWorld("shoe_place", config)
    world.reset(seed=0, options={"configuration": 0, "look": True})
    yield world
    world.close()


@pytest.fixture(scope="module")
def twin():
    env = gym.make("IKER-ShoePlace-v0", randomisation="off").unwrapped
    env.reset(seed=0, options={"configuration": 0, "look": True})
    yield env
    env.close()


def test_it_is_a_world_with_the_spaces_of_its_twin(world, twin):
    assert isinstance(world, World)
    assert world.observation_space == twin.observation_space and world.action_space == twin.action_space


@pytest.mark.parametrize("observation", ["keypoints", "pose"])
def test_the_same_physical_state_is_observed_alike_in_both(lab, world, observation):
    world.reset(seed=1, options={"configuration": 0, "look": True})
    goal = world.goal
    truth = lab.order("truth")
    twin = gym.make("IKER-ShoePlace-v0", randomisation="off", observation=observation).unwrapped
    twin.reset(seed=0, options={"configuration": 0, "look": True})
    everyone = np.arange(1)
    poses = np.array([truth["objects"][name]["pose"] for name in twin.worlds.sim.objects])[None]
    hand = np.array(truth["hand_pose"])[None]
    twin.worlds.sim.reset(everyone, WorldReset(hand, np.zeros(1), poses, np.zeros(1)))
    twin.worlds._set_goals(everyone, [goal])
    twin.worlds.begin(everyone, np.zeros(1), np.zeros(1, dtype=bool))
    spec = twin.worlds.config.spec
    simulated = twin.worlds.observe()
    twin.close()
    episode = replace(world._episode, spec=spec)
    real = episode.observe(world.robot.measured_pose(), episode.poses(world._poses.find(world.template)))[None]
    assert real.shape == simulated.shape and real.dtype == simulated.dtype
    here, there = (unpack_observation(spec, values) for values in (real, simulated))
    for name in ("gripper_pose", "object_pose", "target_pose"):
        if (a := getattr(here, name)) is not None:
            b = getattr(there, name)
            assert np.abs(a[:, :3] - b[:, :3]).max() < 1e-3, name
            assert np.degrees(rotation_angle(a[:, 3:], b[:, 3:])).max() < 0.2, name
            assert (np.sum(a[:, 3:] * b[:, 3:], axis=-1) > 0).all(), f"{name}: another sign"
    for name in ("keypoints_m", "targets_m"):
        if getattr(here, name) is not None:
            assert np.abs(getattr(here, name) - getattr(there, name)).max() < 1e-3, name


def test_a_shoe_is_grasped_carried_and_placed(lab, world):
    world.reset(seed=0, options={"configuration": 1, "look": True})
    with pytest.raises(ValueError, match="rests after a look"):
        world.step(NUDGE)
    goal, scene = world.goal, world.scene
    policy = WaypointLearner().learn(scene, goal).policy
    rollout = execute(world, policy, goal)
    assert rollout.fault is None and rollout.outcome.grasped
    assert rollout.outcome.success, rollout.outcome.reason
    pose = np.array(lab.order("truth")["objects"][goal.object]["pose"])
    assert np.linalg.norm(pose[:3] - goal.target_pose[:3]) < 0.06
    assert set(code for (name, code), _ in world.robot.arm.codes.items() if name == "set_servo_angle_j") == {0}


def test_a_finger_that_stands_on_the_object_is_felt_and_the_hand_comes_again_beside_it(lab, world):
    world.reset(seed=0, options={"configuration": 1, "look": True})
    goal = world.goal
    grasp = propose_grasps(world.scene, goal.object, goal.target_pose).grasps[0]
    tcp = np.array(grasp.tcp_pose)
    lab.order("status")
    aside = replace(grasp, tcp_pose=tcp + np.r_[0.016 * body_axis(tcp[3:], 1), np.zeros(4)])
    world.reset(options={**KEEP, "goal": goal, "grasp": aside})
    assert lab.order("status")["peak_nm"] < 18.0, "what a collision takes at sensitivity 3"
    outcome = world.finish()
    assert outcome.grasped and not [e for e in outcome.happened if e.kind == EventKind.GRASP_MISSED]


def test_the_time_limit_truncates_and_rewards_have_their_rows(world):
    world.reset(options={**KEEP, "goal": replace(world.goal, grasp=False)})
    world._max_steps = 3
    *_, truncated, info = world.step(NUDGE)
    assert not truncated and {f"reward/{row}" for row in ("distance", "direction", "alignment")} <= set(info)
    world.step(NUDGE)
    assert world.step(NUDGE)[3]
    kinds = [event.kind for event in world.finish().happened]
    assert kinds == [EventKind.NOT_TOUCHED, EventKind.OFF_TARGET]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"options": {"world": "old"}}, "'new' or 'keep'"),
        ({"options": {"wurld": "new"}}, "no field 'wurld'"),
        ({"options": {"configuration": 99}}, "configuration 99 does not exist"),
        ({"options": {"goal": {}}}, "need options\\['world'\\] = 'keep'"),
        ({"seed": 1, "options": KEEP}, "stays as it is"),
        (
            {"options": {**KEEP, "goal": {"object": "hat", "target_pose": [0.5, 0, 0, 1, 0, 0, 0]}}},
            "'hat' is not movable",
        ),
        ({"options": {**KEEP, "grasp": {"tcp_pose": [9, 0, 0, 0, 1, 0, 0], "width_m": 0.05}}}, "9"),
    ],
    ids=["world", "option", "configuration", "goal", "seed", "object", "grasp"],
)
def test_a_reset_that_cannot_be_is_refused_before_anything_moves(lab, world, arguments, told):
    before = lab.order("truth")["angles_rad"]
    with pytest.raises(ValueError, match=told):
        world.reset(**arguments)
    assert np.abs(np.array(lab.order("truth")["angles_rad"]) - before).max() < 2e-3


def test_a_person_is_asked_in_words_and_may_decline(lab):
    from real_env.world import RealWorld

    requests = []
    world = RealWorld("shoe_place", lab_config(lab), operator=lambda text: requests.append(text) or len(requests) < 2)
    try:
        world.reset(seed=3, options={"configuration": 0, "look": True})
        assert "left_shoe at x" in requests[0] and "heading" in requests[0]
        with pytest.raises(ValueError, match="the request was declined"):
            world.reset(seed=3, options={"configuration": 0, "look": True})
    finally:
        world.close()


def test_without_a_person_a_new_arrangement_is_refused():
    from iker_envs.task import load_task
    from real_env.operators import Person

    with pytest.raises(ValueError, match=r"a person is needed to arrange the table.*operator="):
        Person(None).arrange(load_task("shoe_push"), 0, 0)


@pytest.mark.parametrize("env_id", iker_envs.REAL_IDS)
def test_every_real_id_wants_a_file(env_id):
    pytest.importorskip("xarm", reason="this test needs the robot's SDK: pip install 'iker[real]'")
    task = {} if iker_envs.REAL_IDS[env_id] else {"task": "shoe_push"}
    with pytest.raises(ValueError, match=r"real='robot.yaml'"):
        gym.make(env_id, **task)


def test_without_its_libraries_a_real_id_gives_the_pip_line():
    code = """
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in ("xarm", "mink") else real(name, *a)
import gymnasium as gym, iker_envs
try:
    gym.make("IKER-ShoePush-Real-v0", real="robot.yaml")
except ModuleNotFoundError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'iker[real]'" in run.stdout and "xarm" in run.stdout


def test_a_robots_world_loads_neither_trainer_nor_agent():
    code = "import real_env.world, sys; print(*{n.split('.')[0] for n in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "skrl", "iker_agent", "typer"} & set(run.stdout.split())
