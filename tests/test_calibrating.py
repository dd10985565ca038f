"""Where cameras are: the printed board, recordings, the fit against a known truth, refusals, bumped cameras."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from board_pictures import picture_of, printed
from calibration_sets import BOARD, SIZE, K, corners_of, head, poses, record, told_by_robot, truth, turned
from PIL import Image as PillowImage

from iker_envs.geometry import rotation_angle
from iker_envs.perception.board import Board, Sighting, board_pose, detect_board, undistorted
from iker_envs.perception.board_pdf import PAGES_M, board_pdf
from iker_envs.perception.rigid import motion, pose_of
from real_env.calibrating.__main__ import main
from real_env.calibrating.calibrate import CalibrationRefused, calibrate_camera, check_camera
from real_env.calibrating.hand_eye import Frame, solve
from real_env.calibrating.recording import Recorder, load_recording
from real_env.calibration import load_calibration

SEEDS = range(6)


# -- the board -------------------------------------------------------------------------------------------------------


def rectangles_of(pdf: bytes) -> np.ndarray:
    """Left, bottom, width, height (R, 4) in points of what a page fills."""
    lines = [line for line in pdf.decode("latin-1").splitlines() if line.endswith(" re f")]
    return np.array([[float(v) for v in line.split()[:4]] for line in lines])


@pytest.mark.parametrize("page", PAGES_M)
def test_a_printed_board_is_as_large_as_it_says(page):
    pdf = board_pdf(BOARD, page)
    box = pdf.split(b"/MediaBox [0 0 ")[1].split(b"]")[0].split()
    np.testing.assert_allclose([float(v) for v in box], np.array(PAGES_M[page]) / 0.0254 * 72, atol=0.01)
    black = rectangles_of(pdf) * 0.0254 / 72
    squares = black[np.isclose(black[:, 2], BOARD.square_m, atol=1e-6)]
    assert len(squares) == 18
    outer = (squares[:, :2] + squares[:, 2:]).max(axis=0) - squares[:, :2].min(axis=0)
    np.testing.assert_allclose(outer, BOARD.size_m, atol=1e-5)
    assert np.isclose(black[:, 2], 0.100, atol=1e-6).any(), "the line to measure"
    assert (black[:, :2] > 0).all() and (black[:, :2] + black[:, 2:] < PAGES_M[page]).all()


def test_a_printed_board_is_recognised():
    found = detect_board(printed(BOARD), BOARD)
    assert isinstance(found, Sighting) and len(found.points) == 24
    scale = np.linalg.lstsq(found.points[:, :2] * [1, -1], found.pixels - found.pixels.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(scale, 6000 * np.eye(2), atol=2)


@pytest.mark.parametrize(
    ("board", "page", "words"),
    [
        (lambda: Board(7, 5, 0.05), "a4", "350 x 250 mm does not fit on a4 (297 x 210 mm)"),
        (lambda: Board(), "a5", "page is a4, letter, a3, not 'a5'"),
        (lambda: Board(2, 5), "a4", "3 to 14 columns and rows, not 2 x 5"),
        (lambda: Board(7, 5, 0.3), "a4", "5 to 200 mm large, not 300 mm"),
    ],
)
def test_a_board_that_cannot_be_printed_is_refused(board, page, words):
    with pytest.raises(ValueError) as caught:
        board_pdf(board(), page)
    assert words in str(caught.value)


def test_a_picture_tells_where_the_board_is():
    seen = motion(turned([160, 20, 30]), np.array([0.03, -0.02, 0.5]))
    found = detect_board(picture_of(BOARD, seen, K, SIZE, np.random.default_rng(0)), BOARD)
    pose = board_pose(found, K)
    np.testing.assert_allclose(pose[:3, 3], seen[:3, 3], atol=0.0007)
    assert float(rotation_angle(pose_of(pose)[3:], pose_of(seen)[3:])) < np.deg2rad(0.3)


def test_a_part_of_the_board_is_enough_but_a_line_of_it_is_not():
    seen = motion(turned([175, 5, 0]), np.array([0.0, 0.0, 0.45]))
    picture = picture_of(BOARD, seen, K, SIZE)
    half = np.array(picture)
    half[:, :300] = 120
    assert isinstance(detect_board(half, BOARD), Sighting)
    assert detect_board(np.full((480, 640, 3), 120, np.uint8), BOARD) == "it shows no board"
    line = np.array(picture)
    line[:205] = 120
    line[275:] = 120
    assert isinstance(detect_board(line, BOARD), str)


def test_distortion_is_taken_out():
    import cv2

    distortion = np.array([0.1, -0.05, 0.001, 0.002, 0.0])
    points = np.array([[0.1, 0.05, 0.6], [-0.2, -0.1, 0.6], [0.0, 0.0, 0.6]])
    shifted = K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    crooked = cv2.projectPoints(points, np.zeros(3), np.zeros(3), shifted, distortion)[0].reshape(-1, 2) + 0.5
    straight = points @ K.T
    np.testing.assert_allclose(undistorted(crooked, K, distortion), straight[:, :2] / 0.6, atol=0.01)


# -- the fit ---------------------------------------------------------------------------------------------------------


def fitted(mount: str, seed: int, num: int = 15):
    """Errors in metres and radians of a fit to corners with a noise of 0.2 px, and the fit."""
    rng = np.random.default_rng(seed)
    camera = seed % 4 if mount == "cell" else 0
    frames = [
        Frame(str(i), told_by_robot(gripper, rng), corners_of(seen, rng))
        for i, (gripper, seen) in enumerate(poses(mount, rng, num, camera))
    ]
    found = solve(frames, K, mount)
    true = pose_of(truth(mount, camera)[0])
    place = np.linalg.norm(found.camera_pose[:3] - true[:3])
    return place, float(rotation_angle(found.camera_pose[3:], true[3:])), found


@pytest.mark.parametrize("mount", ["cell", "wrist"])
def test_15_poses_of_the_board_tell_where_a_camera_is(mount):
    errors = [fitted(mount, seed) for seed in SEEDS]
    assert max(place for place, _, _ in errors) < 0.0015
    assert max(turn for _, turn, _ in errors) < np.deg2rad(0.15)
    assert np.median([place for place, _, _ in errors]) < 0.0007
    for place, turn, found in errors:
        assert place < 3 * found.std_m and turn < 3 * found.std_rad, "what it claims covers its error"
        assert 0.15 < found.residual_px < 0.25


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Recordings of a standing camera and of the one on the wrist, and their true poses."""
    root = tmp_path_factory.mktemp("recordings")
    return {mount: (root / mount, record(root / mount, mount, 15, seed=3)) for mount in ("cell", "wrist")}


