"""`python -m real_env.doctor robot.yaml`: is the cell fit to be used? Looks and asks, moves nothing.

robot.yaml  ->  examine  ->  Finding(what, fine, told, way out), a line each
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from real_env.arm import Arm
from real_env.calibration import load_calibration
from real_env.cameras import known_serials
from real_env.config import RealConfig, load_config
from real_env.faults import RobotFault
from real_env.ik import tool_pose
from real_env.realsense import lab_context, load_realsense
from real_env.sight import open_sight
from real_env.xarm7 import JOINT_LIMITS_1305_RAD, NUM_JOINTS

_PACKAGES = ("xarm-python-sdk", "pyrealsense2", "mink", "daqp")
_OLDEST_FIRMWARE = (1, 8, 0)  # joint set points, reports and registers as this package uses them (vendor's SDK notes)
_NEAR_LIMIT_RAD = 0.05
_USAGE = 2


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is fine, what was found, and what to do if it is not."""

    what: str
    fine: bool
    told: str
    way_out: str = ""

    def __str__(self) -> str:
        mark = "ok " if self.fine else "BAD"
        return f"{mark} {self.what}: {self.told}" + (f"; {self.way_out}" if self.way_out and not self.fine else "")


def examine(path: str | Path) -> Iterator[Finding]:
    """Findings one after the other; what cannot be looked at because of an earlier one is left out."""
    yield from _libraries()
    try:
        config = load_config(path)
    except ValueError as error:
        yield Finding("robot.yaml", False, str(error), "mend the file; docs/robot.md has an example")
        return
    yield Finding("robot.yaml", True, f"arm at {config.arm.ip}, {len(config.cameras)} cameras, poses: {config.poses}")
    yield from _arm(config)
    yield from _eyes(config)


def _libraries() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, "is not installed", "pip install 'iker[real]'")


def _arm(config: RealConfig) -> Iterator[Finding]:
    where = f"{config.arm.ip}, port {config.arm.command_port}"
    try:
        arm = Arm(config)
    except RobotFault as fault:
        way_out = "check cable, power, arm.ip, and that this computer is in the arm's network"
        yield Finding("control box", False, fault.fault.message, way_out)
        return
    except ModuleNotFoundError as error:
        yield Finding("control box", False, str(error))
        return
    try:
        yield Finding("control box", True, f"answers at {where}")
        yield from _facts(arm)
        yield from _posture(arm.joints(), config)
    except RobotFault as fault:
        yield Finding("arm", False, fault.fault.message, fault.rule.action)
    finally:
        arm.hang_up()


def _facts(arm: Arm) -> Iterator[Finding]:
    is_new = arm.firmware_version >= _OLDEST_FIRMWARE
    oldest = ".".join(map(str, _OLDEST_FIRMWARE))
    yield Finding("firmware", is_new, arm.firmware, f"update it in UFACTORY Studio to {oldest} or newer")
    fits = arm.num_axes == NUM_JOINTS
    yield Finding("arm", fits, f"{arm.num_axes} axes, serial {arm.serial}", "this package drives an xArm7 only")
    error = arm.error_code()
    told = f"error C{error}" if error else "no error"
    yield Finding("errors", not error, told, "clear it in UFACTORY Studio, after looking why")
    try:
        arm.check_gripper()
        yield Finding("gripper", True, f"open by {100 * arm.opening_m():.1f} cm")
    except RobotFault as fault:
        yield Finding("gripper", False, fault.fault.message, fault.rule.action)


def _posture(joints: np.ndarray, config: RealConfig) -> Iterator[Finding]:
    room = float(np.minimum(joints - JOINT_LIMITS_1305_RAD[:, 0], JOINT_LIMITS_1305_RAD[:, 1] - joints).min())
    x, y, z = tool_pose(joints)[:3]
    told = f"tool at x {x:.2f}, y {y:.2f}, z {z:.2f} m, {room:.2f} rad from the nearest joint limit"
    yield Finding("posture", room > _NEAR_LIMIT_RAD, told, "drive the arm home in UFACTORY Studio")
    if config.workspace_m is not None:
        low, high = (np.round(corner, 2).tolist() for corner in config.workspace_m)
        yield Finding("workspace", True, f"from {low} to {high} m")


def _eyes(config: RealConfig) -> Iterator[Finding]:
    if not config.cameras:
        yield Finding("cameras", config.poses == "lab", "none in robot.yaml", "add them, or objects cannot be found")
        return
    yield _calibration(config)
    try:
        rs = load_realsense()
    except ModuleNotFoundError as error:
        yield Finding("cameras", False, str(error))
        return
    context = rs.context() if config.lab is None else lab_context(rs)
    for role, camera in config.cameras.items():
        yield _camera(role, lambda r=role, c=camera: open_sight(r, c, context))  # type: ignore[misc]
    if strangers := sorted(known_serials(rs, context) - set(config.serials.values())):
        yield Finding("other cameras", True, f"{', '.join(strangers)}, which robot.yaml does not name")


def _calibration(config: RealConfig) -> Finding:
    try:
        calibration = load_calibration(config.calibration)
        calibration.check(config.serials, config.max_calibration_age_days)
    except ValueError as error:
        return Finding("calibration", False, str(error))
    except RobotFault as fault:
        return Finding("calibration", False, fault.fault.message, fault.rule.action)
    worst_px = max(camera.residual_px for camera in calibration.cameras.values())
    age = calibration.age_days()
    return Finding("calibration", True, f"{age:.0f} days old, largest residual {worst_px:.2f} px")


def _camera(role: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(f"camera {role}", True, look())
    except RobotFault as fault:
        return Finding(f"camera {role}", False, fault.fault.message, fault.rule.action)


def main() -> None:
    """Print the findings; exit status 0 if all is fine, 1 if not."""
    parser = argparse.ArgumentParser(prog="iker doctor", description="Is a robot's cell fit to be used? Moves nothing.")
    parser.add_argument("real", help="path of robot.yaml")
    given = parser.parse_args()
    num_bad = 0
    for finding in examine(given.real):
        print(finding, flush=True)
        num_bad += not finding.fine
    print("all is fine" if not num_bad else f"{num_bad} to mend")
    sys.exit(1 if num_bad else 0)


if __name__ == "__main__":
    main()
