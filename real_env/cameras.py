"""RealSense cameras by serial number: each in a thread of its own, its newest picture at hand, and how old that is.

    CameraConfig  ->  RealSenseCamera.start  ->  newest() -> Frame | None,  age_s(),  intrinsics

Depth is aligned to the colour image. A camera that is absent, silent or brighter than before is told from its pictures
and from the library, never waited for without a limit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from real_env.calibration import PIXEL_CENTRE, moved_centres
from real_env.config import CameraConfig
from real_env.faults import Kind, RobotFault
from real_env.realsense import NewPairs, load_realsense

_DISCOVERY_S = 6.0  # of network cameras; those on USB are known at once
_POLL_S = 0.1
_WAIT_MS = 200  # for one set of pictures
_STARTS = 4  # a network camera of a busy machine may miss some
_BRIGHTNESS = 1.5  # factor between the medians of two pictures of one place that is no change of the scene
_DARK = 4.0  # of 255; below it a factor means nothing
_STRIDE = 16  # pixels between those that the brightness is taken from


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: rgb (H, W, 3) uint8, depth_m (H, W) float32 aligned to it, 0 where there is none."""

    rgb: np.ndarray
    depth_m: np.ndarray
    taken_s: float  # time.monotonic when it arrived
    brightness: float  # median of its pixels, 0 to 255


@dataclass(frozen=True, eq=False)
class Intrinsics:
    """Of a colour stream: K (3, 3), pixel centres at integers as OpenCV has it, and distortion (5,)."""

    K: np.ndarray
    distortion: np.ndarray

    @property
    def K_image(self) -> np.ndarray:
        """K (3, 3) with pixel centres at half-integers, as everywhere in `iker_envs`."""
        return moved_centres(self.K, PIXEL_CENTRE)


