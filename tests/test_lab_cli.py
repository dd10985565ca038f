"""`iker lab` as a person uses it: what it prints, how it ends, what it says when something is missing."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
import yaml

from real_env.lab import camera_process
from real_env.lab.client import LabOrders
from tests.lab_hosts import wait_for

IKER = [sys.executable, "-m", "iker_agent", "lab"]


def _ended(arguments):
    return subprocess.run([*IKER, *arguments], capture_output=True, text=True, timeout=60)


def _is_free(host, port) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((host, port)) != 0


def test_it_writes_a_robot_yaml_that_reaches_it_and_dies_of_ctrl_c_cleanly(tmp_path):
    path = tmp_path / "lab.yaml"
    command = [*IKER, "shoe_place", "--no-cameras", "--clock", "2", "--configuration", "1", "--out", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    killer = threading.Timer(60, process.kill)
    killer.start()
    try:
        assert "Ctrl-C closes it" in process.stderr.readline()
        robot = yaml.safe_load(path.read_text())
        assert path.stat().st_mode & 0o077 == 0  # the token is nobody else's
        orders = LabOrders(robot["lab"]["host"], robot["lab"]["control_port"], robot["lab"]["token"])
        assert orders.order("scene")["configuration"] == 1
        orders.close()
        assert robot["clock"] == 2
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(15) == -signal.SIGINT
    finally:
        killer.cancel()
        process.kill()
        process.stderr.close()
    assert wait_for(lambda: _is_free(robot["arm"]["ip"], robot["arm"]["command_port"]))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no_such_task"], "no task 'no_such_task'"),
        (["shoe_place", "--configuration", "99"], "99"),
        pytest.param(["shoe_place", "--clock", "0"], "0.05 to 5", marks=pytest.mark.slow),
    ],
)
def test_what_is_wrong_is_one_sentence_and_status_2(arguments, complaint):
    result = _ended(arguments)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("missing", ["pyrealsense2", "libusb_package"])
def test_cameras_without_their_library_say_what_to_install(monkeypatch, missing):
    monkeypatch.setattr(camera_process, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(OSError, match=r"pip install 'iker\[lab\]'"):
        asyncio.run(camera_process.CameraProcess("shoe_rack", 1).start(0, 0))
