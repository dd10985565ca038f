"""Where a camera is, from sightings of a board and the robot's poses: closed form first, then least squares.

    [Frame(gripper pose, points, pixels)], K, mount  ->  solve  ->  HandEye(camera pose, board pose, residuals, claims)

Two set-ups are one problem. A camera on the wrist looks at a board on the table: unknown are the camera in the
end-effector frame and the board in the base frame. A camera that stands looks at a board in the hand: unknown are the
camera in the base frame and the board in the end-effector frame.

The closed form (Park and Martin 1994) trusts the robot and every single board pose, and is 5 mm off for a camera a
metre away. So reprojection errors are minimised, with a little slack for every pose of the robot: its repeatability is
0.1 mm (UFACTORY xArm7), its accuracy a few tenths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from iker_envs.perception.board import Sighting, board_pose
from iker_envs.perception.rigid import apply, inverse, matrix_of, pose_of

PIXEL_STD = 0.2  # of a corner of a chessboard that is not blurred
ROBOT_STD_M = 0.0003
ROBOT_STD_RAD = float(np.deg2rad(0.03))
_SOFT = 3.0  # standard deviations from which an error counts less in the first fit
_ROUGH: dict[str, Any] = {"x_scale": "jac", "ftol": 1e-4, "xtol": 1e-6, "max_nfev": 30}
_STEP = 1e-6
_UNKNOWN = 12  # of camera and board


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: its name, the gripper's pose (7,) in the base frame when it was taken, what it shows of the board.

    The pixels are those of a camera without distortion.
    """

    name: str
    gripper_pose: np.ndarray
    sighting: Sighting


@dataclass(frozen=True, eq=False)
class HandEye:
    """The camera's pose (7,), in the base frame or, on the wrist, in the end effector's; and how good it is.

    `board_pose` (7,) is in the end effector's frame or, for a camera on the wrist, in the base frame. `frame_px` (N,)
    RMS reprojection errors; `slack` (N,) how far each robot pose had to give, in standard deviations; `frame_m` (N,)
    how far a single picture's board lies from the others', RMS over its corners; `std_m` and `std_rad` what the fit
    claims for the camera's place and direction.
    """

    camera_pose: np.ndarray
    board_pose: np.ndarray
    frame_px: np.ndarray
    slack: np.ndarray
    frame_m: np.ndarray
    std_m: float
    std_rad: float

    @property
    def residual_px(self) -> float:
        return float(np.sqrt(np.mean(self.frame_px**2)))

    @property
    def residual_m(self) -> float:
        return float(np.sqrt(np.mean(self.frame_m**2)))


class _Problem:
    """Residuals of all frames at once: arrays padded to the frame with the most corners."""

    def __init__(self, frames: Sequence[Frame], K: np.ndarray, mount: str) -> None:
        count = max(len(f.sighting.pixels) for f in frames)
        self.num = len(frames)
        self.points = np.zeros((self.num, count, 3))
        self.pixels = np.zeros((self.num, count, 2))
        self.weight = np.zeros((self.num, count, 1))
        for i, frame in enumerate(frames):
            n = len(frame.sighting.pixels)
            self.points[i, :n] = frame.sighting.points
            self.pixels[i, :n] = frame.sighting.pixels
            self.weight[i, :n] = 1.0
        self.gripper = np.array([matrix_of(f.gripper_pose) for f in frames])
        self.K = K
        self.is_wrist = mount == "wrist"

    def board_in_camera(self, unknown: np.ndarray) -> np.ndarray:
        """Board to camera (N, 4, 4)."""
        camera, board = _matrices(unknown[:_UNKNOWN].reshape(2, 6))
        unit = np.repeat([ROBOT_STD_RAD, ROBOT_STD_M], 3)
        gripper = self.gripper @ _matrices(unknown[_UNKNOWN:].reshape(-1, 6) * unit)
        if self.is_wrist:
            return np.asarray(inverse(gripper @ camera) @ board)
        return np.asarray(inverse(camera) @ gripper @ board)

    def errors_px(self, unknown: np.ndarray) -> np.ndarray:
        """Reprojection errors (N, P, 2), 0 where a frame has no corner."""
        image = apply(self.board_in_camera(unknown), self.points) @ self.K.T
        depth = np.maximum(image[..., 2:], 1e-3)
        return np.asarray((image[..., :2] / depth - self.pixels) * self.weight)

    def __call__(self, unknown: np.ndarray) -> np.ndarray:
        errors = self.errors_px(unknown) / PIXEL_STD
        return np.concatenate([errors.reshape(-1), unknown[_UNKNOWN:]])

    def jacobian(self, unknown: np.ndarray) -> np.ndarray:
        """Differences; the slack of one frame moves that frame alone, so that all frames are moved at once."""
        here = self.errors_px(unknown) / PIXEL_STD
        rows = here.size
        each = here[0].size
        jacobian = np.zeros((rows + 6 * self.num, len(unknown)))
        for column in range(_UNKNOWN):
            moved = np.array(unknown)
            moved[column] += _STEP
            jacobian[:rows, column] = ((self.errors_px(moved) / PIXEL_STD - here) / _STEP).reshape(-1)
        step = 1e-3  # slack is in standard deviations
        for k in range(6):
            moved = np.array(unknown)
            moved[_UNKNOWN + k :: 6] += step
            change = ((self.errors_px(moved) / PIXEL_STD - here) / step).reshape(self.num, each)
            for i in range(self.num):
                jacobian[i * each : (i + 1) * each, _UNKNOWN + 6 * i + k] = change[i]
        jacobian[rows:, _UNKNOWN:] = np.eye(6 * self.num)
        return jacobian


