"""robot.yaml: where the arm and the cameras are, and what they may do. Read strictly, before anything connects.

    robot.yaml  ->  load_config  ->  RealConfig  ->  workspace(scene's box)  ->  the box that the tool stays in

Metres and radians; times are seconds of the robot's clock, which an emulated laboratory may run slower than the wall's
(`clock` below 1) or faster. Paths in the file are relative to its folder.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from iker_envs.contract import Contract, check_name, check_number
from iker_envs.documents import listed, read_document, shown
from real_env.xarm7 import JOINT_LIMITS_RAD

JOINT_STEP_RAD = 0.03  # 180 degrees/s, the joints' limit, are 0.0314 rad in 10 ms
# 0.8 m/s. With 10 mm, the most that the vendor recommends, a box that has only two of its ticks of 4 ms between two set
# points would move the tool at 1.25 m/s, and C60 comes at 1.2.
TOOL_STEP_M = 0.008
POSE_SOURCES = ("estimator", "lab")
_CLOCKS = (0.05, 5.0)  # of an emulated laboratory
_MAX_SENSITIVITY = 5  # of collision detection, XArmAPI.set_collision_sensitivity
_LOOK_JOINTS_RAD = (-2.0, -0.9, 0.0, 0.9, 0.0, 1.8, 0.0)  # beside the base, out of the view of the camera "front"
_HOME_JOINTS_RAD = (0.0, -0.35, 0.0, 1.15, 0.0, 1.5, 0.0)  # over the table, tool down


@dataclass(frozen=True, eq=False)
class ArmConfig(Contract):
    """Where the control box answers. Ports other than the vendor's are for an emulated one."""

    ip: str
    command_port: int = 502

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            ipaddress.IPv4Address(self.ip)
        except ValueError:
            raise ValueError(f"arm.ip is an IPv4 address such as 192.168.1.200, not {shown(self.ip)}") from None
        if not 0 < self.command_port < 65536:
            raise ValueError(f"arm.command_port is from 1 to 65535, not {self.command_port}")


@dataclass(frozen=True, eq=False)
class CameraConfig(Contract):
    """A RealSense camera by the serial number that is printed on it, and the streams that are asked of it."""

    serial: str
    width: int = 640
    height: int = 480
    fps: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.serial:
            raise ValueError("serial of a camera is empty; it is printed on the camera")
        for name in ("width", "height", "fps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} of camera {self.serial!r} is above 0, not {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class CapsConfig(Contract):
    """The most that one set point, 100 a second, may move; lower values make the arm slower."""

    joint_step_rad: float = JOINT_STEP_RAD
    tool_step_m: float = TOOL_STEP_M

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("joint_step_rad", JOINT_STEP_RAD), ("tool_step_m", TOOL_STEP_M)):
            value = getattr(self, name)
            if not 0 < value <= most:
                raise ValueError(f"caps.{name} is above 0 and at most {most:g}, not {value:g}")


@dataclass(frozen=True, eq=False)
class LabConfig(Contract):
    """Where an emulated laboratory takes orders that no real one takes, and how wrong its poses shall be."""

    control_port: int
    token: str
    host: str = "127.0.0.1"
    frame_port: int = 0  # of its cameras' pictures; 0: it has none
    position_m: float = 0.005  # standard deviation per axis of a pose, drawn once for every episode
    rotation_deg: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError(f"lab.host is an address of this machine, such as 127.0.0.1, not {shown(self.host)}")
        for name in ("position_m", "rotation_deg"):
            check_number(f"lab.{name}", getattr(self, name), least=0.0)


