"""The calibration file: where every camera is, how it projects, when that was found and how well it fitted.

    cell.json  ->  load_calibration  ->  Calibration  ->  check(serials, now)  ->  camera poses for views

The file is JSON of `Calibration.to_dict()`. Poses are (x, y, z, qw, qx, qy, qz) with OpenCV's camera axes: in the
robot's base frame for a camera that stands in the cell, in the end-effector frame for the one on the wrist.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import numpy as np

from iker_envs.contract import Contract, check_name
from iker_envs.documents import listed, read_document, shown
from iker_envs.geometry import pose_compose
from real_env.faults import Kind, RobotFault

MOUNTS = ("cell", "wrist")
_WAY_OUT = "run iker calibrate"
PIXEL_CENTRE = 0.5  # ours are at half-integers, OpenCV's and the vendor's at integers
_SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True, eq=False)
class CameraCalibration(Contract):
    """One camera: `K` (3, 3) in pixels of the colour stream, `distortion` (5,) OpenCV's k1, k2, p1, p2, k3.

    K is as the vendor and OpenCV have it, with pixel centres at integers; `K_image` is what an Image holds.
    ValueError for what no camera has.
    """

    SHAPES: ClassVar = {"K": (3, 3), "pose": (7,), "distortion": (5,)}

    serial: str
    width: int
    height: int
    K: np.ndarray
    pose: np.ndarray  # in the base frame, or in the end-effector frame of a camera on the wrist
    mount: str = "cell"  # or "wrist"
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(5))
    exposure_us: int = 0  # that the colour sensor was fixed at; 0: automatic
    residual_px: float = 0.0  # RMS reprojection error
    residual_m: float = 0.0  # RMS of the board's corners in the base frame, one view against the others
    num_views: int = 0  # that it was found from

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mount not in MOUNTS:
            raise ValueError(f"mount of camera {self.serial!r} is cell or wrist, not {shown(self.mount)}")
        if not self.serial:
            raise ValueError("serial of a camera is empty; it is printed on the camera")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"width and height of camera {self.serial!r} are above 0, not {self.width}, {self.height}")
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise ValueError(
                f"focal lengths in K of camera {self.serial!r} are above 0, not {np.diag(self.K)[:2].tolist()}"
            )
        if min(self.residual_px, self.residual_m, self.exposure_us, self.num_views) < 0:
            raise ValueError(f"residuals, exposure_us and num_views of camera {self.serial!r} are at least 0")

    @property
    def K_image(self) -> np.ndarray:
        """K (3, 3) with pixel centres at half-integers."""
        return moved_centres(self.K, PIXEL_CENTRE)

    def pose_world(self, gripper_pose: np.ndarray) -> np.ndarray:
        """The camera's pose (7,) in the base frame while the end effector is at `gripper_pose` (7,)."""
        return pose_compose(gripper_pose, self.pose) if self.mount == "wrist" else np.array(self.pose)


@dataclass(frozen=True, eq=False)
class Calibration(Contract):
    """All cameras of a cell by role ("front", "wrist"), and the UTC date (ISO 8601) of their calibration."""

    date: str
    cameras: dict[str, CameraCalibration]
    note: str = ""  # how it was made: "ChArUco 7x5, 30 mm", or "of the emulated laboratory"

    def __post_init__(self) -> None:
        super().__post_init__()
        for role in self.cameras:
            check_name("a camera's role", role)
        self.made_at()

    def made_at(self) -> datetime:
        """When it was made; ValueError if `date` is no date."""
        try:
            made = datetime.fromisoformat(self.date)
        except ValueError:
            raise ValueError(
                f"date of a calibration is like 2025-03-01T12:00:00+00:00, not {shown(self.date)}"
            ) from None
        return made if made.tzinfo else made.replace(tzinfo=UTC)

    def age_days(self, now: datetime | None = None) -> float:
        """Days since it was made."""
        return ((now or datetime.now(UTC)) - self.made_at()).total_seconds() / _SECONDS_PER_DAY

    def check(self, serials: Mapping[str, str], max_age_days: float, now: datetime | None = None) -> None:
        """RobotFault if it is too old or from the future, or lacks a camera of `serials` (role -> serial)."""
        age = self.age_days(now)
        if age > max_age_days or age < -1.0:
            limit = f"the limit max_calibration_age_days is {max_age_days:g}"
            raise RobotFault(Kind.CALIBRATION, f"it is {age:.0f} days old, {limit}")
        for role, serial in serials.items():
            known = self.cameras.get(role)
            if known is None:
                raise RobotFault(Kind.CALIBRATION, f"it has no camera {role!r}, only {listed(self.cameras) or 'none'}")
            if known.serial != serial:
                told = f"camera {role!r} of robot.yaml is {serial!r}, the calibrated one {known.serial!r}"
                raise RobotFault(Kind.CALIBRATION, told)

    def save(self, path: str | Path) -> None:
        """Write the file; it appears whole or not at all. OSError if it cannot be written."""
        path = Path(path)
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def moved_centres(K: np.ndarray, by_px: float) -> np.ndarray:
    """K (3, 3) with its principal point moved right and down: PIXEL_CENTRE from OpenCV's convention to ours."""
    moved = np.array(K, dtype=float)
    moved[:2, 2] += by_px
    return moved


def load_calibration(path: str | Path) -> Calibration:
    """Read a calibration file; ValueError names the file, what is wrong in it, and the way out."""
    try:
        content = read_document(path)
    except ValueError as error:
        raise ValueError(f"the calibration {error}; {_WAY_OUT}") from None
    try:
        return Calibration.from_dict(content)
    except ValueError as error:
        raise ValueError(f"the calibration {shown(str(path))}: {error}; {_WAY_OUT}") from None
