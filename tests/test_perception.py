"""Object poses from a view: the simulator's estimator is truth plus noise, and says so when there is no truth."""

from dataclasses import replace

import numpy as np
import pytest

from iker_envs import perception
from iker_envs.geometry import rotation_angle
from iker_envs.perception import SOURCES, Estimate, Estimator, PoseNoise, TruthEstimator, make_estimator

NONE = PoseNoise(0.0, 0.0)
POSE = np.array([0.4, 0.1, 0.05, 1.0, 0, 0, 0])


@pytest.fixture
def view(blank_view, rack_scene):
    """A view that carries the true poses of the rack scene."""
    truth = {name: rack_scene.object(name).pose for name in rack_scene.movable}
    return replace(blank_view(rack_scene), true_poses=truth)


def test_without_noise_the_estimate_is_the_truth(view, rack_scene):
    estimates = make_estimator(noise=NONE, rng=0).estimate(view, rack_scene)
    assert tuple(estimates) == rack_scene.movable
    for name, estimate in estimates.items():
        np.testing.assert_allclose(estimate.pose, view.true_poses[name], atol=1e-12)
        assert estimate.confidence == 1.0


def test_the_noise_has_its_standard_deviations(view, rack_scene):
    estimator = make_estimator("truth", PoseNoise(0.005, 2.0), np.random.default_rng(0))
    seen = [estimator.estimate(view, rack_scene)["left_shoe"].pose for _ in range(2000)]
    offset = np.array(seen) - view.true_poses["left_shoe"]
    angle = rotation_angle(np.array(seen)[:, 3:], np.array(view.true_poses["left_shoe"])[3:])
    np.testing.assert_allclose(offset[:, :3].std(axis=0), 0.005, rtol=0.08)
    assert np.sqrt(np.mean(angle**2)) == pytest.approx(np.deg2rad(2.0), rel=0.08)
    np.testing.assert_allclose(np.linalg.norm(np.array(seen)[:, 3:], axis=-1), 1.0)


def test_equal_generators_give_equal_estimates_and_every_call_draws_anew(view, rack_scene):
    first, again = (make_estimator(rng=np.random.default_rng(3)) for _ in range(2))
    for _ in range(2):
        a, b = (e.estimate(view, rack_scene)["shoe_box"].pose for e in (first, again))
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, first.estimate(view, rack_scene)["shoe_box"].pose)


def test_an_object_without_truth_is_named_and_nothing_is_drawn(view, rack_scene):
    rng = np.random.default_rng(1)
    known = {name: pose for name, pose in view.true_poses.items() if name != "right_shoe"}
    words = "no true pose of 'right_shoe', only of: shoe_box, left_shoe; the estimator 'truth' needs a simulated view"
    with pytest.raises(ValueError, match=words):
        make_estimator(rng=rng).estimate(replace(view, true_poses=known), rack_scene)
    assert rng.random() == np.random.default_rng(1).random()


def test_a_picture_alone_has_no_truth(blank_view, rack_scene):
    with pytest.raises(ValueError, match="no true pose of 'shoe_box', only of: none"):
        make_estimator(rng=0).estimate(blank_view(rack_scene), rack_scene)


def test_an_unknown_source_names_the_known_ones():
    assert SOURCES == ("truth", "rgbd", "server")
    with pytest.raises(ValueError, match="the estimator 'guess' is unknown; known: truth, rgbd, server"):
        make_estimator("guess")


@pytest.mark.parametrize("noise", [PoseNoise(position_m=-0.001), PoseNoise(rotation_deg=np.nan)])
def test_noise_that_cannot_be_is_refused(noise):
    with pytest.raises(ValueError, match="of the pose noise is") as caught:
        make_estimator(noise=noise)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pose", "confidence", "words"),
    [
        (POSE[:6], 1.0, "Estimate.pose is an array of 7 finite numbers"),
        (POSE * np.nan, 1.0, "Estimate.pose"),
        (2 * POSE, 1.0, "Estimate.pose ends in a unit quaternion"),
        (POSE, 1.01, "the confidence of an estimate is between 0 and 1, not 1.01"),
        (POSE, -0.5, "the confidence of an estimate is between 0 and 1, not -0.5"),
    ],
)
def test_an_estimate_is_a_pose_and_a_share(pose, confidence, words):
    with pytest.raises(ValueError, match=words):
        Estimate(pose, confidence)


def test_an_estimate_travels_as_plain_data():
    plain = Estimate(POSE, 0.5).to_dict()
    assert plain == {
        "pose": POSE.tolist(),
        "confidence": 0.5,
        "residual_m": 0.0,
        "visible_fraction": 1.0,
        "why": "",
    }
    assert Estimate.from_dict(plain).to_dict() == plain


def test_the_room_names_its_words_at_its_door():
    assert {Estimate, Estimator, PoseNoise, TruthEstimator, make_estimator} <= {
        getattr(perception, name) for name in perception.__all__ if name != "SOURCES"
    }
