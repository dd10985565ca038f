"""The lab's world and control box without wire and clock: objects, physics drawn once, torque, collisions, brakes."""

import struct

import numpy as np
import pytest

from iker_envs.geometry import rotation_matrix
from iker_envs.planning.grasps import propose_grasps
from iker_envs.task import load_task, task_names
from real_env import kinematics
from real_env.lab.box import COLLISION_NM, ControlBox
from real_env.lab.codes import Ending
from real_env.lab.free_arm import FreeArm
from real_env.lab.gripper import ENABLE, SPEED, TARGET
from real_env.lab.modes import TICK_S
from real_env.lab.moves import JointMove, Limits, LineMove
from real_env.lab.world import START_ANGLES_RAD, Diverged, LabWorld, arrange
from real_env.xarm7 import GRIPPER_MASS_KG, LINK_MASS_KG, TOOL_M

STANDARD_GRAVITY = 9.81


@pytest.fixture(scope="module")
def task():
    return load_task("shoe_rack")


@pytest.fixture
def world(task):
    return LabWorld(arrange(task, 0, 0))


def ready(plant):
    box = ControlBox(plant)
    box.enable(8, on=True)
    box.set_state(0)
    return box


def run(box, seconds):
    for _ in range(round(seconds / TICK_S)):
        box.tick()


@pytest.mark.parametrize("name", task_names())
def test_every_task_can_be_laid_out_and_is_at_rest(name):
    task = load_task(name)
    for configuration in (0, len(task.configurations) - 1):
        world = LabWorld(arrange(task, 0, configuration))
        before = world.truth()
        run(ready(world), 1.0)
        after = world.truth()
        for obj, was in before.items():
            moved = np.linalg.norm(np.array(after[obj]["pose"][:3]) - was["pose"][:3])
            assert moved < 0.02, (name, configuration, obj)
        assert world.contacts() == ()


