"""The recordings that a calibration is made from, taken by the robot itself: it drives, rests, and looks at the board.

    RealConfig, Place  ->  record_cell  ->  {role: folder}, a recording a camera (recording.py)

Two rounds, each begun by somebody who puts the board where it belongs and agrees that the arm moves: on the table for
the camera on the wrist, then in the hand, printed side up, for the cameras that stand. Poses are drawn within a box in
front of the arm; every way there is planned and checked as any free move, over whatever may lie on the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from iker_envs.optics import default_cameras
from iker_envs.perception.board import Board, Sighting, board_pose, detect_board
from iker_envs.perception.rigid import inverse, matrix_of, motion, pose_of
from iker_envs.scene import ObjectModel, Scene, SceneObject
from real_env.calibrating.recording import Recorder, Recording
from real_env.cameras import Frame, RealSenseCamera
from real_env.config import RealConfig
from real_env.faults import Kind, RobotFault
from real_env.realsense import lab_context, load_realsense
from real_env.robot import Robot

TABLE, HAND = "table", "hand"
BOARD_ON_TABLE = np.array([0.45, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])  # in the base frame, where a person is asked to put it
BOARD_IN_HAND = np.array(
    [0.16, 0.0, 0.005, 0.0, 1.0, 0.0, 0.0]
)  # held at its left edge, face up while the tool is down
WRIST_PICTURES = 15
CELL_PICTURES = 25
_TRIES = 4  # poses that are tried for each picture that is wanted
_KEPT_CLEAR_M = 0.12  # above the table, for what may lie there
_OPENING_M = 0.0
_DOWN = Rotation.from_quat([1.0, 0.0, 0.0, 0.0]).as_matrix()  # tool down, as the spec's home
_TILT_DEG = 30.0
_YAW_DEG = 60.0
_HAND_BOX_M = np.array([[0.32, -0.20, 0.27], [0.52, 0.20, 0.42]])
_WRIST_AWAY_M = (0.30, 0.44)  # of the camera from the board
_GUESSED_AWAY_M = (0.20, 0.32)  # of the tool from the board, while nobody knows where on the wrist the camera is
_FIRST_S = 10.0
_REST_S = 0.8  # until arm and board stand still
_STILL_S = 6.0  # within which two pictures in a row must be alike
_ALIKE = 1.5  # of 255, mean difference
_STRIDE = 4

Place = Callable[[str, str], bool]
"""Shows a request and where the board goes ("table", "hand"); True when it is there and the arm may move."""
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class _Eye:
    """A camera that runs, and the recording that it makes."""

    role: str
    camera: RealSenseCamera
    recorder: Recorder
    K: np.ndarray


def record_cell(
    config: RealConfig,
    board: Board,
    roles: Mapping[str, str],
    folder: Path,
    place: Place,
    say: Say,
    pictures: int | None = None,
    seed: int = 0,
) -> dict[str, Path]:
    """Record every camera of `roles` (role -> mount); RobotFault or ValueError, in one sentence, if that cannot be.

    `pictures` a camera; None for 15 on the wrist and 25 in the cell.
    """
    unknown = [role for role in roles if role not in config.cameras]
    if unknown or not roles:
        raise ValueError(
            f"robot.yaml has no camera {(unknown or ['at all'])[0]!r}; it has: {', '.join(config.cameras)}"
        )
    rs = load_realsense()
    context: Any = rs.context() if config.lab is None else lab_context(rs)
    made: dict[str, Path] = {}
    for mount, where, count in (("wrist", TABLE, WRIST_PICTURES), ("cell", HAND, CELL_PICTURES)):
        chosen = [role for role, its in roles.items() if its == mount]
        if not chosen:
            continue
        if not place(_REQUESTS[where].format(board=board.text), where):
            raise ValueError(f"nobody agreed that the arm moves; nothing was recorded of {', '.join(chosen)}")
        _round(config, context, board, chosen, mount, folder, pictures or count, say, np.random.default_rng(seed))
        made |= {role: folder / role for role in chosen}
    return made


_REQUESTS = {
    TABLE: "lay the board {board} flat on the table, its middle 45 cm in front of the base, and stand back: the arm "
    "drives to some 30 poses above it",
    HAND: "clear the table, put the board {board} into the hand, held at its left edge, face up while the tool points "
    "down, and stand back: the arm drives it to some 50 poses in front of the cameras",
}


def _round(config: RealConfig, context: Any, board: Board, roles: Sequence[str], mount: str, folder: Path, count: int,
           say: Say, rng: np.random.Generator) -> None:  # fmt: skip
    cameras = [RealSenseCamera(role, config.cameras[role], context) for role in roles]
    robot = Robot(config)
    try:
        eyes = [_begun(camera, config, board, mount, folder) for camera in cameras]
        _drive(robot, eyes, board, mount, count, say, rng)
    finally:
        robot.close()
        for camera in cameras:
            camera.stop()


def _begun(camera: RealSenseCamera, config: RealConfig, board: Board, mount: str, folder: Path) -> _Eye:
    camera.start()
    camera.next_frame(_FIRST_S)
    assert camera.intrinsics is not None
    its = config.cameras[camera.role]
    K = camera.intrinsics.K_image
    head = Recording(camera.role, its.serial, its.width, its.height, K, mount, (), board, camera.intrinsics.distortion)
    return _Eye(camera.role, camera, Recorder(folder / camera.role, head), K)


def _drive(
    robot: Robot, eyes: Sequence[_Eye], board: Board, mount: str, count: int, say: Say, rng: np.random.Generator
) -> None:
    """Go from pose to pose until every camera has its pictures, or none of many more poses would give one."""
    scene = _scene()
    taken = dict.fromkeys((eye.role for eye in eyes), 0)
    camera_in_hand: np.ndarray | None = None
    for number in range(_TRIES * count):
        if min(taken.values()) >= count:
            break
        goal = _on_wrist(rng, camera_in_hand) if mount == "wrist" else _with_board(rng)
        try:
            robot.arrive(pose_of(goal), scene, _OPENING_M, is_pose=True)
        except RobotFault as fault:
            if fault.kind is not Kind.UNREACHABLE:
                raise
            continue
        robot.hold()
        robot.wait(_REST_S)
        hand = robot.measured_pose()
        for eye in eyes:
            frame = _still_frame(eye.camera)
            seen = detect_board(frame.rgb, board)
            if not isinstance(seen, Sighting):
                continue
            eye.recorder.add(frame.rgb, hand, frame.depth_m)
            taken[eye.role] += 1
            if mount == "wrist":
                camera_in_hand = _rough(hand, board_pose(seen, eye.K))
        say(f"pose {number + 1}: " + ", ".join(f"{role} {has} of {count}" for role, has in taken.items()))
    robot.arrive(robot.look_rad, scene, _OPENING_M, is_pose=False)
    robot.hold()


def _still_frame(camera: RealSenseCamera) -> Frame:
    """A picture that is like the one before it: the arm, and what it holds, do not move any more."""
    deadline = time.monotonic() + _STILL_S
    before = camera.next_frame(_STILL_S)
    while True:
        frame = camera.next_frame(_STILL_S)
        change = frame.rgb[::_STRIDE, ::_STRIDE].astype(float) - before.rgb[::_STRIDE, ::_STRIDE]
        if np.abs(change).mean() < _ALIKE:
            return frame
        if time.monotonic() > deadline:
            raise RobotFault(Kind.CAMERA_STALE, f"{camera.role}: its pictures do not come to rest")
        before = frame


def _rough(hand: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Camera in the hand (4, 4), from one sight of the board (4, 4) that lies about where it should: to aim with."""
    return inverse(matrix_of(hand)) @ matrix_of(BOARD_ON_TABLE) @ inverse(seen)


