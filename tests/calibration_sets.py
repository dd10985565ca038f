"""Recordings of a board as a robot's cameras would make them, whose truth is known."""

from pathlib import Path

import numpy as np
from board_pictures import picture_of
from scipy.spatial.transform import Rotation

from iker_envs.optics import stationary_cameras
from iker_envs.perception.board import Board, detect_board
from iker_envs.perception.rigid import inverse, matrix_of, motion, pose_of
from real_env.calibrating.recording import Recorder, Recording

SIZE = (640, 480)
K = np.array([[615.0, 0, 320], [0, 615, 240], [0, 0, 1]])
BOARD = Board()
DOWN = Rotation.from_euler("x", 180, degrees=True).as_matrix()
ROBOT_M = 0.0001
ROBOT_RAD = np.deg2rad(0.02)


def turned(angles_deg) -> np.ndarray:
    return Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()


def truth(mount: str, camera: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The camera and the board that stay: base to camera and hand to board, or hand to camera and base to board."""
    if mount == "wrist":
        return motion(turned([15, 2, 90]), np.array([0.07, 0.01, -0.10])), motion(
            turned([0, 0, 20]), np.array([0.42, -0.05, 0.002])
        )
    return matrix_of(stationary_cameras()[camera].pose_world), motion(turned([2, -1, 3]), np.array([0.02, -0.03, 0.03]))


def poses(mount: str, rng, num: int, camera: int = 0, spread: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gripper pose (4, 4) and board in camera (4, 4) of `num` pictures that show the whole board."""
    stays, board = truth(mount, camera)
    found = []
    while len(found) < num:
        angles = rng.uniform(-30, 30, 3) * spread
        if mount == "wrist":
            looks = board[:3, :3] @ turned(angles) @ DOWN @ turned([0, 0, rng.uniform(-60, 60) * spread])
            place = board[:3, 3] - looks[:, 2] * rng.uniform(0.34, 0.5) + rng.normal(0, 0.02, 3)
            gripper = motion(looks, place) @ inverse(stays)
            seen = inverse(gripper @ stays) @ board
        else:
            z = stays[:3, 3] - np.array([0.5, 0, 0.2])
            z = z / np.linalg.norm(z)
            x = np.cross([0, 0, 1.0], z)
            x = x / np.linalg.norm(x)
            facing = np.stack([x, np.cross(z, x), z], axis=1) @ turned(angles)
            place = rng.uniform([0.35, -0.2, 0.12], [0.62, 0.2, 0.4])
            gripper = motion(facing, place) @ inverse(board)
            seen = inverse(stays) @ gripper @ board
        corners = BOARD.from_top_left(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * BOARD.size_m)
        image = (corners @ seen[:3, :3].T + seen[:3, 3]) @ K.T
        pixels = image[:, :2] / image[:, 2:]
        if (pixels > 5).all() and (pixels < np.array(SIZE) - 5).all():
            found.append((gripper, seen))
    return found


def told_by_robot(gripper: np.ndarray, rng, std_m: float = ROBOT_M, std_rad: float = ROBOT_RAD) -> np.ndarray:
    """The pose (7,) that a robot which is a little wrong says."""
    error = motion(
        Rotation.from_rotvec(rng.normal(0, std_rad / np.sqrt(3), 3)).as_matrix(), rng.normal(0, std_m / np.sqrt(3), 3)
    )
    return pose_of(gripper @ error)


def head(mount: str) -> Recording:
    return Recording("front_left" if mount == "cell" else "wrist", "1234", *SIZE, K, mount, ())


def record(
    folder: Path, mount: str, num: int, seed: int = 0, spread: float = 1.0, moved: np.ndarray | None = None
) -> np.ndarray:
    """Write a recording; gives the camera's true pose (7,). `moved` (4, 4) is what somebody did to it beforehand."""
    rng = np.random.default_rng(seed)
    stays, _ = truth(mount)
    writer = Recorder(folder, head(mount))
    for gripper, seen in poses(mount, rng, num, spread=spread):
        shown = seen if moved is None else inverse(moved) @ seen
        writer.add(picture_of(BOARD, shown, K, SIZE, rng), told_by_robot(gripper, rng))
    return pose_of(stays if moved is None else stays @ moved)


def corners_of(seen: np.ndarray, rng, std_px: float = 0.2):
    """What a perfect detector with a noise of 0.2 px would find: no picture is drawn."""
    from iker_envs.perception.board import Sighting

    flat = np.array([[c, r] for r in range(1, BOARD.rows) for c in range(1, BOARD.columns)]) * BOARD.square_m
    points = BOARD.from_top_left(flat)
    image = (points @ seen[:3, :3].T + seen[:3, 3]) @ K.T
    return Sighting(points, image[:, :2] / image[:, 2:] + rng.normal(0, std_px, (len(points), 2)))


__all__ = ["BOARD", "SIZE", "K", "corners_of", "detect_board", "head", "poses", "record", "told_by_robot", "truth"]