class RealSenseCamera:
    """One camera; `start` before anything else, `stop` in the end. `context` is a realsense context that may see it."""

    def __init__(self, role: str, config: CameraConfig, context: Any) -> None:
        self.role = role
        self._config = config
        self._context = context
        self._pipeline: Any = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._arrived = threading.Condition()
        self._newest: Frame | None = None
        self._started_s = 0.0
        self.intrinsics: Intrinsics | None = None  # known once it was started
        self._reference: float | None = None  # brightness that counts as unchanged

    @property
    def running(self) -> bool:
        """Is it being read?"""
        return self._thread is not None

    def start(self) -> None:
        """Begin to read; RobotFault(CAMERA_MISSING) if there is no such camera, or it does not start."""
        if self.running:
            return
        rs = load_realsense()
        self._find(rs)
        profile = self._started(rs)
        self._newest = None
        self._stopping.clear()
        self._started_s = time.monotonic()
        scale = _depth_scale(profile)
        self.intrinsics = colour_intrinsics(rs, profile)
        self._thread = threading.Thread(target=self._read, args=(rs, scale), name=f"camera {self.role}", daemon=True)
        self._thread.start()

    def _find(self, rs: Any) -> None:
        deadline = time.monotonic() + _DISCOVERY_S
        while True:
            serials = known_serials(rs, self._context)
            if self._config.serial in serials:
                return
            if time.monotonic() > deadline:
                there = ", ".join(sorted(serials)) or "none"
                raise RobotFault(Kind.CAMERA_MISSING, f"{self.role}: serial {self._config.serial}; there are: {there}")
            time.sleep(_POLL_S)

    def _started(self, rs: Any) -> Any:
        c = self._config
        settings = rs.config()
        settings.enable_device(c.serial)
        settings.enable_stream(rs.stream.depth, c.width, c.height, rs.format.z16, c.fps)
        settings.enable_stream(rs.stream.color, c.width, c.height, rs.format.rgb8, c.fps)
        problem = ""
        for _ in range(_STARTS):
            self._pipeline = rs.pipeline(self._context)
            try:
                return self._pipeline.start(settings)
            except RuntimeError as error:
                problem = problem or str(error)  # the first is the cause
                self._let_go(rs)
        raise RobotFault(Kind.CAMERA_MISSING, f"{self.role}: {problem}")

    def _let_go(self, rs: Any) -> None:
        """After a start that failed half-way: stop what streams, or no other start succeeds."""
        for device in self._context.query_devices():
            if device.get_info(rs.camera_info.serial_number) == self._config.serial:
                for sensor in device.query_sensors():
                    for end in (sensor.stop, sensor.close):
                        with contextlib.suppress(RuntimeError):  # it does not stream, or was not open
                            end()
        time.sleep(_POLL_S)

    def _read(self, rs: Any, depth_scale_m: float) -> None:
        align = rs.align(rs.stream.color)
        pairs = NewPairs()
        while not self._stopping.is_set():
            try:
                is_new, frames = self._pipeline.try_wait_for_frames(_WAIT_MS)
            except RuntimeError:  # the library ends a stream whose camera has left; `check` tells it from its age
                return
            if not is_new or not pairs.has(frames):
                continue
            both = align.process(frames)
            depth, colour = both.get_depth_frame(), both.get_color_frame()
            rgb = np.array(colour.get_data())
            depth_m = np.asanyarray(depth.get_data()).astype(np.float32) * depth_scale_m
            brightness = float(np.median(rgb[::_STRIDE, ::_STRIDE]))
            with self._arrived:
                self._newest = Frame(rgb, depth_m, time.monotonic(), brightness)
                self._arrived.notify_all()

    def newest(self) -> Frame | None:
        """The newest picture; None before the first."""
        return self._newest

    def age_s(self) -> float:
        """Seconds since the newest picture arrived, or since the start if none has."""
        frame = self._newest
        return time.monotonic() - (self._started_s if frame is None else frame.taken_s)

    def next_frame(self, timeout_s: float) -> Frame:
        """A picture that arrives from now on; RobotFault(CAMERA_STALE) if none does in time."""
        with self._arrived:
            before = self._newest
            if not self._arrived.wait_for(lambda: self._newest is not before, timeout_s):
                raise RobotFault(Kind.CAMERA_STALE, f"{self.role}: none for {timeout_s:.2g} s")
            assert self._newest is not None
            return self._newest

    def check(self, max_age_s: float) -> None:
        """RobotFault if the newest picture is too old."""
        age_s = self.age_s()
        if age_s <= max_age_s:
            return
        if self._config.serial not in known_serials(load_realsense(), self._context):
            raise RobotFault(Kind.CAMERA_MISSING, f"{self.role}: serial {self._config.serial} has gone")
        raise RobotFault(Kind.CAMERA_STALE, f"{self.role}: {age_s:.1f} s, the limit max_frame_age_s is {max_age_s:g}")

    def check_brightness(self, frame: Frame) -> None:
        """RobotFault if a picture from the look pose is much brighter or darker than the first one was."""
        if self._reference is None:
            self._reference = frame.brightness
            return
        low, high = sorted((max(frame.brightness, _DARK), max(self._reference, _DARK)))
        if high > _BRIGHTNESS * low:
            told = f"{self.role}: brightness {frame.brightness:.0f} of 255, {self._reference:.0f} before"
            raise RobotFault(Kind.CAMERA_CHANGED, told)

    def stop(self) -> None:
        """Stop reading; may be called again."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        self._thread = None
        with contextlib.suppress(RuntimeError):  # the camera has left, and the library has stopped already
            self._pipeline.stop()
        self._pipeline = None  # with its threads and its pictures


def known_serials(rs: Any, context: Any) -> set[str]:
    """Serial numbers of the cameras that a context sees now."""
    return {str(device.get_info(rs.camera_info.serial_number)) for device in context.query_devices()}


def _depth_scale(profile: Any) -> float:
    """Metres in one unit of depth."""
    return float(profile.get_device().first_depth_sensor().get_depth_scale())


def colour_intrinsics(rs: Any, profile: Any) -> Intrinsics:
    """Of a pipeline that was started."""
    told = profile.get_stream(rs.stream.color).as_video_stream_profile().get_intrinsics()
    K = np.array([[told.fx, 0.0, told.ppx], [0.0, told.fy, told.ppy], [0.0, 0.0, 1.0]])
    return Intrinsics(K, np.array(told.coeffs, dtype=float))
