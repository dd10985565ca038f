"""The lab's cameras as numbers: where they hang, what they are called, their serial numbers and optics.

Four look at the table from fixed places, one is mounted on the hand and sees what is between the fingers. They are
RealSense D435 in name: 640x480, colour and depth through one lens (a real one has 15 mm between them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from iker_envs.geometry import pose_compose
from iker_envs.optics import default_cameras, look_at
from iker_envs.scene import Camera

FPS = 30  # of the streams that are offered; the machine decides how many pictures there are
_UP = (0.0, 0.0, 1.0)
_PIXEL_CENTRE = 0.5  # our pixel centres are at half-integers, OpenCV's and the vendor's at integers


@dataclass(frozen=True, eq=False)
class RigCamera:
    """One camera; `optics.pose_world` is in the base frame, or for the wrist's in the hand's."""

    optics: Camera
    on_wrist: bool = False

    @property
    def name(self) -> str:
        return self.optics.name

    def placed(self, hand_pose: np.ndarray) -> Camera:
        """The camera where it is now; `hand_pose` (7,) is the tool centre's."""
        if not self.on_wrist:
            return self.optics
        o = self.optics
        return Camera(o.name, pose_compose(hand_pose, o.pose_world), o.width, o.height, o.fov_y_rad)

    def K(self) -> np.ndarray:
        """(3, 3) with pixel centres at integers, as OpenCV and librealsense have it."""
        K = self.optics.intrinsics()
        K[:2, 2] -= _PIXEL_CENTRE
        return K

    def card(self, lab_number: int, number: int) -> dict[str, Any]:
        """What a host needs to know of it, as JSON data."""
        return {
            "serial": serial(lab_number, number),
            "width": self.optics.width,
            "height": self.optics.height,
            "fps": FPS,
            "K": self.K().tolist(),
            "pose": self.optics.pose_world.tolist(),
            "mount": "wrist" if self.on_wrist else "cell",
        }


def serial(lab_number: int, number: int) -> str:
    """Twelve digits as on the vendor's cameras; no two labs of a machine share one."""
    return f"9004{lab_number:04d}{number:04d}"


def rig() -> tuple[RigCamera, ...]:
    """All cameras of a lab."""
    front, side = default_cameras()
    left = look_at("left", (-0.30, 0.80, 0.72), (0.50, -0.02, 0.07), up=_UP)
    far = look_at("far", (1.30, 0.0, 0.75), (0.50, 0.0, 0.05), up=_UP)
    wrist = look_at("wrist", (0.11, 0.0, -0.10), (0.0, 0.0, 0.06), up=(1.0, 0.0, 0.0))
    return (*(RigCamera(camera) for camera in (front, side, left, far)), RigCamera(wrist, on_wrist=True))
