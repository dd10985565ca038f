"""The genuine SDK of the vendor moves the lab's arm: planned moves, set points, gripper, settings, odd commands."""

import math
import socket
import struct
import time

import numpy as np
import pytest

from real_env import kinematics
from real_env.lab.client import LabProcess
from real_env.lab.link import COMMANDS
from tests.lab_hosts import connected, make_ready, wait_for

CLOCK = 2.0  # the lab runs twice as fast as the wall


@pytest.fixture(scope="module")
def lab():
    with LabProcess("shoe_rack", clock=CLOCK, cameras=False) as process:
        yield process


@pytest.fixture(scope="module")
def connection(lab):
    with connected(lab) as arm:
        yield arm


@pytest.fixture
def arm(connection):
    make_ready(connection)
    assert connection.set_servo_angle(angle=[0, -35, 0, 60, 0, 95, 0], speed=180, mvacc=1000, wait=True) == 0
    return connection


def test_the_box_says_who_it_is(arm):
    assert arm.get_version() == (0, "7,7,XS1304,AC1304,v2.5.0")
    assert arm.axis == 7
    assert arm.get_err_warn_code() == (0, [0, 0])


def test_it_moves_to_poses_absolute_partial_relative_and_in_tool_axes(arm):
    assert arm.set_position(x=350, y=100, z=300, roll=180, pitch=0, yaw=0, speed=800, mvacc=5000, wait=True) == 0
    np.testing.assert_allclose(arm.get_position()[1][:3], [350, 100, 300], atol=0.05)
    assert arm.set_position(y=-50, relative=True, speed=800, mvacc=5000, wait=True) == 0
    assert arm.set_position(z=350, speed=800, mvacc=5000, wait=True) == 0
    np.testing.assert_allclose(arm.get_position()[1][:3], [350, 50, 350], atol=0.05)
    assert arm.set_tool_position(z=20, speed=800, mvacc=5000, wait=True) == 0  # the tool points down
    np.testing.assert_allclose(arm.get_position()[1][:3], [350, 50, 330], atol=0.05)
    assert arm.set_position_aa([350, 0, 330, 180, 0, 0], speed=800, mvacc=5000, wait=True) == 0
    np.testing.assert_allclose(arm.get_position()[1][:3], [350, 0, 330], atol=0.05)


def test_moves_that_are_not_waited_for_are_done_one_after_another(arm):
    for y in (60, -60, 0):
        assert arm.set_position(x=350, y=y, z=300, speed=900, mvacc=8000, wait=False) == 0
    assert arm.get_cmdnum()[1] >= 2
    assert wait_for(lambda: arm.get_state() == (0, 2))
    np.testing.assert_allclose(arm.get_position()[1][1], 0, atol=0.05)


def test_an_arc_goes_through_its_points(arm):
    start = [350, 0, 300, 180, 0, 0]
    assert arm.set_position(*start, speed=800, mvacc=5000, wait=True) == 0
    seen = []
    corners = [350, 60, 300, 180, 0, 0], [410, 60, 300, 180, 0, 0]
    assert arm.move_circle(*corners, percent=50, speed=300, mvacc=5000, wait=False) == 0
    while arm.get_state() != (0, 2) or len(seen) < 5:
        seen.append(arm.get_position()[1][:2])
    centre = np.array([380, 30])
    np.testing.assert_allclose(np.linalg.norm(np.array(seen) - centre, axis=1), 30 * math.sqrt(2), atol=0.1)
    np.testing.assert_allclose(arm.get_position()[1][:2], [410, 60], atol=0.1)


def test_a_pause_holds_the_arm_and_goes_on_to_the_end(arm):
    assert arm.set_servo_angle(servo_id=1, angle=60, speed=60, mvacc=500, wait=False) == 0
    assert wait_for(lambda: arm.get_servo_angle(servo_id=1)[1] > 5)
    arm.set_state(3)
    assert wait_for(lambda: arm.get_state() == (0, 3))
    time.sleep(0.3 / CLOCK)
    held = arm.get_servo_angle(servo_id=1)[1]
    time.sleep(0.3 / CLOCK)
    assert arm.get_servo_angle(servo_id=1)[1] == held < 59
    arm.set_state(0)
    assert wait_for(lambda: arm.get_state() == (0, 2))
    assert arm.get_servo_angle(servo_id=1)[1] == pytest.approx(60, abs=0.01)


def test_a_software_stop_ends_a_move_where_it_is(arm):
    assert arm.set_servo_angle(servo_id=1, angle=80, speed=60, wait=False) == 0
    assert wait_for(lambda: arm.get_servo_angle(servo_id=1)[1] > 5)
    arm.emergency_stop()
    assert wait_for(lambda: arm.get_state()[1] in (2, 4, 5))
    assert arm.get_servo_angle(servo_id=1)[1] < 75