def test_one_seed_gives_one_laboratory(task):
    first, again, other = (arrange(task, seed, 1).model for seed in (4, 4, 5))
    for field in ("body_mass", "geom_friction", "body_ipos", "geom_solref", "qpos0"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
        assert not np.array_equal(getattr(first, field), getattr(other, field)), field


def test_the_motors_carry_the_arm(world):
    box = ready(world)
    run(box, 0.5)
    masses = np.array([*LINK_MASS_KG, GRIPPER_MASS_KG])
    reach = kinematics.link_poses(START_ANGLES_RAD)[:, 0, 3]
    heaviest = STANDARD_GRAVITY * masses.sum() * reach.max()
    assert 1.0 < np.abs(box.reading.torques_nm).max() < heaviest
    assert np.abs(box.reading.external_nm).max() < 0.01
    np.testing.assert_allclose(box.reading.angles_rad, START_ANGLES_RAD, atol=1e-4)


def test_joints_keep_up_with_their_targets(world):
    box = ready(world)
    goal = START_ANGLES_RAD + np.array([0.4, 0, 0, 0.2, 0, 0, 0.3])
    box.move(JointMove(goal, Limits.joint(1.5, 10.0), lambda ending: None))
    worst = 0.0
    while box.num_commands:
        box.tick()
        worst = max(worst, float(np.abs(box.reading.angles_rad - box.arm.angles_rad).max()))
    assert worst < 0.02
    np.testing.assert_allclose(box.arm.angles_rad, goal, atol=1e-9)


@pytest.mark.parametrize("sensitivity", [1, 3, 5])
def test_a_collision_is_noticed_above_its_threshold_and_relieved(task, sensitivity):
    box = ready(LabWorld(arrange(task, 0, 0)))
    box.set_collision_sensitivity(sensitivity)
    box.set_state(0)
    goal = box.arm.pose().copy()
    goal[2, 3] = 0.0
    box.move(LineMove(goal, Limits.line(0.1, 1.0), lambda ending: None))
    run(box, 6.0)
    assert box.error == 31
    _, expected_nm, found_nm = box.last_collision
    assert abs(found_nm - expected_nm) > COLLISION_NM[sensitivity]
    run(box, 0.5)
    assert np.abs(box.reading.external_nm).max() < 1.0
    box.clean_error()
    box.enable(8, on=True)
    box.set_state(0)
    run(box, 0.2)
    assert (box.error, box.can_move) == (0, True)


@pytest.mark.parametrize("num_ticks", [0, 1, 8, 16])
def test_a_host_that_goes_on_at_once_after_a_collision_meets_no_second_one(world, num_ticks):
    box = ready(world)
    before = box.arm.pose().copy()
    down = before.copy()
    down[2, 3] = 0.0
    box.move(LineMove(down, Limits.line(1.0, 50.0), lambda ending: None))
    while not box.error:
        box.tick()
        assert box.num_ticks < 1000
    run(box, num_ticks * TICK_S)
    endings = []
    box.clean_error()
    box.set_state(0)
    box.move(LineMove(before, Limits.line(0.2, 1.0), endings.append))
    run(box, 4.0)
    assert (box.error, endings, box.errors[31]) == (0, [Ending.DONE], 1)
    np.testing.assert_allclose(box.arm.pose()[:3, 3], before[:3, 3], atol=1e-6)


def test_without_power_the_brakes_hold(world):
    box = ready(world)
    box.fault(1)
    assert box.enabled == 0
    run(box, 1.0)
    np.testing.assert_allclose(box.reading.angles_rad, START_ANGLES_RAD, atol=1e-3)


def _flange(tool_pose):
    """The flange's pose (4, 4) of a tool centre's pose (7,)."""
    back = kinematics.matrix(np.array([0, 0, -TOOL_M]), np.eye(3))
    return kinematics.matrix(np.array(tool_pose[:3]), rotation_matrix(np.array(tool_pose[3:]))) @ back


def test_what_the_hand_closes_on_comes_up_with_it(task):
    arrangement = arrange(task, 0, 0)
    world = LabWorld(arrangement)
    box = ready(world)
    run(box, 0.3)
    here = arrangement.scene.with_poses({n: np.array(v["pose"]) for n, v in world.truth().items()})
    grasp = propose_grasps(here, "left_shoe").grasps[0].tcp_pose
    above = grasp + np.array([0, 0, 0.15, 0, 0, 0, 0])
    for register, value in ((ENABLE, 1), (SPEED, 5000)):
        box.gripper.request(struct.pack(">BBHHBH", 8, 0x10, register, 1, 2, value))

    def go(pose, pulses):
        box.gripper.request(struct.pack(">BBHHBi", 8, 0x10, TARGET, 2, 4, pulses))
        run(box, 1.5)
        box.move(LineMove(_flange(pose), Limits.line(0.15, 1.0), lambda ending: None))
        run(box, 3.0)
        assert box.error == 0

    go(above, 850)
    go(grasp, 850)
    assert box.gripper.status == 0
    height = world.truth()["left_shoe"]["pose"][2]
    go(above, 0)
    assert box.gripper.status == 2  # something is between the fingers
    assert box.gripper.pulses > 100
    assert world.truth()["left_shoe"]["pose"][2] > height + 0.1


def test_the_tool_centre_is_where_the_box_was_told(world):
    shoe = np.array(world.truth()["left_shoe"]["pose"])
    hand = world.hand_pose()
    box = ready(world)
    flange = kinematics.matrix(np.array([0, 0, -TOOL_M]), np.eye(3))
    above = kinematics.matrix(np.array([0.40, -0.30, 0.20]), kinematics.rotation_from_rpy(np.array([np.pi, 0, 0])))
    box.move(LineMove(above @ flange, Limits.line(0.5, 2.0), lambda ending: None))
    run(box, 3.0)
    assert box.error == 0
    np.testing.assert_allclose(world.hand_pose()[:3], [0.40, -0.30, 0.20], atol=1e-3)
    assert np.linalg.norm(hand[:3] - world.hand_pose()[:3]) > 0.1
    np.testing.assert_allclose(world.truth()["left_shoe"]["pose"][:2], shoe[:2], atol=1e-3)


def test_a_world_that_diverges_ends_instead_of_lying(world):
    world.data.qvel[0] = np.nan
    with pytest.raises(Diverged, match="diverged"):
        world.step(START_ANGLES_RAD, 0.0, TICK_S)


def test_ideal_joints_follow_within_their_speed():
    box = ready(FreeArm(START_ANGLES_RAD))
    box.move(JointMove(np.zeros(7), Limits.joint(10.0, 20.0), lambda ending: None))
    run(box, 2.0)
    np.testing.assert_allclose(box.reading.angles_rad, 0.0, atol=1e-4)
    assert box.error == 0
