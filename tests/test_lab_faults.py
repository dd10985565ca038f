"""What can go wrong in a laboratory, ordered over its control socket, as the vendor's genuine SDK reports it."""

import asyncio
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from real_env.lab.client import LabError, LabOrders, LabProcess
from real_env.lab.control import Control
from real_env.lab.laboratory import LabSettings
from tests.lab_hosts import connected, make_ready, wait_for

CLOCK = 2.0
OUT_OF_THE_WAY = [0, -35, 0, 60, 0, 95, 0]


@pytest.fixture(scope="module")
def lab():
    with LabProcess("shoe_rack", clock=CLOCK, cameras=False) as process:
        yield process


@pytest.fixture
def arm(lab):
    lab.order("emergency_stop", held=False)
    lab.order("gripper_fault", code=0)
    lab.order("silence", on=False)
    with connected(lab) as host:
        make_ready(host)
        assert host.set_servo_angle(angle=OUT_OF_THE_WAY, speed=180, mvacc=1000, wait=True) == 0
        yield host


@pytest.mark.parametrize("code", [31, 60, 22, 23, 24, 35, 21])
def test_an_error_stops_the_stream_until_it_is_cleaned(lab, arm, code):
    make_ready(arm, 1)
    _, target = arm.get_servo_angle(is_radian=True)
    assert arm.set_servo_angle_j(target, is_radian=True) == 0
    lab.order("fault", code=code)
    assert arm.set_servo_angle_j(target, is_radian=True) == 1
    assert arm.get_err_warn_code() == (0, [code, 0])
    assert arm.get_state() == (0, 4)
    assert arm.connected
    make_ready(arm, 1)
    assert arm.set_servo_angle_j(target, is_radian=True) == 0


def test_a_held_emergency_stop_comes_back_until_it_is_released(lab, arm):
    lab.order("emergency_stop", held=True)
    assert arm.get_err_warn_code() == (0, [1, 0])
    arm.clean_error()
    arm.motion_enable(True)
    arm.set_state(0)
    assert arm.get_err_warn_code() == (0, [1, 0])
    assert arm.get_state() == (0, 4)
    lab.order("emergency_stop", held=False)
    make_ready(arm)
    assert arm.get_err_warn_code() == (0, [0, 0])


def test_pressing_into_the_table_is_a_collision(lab, arm):
    code = arm.set_position(z=0, roll=180, pitch=0, yaw=0, speed=200, wait=True)
    assert code != 0
    assert arm.get_err_warn_code() == (0, [31, 0])
    assert lab.order("status")["peak_nm"] > 18
    code, (joint, expected_nm, found_nm) = arm.get_c31_error_info()
    assert (code, 1 <= joint <= 7) in ((0, True), (1, True))
    assert abs(found_nm - expected_nm) > 18
    assert any("world" in pair for pair in lab.order("status")["collided_with"])
    make_ready(arm)
    assert arm.set_position(z=80, relative=True, speed=200, wait=True) == 0


def test_without_collision_detection_the_arm_goes_on_pressing(lab, arm):
    arm.set_collision_sensitivity(0)
    arm.set_state(0)
    assert arm.set_position(z=150, roll=180, pitch=0, yaw=0, speed=200, wait=True) == 0
    assert arm.get_err_warn_code() == (0, [0, 0])
    lab.order("status")
    arm.set_position(z=-40, relative=True, speed=200, wait=True)
    assert arm.get_err_warn_code() == (0, [0, 0])
    assert lab.order("status")["peak_nm"] > 18
    arm.set_position(z=120, relative=True, speed=200, wait=True)
    arm.set_collision_sensitivity(3)
    arm.set_state(0)


def test_a_silent_box_is_a_time_out_and_stays_connected(lab, arm):
    arm.set_timeout([0.1, 0.1])
    lab.order("silence")
    assert arm.get_position()[0] == 3
    assert arm.connected
    lab.order("silence", on=False)
    assert wait_for(lambda: arm.get_position()[0] == 0)


def test_a_dead_link_delivers_late_what_was_sent(lab, arm):
    make_ready(arm, 1)
    arm.set_timeout([0.1, 0.1])
    _, target = arm.get_servo_angle(is_radian=True)
    target[0] += 0.01
    lab.order("dead_link", wall_s=0.5)
    assert arm.set_servo_angle_j(target, is_radian=True) == 3
    assert wait_for(lambda: arm.get_position()[0] == 0)
    assert wait_for(lambda: abs(arm.get_servo_angle(is_radian=True)[1][0] - target[0]) < 1e-4)
    assert arm.get_err_warn_code() == (0, [0, 0])