@pytest.fixture
def copied(recorded, tmp_path):
    """A recording that a test may spoil, and what its file says."""
    folder = tmp_path / "copy"
    shutil.copytree(recorded["cell"][0], folder)
    return folder, json.loads((folder / "recording.yaml").read_text())


@pytest.mark.parametrize("mount", ["cell", "wrist"])
def test_a_folder_of_pictures_becomes_a_camera(recorded, mount):
    folder, true = recorded[mount]
    result = calibrate_camera(load_recording(folder))
    assert np.linalg.norm(result.camera.pose[:3] - true[:3]) < 0.0015
    assert float(rotation_angle(result.camera.pose[3:], true[3:])) < np.deg2rad(0.15)
    assert result.bad == {} and result.camera.num_views == 15 and result.camera.mount == mount
    assert 0 < result.camera.residual_px < 0.3 and 0 < result.camera.residual_m < 0.002


def write(folder: Path, content: dict) -> None:
    (folder / "recording.yaml").write_text(json.dumps(content))


def test_bad_frames_are_named_and_left_out(copied, recorded):
    folder, content = copied
    PillowImage.new("RGB", SIZE, (90, 90, 90)).save(folder / "002.png")
    content["frames"][5]["gripper_pose"][0] += 0.012
    shutil.copy(folder / "009.png", folder / "010.png")
    write(folder, content)
    result = calibrate_camera(load_recording(folder))
    assert set(result.bad) == {"002.png", "005.png", "010.png"}
    assert result.bad["002.png"] == "it shows no board"
    assert "was the arm at rest?" in result.bad["005.png"] or "px from where the others say" in result.bad["005.png"]
    assert np.linalg.norm(result.camera.pose[:3] - recorded["cell"][1][:3]) < 0.0015


