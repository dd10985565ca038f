"""What a scan may be read from beside a folder: arrays, a pair of videos, the camera's own recording, a live camera."""

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from iker_agent.authoring.scan_video import unpack_video
from iker_agent.commands.app import app
from iker_envs.perception.board import Board
from iker_envs.perception.scan_folder import load_scan, save_scan
from iker_envs.perception.scan_frames import FEWEST_KEPT, Sharpest, sharpness

SIZE = (160, 120)
K = np.array([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
BOARD = Board(11, 8, 0.035)


def frames(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a checked pattern whose number can be read from its brightness, and depths in millimetres."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    checks = ((rows // 8 + columns // 8) % 2 * 100).astype(np.uint8)
    rgb = np.stack([np.repeat((checks + 2 * k)[..., None], 3, axis=-1) for k in range(count)])
    depth = np.stack([np.full((SIZE[1], SIZE[0]), 400 + 10 * k, np.uint16) for k in range(count)])
    return rgb, depth


def write_video(path, pictures: np.ndarray, pixels: str, stored: str) -> None:
    import imageio_ffmpeg

    lossless = {"codec": "ffv1", "quality": None, "bitrate": None, "macro_block_size": 1}
    writer = imageio_ffmpeg.write_frames(str(path), SIZE, pix_fmt_in=pixels, pix_fmt_out=stored, **lossless)
    writer.send(None)
    for picture in pictures:
        writer.send(np.ascontiguousarray(picture))
    writer.close()


def as_arrays(folder, rgb, depth):
    path = folder / "mug.npz"
    np.savez(path, rgb=rgb, depth=depth, K=K, depth_unit_m=0.001, board=[11, 8, 0.035], distortion=[0.1, 0, 0, 0, 0])
    return path


def head(folder, depth_name: str) -> None:
    (folder / "mug.yaml").write_text(
        f"K: {K.tolist()}\ndepth: {depth_name}\ndistortion: [0.1, 0, 0, 0, 0]\n"
        "board: {columns: 11, rows: 8, square_m: 0.035}\n"
    )


def as_videos(folder, rgb, depth):
    write_video(folder / "mug.mkv", rgb, "rgb24", "gbrp")
    write_video(folder / "depth.mkv", depth, "gray16le", "gray16le")
    head(folder, "depth.mkv")
    return folder / "mug.mkv"


def as_video_and_pictures(folder, rgb, depth):
    write_video(folder / "mug.mkv", rgb, "rgb24", "gbrp")
    (folder / "depth").mkdir()
    for number, picture in enumerate(depth):
        PillowImage.fromarray(picture).save(folder / "depth" / f"{number:04d}.png")
    head(folder, "depth")
    return folder / "mug.mkv"


@pytest.mark.parametrize("form", [as_arrays, as_videos, as_video_and_pictures])
def test_every_form_of_a_recording_gives_the_same_pictures(tmp_path, form):
    rgb, depth = frames(6)
    pictures = unpack_video(form(tmp_path, rgb, depth), tmp_path / "out")
    assert len(pictures.files) == 6 and pictures.board == BOARD
    np.testing.assert_allclose(pictures.K, K)
    np.testing.assert_allclose(pictures.distortion, [0.1, 0, 0, 0, 0])
    for number in range(6):
        picture = pictures.picture(number)
        np.testing.assert_array_equal(picture.rgb, rgb[number])
        np.testing.assert_allclose(picture.depth_m, depth[number] / 1000, atol=1e-4)


@pytest.mark.parametrize("count", [1, FEWEST_KEPT, 2 * FEWEST_KEPT + 1, 500])
def test_of_a_long_recording_the_sharpest_pictures_are_kept_evenly(count):
    (sharp,), (depth,) = frames(1)
    blurred = np.asarray(PillowImage.fromarray(sharp).resize((40, 30)).resize(SIZE))
    assert sharpness(sharp) > 2 * sharpness(blurred)
    kept = Sharpest()
    for number in range(count):
        kept.add(sharp if number % 3 == 1 else blurred, depth / 1000 + number * 1e-4)
    assert min(count, FEWEST_KEPT) <= len(kept) <= 2 * FEWEST_KEPT and kept.num_seen == count
    numbers = np.array([frame[2][0, 0] for frame in kept._kept]).astype(int) - int(depth[0, 0] * 10)
    assert (np.diff(numbers) > 0).all() and np.diff(numbers, prepend=0, append=count).max() <= 2 * count / len(kept) + 1
    if count > 2 * FEWEST_KEPT + 1:
        assert (numbers % 3 == 1).mean() > 0.9, "of three neighbours the sharp one"


def changed(**changes):
    def spoil(folder, rgb, depth):
        arrays = {"rgb": rgb, "depth": depth, "K": K} | changes
        np.savez(folder / "mug.npz", **{name: value for name, value in arrays.items() if value is not None})
        return folder / "mug.npz"

    return spoil


def no_archive(folder, rgb, depth):
    (folder / "mug.npz").write_bytes(b"PK nothing")
    return folder / "mug.npz"


def shorter_depth(folder, rgb, depth):
    return as_video_and_pictures(folder, rgb, depth[:-2])


def longer_depth(folder, rgb, depth):
    return as_video_and_pictures(folder, rgb[:-1], depth)


def no_head(folder, rgb, depth):
    path = as_video_and_pictures(folder, rgb, depth)
    (folder / "mug.yaml").unlink()
    return path


def depth_elsewhere(folder, rgb, depth):
    path = as_video_and_pictures(folder, rgb, depth)
    head(folder, "../depth")
    return path


def depth_of_8_bits(folder, rgb, depth):
    path = as_videos(folder, rgb, depth)
    head(folder, "mug.mkv")
    return path


def text_for_a_video(folder, rgb, depth):
    path = as_video_and_pictures(folder, rgb, depth)
    path.write_text("no video")
    return path


SPOILT = {
    "another shape": (changed(depth=np.zeros((4, 10, 10), np.uint16)), "depth is (4, 120, 160) uint16, not"),
    "floats": (changed(depth=np.zeros((4, 120, 160))), "uint16, not (4, 120, 160) float64"),
    "no K": (changed(K=None), "it has no array K"),
    "a K of 2 x 2": (changed(K=np.eye(2)), "K is 3 x 3 finite numbers"),
    "an unknown array": (changed(colour=np.eye(2)), "it has an array 'colour'; known: rgb, depth, K"),
    "pickles": (changed(K=np.array([{}])), "cannot be read: Object arrays cannot be loaded|Object arrays"),
    "no archive": (no_archive, "it cannot be read"),
    "less depth": (shorter_depth, "ends after 2 pictures, colour goes on"),
    "more depth": (longer_depth, "its colour ends after 3 pictures"),
    "no head": (no_head, "mug.yaml"),
    "elsewhere": (depth_elsewhere, "the name of a video or a folder beside it"),
    "8 bits": (depth_of_8_bits, "is no 16-bit video"),
    "text": (text_for_a_video, "cannot be read"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_a_recording_that_cannot_be_read_is_told_in_a_sentence(tmp_path, spoil, words):
    path = spoil(tmp_path, *frames(4))
    with pytest.raises(ValueError) as caught:
        unpack_video(path, tmp_path / "out")
    told = str(caught.value)
    assert any(word in told for word in words.split("|")), told
    assert "\n" not in told and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either a recording or a --camera"),
        (["a.npz", "--camera", "12"], "either a recording or a --camera"),
        (["a.txt"], "is no recording: a folder with scan.yaml, or a file"),
        (["a.npz"], "there is no recording"),
    ],
)
def test_what_is_no_source_is_refused_before_anything_happens(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["scan", *arguments, "--name", "mug"])
    told = " ".join((done.output + str(done.exception)).split())
    assert done.exit_code != 0 and words in told
    assert list(tmp_path.iterdir()) == []


# -- the camera's own library ------------------------------------------------------------------------------------------

LARGE = (640, 480)
LARGE_K = np.array([[600.0, 0, 321], [0, 605, 239], [0, 0, 1]])


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A folder of four pictures as large as a camera's."""
    pytest.importorskip("libusb_package", reason="this test needs cameras: pip install 'iker[lab]'")
    rgb, depth = frames(4)
    pairs = [
        (
            np.asarray(PillowImage.fromarray(c).resize(LARGE, 0)),
            np.asarray(PillowImage.fromarray(d).resize(LARGE)) / 1e3,
        )
        for c, d in zip(rgb, depth, strict=True)
    ]
    return save_scan(tmp_path_factory.mktemp("shown") / "scan", pairs, LARGE_K, BOARD)


def test_a_recording_of_the_cameras_library_keeps_pictures_and_intrinsics(shown, tmp_path):
    from recorded_scanner import record

    from real_env.scanning import read_file

    record(tmp_path / "mug.db3", shown)
    told = []
    read_file(tmp_path / "mug.db3", tmp_path / "out", BOARD, told.append)
    pictures = load_scan(tmp_path / "out")
    count = len(pictures.files)
    assert told[0] == f"mug.db3: {count} pictures" and pictures.board == BOARD
    assert 2 <= count <= 4, "the library may lose the first while it begins to play"
    np.testing.assert_allclose(pictures.K, LARGE_K, atol=1e-3)
    for number in range(count):
        picture, given = pictures.picture(number), shown.picture(number + 4 - count)
        np.testing.assert_array_equal(picture.rgb, given.rgb)
        seen = picture.depth_m > 0
        assert seen.mean() > 0.85, "aligning leaves a grid of holes"
        np.testing.assert_allclose(picture.depth_m[seen], given.depth_m[seen], atol=1e-4)


@pytest.mark.parametrize("name", ["mug.db3", "mug.bag"])
def test_what_is_no_recording_of_the_library_is_told(shown, tmp_path, name, capfd):
    from real_env.scanning import main

    (tmp_path / name).write_text("nothing")
    assert main([str(tmp_path / name), "--board", "11", "8", "0.035", "--out", str(tmp_path / "out")]) == 2
    told = capfd.readouterr().err
    assert "is no recording that this librealsense can play" in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_live_camera_is_recorded_until_ctrl_c_and_keeps_what_it_has(shown, tmp_path):
    serial = "900499990002"
    camera = subprocess.Popen(
        [sys.executable, "-m", "tests.network_scanner", str(shown.folder), serial, "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    where = ["--camera", serial, "--lab", "--seconds", "600", "--board", "11", "8", "0.035", "--out", str(tmp_path)]
    try:
        assert camera.stdout.readline() == b"ready\n"
        recorder = subprocess.Popen(
            [sys.executable, "-m", "real_env.scanning", *where],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        guard = threading.Timer(60, recorder.kill)
        guard.start()
        told = []
        for line in recorder.stdout:
            told.append(line)
            if "s left" in line:
                recorder.send_signal(signal.SIGINT)
        complaint = recorder.stderr.read()
        assert recorder.wait() == 0, complaint
        guard.cancel()
    finally:
        camera.stdin.close()
        camera.wait(10)
    assert "recording begins in 3 s" in told[0] and "not seen: it shows no board" in "".join(told)
    assert "ended by Ctrl-C; what was recorded is used\n" in told
    pictures = load_scan(tmp_path)
    np.testing.assert_allclose(pictures.K, LARGE_K, atol=1e-3)
    assert len(pictures.files) >= 4 and "sharp pictures of" in told[-1]
    depths = {round(float(np.median(pictures.picture(k).depth_m)), 2) for k in range(len(pictures.files))}
    assert depths <= {0.40, 0.41, 0.42, 0.43} and len(depths) > 1