def _on_wrist(rng: np.random.Generator, camera_in_hand: np.ndarray | None) -> np.ndarray:
    """A pose of the hand (4, 4) from which the camera on it looks at the board on the table."""
    tilt = Rotation.from_euler("xyz", rng.uniform(-_TILT_DEG, _TILT_DEG, 3), degrees=True).as_matrix()
    yaw = Rotation.from_euler("z", rng.uniform(-_YAW_DEG, _YAW_DEG), degrees=True).as_matrix()
    low, high = _GUESSED_AWAY_M if camera_in_hand is None else _WRIST_AWAY_M
    looks = yaw @ tilt @ _DOWN
    if camera_in_hand is not None:  # aim the camera, upright as it is on the hand
        upright = _DOWN @ camera_in_hand[:3, :3]
        upright = Rotation.from_euler("z", np.arctan2(upright[1, 0], upright[0, 0])).as_matrix() @ _DOWN
        looks = yaw @ tilt @ upright
    place = BOARD_ON_TABLE[:3] - looks[:, 2] * rng.uniform(low, high) + np.append(rng.normal(0, 0.02, 2), 0.0)
    aimed = motion(looks, place)
    return aimed if camera_in_hand is None else aimed @ inverse(camera_in_hand)


def _with_board(rng: np.random.Generator) -> np.ndarray:
    """A pose of the hand (4, 4) that shows the board in it to cameras above the table."""
    tilt = Rotation.from_euler("xyz", [*rng.uniform(-_TILT_DEG, _TILT_DEG, 2), 0.0], degrees=True).as_matrix()
    yaw = Rotation.from_euler("z", rng.uniform(-_YAW_DEG, _YAW_DEG), degrees=True).as_matrix()
    return motion(tilt @ yaw @ _DOWN, rng.uniform(*_HAND_BOX_M))


def _scene() -> Scene:
    """What free moves keep clear of: the table, and a layer above it for whatever lies there."""
    size = np.array([0.6, 1.0, _KEPT_CLEAR_M])
    layer = SceneObject(
        ObjectModel("table_top", "box", size), np.array([0.55, 0, size[2] / 2, 1, 0, 0, 0]), movable=False
    )
    return Scene((layer,), default_cameras(), np.array([[0.2, -0.5, 0.015], [0.8, 0.5, 0.6]]))