def few(content: dict) -> None:
    content["frames"] = content["frames"][:5]


def wrong_board(content: dict) -> None:
    content["board"]["square_m"] = 0.032


def no_turns(content: dict) -> None:
    """All the robot says is one orientation: as if only the places had been written down."""
    for frame in content["frames"]:
        frame["gripper_pose"][3:] = content["frames"][0]["gripper_pose"][3:]


def shuffled(content: dict) -> None:
    poses_ = [frame["gripper_pose"] for frame in content["frames"]]
    for frame, pose in zip(content["frames"], poses_[3:] + poses_[:3], strict=True):
        frame["gripper_pose"] = pose


SPOILT = {
    "too few": (few, "5 of 5 pictures of front_left can be used, at least 8"),
    "another board": (wrong_board, ""),
    "no turns": (no_turns, ""),
    "poses of other pictures": (shuffled, ""),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_what_would_be_a_bad_calibration_is_refused_with_what_to_do(copied, tmp_path, spoil, words, capsys):
    folder, content = copied
    spoil(content)
    write(folder, content)
    with pytest.raises(CalibrationRefused) as caught:
        calibrate_camera(load_recording(folder))
    sentence = str(caught.value)
    assert words in sentence and "\n" not in sentence and ";" in sentence and "front_left" in sentence
    out = tmp_path / "calibration.json"
    assert main([str(folder), "--file", str(out)]) == 1
    assert "not saved" in capsys.readouterr().out and not out.exists()


def test_turns_about_one_axis_are_too_little(tmp_path):
    writer = Recorder(tmp_path / "r", head("wrist"))
    rng = np.random.default_rng(1)
    stays, board = truth("wrist")
    for angle in np.linspace(-40, 40, 12):
        looks = board[:3, :3] @ turned([0, 0, angle]) @ np.diag([1.0, -1.0, -1.0])
        camera = motion(looks, board[:3, 3] - 0.42 * looks[:, 2] + rng.normal(0, 0.02, 3))
        seen = np.linalg.inv(camera) @ board
        writer.add(picture_of(BOARD, seen, K, SIZE, rng), pose_of(camera @ np.linalg.inv(stays)))
    with pytest.raises(CalibrationRefused, match=r"the hand was turned about one axis only.*about two axes or more"):
        calibrate_camera(load_recording(tmp_path / "r"))


def test_a_wrong_focal_length_shows_in_depths_alone(tmp_path):
    rng = np.random.default_rng(3)
    wrong = np.array(K)
    wrong[[0, 1], [0, 1]] *= 1.02
    recording = head("cell")
    writer = Recorder(tmp_path / "r", type(recording)(**{**vars(recording), "K": wrong}))
    for gripper, seen in poses("cell", rng, 12):
        depth = np.full((SIZE[1], SIZE[0]), 0.0)
        rays = np.stack(np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5), axis=-1) - K[:2, 2]
        rays = np.concatenate([rays / K[0, 0], np.ones((*depth.shape, 1))], axis=-1)
        depth = (seen[:3, 2] @ seen[:3, 3]) / (rays @ seen[:3, 2])
        depth = np.clip(depth, 0.0, 3.0)
        writer.add(picture_of(BOARD, seen, K, SIZE, rng), told_by_robot(gripper, rng), depth)
    with pytest.raises(CalibrationRefused, match=r"measures the board -[12]\.\d % too far away"):
        calibrate_camera(load_recording(tmp_path / "r"))


# -- the check -------------------------------------------------------------------------------------------------------

BUMPS = {"by 5 mm": ([0, 0, 0], [0.005, 0, 0]), "by a degree": ([0.0, 1.0, 0.0], [0, 0, 0])}


