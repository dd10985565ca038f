"""Everything that may stop a robot: a typed reason, no set point after it, a bounded recovery, and the way on."""

import json
import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import numpy as np
import pytest

from iker_agent.records.record import whereabouts
from iker_envs.world import WorldFault
from real_env.faults import Kind, RobotFault
from real_env.lab.client import LabProcess
from tests.real_cells import CLOCK, NUDGE, STILL, lab_config, mend, num_set_points

LONGEST_S = 20.0  # for a fault and its recovery
HELD_RAD = 2e-3
KEEP = {"world": "keep"}
PROGRAM = """
import sys
from real_env.config import RealConfig
from real_env.world import RealWorld
import json, numpy as np
world = RealWorld("shoe_push", RealConfig.from_dict(json.loads(sys.argv[1])))
try:
    world.reset(options={"world": "keep"})
    while True:
        world.step(np.array([0, 0, 0.05, 0, 0, 0]))
        print("tick", flush=True)
finally:
    world.close()
"""


@pytest.fixture(scope="module")
def lab():
    with LabProcess("shoe_push", clock=CLOCK, cameras=False) as process:
        yield process


@pytest.fixture(scope="module")
def cell(lab):
    config = lab_config(lab)
    from real_env.world import RealWorld

    world = RealWorld("shoe_push", config)
    world.reset(seed=0, options={"configuration": 0, "look": True})
    world.reset(options=KEEP)
    yield world
    world.close()


@pytest.fixture
def world(cell, lab):
    """In an episode that has begun; afterwards everything is mended, and another one must begin and go on."""
    for _ in range(3):
        info = cell.step(NUDGE)[-1]
        assert "fault" not in info, info.get("fault")
    yield cell
    mend(lab)
    cell.reset(options=KEEP)


@pytest.fixture
def impatient(monkeypatch):
    """A box that is silent for good is given up after a second, not after twelve."""
    monkeypatch.setattr("real_env.robot._RECONNECT_S", 1.0)


def step_until_cut_short(world):
    """The fault that truncates the episode, at the latest after 2 s of ticks."""
    began = time.monotonic()
    for _ in range(20):
        observation, _, terminated, truncated, info = world.step(STILL)
        assert world.observation_space.contains(observation)
        if truncated:
            assert time.monotonic() - began < LONGEST_S and not terminated
            return info["fault"]
    raise AssertionError("the episode went on")


def angles(lab) -> np.ndarray:
    return np.array(lab.order("truth")["angles_rad"])


def assert_held(world, lab) -> None:
    """Nothing is sent any more, and the arm stands still."""
    num_sent = num_set_points(world)
    time.sleep(0.1)  # the servos settle
    before = angles(lab)
    time.sleep(0.1)
    assert num_set_points(world) == num_sent
    assert np.abs(angles(lab) - before).max() < HELD_RAD


# What happens, the order to the lab, what it is called, whether the arm recovers by itself.
STORIES = [
    ("collision", ("fault", {"code": 31}), "collision", True),
    ("too fast a set point", ("fault", {"code": 60}), "servo_speed", True),
    ("self-collision", ("fault", {"code": 22}), "self_collision", True),
    ("joint limit", ("fault", {"code": 23}), "joint_limit", True),
    ("joint speed", ("fault", {"code": 24}), "joint_speed", True),
    ("safety boundary", ("fault", {"code": 35}), "boundary", True),
    ("no joint angles", ("fault", {"code": 21}), "kinematics", True),
    ("a drive", ("fault", {"code": 11}), "drive", False),
    ("an error that nobody knows", ("fault", {"code": 99}), "controller", False),
    ("emergency stop, held", ("emergency_stop", {"held": True}), "emergency_stop", False),
    ("dead link, short", ("dead_link", {"wall_s": 0.3}), "link", True),
    ("dead link, long", ("dead_link", {"wall_s": 5.0}), "link", True),
    ("box silent", ("silence", {"on": True}), "link", False),
    ("sockets closed", ("close_sockets", {}), "link", True),
    ("box rebooted", ("reboot", {"lab_s": 4.0}), "link", True),
    ("gripper", ("gripper_fault", {"code": 11}), "gripper", True),
    ("gripper, held", ("gripper_fault", {"code": 11, "held": True}), "gripper", False),
    ("second client changes the mode", ("second_client", {"does": "mode"}), "foreign", False),
    ("second client stops the arm", ("second_client", {"does": "stop"}), "foreign", False),
    ("second client moves the arm", ("second_client", {"does": "move"}), "foreign", False),
]


