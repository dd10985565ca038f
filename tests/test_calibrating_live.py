"""A calibration that the robot makes by itself: it drives in the laboratory, sees the board, and finds its cameras."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from iker_envs.geometry import pose_compose, quaternion_from_rotvec, rotation_angle
from iker_envs.optics import look_at
from iker_envs.perception.board import Board, Sighting, board_pose, detect_board
from iker_envs.perception.rigid import inverse, matrix_of
from real_env.calibrating.__main__ import main
from real_env.calibrating.live import BOARD_IN_HAND
from real_env.calibration import Calibration, load_calibration
from real_env.lab.board import BoardInLab
from real_env.lab.client import LabProcess, calibration, robot_yaml

CAMERA = replace(look_at("it", (0.9, 0.3, 0.6), (0.45, 0.0, 0.0), up=(0.0, 0.0, 1.0)), width=640, height=480)
TABLE = np.full((480, 640, 3), 150, np.uint8), np.full((480, 640), 2.0)


@pytest.mark.parametrize("in_hand", [False, True])
def test_the_laboratorys_board_is_where_it_is_put(in_hand):
    hand = np.array([0.4, 0.1, 0.15, 0, 1, 0, 0])
    lies = np.array([0.45, 0.0, 0.0, *quaternion_from_rotvec(np.array([0.0, 0.0, 0.3]))])
    board = BoardInLab(Board(), BOARD_IN_HAND if in_hand else lies, in_hand)
    rgb, depth_m = board.paint(*TABLE, CAMERA, hand)
    found = detect_board(rgb, Board())
    assert isinstance(found, Sighting) and len(found.points) == 24
    place = matrix_of(pose_compose(hand, BOARD_IN_HAND) if in_hand else lies)
    true = inverse(matrix_of(CAMERA.pose_world)) @ place
    assert np.linalg.norm(board_pose(found, CAMERA.intrinsics())[:3, 3] - true[:3, 3]) < 0.002
    column, row = np.floor(found.pixels).astype(int).T
    depths = (found.points @ true[:3, :3].T + true[:3, 3])[:, 2]
    np.testing.assert_allclose(depth_m[row, column], depths, atol=0.002)


def test_what_is_before_the_board_hides_it_and_its_back_is_blank():
    lies = np.array([0.45, 0.0, 0.0, 1.0, 0, 0, 0])
    hand = np.zeros(7)
    near = TABLE[0], np.full((480, 640), 0.3)
    for given, pose in ((near, lies), (TABLE, np.array([0.45, 0, 0, 0, 1.0, 0, 0]))):
        rgb, _ = BoardInLab(Board(), pose, False).paint(*given, CAMERA, hand)
        assert detect_board(rgb, Board()) == "it shows no board"
    rgb, depth_m = BoardInLab(Board(), np.array([2.0, 2.0, 0.5, 1.0, 0, 0, 0]), False).paint(*TABLE, CAMERA, hand)
    assert (rgb == TABLE[0]).all() and (depth_m == TABLE[1]).all(), "out of the picture"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name either recordings or --real robot.yaml"),
        (["a", "--real", "b.yaml"], "name either recordings or --real robot.yaml"),
        (["--real", "no.yaml"], "no.yaml"),
    ],
)
def test_a_live_calibration_without_its_robot_is_refused(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--file", "c.json"]) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1 and list(tmp_path.iterdir()) == []


@pytest.fixture
def cell(tmp_path):
    """A laboratory's robot.yaml, and the truth of its cameras."""
    pytest.importorskip("libusb_package", reason="this test needs cameras: pip install 'iker[lab]'")
    with LabProcess("shoe_push") as lab:
        Calibration.from_dict(calibration(lab.card)).save(tmp_path / "truth.json")
        (tmp_path / "robot.yaml").write_text(robot_yaml(lab.card, "truth.json"))
        yield tmp_path / "robot.yaml"


@pytest.mark.slow
def test_nothing_moves_without_somebodys_consent(cell, tmp_path):
    command = [sys.executable, "-m", "iker_agent", "calibrate", "--real", str(cell), "--role", "wrist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "somebody at a terminal agrees that the arm moves, or --yes" in done.stderr
    assert "lay the board ChArUco 7x5, 35 mm flat on the table" in done.stdout
    assert not (tmp_path / "recordings").exists() and not (tmp_path / "calibration.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("role", "mount"), [("wrist", "wrist"), ("front", "cell")])
def test_the_robot_finds_its_own_camera_in_the_laboratory(cell, tmp_path, role, mount, capsys):
    where = ["--real", str(cell), "--role", role, "--file", str(tmp_path / "c.json"), "--yes"]
    code = main([*where, "--recordings", str(tmp_path / "recordings"), "--pictures", "12"])
    assert code == 0, capsys.readouterr()
    found, true = (load_calibration(tmp_path / name).cameras[role] for name in ("c.json", "truth.json"))
    assert found.mount == mount and found.serial == true.serial and found.num_views >= 8
    assert np.linalg.norm(found.pose[:3] - true.pose[:3]) < 0.0015
    assert float(rotation_angle(found.pose[3:], true.pose[3:])) < np.deg2rad(0.15)
    np.testing.assert_allclose(found.K, true.K, atol=1e-3)
