"""Two measures of success: nonsense that the paper's lenient one accepts never passes the strict one."""

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iker_envs.geometry import pose_compose, quaternion_from_rotvec
from iker_envs.measure import explain, keypoint_error, make_outcome, measure, reached
from iker_envs.scene import Goal, ObjectModel, upright_pose

SHOE = ObjectModel("shoe", "shoe", np.array([0.28, 0.10, 0.09]), 0.3, side="left")
KEYPOINTS = SHOE.control_keypoints_m()
TARGET = upright_pose([0.65, -0.04, 0.145], 0.3)
ELSEWHERE = upright_pose([0.3, 0.3, 0.05])


def at(shift=(0.0, 0, 0), rotvec=(0.0, 0, 0), other=ELSEWHERE):
    """Errors of a shoe at the target but shifted (target's axes) and turned, beside one other object."""
    offset = np.concatenate([np.array(shift, dtype=float), quaternion_from_rotvec(np.array(rotvec, dtype=float))])
    poses = np.array([[other, pose_compose(TARGET, offset)]])
    start = np.array([[ELSEWHERE, upright_pose([0.3, 0.0, 0.045])]])
    return measure(poses, np.array([1]), start, TARGET[None], KEYPOINTS)


def test_at_the_target_nothing_is_wrong():
    errors = at()
    assert errors.success[0] and errors.strict[0] and explain(errors, 0) == ""
    for value in (errors.goal_m, errors.tilt_rad, errors.heading_rad, errors.others_m):
        np.testing.assert_allclose(value, [0.0], atol=1e-7)


def test_keypoint_error_by_hand():
    # the ends lie 14 cm and 5 cm from the centre; a quarter turn moves them by sqrt(2) times that
    quarter = np.concatenate([TARGET[:3], quaternion_from_rotvec(np.array([0, 0, 0.3 + np.pi / 2]))])
    targets = np.array([[TARGET[:3] + p for p in KEYPOINTS]])
    turned = keypoint_error(upright_pose(TARGET[:3], np.pi / 2)[None], KEYPOINTS, targets)
    assert turned[0] == pytest.approx(np.sqrt(2) * (0.14 + 0.05) / 2)
    errors = measure(quarter[None, None], np.array([0]), quarter[None, None], TARGET[None], KEYPOINTS)
    assert errors.goal_m[0] == pytest.approx(np.sqrt(2) * 0.095)


def test_a_shoe_on_its_side_fools_the_papers_measure_only():
    errors = at(rotvec=(np.pi / 2, 0, 0))
    assert errors.goal_m[0] == pytest.approx(0.05 * np.sqrt(2) / 2)  # two of four keypoints are 7.1 cm off
    assert errors.success[0] and not errors.strict[0]
    assert "tilted by 90 degrees" in explain(errors, 0)


def test_a_shoe_turned_by_30_degrees_fools_the_papers_measure_only():
    errors = at(rotvec=(0, 0, np.deg2rad(30)))
    assert errors.success[0] and not errors.strict[0]
    assert np.rad2deg(errors.heading_rad[0]) == pytest.approx(30)
    assert "heading is 30 degrees off" in explain(errors, 0)


@given(st.floats(16, 180), st.floats(-3.1, 3.1))
def test_no_tilted_shoe_is_strict(degrees, direction):
    axis = np.array([np.cos(direction), np.sin(direction), 0])
    assert not at(rotvec=np.deg2rad(degrees) * axis).strict[0]


@given(st.floats(16, 344))
def test_no_turned_shoe_is_strict(degrees):
    assert not at(rotvec=(0, 0, np.deg2rad(degrees))).strict[0]


@given(st.floats(0.031, 0.5), st.floats(-3.1, 3.1), st.floats(-1, 1))
def test_no_shoe_elsewhere_is_strict(distance, direction, slope):
    along = np.array([np.cos(direction), np.sin(direction), slope])
    errors = at(shift=distance * along / np.linalg.norm(along))
    assert not errors.strict[0] and errors.goal_m[0] == pytest.approx(distance)
    assert errors.success[0] == (errors.goal_m[0] <= 0.05)