def test_servo_set_points_are_followed(arm):
    make_ready(arm, 1)
    _, first = arm.get_servo_angle(is_radian=True)
    codes = set()
    target = list(first)
    for k in range(60):
        target[0] = first[0] + 0.15 * math.sin(0.05 * k)
        codes.add(arm.set_servo_angle_j(target, is_radian=True))
        time.sleep(0.01 / CLOCK)
    assert codes == {0}
    measured = lambda: arm.get_servo_angle(is_real=True, is_radian=True)[1][0]  # noqa: E731
    assert wait_for(lambda: abs(measured() - target[0]) < 1e-3)
    assert arm.get_err_warn_code() == (0, [0, 0])


def test_too_large_a_step_of_set_points_is_error_60_and_can_be_cleaned(arm):
    assert arm.set_servo_angle(angle=[0, 10, 0, 70, 0, 60, 0], speed=180, mvacc=1000, wait=True) == 0
    make_ready(arm, 1)
    _, target = arm.get_servo_angle(is_radian=True)
    target[0] += 0.5
    arm.set_servo_angle_j(target, is_radian=True)
    assert wait_for(lambda: arm.get_err_warn_code() == (0, [60, 0]))
    assert arm.get_state() == (0, 4)
    assert arm.set_servo_angle_j(target, is_radian=True) == 1
    make_ready(arm, 1)
    assert arm.get_err_warn_code() == (0, [0, 0])


def test_mode_6_takes_a_new_goal_under_way(arm):
    make_ready(arm, 6)
    assert arm.set_servo_angle(angle=[60, -35, 0, 60, 0, 95, 0], speed=60, mvacc=500, wait=False) == 0
    assert wait_for(lambda: arm.get_servo_angle(servo_id=1)[1] > 5)
    assert arm.set_servo_angle(angle=[-10, -35, 0, 60, 0, 95, 0], speed=90, mvacc=900, wait=False) == 0
    assert wait_for(lambda: abs(arm.get_servo_angle(servo_id=1)[1] + 10) < 1e-2)
    assert arm.get_err_warn_code() == (0, [0, 0])


def test_velocity_modes_stop_by_their_own_watchdog(arm):
    make_ready(arm, 4)
    before = arm.get_servo_angle(servo_id=1)[1]
    arm.vc_set_joint_velocity([20, 0, 0, 0, 0, 0, 0], duration=0.3)
    assert wait_for(lambda: arm.get_servo_angle(servo_id=1)[1] > before + 2)
    assert wait_for(lambda: arm.get_state() == (0, 2))
    assert before + 4 < arm.get_servo_angle(servo_id=1)[1] < before + 9
    make_ready(arm, 5)
    height = arm.get_position()[1][2]
    arm.vc_set_cartesian_velocity([0, 0, 50, 0, 0, 0], duration=0.3)
    assert wait_for(lambda: arm.get_position()[1][2] > height + 5)
    assert wait_for(lambda: arm.get_state() == (0, 2))


def test_the_gripper_opens_closes_and_says_where_it_is(arm):
    assert arm.set_gripper_enable(True) == 0
    assert arm.set_gripper_mode(0) == 0
    assert arm.set_gripper_speed(5000) == 0
    assert arm.set_gripper_position(850, wait=True) == 0
    assert arm.get_gripper_position() == (0, pytest.approx(850, abs=3))
    assert arm.set_gripper_position(200, wait=True) == 0
    assert arm.get_gripper_position() == (0, pytest.approx(200, abs=3))
    assert arm.get_gripper_err_code() == (0, 0)
    assert arm.get_gripper_version() == (0, "3.4.3")


def test_settings_are_kept_and_reported(arm):
    arm.set_tcp_offset([0, 0, 172, 0, 0, 0])
    arm.set_tcp_load(0.82, [0, 0, 48])
    arm.set_collision_sensitivity(2)
    arm.set_state(0)
    assert wait_for(lambda: arm.collision_sensitivity == 2 and arm.tcp_load == [0.82, [0.0, 0.0, 48.0]])
    assert arm.tcp_offset[:3] == [0, 0, 172]
    _, angles = arm.get_servo_angle(is_radian=True)
    tool = kinematics.matrix(np.array([0, 0, 0.172]), np.eye(3))
    expected = kinematics.forward(np.array(angles)) @ tool
    np.testing.assert_allclose(arm.get_position()[1][:3], 1e3 * expected[:3, 3], atol=0.01)
    arm.set_tcp_offset([0] * 6)
    arm.set_collision_sensitivity(3)


def test_kinematics_of_the_box_agree_with_each_other(arm):
    pose = [420, -80, 320, 180, 10, 20]
    code, angles = arm.get_inverse_kinematics(pose)
    assert code == 0
    np.testing.assert_allclose(arm.get_forward_kinematics(angles)[1], pose, atol=0.05)
    assert arm.get_inverse_kinematics([1400, 0, 300, 180, 0, 0])[0] == 10


