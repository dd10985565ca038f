"""Estimates over several looks: what stands still is known better and better, what was moved is noticed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from iker_agent.seeing.keypoints import select_keypoints
from iker_envs.contract import Contract
from iker_envs.geometry import quaternion_from_rotvec, quaternion_multiply, rotation_angle
from iker_envs.perception import Estimate, FusedEstimate, FusingEstimator, PoseNoise, make_estimator
from iker_envs.perception.fusing import MAX_LOOKS, fuse, is_unmoved
from iker_envs.scene import Scene

NOISE = PoseNoise(0.005, 2.0)
POSE = np.array([0.4, 0.1, 0.05, 1.0, 0, 0, 0])
RUNS = 400


def seen(pose: np.ndarray, rng: np.random.Generator, noise: PoseNoise = NOISE) -> dict[str, Estimate]:
    """One look at an object, with the noise of one look."""
    axis = rng.normal(size=3)
    angle_rad = rng.normal(0.0, np.deg2rad(noise.rotation_deg))
    turn = quaternion_from_rotvec(axis / np.linalg.norm(axis) * angle_rad)
    position = pose[:3] + rng.normal(0.0, noise.position_m, 3)
    return {"it": Estimate(np.concatenate([position, quaternion_multiply(turn, pose[3:])]))}


def looked_at(poses, rng: np.random.Generator, **changed) -> list[FusedEstimate]:
    """What is known after each of several looks at an object that is at `poses` then."""
    known: dict[str, FusedEstimate] = {}
    after = []
    for pose in poses:
        known = fuse(known, seen(pose, rng), NOISE, **changed)
        after.append(known["it"])
    return after


def shifted(x_m: float = 0.0, turn_deg: float = 0.0) -> np.ndarray:
    turn = quaternion_from_rotvec(np.array([0, 0, np.deg2rad(turn_deg)]))
    return np.concatenate([POSE[:3] + np.array([x_m, 0, 0]), quaternion_multiply(turn, POSE[3:])])


@pytest.mark.parametrize("looks", [1, 2, 4, 8])
def test_the_mean_of_n_looks_has_the_noise_that_it_states(looks):
    rng = np.random.default_rng(looks)
    last = [looked_at([POSE] * looks, rng)[-1] for _ in range(RUNS)]
    last = [estimate for estimate in last if estimate.looks == looks]
    assert len(last) > 0.85 * RUNS, "of what stands still few looks are taken for a move"
    stated = last[0].noise(NOISE)
    assert stated.position_m == pytest.approx(0.005 / np.sqrt(looks))
    errors = np.array([estimate.pose[:3] - POSE[:3] for estimate in last])
    angles = np.array([rotation_angle(estimate.pose[3:], POSE[3:]) for estimate in last])
    assert errors.std() == pytest.approx(stated.position_m, rel=0.12)
    assert np.rad2deg(np.sqrt(np.mean(angles**2))) == pytest.approx(stated.rotation_deg, rel=0.15)


@pytest.mark.parametrize(
    ("moved", "looks", "noticed"),
    [
        (shifted(0.03), 1, 0.75),
        (shifted(0.03), 3, 0.93),
        (shifted(0.04), 1, 0.97),
        (shifted(0.0, 15), 1, 0.95),
        (shifted(0.03, 10), 2, 0.97),
    ],
)
def test_a_move_is_noticed_and_the_object_starts_anew(moved, looks, noticed):
    rng = np.random.default_rng(5)
    last = [looked_at([*[POSE] * looks, moved], rng)[-1] for _ in range(RUNS)]
    assert np.mean([estimate.looks == 1 for estimate in last]) > noticed


def test_what_was_not_noticed_is_made_good_by_the_looks_that_follow():
    rng = np.random.default_rng(6)
    errors = [looked_at([POSE, *[shifted(0.02)] * 12], rng)[-1].pose[0] - shifted(0.02)[0] for _ in range(RUNS // 4)]
    assert np.abs(errors).max() < 0.01


@pytest.mark.parametrize("step_m", [0.001, 0.004, 0.010])
def test_drift_does_not_accumulate(step_m):
    rng = np.random.default_rng(7)
    errors = []
    for _ in range(20):
        creeping = [shifted(step_m * k) for k in range(30)]
        known = looked_at(creeping, rng)
        errors += [abs(e.pose[0] - pose[0]) for e, pose in zip(known, creeping, strict=True)]
    assert np.mean(errors) < 0.012 and np.max(errors) < 0.030, "a small part of the 3 to 30 cm that it creeps"


def test_one_look_at_a_time_is_what_the_inner_estimator_says():
    rng, again = (np.random.default_rng(8) for _ in range(2))
    for known in looked_at([POSE] * 3, rng, max_looks=1):
        np.testing.assert_allclose(known.pose, seen(POSE, again)["it"].pose, atol=1e-12)
    with pytest.raises(ValueError, match="at least 1 look is used, not 0"):
        FusingEstimator(make_estimator(), NOISE, 0)


def test_without_noise_rest_is_rest_and_a_millimetre_is_a_move():
    none = PoseNoise(0.0, 0.0)
    known = FusedEstimate(POSE, looks=3)
    assert is_unmoved(known, Estimate(shifted(0.0005)), none)
    assert not is_unmoved(known, Estimate(shifted(0.004)), none)
    assert not is_unmoved(known, Estimate(shifted(0.0, 2.0)), none)


def test_objects_come_and_go_and_either_sign_of_a_quaternion_is_the_same():
    flipped = np.concatenate([POSE[:3], -POSE[3:]])
    known = fuse({"a": FusedEstimate(POSE)}, {"a": Estimate(flipped, 0.5, 0.002), "b": Estimate(POSE)}, NOISE)
    assert (known["a"].looks, known["a"].confidence, known["a"].residual_m, known["b"].looks) == (2, 0.5, 0.002, 1)
    np.testing.assert_allclose(np.abs(known["a"].pose), np.abs(POSE), atol=1e-12)
    assert set(fuse(known, {"b": Estimate(POSE)}, NOISE)) == {"b"}


def test_looks_are_in_the_record():
    known = FusedEstimate(POSE, 0.9, looks=3)
    again = FusedEstimate.from_dict(json.loads(json.dumps(known.to_dict())))
    assert isinstance(known, Contract) and (again.looks, again.confidence) == (3, 0.9)


# In the loop


@pytest.fixture
def view_of(blank_view):
    """Scene -> a view that carries its true poses."""

    def view(scene: Scene):
        return replace(blank_view(scene), true_poses={n: scene.object(n).pose for n in scene.movable})

    return view


def estimated(estimator: FusingEstimator, scene: Scene, view_of) -> Scene:
    found = estimator.estimate(view_of(scene), scene)
    return scene.with_poses({name: estimate.pose for name, estimate in found.items()})


def test_what_stands_still_keeps_its_marks_over_three_looks(rack_scene, view_of):
    jumps_px = {}
    for max_looks in (1, MAX_LOOKS):
        jumps = []
        for seed in range(12):
            estimator = FusingEstimator(make_estimator(rng=seed), NOISE, max_looks)
            scenes = [estimated(estimator, rack_scene, view_of) for _ in range(3)]
            looks = [select_keypoints(scene, view_of(rack_scene)) for scene in scenes]
            assert len({k.labels for k in looks}) == 1
            jumps.append(np.linalg.norm(looks[2].pixels - looks[1].pixels, axis=-1))
        jumps_px[max_looks] = float(np.sqrt(np.mean(np.square(jumps))))
    assert jumps_px[MAX_LOOKS] < 0.6 * jumps_px[1] and jumps_px[MAX_LOOKS] < 2.0, jumps_px


def test_an_object_that_is_moved_is_where_it_is_and_the_others_stay(rack_scene, view_of):
    estimator = FusingEstimator(make_estimator(rng=3), NOISE)
    for _ in range(4):
        before = estimated(estimator, rack_scene, view_of)
    pose = np.array(rack_scene.object("left_shoe").pose)
    pose[:2] += [0.03, 0.03]
    moved = rack_scene.with_poses({"left_shoe": pose})
    found = estimator.estimate(view_of(moved), moved)
    looks = {name: estimate.looks for name, estimate in found.items()}
    assert looks == {"shoe_box": 5, "left_shoe": 1, "right_shoe": 5}
    assert np.linalg.norm(found["left_shoe"].pose[:3] - pose[:3]) < 0.02
    assert np.linalg.norm(found["shoe_box"].pose[:3] - before.object("shoe_box").pose[:3]) < 0.004


def test_what_was_touched_is_seen_afresh_however_little_it_moved(rack_scene, view_of):
    estimator = FusingEstimator(make_estimator(rng=4), NOISE)
    estimator.estimate(view_of(rack_scene), rack_scene)
    estimator.forget("left_shoe")
    estimator.forget("left_shoe")
    found = estimator.estimate(view_of(rack_scene), rack_scene)
    assert {name: estimate.looks for name, estimate in found.items()} == {
        "shoe_box": 2,
        "left_shoe": 1,
        "right_shoe": 2,
    }


def test_what_is_known_stays_known_where_a_look_fails(rack_scene, view_of, blank_view):
    estimator = FusingEstimator(make_estimator(rng=5), NOISE)
    estimator.estimate(view_of(rack_scene), rack_scene)
    with pytest.raises(ValueError, match="no true pose"):
        estimator.estimate(blank_view(rack_scene), rack_scene)
    assert estimator.estimate(view_of(rack_scene), rack_scene)["shoe_box"].looks == 2