@given(st.floats(0, 0.02), st.floats(-3.1, 3.1), st.floats(-7, 7))
def test_small_errors_are_accepted(distance, direction, yaw):
    shift = distance * np.array([np.cos(direction), np.sin(direction), 0])
    assert at(shift, (0, 0, np.deg2rad(yaw))).strict[0]


@pytest.mark.parametrize(("moved", "strict"), [(0.019, True), (0.021, False)])
def test_another_object_must_stay(moved, strict):
    other = ELSEWHERE.copy()
    other[1] += moved
    errors = at(other=other)
    assert errors.success[0] and errors.strict[0] == strict
    assert errors.others_m[0] == pytest.approx(moved)
    assert (explain(errors, 0) == "") == strict and ("another object moved by 2.1 cm" in explain(errors, 0)) != strict


def test_worlds_are_measured_apart():
    poses = np.stack([np.array([ELSEWHERE, TARGET]), np.array([ELSEWHERE, ELSEWHERE])])
    errors = measure(poses, np.array([1, 1]), poses, np.stack([TARGET, TARGET]), KEYPOINTS)
    assert errors.strict.tolist() == [True, False] and errors.success.tolist() == [True, False]


@pytest.mark.parametrize(
    "to", [np.asarray, array_api_strict.asarray, torch.as_tensor], ids=["numpy", "strict", "torch"]
)
def test_every_world_is_measured_on_an_object_of_its_own(to):
    away = upright_pose([0.3, 0.3, 0.15])  # 10 cm above where it began
    poses = np.array([[TARGET, away, ELSEWHERE], [away, ELSEWHERE, TARGET]])
    start = np.tile(np.array([ELSEWHERE, ELSEWHERE, ELSEWHERE]), (2, 1, 1))
    targets = np.array([TARGET, TARGET])
    errors = measure(to(poses), to(np.array([0, 2])), to(start), to(targets), to(np.array(KEYPOINTS)))
    np.testing.assert_allclose(np.asarray(errors.goal_m), [0.0, 0.0], atol=1e-7)
    np.testing.assert_allclose(np.asarray(errors.others_m), [0.1, 0.1])


def test_an_outcome_tells_both_errors():
    annotated = upright_pose(TARGET[:3] + np.array([0.04, 0, 0]), 0.3)
    goal = Goal("shoe", TARGET, annotated_pose=annotated)
    outcome = make_outcome(at(), 0, goal, SHOE, {"shoe": TARGET}, "", 17)
    assert outcome.goal_error_m == pytest.approx(0.0, abs=1e-9)
    assert outcome.annotated_error_m == pytest.approx(0.04)
    assert outcome.success and outcome.num_steps == 17 and outcome.reason == ""
    np.testing.assert_array_equal(outcome.object_poses["shoe"], TARGET)


def test_success_is_measured_against_the_annotation_too():
    goal = Goal("shoe", TARGET, annotated_pose=upright_pose(TARGET[:3] + np.array([0.06, 0, 0]), 0.3))
    outcome = make_outcome(at(), 0, goal, SHOE, {"shoe": TARGET}, "", 1)
    assert not outcome.success and not outcome.success_strict and reached(outcome), "its own goal was reached"
    assert outcome.reason == "the keypoints are 6.0 cm off the annotated target"
    assert make_outcome(at(), 0, Goal("shoe", TARGET), SHOE, {"shoe": TARGET}, "", 1).annotated_error_m is None


def test_a_reason_of_the_stage_comes_first():
    outcome = make_outcome(at((0.1, 0, 0)), 0, Goal("shoe", TARGET), SHOE, {"shoe": TARGET}, "it slipped", 3)
    assert outcome.reason == "it slipped" and not outcome.success
    plain = make_outcome(at((0.1, 0, 0)), 0, Goal("shoe", TARGET), SHOE, {"shoe": TARGET}, "", 3)
    assert plain.reason == "the keypoints are 10.0 cm off"