def solve(frames: Sequence[Frame], K: np.ndarray, mount: str, *, robust: bool = False) -> HandEye:
    """Fit camera and board to at least 3 frames; `mount` is "cell" or "wrist".

    With `robust`, frames that do not fit the others count little: such a fit tells them.
    """
    boards = np.array([board_pose(frame.sighting, K) for frame in frames])
    problem = _Problem(frames, K, mount)
    camera, board = _closed_form(problem.gripper, boards, problem.is_wrist)
    start = np.concatenate([_vector(camera), _vector(board), np.zeros(6 * len(frames))])
    rough = least_squares(problem, start, problem.jacobian, loss="soft_l1", f_scale=_SOFT, **_ROUGH)
    if robust:
        return _told(problem, rough.x, boards)
    found = least_squares(problem, rough.x, problem.jacobian, method="lm", xtol=1e-9, max_nfev=100)
    return _told(problem, found.x, boards)


def fit_board(frames: Sequence[Frame], K: np.ndarray, mount: str, camera_pose: np.ndarray) -> HandEye:
    """Fit the board alone, with the camera held at a pose (7,): what remains says whether it still stands there."""
    boards = np.array([board_pose(frame.sighting, K) for frame in frames])
    problem = _Problem(frames, K, mount)
    camera = matrix_of(camera_pose)
    guesses = _boards_from(problem.gripper, boards, camera, problem.is_wrist)
    start = np.concatenate([_vector(guesses[0]), np.zeros(6 * len(frames))])
    fixed = _vector(camera)

    def errors(free: np.ndarray) -> np.ndarray:
        return problem(np.concatenate([fixed, free]))

    def jacobian(free: np.ndarray) -> np.ndarray:
        return problem.jacobian(np.concatenate([fixed, free]))[:, 6:]

    found = least_squares(errors, start, jacobian, loss="soft_l1", f_scale=_SOFT, **_ROUGH)
    told = _told(problem, np.concatenate([fixed, found.x]), boards)
    return replace(told, std_m=0.0, std_rad=0.0)


def _boards_from(gripper: np.ndarray, boards: np.ndarray, camera: np.ndarray, is_wrist: bool) -> np.ndarray:
    """Where each frame (N, 4, 4) puts the board, in the frame in which it does not move."""
    return np.asarray(gripper @ camera @ boards if is_wrist else inverse(gripper) @ camera @ boards)


def _closed_form(gripper: np.ndarray, boards: np.ndarray, is_wrist: bool) -> tuple[np.ndarray, np.ndarray]:
    """Camera and board (4, 4) by Park and Martin 1994: A X = X B over all pairs of frames."""
    moving = gripper if is_wrist else inverse(gripper)
    i, j = np.triu_indices(len(gripper), 1)
    a = inverse(moving[j]) @ moving[i]
    b = boards[j] @ inverse(boards[i])
    turn_a, turn_b = (Rotation.from_matrix(m[:, :3, :3]).as_rotvec() for m in (a, b))
    rotation = Rotation.align_vectors(turn_a, turn_b)[0].as_matrix()
    left = (a[:, :3, :3] - np.eye(3)).reshape(-1, 3)
    right = (b[:, :3, 3] @ rotation.T - a[:, :3, 3]).reshape(-1)
    camera = np.eye(4)
    camera[:3, :3] = rotation
    camera[:3, 3] = np.linalg.lstsq(left, right, rcond=None)[0]
    return camera, _boards_from(gripper, boards, camera, is_wrist)[0]


def _told(problem: _Problem, unknown: np.ndarray, boards: np.ndarray) -> HandEye:
    errors = problem.errors_px(unknown)
    squares = (errors**2).sum(axis=(1, 2))
    counts = problem.weight.sum(axis=(1, 2))
    jacobian = problem.jacobian(unknown)
    residuals = problem(unknown)
    freedom = max(1.0, 2 * counts.sum() - _UNKNOWN)
    scale = max(1.0, float(residuals @ residuals) / freedom)
    covariance = np.linalg.pinv(jacobian.T @ jacobian)[:6, :6] * scale
    camera, board = _matrices(unknown[:_UNKNOWN].reshape(2, 6))
    single = _boards_from(problem.gripper, boards, camera, problem.is_wrist)
    apart = (apply(single, problem.points) - apply(board, problem.points)) * problem.weight
    return HandEye(
        camera_pose=pose_of(camera),
        board_pose=pose_of(board),
        frame_px=np.sqrt(squares / (2 * counts)),
        slack=np.sqrt((unknown[_UNKNOWN:].reshape(-1, 6) ** 2).mean(axis=1)),
        frame_m=np.sqrt((apart**2).sum(axis=(1, 2)) / counts),
        std_m=float(np.sqrt(np.trace(covariance[3:, 3:]))),
        std_rad=float(np.sqrt(np.trace(covariance[:3, :3]))),
    )


def _matrices(vectors: np.ndarray) -> np.ndarray:
    """Motions (N, 4, 4) of rotation vectors and shifts (N, 6)."""
    matrices = np.zeros((len(vectors), 4, 4))
    matrices[:, :3, :3] = Rotation.from_rotvec(vectors[:, :3]).as_matrix()
    matrices[:, :3, 3] = vectors[:, 3:]
    matrices[:, 3, 3] = 1.0
    return matrices


def _vector(matrix: np.ndarray) -> np.ndarray:
    return np.concatenate([Rotation.from_matrix(matrix[:3, :3]).as_rotvec(), matrix[:3, 3]])
