"""The lab's cameras as the maker's own library sees them, in this process and in one that knows nothing of the lab."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from iker_envs.optics import project
from iker_envs.pictures.camera import render
from iker_envs.task import load_task
from real_env.lab.client import LabError, LabProcess
from real_env.lab.network_camera import yuyv
from real_env.lab.rig import rig, serial
from real_env.lab.world import LabWorld, arrange
from real_env.realsense import LAB_CONTEXT, NewPairs, lab_context, load_realsense
from tests.lab_hosts import wait_for

SEED = 3
SIZE = (640, 480)
PATIENCE_MS = 5000
BEGAN_S = time.time()  # before any camera was opened


@pytest.fixture(scope="module")
def rs():
    pytest.importorskip("libusb_package", reason="this test needs cameras: pip install 'iker[lab]'")
    return load_realsense()


@pytest.fixture(scope="module")
def lab(rs):
    with LabProcess("shoe_rack", seed=SEED) as process:
        yield process


@pytest.fixture(scope="module")
def context(rs, lab):
    found = lab_context(rs)
    everyone = {card["serial"] for card in lab.card["cameras"].values()}
    assert wait_for(lambda: everyone <= _serials(rs, found))  # other labs of this machine may be seen, too
    return found


def _serials(rs, context):
    return {device.get_info(rs.camera_info.serial_number) for device in context.query_devices()}


class Consumer:
    """A pipeline on one camera."""

    def __init__(self, rs, context, serial_number):
        self._rs = rs
        config = rs.config()
        config.enable_device(serial_number)
        config.enable_stream(rs.stream.depth, *SIZE, rs.format.z16, 30)
        config.enable_stream(rs.stream.color, *SIZE, rs.format.rgb8, 30)
        self._pipeline = rs.pipeline(context)
        self.profile = self._pipeline.start(config)
        self._pairs = NewPairs()

    def take(self, count=1):
        """The newest of some pairs: colour (H, W, 3), depth in metres (H, W), the stamp of both in ms."""
        for _ in range(count):
            while not self._pairs.has(frames := self._pipeline.wait_for_frames(PATIENCE_MS)):
                pass
        colour, depth = frames.get_color_frame(), frames.get_depth_frame()
        assert colour.get_timestamp() == depth.get_timestamp()
        return np.array(colour.get_data()), np.array(depth.get_data()) * 0.001, depth.get_timestamp()

    def try_take(self, wait_ms):
        return self._pipeline.try_wait_for_frames(wait_ms)[0]

    def close(self):
        self._pipeline.stop()


@pytest.fixture(scope="module")
def opened(rs, context, lab):
    consumer = Consumer(rs, context, lab.card["cameras"]["far"]["serial"])
    yield consumer
    consumer.close()


@pytest.fixture
def far(opened, lab):
    """The camera that faces the robot, as it usually is; nothing stands between it and the table."""
    lab.order("camera", name="far", does="ok")
    lab.order("camera", name="far", does="exposure", value=1.0)
    opened.take(3)
    return opened


def test_colour_and_depth_are_the_scenes(rs, far, lab):
    colour, depth, _ = far.take(3)
    arrangement = arrange(load_task("shoe_rack"), SEED, 0, visuals=True)
    world = LabWorld(arrangement)
    mujoco.mj_step(world.model, world.data, 500)  # at rest, as the lab is
    camera = next(c for c in rig() if c.name == "far").optics
    expected = render(world.model, world.data, arrangement.scene, replace(camera, width=160, height=120), shadows=False)
    seen = depth[2::4, 2::4]
    both = (seen > 0) & (expected.depth_m > 0)
    assert both.mean() > 0.95
    error = np.abs(seen - expected.depth_m)[both]
    assert np.median(error) < 0.004
    shoe = expected.segmentation == [o.name for o in arrangement.scene.objects].index("left_shoe")
    red, green, _ = colour[2::4, 2::4][shoe].mean(axis=0)
    assert red > 1.5 * green  # its canvas is red


def test_a_pixel_leads_back_to_the_point(rs, far, lab):
    _, depth, _ = far.take()
    card = lab.card["cameras"]["far"]
    intrinsics = far.profile.get_stream(rs.stream.color).as_video_stream_profile().intrinsics
    K = np.array(card["K"])
    assert [intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy] == pytest.approx(
        [K[0, 0], K[1, 1], K[0, 2], K[1, 2]], abs=1e-3
    )
    x, y, z = lab.order("truth")["objects"]["shoe_box"]["pose"][:3]
    top = np.array([x, y, z + 0.055])
    camera = next(c for c in rig() if c.name == "far").optics
    pixel, distance = project(top[None], camera.intrinsics(), camera.pose_world)
    column, row = np.floor(pixel[0]).astype(int)
    point = rs.rs2_deproject_pixel_to_point(intrinsics, [float(column), float(row)], float(depth[row, column]))
    assert point[2] == pytest.approx(distance[0], abs=0.006)


def test_time_stamps_go_on_and_both_streams_share_them(far):
    stamps = [far.take()[2] for _ in range(4)]
    assert np.all(np.diff(stamps) > 0)
    assert stamps[0] > 1e3 * BEGAN_S and stamps[-1] < 1e3 * time.time()


def test_a_frozen_camera_gives_no_frames_until_it_is_mended(far, lab):
    far.take()
    lab.order("camera", name="far", does="frozen")
    assert wait_for(lambda: not far.try_take(700))
    lab.order("camera", name="far", does="ok")
    assert wait_for(lambda: far.try_take(700))


def test_a_stuck_camera_repeats_itself(far, lab):
    far.take(2)
    lab.order("camera", name="far", does="stuck")
    before, _, _ = far.take(6)
    pose = lab.order("truth")["objects"]["left_shoe"]["pose"]
    lab.order("move", name="left_shoe", pose=[0.45, 0.35, *pose[2:]])
    again, _, _ = far.take(6)
    np.testing.assert_array_equal(before, again)
    lab.order("camera", name="far", does="ok")
    assert wait_for(lambda: np.abs(far.take()[0].astype(int) - before).max() > 50)


def test_exposure_changes_the_light(far, lab):
    before = far.take(3)[0].mean()
    lab.order("camera", name="far", does="exposure", value=0.3)
    assert wait_for(lambda: far.take()[0].mean() < 0.6 * before)


def test_a_program_that_knows_nothing_of_the_lab_finds_its_cameras(lab, tmp_path):
    (tmp_path / ".realsense-config.json").write_text(json.dumps({"context": LAB_CONTEXT}))
    number = lab.card["cameras"]["wrist"]["serial"]
    code = (
        "from real_env.realsense import load_realsense\n"
        "rs = load_realsense()\n"
        "pipeline, config = rs.pipeline(), rs.config()\n"
        f"config.enable_device({number!r})\n"
        "config.enable_stream(rs.stream.color, 640, 480, rs.format.bgr8, 30)\n"
        "profile = pipeline.start(config)\n"
        "frames = pipeline.wait_for_frames(5000)\n"
        "print('width', frames.get_color_frame().get_width())\n"
        "pipeline.stop()\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert "width 640" in result.stdout, result.stderr[-400:]


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ({"name": "back", "does": "ok"}, "no camera 'back'"),
        ({"name": "far", "does": "sleep"}, "'sleep'"),
        ({"name": "far", "does": "exposure", "value": -1}, "exposure is 0"),
    ],
)
def test_a_wrong_order_to_a_camera_is_refused(lab, order, complaint):
    with pytest.raises(LabError, match=complaint):
        lab.order("camera", **order)


def test_no_two_cameras_share_a_serial_number():
    numbers = [serial(lab_number, number) for lab_number in range(1, 51) for number in range(len(rig()))]
    assert len(set(numbers)) == len(numbers)
    assert {len(number) for number in numbers} == {12}


def test_yuyv_keeps_colours_of_pairs():
    rgb = np.zeros((2, 4, 3), np.uint8)
    rgb[:, :2] = (255, 0, 0)
    rgb[:, 2:] = (255, 255, 255)
    packed = yuyv(rgb)
    assert packed[0, :, 0].tolist() == pytest.approx([82, 82, 235, 235], abs=1)  # BT.601: red and white
    assert packed[0, :2, 1].tolist() == pytest.approx([90, 240], abs=1)
    assert packed[0, 2:, 1].tolist() == pytest.approx([128, 128], abs=1)


def _seen_by_a_new_program(expected):
    """Serial numbers once the expected ones are found; a second more for those that come late.

    In a process of its own: librealsense dies when it is asked for devices while one of them leaves.
    """
    code = (
        "import time\n"
        "from real_env.realsense import lab_context, load_realsense\n"
        "rs = load_realsense()\n"
        "context = lab_context(rs)\n"
        "deadline = time.monotonic() + 15\n"
        "def seen():\n"
        "    return {d.get_info(rs.camera_info.serial_number) for d in context.query_devices()}\n"
        f"while not {set(expected)!r} <= seen() and time.monotonic() < deadline:\n"
        "    time.sleep(0.2)\n"
        "time.sleep(1)\n"
        "print('seen', *seen())\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return set(result.stdout.rpartition("seen ")[2].split())


@pytest.mark.slow
def test_a_missing_camera_leaves_and_comes_back(lab):
    number = lab.card["cameras"]["left"]["serial"]
    everyone = {card["serial"] for card in lab.card["cameras"].values()}
    lab.order("camera", name="left", does="missing")
    assert _seen_by_a_new_program(everyone - {number}) & everyone == everyone - {number}
    lab.order("camera", name="left", does="ok")
    assert _seen_by_a_new_program(everyone) & everyone == everyone
