"""The calibration file: what it refuses, and that it comes back as it was written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from iker_envs.geometry import pose_compose
from real_env.calibration import Calibration, CameraCalibration, load_calibration
from real_env.faults import Kind, RobotFault

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
K = np.array([[615.0, 0, 320], [0, 615, 240], [0, 0, 1]])
POSE = np.array([0.1, 0.2, 1.0, 0, 1, 0, 0])
FRONT = CameraCalibration("123", 640, 480, K, POSE)
CELL = Calibration(NOW.isoformat(), {"front": FRONT, "wrist": replace(FRONT, serial="456", mount="wrist")})


def test_a_calibration_comes_back_from_its_file_as_it_was(tmp_path):
    CELL.save(tmp_path / "cell.json")
    again = load_calibration(tmp_path / "cell.json")
    assert again.to_dict() == CELL.to_dict()
    assert [p.name for p in tmp_path.iterdir()] == ["cell.json"]


@pytest.mark.parametrize(
    ("days", "serials", "told"),
    [
        (31, {"front": "123"}, "31 days old, the limit max_calibration_age_days is 30"),
        (-2, {"front": "123"}, "-2 days old"),
        (1, {"side": "123"}, "no camera 'side', only front, wrist"),
        (1, {"front": "999"}, "'999', the calibrated one '123'"),
    ],
    ids=["stale", "from the future", "camera missing", "another serial"],
)
def test_a_calibration_that_does_not_fit_is_a_fault(days, serials, told):
    with pytest.raises(RobotFault, match=told) as caught:
        CELL.check(serials, 30.0, NOW + timedelta(days=days))
    assert caught.value.kind is Kind.CALIBRATION


def test_a_calibration_that_fits_passes():
    CELL.check({"front": "123", "wrist": "456"}, 30.0, NOW + timedelta(days=29))


def test_a_camera_on_the_wrist_moves_with_the_hand():
    hand = np.array([0.5, 0, 0.3, 0, 1, 0, 0])
    assert np.allclose(CELL.cameras["wrist"].pose_world(hand), pose_compose(hand, POSE))
    assert np.allclose(FRONT.pose_world(hand), POSE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mount": "roof"}, "cell or wrist"),
        ({"serial": ""}, "printed on the camera"),
        ({"width": 0}, "above 0"),
        ({"K": np.zeros((3, 3))}, "focal lengths"),
        ({"residual_px": -1.0}, "at least 0"),
        ({"pose": np.zeros(7)}, "unit quaternion"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_no_camera_has_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        replace(FRONT, **change)


def test_a_faulty_file_is_named(tmp_path):
    file = tmp_path / "cell.json"
    file.write_text('{"date": "yesterday", "cameras": {}}')
    with pytest.raises(ValueError, match=r"cell\.json.*yesterday"):
        load_calibration(file)