@pytest.mark.parametrize(("turn", "shift"), BUMPS.values(), ids=BUMPS)
def test_a_bumped_camera_is_told(recorded, tmp_path, turn, shift):
    known = calibrate_camera(load_recording(recorded["cell"][0])).camera
    moved = motion(turned(turn), np.array(shift, dtype=float))
    record(tmp_path / "bumped", "cell", 6, seed=11, moved=moved)
    check = check_camera(load_recording(tmp_path / "bumped"), known)
    assert not check.is_good and check.sentence.endswith("calibrate it again")
    assert check.moved_m == pytest.approx(np.linalg.norm(shift), abs=0.004)
    assert check.turned_rad == pytest.approx(np.deg2rad(max(turn)), abs=np.deg2rad(0.3))


def test_a_camera_that_stands_still_passes_however_the_board_is_held(recorded, tmp_path):
    known = calibrate_camera(load_recording(recorded["cell"][0])).camera
    for seed in (20, 21):
        record(tmp_path / str(seed), "cell", 5, seed=seed)
        check = check_camera(load_recording(tmp_path / str(seed)), known)
        assert check.is_good, check.sentence


def test_another_camera_is_told(recorded, copied):
    known = calibrate_camera(load_recording(recorded["cell"][0])).camera
    folder, content = copied
    write(folder, {**content, "serial": "999"})
    with pytest.raises(CalibrationRefused, match="are of camera 999, the calibration is of 1234"):
        check_camera(load_recording(folder), known)


# -- files and the command -------------------------------------------------------------------------------------------


def test_the_command_saves_checks_and_keeps_the_other_cameras(recorded, tmp_path, capsys):
    out = tmp_path / "calibration.json"
    assert main([str(recorded["cell"][0]), "--file", str(out)]) == 0
    assert main([str(recorded["wrist"][0]), "--file", str(out)]) == 0
    saved = load_calibration(out)
    assert list(saved.cameras) == ["front_left", "wrist"] and saved.age_days() < 1
    assert "ChArUco 7x5, 35 mm" in saved.note
    assert "pictures fit to 0." in capsys.readouterr().out
    assert main([str(recorded["cell"][0]), "--check", "--file", str(out)]) == 0
    assert "stands where it was calibrated" in capsys.readouterr().out


def test_iker_calibrate_is_that_command(recorded, tmp_path):
    command = [sys.executable, "-m", "iker_agent", "calibrate", str(recorded["wrist"][0]), "--file", "c.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c.json").exists() and "saved: " in done.stdout


WRONG = {
    "no quaternion": (lambda c: c["frames"][1].update(gripper_pose=[0.4, 0, 0.2, 1, 1, 0, 0]), "a unit quaternion"),
    "six numbers": (
        lambda c: c["frames"][1].update(gripper_pose=[0.4, 0, 0.2, 1, 0, 0]),
        "gripper_pose of frame 1 is 7",
    ),
    "not a number": (lambda c: c["frames"][0].update(gripper_pose=["a"] * 7), "gripper_pose of frame 0 is 7 finite"),
    "elsewhere": (lambda c: c["frames"][0].update(picture="../../x.png"), "the name of a file in the folder"),
    "no K": (lambda c: c.pop("K"), "K is missing"),
    "another mount": (lambda c: c.update(mount="ceiling"), "mount is cell or wrist, not 'ceiling'"),
    "no frames": (lambda c: c.update(frames=[]), "frames is a list of 1 to 500"),
    "unknown field": (lambda c: c.update(colour="red"), "colour"),
    "a picture that is none": (lambda c: c["frames"][0].update(picture="recording.yaml"), "cannot be read"),
    "a picture that is missing": (lambda c: c["frames"][0].update(picture="no.png"), "cannot be read"),
}


@pytest.mark.parametrize(("spoil", "words"), WRONG.values(), ids=WRONG)
def test_a_faulty_recording_is_told_in_a_sentence(copied, tmp_path, capsys, spoil, words):
    folder, content = copied
    spoil(content)
    write(folder, content)
    assert main([str(folder), "--file", str(tmp_path / "c.json")]) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1


def test_a_recording_is_not_written_over(recorded):
    with pytest.raises(ValueError, match="holds a recording already; name another folder"):
        Recorder(recorded["cell"][0], head("cell"))
