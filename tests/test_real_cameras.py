"""Cameras of a cell, through the maker's own library: what they see, and every way in which they fail."""

from dataclasses import replace

import numpy as np
import pytest

from iker_envs.optics import project
from iker_envs.world import WorldFault
from real_env.lab.client import LabProcess, calibration, robot_yaml
from tests.real_cells import NUDGE, STILL

KEEP = {"world": "keep"}
OLDEST_S = 3.0  # of pictures that a busy machine draws


@pytest.fixture(scope="module")
def lab():
    pytest.importorskip("libusb_package", reason="this test needs cameras: pip install 'iker[lab]'")
    with LabProcess("shoe_push") as process:
        yield process


@pytest.fixture(scope="module")
def config(lab, tmp_path_factory):
    from iker_envs.documents import read_value
    from real_env.calibration import Calibration
    from real_env.config import RealConfig

    path = tmp_path_factory.mktemp("cell") / "cell.json"
    Calibration.from_dict(calibration(lab.card)).save(path)
    whole = RealConfig.from_dict(read_value(robot_yaml(lab.card, str(path)), "robot.yaml"))
    two = {role: whole.cameras[role] for role in ("front", "side", "wrist")}
    exact = replace(whole.lab, position_m=0.0, rotation_deg=0.0)
    return replace(whole, lab=exact, cameras=two, watch_cameras=True, max_frame_age_s=OLDEST_S)


@pytest.fixture(scope="module")
def cell(config):
    from real_env.world import RealWorld

    world = RealWorld("shoe_push", config)
    world.reset(seed=0, options={"configuration": 0, "look": True})
    yield world
    world.close()


@pytest.fixture
def world(cell, lab):
    for name in ("front", "wrist"):
        lab.order("camera", name=name, does="ok")
        lab.order("camera", name=name, does="exposure", value=1.0)
    return cell


def test_a_view_shows_the_objects_where_the_calibration_says(world):
    seen = world.view()
    assert list(seen.cameras) == ["front", "side", "wrist"] and seen.query == "front"
    for name, pose in seen.true_poses.items():
        top = pose[:3] + np.array([0, 0, world.scene.object(name).model.size_m[2] / 2])
        image = seen.cameras["front"]
        pixels, depths = project(top[None], image.K, image.T_world_cam)
        column, row = np.floor(pixels[0]).astype(int)
        assert abs(image.depth_m[row, column] - depths[0]) < 0.06  # a shoe's top is not flat


def test_the_wrist_camera_looks_from_where_the_hand_is(world):
    seen = world.view()
    hand = world.robot.measured_pose()
    assert np.linalg.norm(seen.cameras["wrist"].T_world_cam[:3] - hand[:3]) < 0.25


@pytest.mark.parametrize(("does", "kind"), [("frozen", "camera_stale"), ("missing", "camera_missing")])
def test_a_camera_that_fails_cuts_the_episode_short_and_comes_back(world, lab, does, kind):
    world.reset(options=KEEP)
    assert "fault" not in world.step(NUDGE)[-1]
    lab.order("camera", name="front", does=does)
    for _ in range(round(10 * (OLDEST_S + 3))):
        _, _, _, truncated, info = world.step(STILL)
        if truncated:
            break
    assert info["fault"].kind == kind and "front" in info["fault"].message
    outcome = world.finish()  # the arm is well: it lets go and retreats
    assert outcome.reason.startswith(info["fault"].message)
    lab.order("camera", name="front", does="ok")
    world.reset(options=KEEP)
    assert "fault" not in world.step(NUDGE)[-1]


def test_a_camera_whose_exposure_changes_is_told_at_the_next_look(world, lab):
    world.view()
    lab.order("camera", name="front", does="exposure", value=0.4)
    with pytest.raises(WorldFault, match=r"other settings.*front: brightness") as caught:
        for _ in range(3):  # a picture may have been under way
            world.view()
    assert caught.value.fault.kind == "camera_changed"


def test_another_serial_is_refused_before_anything_moves(config, lab):
    from real_env.world import RealWorld

    swapped = {**config.cameras, "front": replace(config.cameras["front"], serial="12345")}
    with pytest.raises(WorldFault, match="'12345', the calibrated one") as caught:
        RealWorld("shoe_push", replace(config, cameras=swapped))
    assert caught.value.fault.kind == "calibration"


def test_a_camera_that_is_not_there_is_told_with_those_that_are(config, lab, tmp_path):
    from real_env.calibration import load_calibration
    from real_env.world import RealWorld

    known = load_calibration(config.calibration)
    front = replace(known.cameras["front"], serial="12345")
    replace(known, cameras={"front": front}).save(tmp_path / "cell.json")
    camera = replace(config.cameras["front"], serial="12345")
    absent = replace(config, cameras={"front": camera}, calibration=str(tmp_path / "cell.json"))
    world = RealWorld("shoe_push", absent)
    try:
        with pytest.raises(WorldFault, match=r"serial 12345; there are: 9004\d+") as caught:
            world.reset(options={"world": "keep"})
        assert caught.value.fault.kind == "camera_missing"
    finally:
        world.close()


def test_a_stale_calibration_is_refused_before_anything_moves(config, tmp_path):
    from real_env.calibration import load_calibration
    from real_env.world import RealWorld

    old = replace(load_calibration(config.calibration), date="2020-01-01")
    old.save(tmp_path / "old.json")
    with pytest.raises(WorldFault, match=r"days old, the limit max_calibration_age_days is 30") as caught:
        RealWorld("shoe_push", replace(config, calibration=str(tmp_path / "old.json")))
    assert caught.value.fault.kind == "calibration"


def test_the_arm_is_left_out_of_its_own_pictures_and_the_objects_are_found(world, lab):
    from iker_envs.perception import make_estimator
    from real_env.poses import SeenPoses

    seen = SeenPoses(world._picture, world._glance, make_estimator("rgbd"), max_blind_s=1.0)
    world.view()
    found = seen.find(world.template)
    truth = lab.order("truth")["objects"]
    for name in world.template.movable:
        assert np.linalg.norm(found[name][:3] - truth[name]["pose"][:3]) < 0.01, name