def test_what_is_out_of_reach_is_an_error_not_a_move(arm):
    assert arm.set_position(x=900, y=0, z=900, roll=180, pitch=0, yaw=0, wait=True) != 0
    assert arm.get_err_warn_code()[1][0] in (21, 23)
    before = arm.get_servo_angle()[1]
    make_ready(arm)
    assert arm.get_servo_angle()[1] == pytest.approx(before, abs=0.2)


def test_leaving_the_fence_is_error_35(arm):
    assert arm.set_reduced_tcp_boundary([700, -700, 700, -700, 700, 320]) == 0
    arm.set_fense_mode(True)
    arm.set_state(0)
    arm.set_position(z=250, roll=180, pitch=0, yaw=0, speed=800, mvacc=5000, wait=True)
    assert arm.get_err_warn_code() == (0, [35, 0])
    arm.set_fense_mode(False)


GETTERS = (
    *("get_position", "get_position_aa", "get_servo_angle", "get_state", "get_cmdnum", "get_err_warn_code"),
    *("get_joints_torque", "get_joint_states", "get_is_moving", "get_reduced_mode", "get_reduced_states"),
    *("get_tgpio_digital", "get_tgpio_analog", "get_cgpio_digital", "get_cgpio_analog", "get_cgpio_state"),
    *("get_robot_sn", "get_report_tau_or_i", "get_allow_approx_motion", "get_dh_params", "get_gripper_status"),
    *("get_linear_spd_limit_factor", "get_pose_offset", "get_gripper_position", "get_hd_types", "get_servo_version"),
)


@pytest.mark.parametrize("name", GETTERS)
def test_what_scripts_ask_for_is_answered(connection, name):
    connection.clean_error()
    arguments = ([[300, 0, 300, 180, 0, 0], [300, 10, 300, 180, 0, 0]],) if name == "get_pose_offset" else ((),)
    result = getattr(connection, name)(*arguments[0])
    code = result[0] if isinstance(result, (tuple, list)) else result
    assert code in (0, False)


def test_settings_that_scripts_make_are_accepted(arm):
    done = {
        "jerk": arm.set_tcp_jerk(1000),
        "acceleration": arm.set_tcp_maxacc(20000),
        "joint jerk": arm.set_joint_jerk(20),
        "joint acceleration": arm.set_joint_maxacc(20),
        "gravity": arm.set_gravity_direction([0, 0, -1]),
        "teaching": arm.set_teach_sensitivity(3),
        "rebound": arm.set_collision_rebound(False),
        "self collision": arm.set_self_collision_detection(False),
        "pause": arm.set_pause_time(0.1),
        "output": arm.set_cgpio_digital(1, 1),
        "tool output": arm.set_tgpio_digital(0, 1),
        "reduced": arm.set_reduced_mode(False),
        "counter": arm.set_counter_reset(),
        "save": arm.save_conf(),
    }
    assert {name: code for name, code in done.items() if code not in (0, 9, [0])} == {}


class Wire:
    """A host that speaks bytes."""

    def __init__(self, lab):
        self.socket = socket.create_connection((lab.card["ip"], lab.card["command_port"]), timeout=5)

    def ask(self, register: int, payload: bytes = b"", protocol: int = 2) -> tuple[int, bytes]:
        """Status and payload of the reply."""
        self.socket.sendall(struct.pack(">HHHB", 7, protocol, 1 + len(payload), register) + payload)
        head = self.socket.recv(6, socket.MSG_WAITALL)
        transaction, _, length = struct.unpack(">HHH", head)
        body = self.socket.recv(length, socket.MSG_WAITALL)
        assert (transaction, body[0]) == (7, register)
        return body[1], body[2:]


@pytest.fixture(scope="module")
def wire(lab):
    host = Wire(lab)
    yield host
    host.socket.close()


@pytest.mark.parametrize("register", sorted(set(range(256)) - set(COMMANDS)))
def test_a_command_that_the_box_does_not_know_is_invalid(wire, register):
    assert wire.ask(register)[0] & 0x08


@pytest.mark.parametrize("register", sorted(COMMANDS))
def test_every_command_answers_whatever_its_payload(wire, register):
    for payload in (b"", b"\xff", bytes(3), b"\xff" * 60, bytes(300)):
        status, _ = wire.ask(register, payload)
        assert isinstance(status, int)


def test_standard_modbus_is_refused_at_once(wire):
    assert wire.ask(1, bytes([3, 0, 0, 0, 1]), protocol=0) == (0x83, b"\x01")


def test_what_is_no_frame_ends_only_its_own_connection(lab, connection):
    with socket.create_connection((lab.card["ip"], lab.card["command_port"]), timeout=5) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(100) == b""
    assert connection.get_state()[0] in (0, 1)
