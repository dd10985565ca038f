"""All cameras of a cell with their calibration, as the View that estimators and prompts read.

    RealConfig  ->  Sight  ->  view(template, hand)  ->  View        check()  ->  RobotFault if a camera is stale

Watched cameras run all the time, and an old picture cuts an episode short. Others run while somebody looks: those of an
emulated laboratory, for instance, since drawing their pictures takes half of a processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from iker_envs.scene import Image, View
from real_env.calibration import Calibration, load_calibration
from real_env.cameras import Frame, RealSenseCamera
from real_env.config import CameraConfig, RealConfig
from real_env.ik import tool_pose
from real_env.realsense import lab_context, load_realsense
from real_env.self_filter import SelfFilter

_PATIENCE_S = 10.0  # for the first picture after a start


def open_sight(role: str, config: CameraConfig, context: Any) -> str:
    """Take one picture, and say how it was; RobotFault if there is none."""
    camera = RealSenseCamera(role, config, context)
    camera.start()
    try:
        frame = camera.next_frame(_PATIENCE_S)
    finally:
        camera.stop()
    height, width = frame.depth_m.shape
    seen = float((frame.depth_m > 0).mean())
    told = f"serial {config.serial}, {width} x {height}, depth in {100 * seen:.0f} % of the pixels"
    return f"{told}, brightness {frame.brightness:.0f} of 255"


class Sight:
    """The cameras; RobotFault where they or their calibration do not do. Without cameras it sees nothing."""

    def __init__(self, config: RealConfig) -> None:
        self._config = config
        self._calibration: Calibration | None = None
        self._filter = SelfFilter()
        self._cameras: dict[str, RealSenseCamera] = {}
        self._always = config.watch_cameras or config.poses == "estimator"
        if not config.cameras:
            return
        self._calibration = load_calibration(config.calibration)
        self._calibration.check(config.serials, config.max_calibration_age_days)
        rs = load_realsense()
        context: Any = rs.context() if config.lab is None else lab_context(rs)
        self._cameras = {role: RealSenseCamera(role, camera, context) for role, camera in config.cameras.items()}

    def revive(self) -> None:
        """Start the watched cameras that do not run or are stale; RobotFault if one gives no picture."""
        for camera in self._cameras.values() if self._always else ():
            if not camera.running or camera.age_s() > self._config.max_frame_age_s:
                camera.stop()
                camera.start()
                camera.next_frame(_PATIENCE_S)

    def check(self) -> None:
        """RobotFault if the newest picture of a watched camera is too old."""
        for camera in self._cameras.values() if self._always else ():
            camera.check(self._config.max_frame_age_s)

    def check_any(self) -> None:
        """ValueError if there are no cameras."""
        if not self._cameras:
            raise ValueError("robot.yaml has no cameras, so there is no view; give it some, or act without looking")

    def view(self, joints_rad: np.ndarray, opening_m: float, truth: Mapping[str, np.ndarray]) -> View:
        """What every camera sees now, the arm at joints (7,) and left out."""
        frames = {role: self._frame(camera) for role, camera in self._cameras.items()}
        images = {role: self._image(role, frame, joints_rad, opening_m) for role, frame in frames.items()}
        return View(images, self._config.query_camera, dict(truth))

    def glance(self, joints_rad: np.ndarray) -> dict[str, Image]:
        """The newest pictures of all cameras that run, the arm at joints (7,) still in them."""
        frames = {role: camera.newest() for role, camera in self._cameras.items()}
        hand = tool_pose(joints_rad)
        return {role: self._plain(role, frame, hand) for role, frame in frames.items() if frame is not None}

    def _frame(self, camera: RealSenseCamera) -> Frame:
        patience_s = self._config.max_frame_age_s if camera.running else _PATIENCE_S
        camera.start()
        try:
            return camera.next_frame(patience_s)
        finally:
            if not self._always:  # one after the other: five at a time are more than a small machine can draw
                camera.stop()

    def check_brightness(self) -> None:
        """RobotFault if a camera sees much brighter or darker than at its first look from here."""
        for camera in self._cameras.values():
            frame = camera.newest()
            if frame is not None:
                camera.check_brightness(frame)

    def _image(self, role: str, frame: Frame, joints_rad: np.ndarray, opening_m: float) -> Image:
        plain = self._plain(role, frame, tool_pose(joints_rad))
        depth_m = self._filter.without_arm(frame.depth_m, plain.K, plain.T_world_cam, joints_rad, opening_m)
        return replace(plain, depth_m=depth_m)

    def _plain(self, role: str, frame: Frame, hand: np.ndarray) -> Image:
        assert self._calibration is not None
        known = self._calibration.cameras[role]
        return Image(frame.rgb, frame.depth_m, known.K_image, known.pose_world(hand), frame.taken_s)

    def newest_rgb(self, role: str) -> np.ndarray | None:
        """The newest picture (H, W, 3) of a camera that runs, or of any; None if none does."""
        order = sorted(self._cameras.values(), key=lambda camera: camera.role != role)
        frame = next((f for f in (camera.newest() for camera in order if camera.running) if f is not None), None)
        return None if frame is None else frame.rgb

    def close(self) -> None:
        """Stop every camera and forget it, or the library's threads stay; may be called again."""
        for camera in self._cameras.values():
            camera.stop()
        self._cameras = {}
