"""Pictures as a depth camera gives them: the stated errors, from the stated causes, the same for equal seeds."""

from dataclasses import fields, replace

import numpy as np
import pytest

from iker_envs.geometry import rotation_angle
from iker_envs.optics import look_at
from iker_envs.pictures.sensor_noise import NoisyCameras, SensorNoise
from iker_envs.scene import Image, View

CAMERA = look_at("top", (0.5, 0, 1.0), (0.5, 0, 0), 160, 120)
REAL = ("baseline_m", "focal_px", "range_m", "frames")
OFF = replace(SensorNoise(), frames=1, **{f.name: 0.0 for f in fields(SensorNoise) if f.name not in REAL})


def flat(depth_m: float = 1.0, *, step: float = 0.0, grey: int = 120) -> View:
    """A grey wall, its right half nearer by a step."""
    depth = np.full((120, 160), depth_m)
    depth[:, 80:] -= step
    image = Image(np.full((120, 160, 3), grey, np.uint8), depth, CAMERA.intrinsics(), CAMERA.pose_world)
    return View({"top": image, "other": image}, "top")


def taken(view: View, noise: SensorNoise, seed: int = 0) -> Image:
    return NoisyCameras(noise, seed).photograph(view).image


def test_without_noise_the_picture_is_the_exact_one():
    image = taken(flat(step=0.3), OFF)
    np.testing.assert_allclose(image.depth_m, flat(step=0.3).image.depth_m, atol=1e-6)
    np.testing.assert_array_equal(image.rgb, flat().image.rgb)
    np.testing.assert_allclose(image.T_world_cam, CAMERA.pose_world, atol=1e-12)


@pytest.mark.parametrize("depth_m", [0.5, 1.0, 1.5])
def test_depth_noise_grows_with_the_square_of_depth(depth_m):
    noise = replace(OFF, depth_noise_m=0.0012, fixed_share=0.5)
    off = taken(flat(depth_m), noise).depth_m - depth_m
    assert off.std() == pytest.approx(0.0012 * (depth_m / 0.5) ** 2, rel=0.12)
    assert abs(off.mean()) < 0.3 * off.std()


def test_a_part_of_the_noise_stays_from_frame_to_frame():
    cameras = NoisyCameras(replace(OFF, depth_noise_m=0.0012, fixed_share=0.5))
    one, two = (cameras.photograph(flat()).image.depth_m - 1.0 for _ in range(2))
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] == pytest.approx(0.5, abs=0.1)


def test_depths_come_in_steps_of_the_disparity():
    noise = replace(OFF, disparity_step_px=1 / 32, depth_noise_m=0.003)
    disparity = 383 * 0.05 / taken(flat(), noise).depth_m
    np.testing.assert_allclose(disparity * 32, np.round(disparity * 32), atol=1e-3)


def test_edges_have_holes_and_depths_in_between():
    depth = taken(flat(step=0.3), replace(OFF, edge_lost=0.75, edge_flying=0.2)).depth_m
    edge, wall = depth[:, 78:82], depth[:, :70]
    assert (edge == 0).mean() > 0.2 and ((edge > 0.72) & (edge < 0.98)).any()
    assert (wall == 1.0).mean() > 0.999


def test_nothing_is_measured_beyond_the_range_or_where_nothing_is():
    assert (taken(flat(3.5), SensorNoise()).depth_m == 0).all()
    assert (taken(flat(0.0), SensorNoise()).depth_m == 0).all()


def test_colours_are_noisy_and_exposed_differently_by_every_camera():
    pictures = NoisyCameras(SensorNoise()).photograph(flat()).cameras
    assert 1.5 < pictures["top"].rgb.std() < 8
    assert pictures["top"].rgb.mean() != pytest.approx(pictures["other"].rgb.mean(), abs=0.2)
    dark = taken(flat(grey=250), replace(OFF, exposure=0.5), seed=1).rgb
    assert dark.max() <= 255 and dark.dtype == np.uint8


def test_cameras_believe_that_they_stand_a_little_beside_where_they_are():
    off = [taken(flat(), SensorNoise(), seed).T_world_cam for seed in range(40)]
    apart = np.linalg.norm(np.array(off)[:, :3] - CAMERA.pose_world[:3], axis=1)
    turned = rotation_angle(np.array(off)[:, 3:], np.array(CAMERA.pose_world[3:]))
    assert np.sqrt((apart**2).mean()) == pytest.approx(0.0015, rel=0.3)
    assert np.rad2deg(np.sqrt((turned**2).mean())) == pytest.approx(0.15, rel=0.3)


def test_equal_seeds_give_equal_pictures_and_every_picture_is_drawn_anew():
    one, again = (NoisyCameras(seed=3) for _ in range(2))
    first, second = one.photograph(flat()), one.photograph(flat())
    np.testing.assert_array_equal(first.image.depth_m, again.photograph(flat()).image.depth_m)
    assert (first.image.depth_m != second.image.depth_m).any()
    np.testing.assert_array_equal(first.image.T_world_cam, second.image.T_world_cam)
    alone = NoisyCameras(seed=3).pictures({"top": flat().image})["top"]
    np.testing.assert_array_equal(alone.rgb, first.image.rgb)
    assert (taken(flat(), SensorNoise(), 4).rgb != first.image.rgb).any()


@pytest.mark.parametrize(
    ("name", "value"), [("depth_noise_m", -1.0), ("edge_lost", 1.5), ("frames", 0), ("range_m", 0.0)]
)
def test_noise_that_cannot_be_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} of the sensor noise is"):
        SensorNoise(**{name: value})