@pytest.mark.parametrize(("order", "kind", "recovers"), [s[1:] for s in STORIES], ids=[s[0] for s in STORIES])
def test_a_fault_cuts_the_episode_short_with_its_reason(world, lab, request, order, kind, recovers):
    if order[0] == "silence":
        request.getfixturevalue("impatient")
    lab.order(order[0], **order[1])
    fault = step_until_cut_short(world)
    assert (fault.kind, fault.recovered) == (kind, recovers), str(fault)
    assert fault.message and bool(fault.action) != recovers
    if kind != "foreign":  # whoever took the arm may move it
        assert_held(world, lab)
    with pytest.raises(ValueError, match="cut short"):
        world.step(STILL)
    outcome = world.finish()
    assert outcome.reason.startswith(fault.message) and not outcome.success
    assert_held(world, lab) if kind != "foreign" else None


def test_after_a_collision_the_arm_goes_back_along_its_way(world, lab):
    for _ in range(6):
        world.step(NUDGE)
    high = lab.order("truth")["hand_pose"][2]
    lab.order("fault", code=31)
    assert step_until_cut_short(world).recovered
    assert 0.02 < high - lab.order("truth")["hand_pose"][2] < 0.08


def test_a_held_emergency_stop_is_told_again_until_it_is_released(world, lab):
    lab.order("emergency_stop", held=True)
    assert step_until_cut_short(world).kind == "emergency_stop"
    before = angles(lab)
    for _ in range(2):
        with pytest.raises(WorldFault, match="release the button") as caught:
            world.reset(options=KEEP)
        assert caught.value.fault.kind == "emergency_stop"
    assert np.abs(angles(lab) - before).max() < HELD_RAD


def test_a_policy_that_stops_sending_is_told_so_and_the_arm_holds(world, lab):
    time.sleep(2 * world.config.watchdog_s / CLOCK)
    assert_held(world, lab)
    fault = step_until_cut_short(world)
    assert (fault.kind, fault.recovered) == ("silent_policy", True)
    assert world.finish().reason.startswith("no command came in time")


def program(lab) -> subprocess.Popen:
    """An episode that acts for ever, in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(lab_config(lab).to_dict())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline() == "tick\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_a_program_that_ends_leaves_the_arm_holding(world, lab, number):
    world.robot.hold()
    process = program(lab)
    process.send_signal(number)
    assert process.wait(10) != 0
    time.sleep(0.3)
    before = angles(lab)
    time.sleep(0.3)
    assert np.abs(angles(lab) - before).max() < HELD_RAD


def test_a_reset_that_meets_a_fault_says_so_and_the_next_one_goes_on(world, lab, impatient):
    lab.order("silence", on=True)
    with pytest.raises(WorldFault, match="did not answer"):
        world.reset(options=KEEP)
    assert_held(world, lab)


@pytest.mark.parametrize("action", [np.full(6, np.nan), np.zeros(5), "up"], ids=["nan", "five numbers", "a word"])
def test_an_action_that_is_none_is_refused_and_nothing_moves(world, lab, action):
    before = world.robot.stream.joints_rad
    with pytest.raises(ValueError, match=r"an action is 6 finite numbers|could not convert"):
        world.step(action)
    assert np.array_equal(world.robot.stream.joints_rad, before)


@pytest.mark.parametrize("name", ["view", "reset"])
def test_an_interrupted_motion_ends_where_it_is(world, monkeypatch, name):
    def interrupted(*_, **__):
        world.robot.wake()
        raise KeyboardInterrupt

    monkeypatch.setattr(world.robot, "arrive", interrupted)
    monkeypatch.setattr(world._sight, "check_any", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        world.view() if name == "view" else world.reset(options=KEEP)
    assert not world.robot.stream.running


def test_a_view_without_cameras_is_refused_before_anything_moves(world):
    world.robot.hold()
    num_sent = num_set_points(world)
    with pytest.raises(ValueError, match="no cameras"):
        world.view()
    assert not world.robot.stream.running and num_set_points(world) == num_sent


def test_where_the_laboratory_does_not_answer_the_scene_is_an_estimate(world, monkeypatch):
    before = world.scene
    assert world.has_truth
    with monkeypatch.context() as patch:
        patch.setattr(world._poses, "truth", Mock(side_effect=RobotFault(Kind.PERCEPTION, "it is gone")))
        assert whereabouts(world).judged_by == "estimate"
        assert all(np.array_equal(world.scene.object(o.name).pose, o.pose) for o in before.objects)
    assert whereabouts(world).judged_by == "truth"


def test_after_finish_a_step_is_refused_and_nothing_moves(world, lab):
    world.finish()
    before = angles(lab)
    with pytest.raises(ValueError, match="is over, call reset"):
        world.step(NUDGE)
    world.finish()
    assert np.abs(angles(lab) - before).max() < HELD_RAD
