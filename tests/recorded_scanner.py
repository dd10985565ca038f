"""A recording as librealsense makes it (.db3) of a scan's pictures, through one of its software devices."""

from pathlib import Path

import numpy as np

from iker_envs.perception.scan_folder import ScanPictures
from real_env.realsense import load_realsense

FPS = 30
_UNIT_M = 0.001
_EXPOSED_MS = 1000 / FPS


def record(path: Path, pictures: ScanPictures) -> None:
    """Write the file; colour and depth through one lens, pixel centres at integers as the library has them."""
    rs = load_realsense()
    first = pictures.picture(0)
    height, width = first.depth_m.shape
    device = rs.software_device()
    for name, value in ((rs.camera_info.name, "Intel RealSense D435"), (rs.camera_info.serial_number, "900400009999")):
        device.register_info(name, value)
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = width, height
    intrinsics.fx, intrinsics.fy = pictures.K[0, 0], pictures.K[1, 1]
    intrinsics.ppx, intrinsics.ppy = pictures.K[0, 2] - 0.5, pictures.K[1, 2] - 0.5
    intrinsics.model, intrinsics.coeffs = rs.distortion.brown_conrady, [0.0] * 5
    sensors = {}
    for number, (name, kind, form, size) in enumerate(
        (
            ("Stereo Module", rs.stream.depth, rs.format.z16, 2),
            ("RGB Camera", rs.stream.color, rs.format.rgb8, 3),
        )
    ):
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid, stream.fmt, stream.bpp = kind, 0, 100 + number, form, size
        stream.width, stream.height, stream.fps, stream.intrinsics = width, height, FPS, intrinsics
        sensor = device.add_sensor(name)
        sensors[kind] = sensor, sensor.add_video_stream(stream, True), size
    sensors[rs.stream.depth][0].add_read_only_option(rs.option.depth_units, _UNIT_M)
    device.create_matcher(rs.matchers.dlr_c)
    sensors[rs.stream.depth][1].register_extrinsics_to(sensors[rs.stream.color][1], _same(rs))
    settings = rs.config()
    settings.enable_stream(rs.stream.depth, width, height, rs.format.z16, FPS)
    settings.enable_stream(rs.stream.color, width, height, rs.format.rgb8, FPS)
    settings.enable_record_to_file(str(path))
    pipeline = rs.pipeline()
    pipeline.set_device(device)
    pipeline.start(settings)
    for number in range(len(pictures.files)):
        picture = pictures.picture(number)
        depth = np.round(picture.depth_m / _UNIT_M).astype(np.uint16)
        for kind, pixels in ((rs.stream.depth, depth), (rs.stream.color, picture.rgb)):
            sensor, profile, size = sensors[kind]
            frame = rs.software_video_frame()
            frame.pixels = np.ascontiguousarray(pixels)
            frame.stride, frame.bpp = width * size, size
            frame.timestamp, frame.frame_number = number * _EXPOSED_MS, number
            frame.domain = rs.timestamp_domain.system_time
            frame.profile = profile.as_video_stream_profile()
            if kind == rs.stream.depth:
                frame.depth_units = _UNIT_M
            sensor.on_video_frame(frame)
        pipeline.wait_for_frames(5000)
    pipeline.stop()


def _same(rs):
    same = rs.extrinsics()
    same.rotation, same.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0]
    return same