@dataclass(frozen=True, eq=False)
class RealConfig(Contract):
    """Everything about a robot cell that the environments need; ValueError names the key, its value and the limit."""

    SHAPES: ClassVar = {"workspace_m": (2, 3)}

    arm: ArmConfig
    cameras: dict[str, CameraConfig] = field(default_factory=dict)
    calibration: str = ""  # path of the calibration file
    query_camera: str = "front"  # on whose picture questions are drawn
    workspace_m: np.ndarray | None = None  # (2, 3), where the tool may go; a task's own box still holds
    caps: CapsConfig = field(default_factory=CapsConfig)
    clock: float = 1.0  # seconds of the robot in a second of the wall: 1 on metal
    collision_sensitivity: int = 3  # of the control box, 0 (off) to 5
    look_joints_rad: tuple[float, ...] = _LOOK_JOINTS_RAD
    home_joints_rad: tuple[float, ...] = _HOME_JOINTS_RAD
    watchdog_s: float = 0.5  # without a command for so long, the arm holds and the episode is cut short
    watch_cameras: bool = True  # an old picture cuts an episode short, also where poses do not come from pictures
    max_frame_age_s: float = 0.5
    max_blind_s: float = 1.0  # for which an object that is hidden counts as standing where it was last seen
    max_calibration_age_days: float = 30.0
    poses: str = "estimator"  # from the cameras, or "lab": an emulated laboratory's truth plus noise
    lab: LabConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for role in self.cameras:
            check_name("a camera's role", role)
        if self.poses not in POSE_SOURCES:
            raise ValueError(f"poses is {' or '.join(POSE_SOURCES)}, not {shown(self.poses)}")
        if self.poses == "lab" and self.lab is None:
            raise ValueError("poses: lab needs the key lab, which `iker lab` prints; on metal use poses: estimator")
        if not _CLOCKS[0] <= self.clock <= _CLOCKS[1]:
            raise ValueError(f"clock is from {_CLOCKS[0]:g} to {_CLOCKS[1]:g}, not {self.clock:g}")
        if self.clock != 1.0 and self.lab is None:
            raise ValueError(f"clock is 1 on a real robot, not {self.clock:g}; only an emulated laboratory has its own")
        if not 0 <= self.collision_sensitivity <= _MAX_SENSITIVITY:
            limit = f"from 0 to {_MAX_SENSITIVITY}"
            raise ValueError(f"collision_sensitivity is {limit}, not {self.collision_sensitivity}")
        for name in ("watchdog_s", "max_frame_age_s", "max_blind_s", "max_calibration_age_days"):
            check_number(name, getattr(self, name), above=0.0)
        for name in ("look_joints_rad", "home_joints_rad"):
            _check_joints(name, getattr(self, name))
        if self.workspace_m is not None and not np.all(self.workspace_m[0] < self.workspace_m[1]):
            raise ValueError(f"workspace_m is [low, high] with low < high, not {self.workspace_m.tolist()}")
        self._check_cameras()

    def _check_cameras(self) -> None:
        serials = [camera.serial for camera in self.cameras.values()]
        if twice := [serial for serial in serials if serials.count(serial) > 1]:
            raise ValueError(f"two cameras have the serial {twice[0]!r}; each role has a camera of its own")
        if self.cameras and self.query_camera not in self.cameras:
            raise ValueError(f"query_camera is one of {listed(self.cameras)}, not {shown(self.query_camera)}")
        if self.cameras and not self.calibration:
            raise ValueError("cameras need the key calibration, a file that `iker calibrate` writes")

    @property
    def serials(self) -> dict[str, str]:
        """Role -> serial of every camera."""
        return {role: camera.serial for role, camera in self.cameras.items()}

    def workspace(self, task_m: np.ndarray) -> np.ndarray:
        """The box (2, 3) that lies in the task's and in the cell's; ValueError if they have none in common."""
        if self.workspace_m is None:
            return np.array(task_m)
        box = np.stack([np.maximum(task_m[0], self.workspace_m[0]), np.minimum(task_m[1], self.workspace_m[1])])
        if not np.all(box[0] < box[1]):
            cell = self.workspace_m.tolist()
            raise ValueError(f"workspace_m {cell} has nothing in common with the task's {np.array(task_m).tolist()}")
        return box


def _check_joints(name: str, angles_rad: tuple[float, ...]) -> None:
    if len(angles_rad) != len(JOINT_LIMITS_RAD):
        raise ValueError(f"{name} has {len(JOINT_LIMITS_RAD)} angles, not {len(angles_rad)}")
    for i, (angle, (low, high)) in enumerate(zip(angles_rad, JOINT_LIMITS_RAD, strict=True), start=1):
        if not low <= angle <= high:
            raise ValueError(f"{name}: joint {i} is from {low:.3f} to {high:.3f} rad, not {angle:g}; is it in degrees?")


def load_config(source: str | Path | RealConfig) -> RealConfig:
    """The settings of a robot.yaml, with its paths made whole; ValueError names the file and what is wrong in it."""
    if isinstance(source, RealConfig):
        return source
    path = Path(source)
    content = read_document(path)
    if isinstance(content, dict) and isinstance(content.get("calibration"), str) and content["calibration"]:
        content = {**content, "calibration": str(path.parent / content["calibration"])}
    try:
        return RealConfig.from_dict(content)
    except ValueError as error:
        told = str(error).replace("RealConfig.", "").replace("RealConfig", "it")
        raise ValueError(f"{shown(str(path))}: {told}") from None