def test_closed_sockets_are_noticed_and_a_new_connection_works(lab, arm):
    lab.order("close_sockets")
    assert wait_for(lambda: not arm.connected)
    with connected(lab) as other:
        assert other.get_state()[0] == 0


def test_a_reboot_forgets_everything(lab, arm):
    arm.set_tcp_offset([0, 0, 100, 0, 0, 0])
    lab.order("reboot", lab_s=4.0)
    lab.order("reboot", lab_s=1.0)  # an impatient person
    assert wait_for(lambda: not arm.connected)
    assert not _answers(lab)
    assert wait_for(lambda: _answers(lab))
    with connected(lab) as other:
        assert other.get_state() == (0, 4)
        assert other.get_position()[1][2] == pytest.approx(other.get_forward_kinematics(OUT_OF_THE_WAY)[1][2], abs=1)
        make_ready(other)
        assert other.tcp_offset[2] == 0


def _answers(lab) -> bool:
    """Does the box take a connection?"""
    try:
        with socket.create_connection((lab.card["ip"], lab.card["command_port"]), timeout=5):
            return True
    except ConnectionRefusedError:
        return False


def test_a_gripper_fault_is_code_102_until_it_is_cleaned(lab, arm):
    assert arm.set_gripper_enable(True) == 0
    lab.order("gripper_fault", code=11, held=True)
    assert arm.set_gripper_position(500, wait_motion=False) == 102
    assert arm.get_gripper_err_code() == (0, 11)
    arm.clean_gripper_error()
    assert arm.get_gripper_err_code() == (0, 11)
    lab.order("gripper_fault", code=11, held=False)
    assert arm.clean_gripper_error() == 0
    arm.set_gripper_enable(True)
    assert arm.set_gripper_position(500, wait=True) == 0


@pytest.mark.parametrize(("does", "seen"), [("mode", (0, 5)), ("stop", (0, 4))])
def test_a_second_host_takes_the_arm_away(lab, arm, does, seen):
    make_ready(arm, 1)
    lab.order("second_client", does=does)
    assert arm.get_state() == seen
    assert arm.get_err_warn_code() == (0, [0, 0])
    _, target = arm.get_servo_angle(is_radian=True)
    target[0] += 0.02
    arm.set_servo_angle_j(target, is_radian=True)
    time.sleep(0.1)
    assert arm.get_servo_angle(is_radian=True)[1][0] != pytest.approx(target[0], abs=1e-3)


def test_objects_can_be_moved_and_arranged_anew(lab, arm):
    before = lab.order("truth")["objects"]["left_shoe"]["pose"]
    lab.order("move", name="left_shoe", pose=[0.35, 0.30, before[2], 1, 0, 0, 0])
    assert wait_for(lambda: lab.order("truth")["objects"]["left_shoe"]["pose"][1] == pytest.approx(0.30, abs=5e-3))
    lab.order("reset", seed=5, configuration=2)
    first = lab.order("scene")
    assert (first["seed"], first["configuration"]) == (5, 2)
    lab.order("reset", seed=6, configuration=2)
    lab.order("reset", seed=5, configuration=2)
    assert lab.order("scene") == first
    assert arm.get_servo_angle()[1] == pytest.approx(OUT_OF_THE_WAY, abs=0.05)


def test_nothing_is_put_inside_the_arm(lab, arm):
    hand = lab.order("truth")["hand_pose"]
    before = lab.order("truth")["objects"]["shoe_box"]["pose"]
    with pytest.raises(LabError, match="inside the arm"):
        lab.order("move", name="shoe_box", pose=[*hand[:2], hand[2] + 0.1, 1, 0, 0, 0])
    np.testing.assert_allclose(lab.order("truth")["objects"]["shoe_box"]["pose"], before, atol=1e-3)


def test_time_stands_still_while_the_lab_is_paused(lab, arm):
    lab.order("pause", on=True)
    first = lab.order("truth")["time_s"]
    time.sleep(0.1)
    assert lab.order("truth")["time_s"] == first
    assert arm.get_state()[0] == 0  # the wire answers
    lab.order("pause", on=False)
    assert wait_for(lambda: lab.order("truth")["time_s"] > first)


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ({"do": "dance"}, "there is no order 'dance'"),
        ({"do": "fault", "code": 0}, "1 to 255"),
        ({"do": "fault"}, "code"),
        ({"do": "move", "name": "ghost", "pose": [0, 0, 0, 1, 0, 0, 0]}, "'ghost' cannot be moved"),
        ({"do": "move", "name": "left_shoe", "pose": [0, 0]}, "7 finite numbers"),
        ({"do": "move", "name": "left_shoe", "pose": [0, 0, 0, 0, 0, 0, 0]}, "length 1"),
        ({"do": "reset", "seed": 0, "configuration": 99}, "99"),
        ({"do": "clock", "factor": 0}, "0.05 to 5"),
        ({"do": "second_client", "does": "sing"}, "sing"),
        ({"do": "dead_link", "wall_s": -1}, "above 0"),
        ({"do": "gripper_fault", "code": 500}, "0 to 127"),
        ({"do": "collision_thresholds", "nm": [1]}, "6 torques"),
    ],
)
def test_a_wrong_order_is_refused_in_one_sentence(lab, order, complaint):
    with pytest.raises(LabError, match=complaint):
        lab.order(**order)


def test_an_order_needs_the_token(lab):
    stranger = LabOrders(lab.card["ip"], lab.card["control_port"], "guess")
    with pytest.raises(LabError, match="token is wrong"):
        stranger.order("stop")
    stranger.close()
    assert lab.is_alive()


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b"{}\n", b"x" * 70000 + b"\n"])
def test_nonsense_does_not_end_the_lab(lab, line):
    with socket.create_connection((lab.card["ip"], lab.card["control_port"]), timeout=5) as stranger:
        stranger.sendall(line)
        answer = stranger.recv(1000)
    assert answer == b"" or not json.loads(answer)["ok"]
    assert math.isfinite(lab.order("truth")["time_s"])


def test_an_answer_that_json_cannot_hold_is_told_in_one():
    async def ask():
        control = Control({"odd": lambda: math.nan}, "t")
        await control.start("127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", control.port)
        writer.write(b'{"token": "t", "do": "odd"}\n')
        told = json.loads(await reader.readline())
        writer.close()
        await control.close()
        return told

    told = asyncio.run(ask())
    assert not told["ok"] and "not JSON compliant" in told["error"]


# -- life of the process ---------------------------------------------------------------------------------------------


def _is_free(card) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((card["ip"], card["command_port"]))
        except OSError:
            return False
    return True


def test_two_labs_live_side_by_side_and_leave_nothing_behind(lab):
    with LabProcess("book_push", cameras=False) as other:
        assert other.card["ip"] != lab.card["ip"]
        assert set(other.order("truth")["objects"]) != set(lab.order("truth")["objects"])
        pid = other.pid
    assert not other.is_alive()
    assert _is_free(other.card)
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


def test_a_signal_ends_a_lab_cleanly():
    with LabProcess("shoe_rack", cameras=False) as lab:
        os.kill(lab.pid, signal.SIGINT)
        assert lab.wait(10)
        assert _is_free(lab.card)


def test_a_lab_ends_with_the_process_that_started_it():
    code = (
        "from real_env.lab.client import LabProcess; import json, os; lab = LabProcess('shoe_rack', cameras=False); "
        "print(json.dumps([lab.pid, lab.card]), flush=True); os._exit(1)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    pid, card = json.loads(result.stdout)
    assert wait_for(lambda: _is_free(card))

    def is_gone() -> bool:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        return False

    assert wait_for(is_gone)


def test_a_bare_arm_has_room_for_the_zero_pose():
    with LabProcess("none", clock=CLOCK) as lab, connected(lab) as arm:
        assert lab.card["cameras"] == {}
        make_ready(arm)
        assert arm.move_gohome(speed=180, mvacc=1000, wait=True) == 0
        assert arm.get_position()[1][:3] == pytest.approx([206, 0, 120.5], abs=0.01)
        arm.set_gripper_enable(True)
        assert arm.set_gripper_position(400, speed=5000, wait=True) == 0
        assert lab.order("truth")["objects"] == {}
        with pytest.raises(LabError, match="no objects"):
            lab.order("reset", seed=1)


def test_a_clock_that_cannot_be_kept_is_refused():
    with pytest.raises(ValueError, match=r"0\.05 to 5"):
        LabSettings("shoe_rack", clock=99)
