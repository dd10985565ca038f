"""A recording becomes one camera's calibration, or one sentence that says why not and what to do.

    Recording  ->  calibrate_camera  ->  Result(CameraCalibration, bad frames by name, notes), or CalibrationRefused
    Recording, CameraCalibration  ->  check_camera  ->  how far the camera has moved since

Bad frames are left out and named: no board, a board that does not fit the others, a robot pose that does not. What
remains must fit, must be turned enough to say where the camera is, and must claim a place good enough for work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from iker_envs.geometry import rotation_angle
from iker_envs.perception.board import Sighting, board_pose, detect_board, undistorted
from iker_envs.perception.rigid import apply
from real_env.calibrating.hand_eye import Frame, HandEye, fit_board, solve
from real_env.calibrating.recording import Recording
from real_env.calibration import PIXEL_CENTRE, CameraCalibration, moved_centres

MAX_STD_M = 0.0015
MAX_STD_RAD = float(np.deg2rad(0.15))
MAX_RESIDUAL_PX = 0.7
MAX_RESIDUAL_M = 0.004
FEWEST_FRAMES = 8
FEWEST_CHECKED = 4
MIN_TURN_RAD = float(np.deg2rad(20.0))
_MIN_SECOND_TURN_RAD = float(np.deg2rad(5.0))  # RMS about the second axis: turns about one axis say too little
_WORSE = 3.0  # a frame that fits so many times worse than the middle one is bad
_BAD_PX = 0.6
_BAD_SLACK = 3.0  # standard deviations that a robot pose had to give, RMS of its six numbers
_MAX_BAD_SHARE = 0.4
_MAX_SCALE_ERROR = 0.01  # of depths
_FEWEST_DEPTHS = 200
MOVED_M = 0.003  # a camera that has moved further, or turned by more, is calibrated again
MOVED_RAD = float(np.deg2rad(0.3))


class CalibrationRefused(ValueError):
    """A camera's place cannot be told well enough; the message says what to do. `bad` names frames and their faults."""

    def __init__(self, sentence: str, bad: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.bad = dict(bad or {})


@dataclass(frozen=True, eq=False)
class Result:
    """A calibrated camera, what the fit says of it, faults of left-out frames by name, and notes for a person."""

    camera: CameraCalibration
    fit: HandEye
    bad: dict[str, str]
    notes: tuple[str, ...] = ()


def calibrate_camera(recording: Recording) -> Result:
    """Calibrate the camera of a recording; CalibrationRefused if it would not be good enough to work with."""
    frames, bad = _seen(recording)
    _check_enough(frames, bad, recording, FEWEST_FRAMES)
    _check_turned(frames, bad, recording)
    while True:
        fit = solve(frames, recording.K, recording.mount, robust=True)
        worst = _worst(frames, fit)
        if worst is None or np.median(fit.frame_px) > MAX_RESIDUAL_PX:  # all is well, or nothing fits anything
            break
        index, fault = worst
        bad[frames[index].name] = fault
        frames = frames[:index] + frames[index + 1 :]
        _check_enough(frames, bad, recording, FEWEST_FRAMES)
    fit = solve(frames, recording.K, recording.mount)
    _check_good(frames, fit, bad, recording)
    camera = CameraCalibration(
        serial=recording.serial,
        width=recording.width,
        height=recording.height,
        K=moved_centres(recording.K, -PIXEL_CENTRE),
        pose=fit.camera_pose,
        mount=recording.mount,
        distortion=recording.distortion,
        residual_px=fit.residual_px,
        residual_m=fit.residual_m,
        num_views=len(frames),
    )
    return Result(camera, fit, bad, _notes(frames, recording))


def _seen(recording: Recording) -> tuple[list[Frame], dict[str, str]]:
    """The frames that show the board, and why the others do not."""
    frames = []
    bad = {}
    for shot in recording.shots:
        found = detect_board(shot.rgb(), recording.board)
        if isinstance(found, str):
            bad[shot.name] = found
        else:
            pixels = undistorted(found.pixels, recording.K, recording.distortion)
            frames.append(Frame(shot.name, shot.gripper_pose, Sighting(found.points, pixels)))
    return frames, bad


def _check_enough(frames: Sequence[Frame], bad: dict[str, str], recording: Recording, fewest: int) -> None:
    total = len(frames) + len(bad)
    if len(frames) < fewest or len(bad) > _MAX_BAD_SHARE * total:
        first = next(iter(bad.items()), None)
        why = f"; the first that is not: {first[0]}: {first[1]}" if first else ""
        raise CalibrationRefused(
            f"{len(frames)} of {total} pictures of {recording.role} can be used, at least {fewest} and "
            f"{100 * (1 - _MAX_BAD_SHARE):.0f} % of them are needed; {_ADVICE[recording.mount]}{why}",
            bad,
        )


_ADVICE = {
    "cell": "hold the whole board into the picture, still and well lit, and take 15 pictures or more",
    "wrist": "look at the whole board from 15 places or more, with the arm at rest",
}


def _worst(frames: Sequence[Frame], fit: HandEye) -> tuple[int, str] | None:
    """The frame that fits least and why it is bad; None when all fit."""
    limit = max(_BAD_PX, _WORSE * float(np.median(fit.frame_px)))
    by_pixels = int(np.argmax(fit.frame_px))
    by_slack = int(np.argmax(fit.slack))
    if fit.slack[by_slack] > _BAD_SLACK and fit.slack[by_slack] / _BAD_SLACK > fit.frame_px[by_pixels] / limit:
        return by_slack, (
            f"its robot pose does not fit the others by {1000 * fit.frame_m[by_slack]:.1f} mm; was the arm at rest?"
        )
    if fit.frame_px[by_pixels] > limit:
        off = f"the board is {fit.frame_px[by_pixels]:.1f} px from where the others say"
        return by_pixels, f"{off}; is the picture blurred, or its pose another's?"
    return None


def _turns(frames: Sequence[Frame]) -> tuple[float, float]:
    """The largest turn between two poses of the gripper, and the RMS turn about the axis that is second most used."""
    quaternions = np.array([f.gripper_pose[3:] for f in frames])
    turns = Rotation.from_quat(np.roll(quaternions, -1, axis=1))
    mean = turns.mean()
    relative = (turns * mean.inv()).as_rotvec()
    second = np.linalg.svd(relative - relative.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(frames))
    largest = max(float(rotation_angle(quaternions[0], q)) for q in quaternions)
    return max(largest, float(2 * np.linalg.norm(relative, axis=1).max())), float(second)


def _check_turned(frames: Sequence[Frame], bad: dict[str, str], recording: Recording) -> None:
    turn, second = _turns(frames)
    if turn < MIN_TURN_RAD or second < _MIN_SECOND_TURN_RAD:
        axis = "about one axis only" if turn >= MIN_TURN_RAD else f"by {np.rad2deg(turn):.0f} degrees only"
        raise CalibrationRefused(
            f"the hand was turned {axis}, which does not say where {recording.role} is; turn it by 30 degrees either "
            "way about two axes or more",
            bad,
        )


def _check_good(frames: Sequence[Frame], fit: HandEye, bad: dict[str, str], recording: Recording) -> None:
    role = recording.role
    if fit.residual_px > MAX_RESIDUAL_PX or fit.residual_m > MAX_RESIDUAL_M:
        raise CalibrationRefused(
            f"the pictures of {role} fit each other to {fit.residual_px:.2f} px and {1000 * fit.residual_m:.1f} mm, of "
            f"at most {MAX_RESIDUAL_PX} px and {1000 * MAX_RESIDUAL_M:.0f} mm; are the board's squares "
            f"{1000 * recording.board.square_m:g} mm large, is it flat and firmly held, is K the camera's?",
            bad,
        )
    if fit.std_m > MAX_STD_M or fit.std_rad > MAX_STD_RAD:
        raise CalibrationRefused(
            f"the place of {role} is known to {1000 * fit.std_m:.1f} mm and {np.rad2deg(fit.std_rad):.2f} degrees, of "
            f"at most {1000 * MAX_STD_M:.1f} mm and {np.rad2deg(MAX_STD_RAD):.2f}; take 10 more pictures with the "
            "board turned further and nearer to the camera",
            bad,
        )
    scale = depth_scale(frames, recording)
    if scale is not None and abs(scale - 1) > _MAX_SCALE_ERROR:
        raise CalibrationRefused(
            f"{role} measures the board {100 * (scale - 1):+.1f} % too far away, of at most "
            f"{100 * _MAX_SCALE_ERROR:.0f} %: a wrong focal length or depth scale shows there alone; use the camera's "
            "own K, and measure a square of the board",
            bad,
        )


def depth_scale(frames: Sequence[Frame], recording: Recording) -> float | None:
    """Measured over true distance of the board's corners; None if the recording has no depths of them.

    A wrong focal length moves the camera by millimetres and does not show in reprojection errors.
    """
    ratios = []
    by_name = {shot.name: shot for shot in recording.shots}
    for frame in frames:
        depth_m = by_name[frame.name].depth_m()
        if depth_m is None:
            continue
        true_m = apply(board_pose(frame.sighting, recording.K), frame.sighting.points)[:, 2]
        column, row = np.floor(frame.sighting.pixels).astype(int).T
        inside = (row >= 0) & (row < depth_m.shape[0]) & (column >= 0) & (column < depth_m.shape[1])
        measured = depth_m[row[inside], column[inside]]
        ratios.append((measured / true_m[inside])[measured > 0])
    every = np.concatenate(ratios) if ratios else np.zeros(0)
    return float(np.median(every)) if len(every) >= _FEWEST_DEPTHS else None


def _notes(frames: Sequence[Frame], recording: Recording) -> tuple[str, ...]:
    scale = depth_scale(frames, recording)
    if scale is None:
        return ("without depth pictures of the board, a wrong focal length would not show: 0.5 % are 2 to 4 mm",)
    return (f"depths are {100 * (scale - 1):+.2f} % off on the board",)


@dataclass(frozen=True)
class Check:
    """Is a camera where its calibration says? `sentence` says so, or how far it has moved and what to do."""

    is_good: bool
    sentence: str
    moved_m: float
    turned_rad: float


def check_camera(recording: Recording, known: CameraCalibration) -> Check:
    """Compare a few pictures with a calibration; CalibrationRefused if they show too little."""
    if known.serial != recording.serial:
        raise CalibrationRefused(
            f"the pictures of {recording.role} are of camera {recording.serial}, the calibration is of {known.serial}; "
            "calibrate it"
        )
    frames, bad = _seen(replace(recording, K=known.K_image, distortion=known.distortion))
    _check_enough(frames, bad, recording, FEWEST_CHECKED)
    held = fit_board(frames, known.K_image, known.mount, known.pose)
    free = solve(frames, known.K_image, known.mount)
    moved = float(np.linalg.norm(free.camera_pose[:3] - known.pose[:3]))
    turned = float(rotation_angle(free.camera_pose[3:], known.pose[3:]))
    numbers = f"it fits to {held.residual_px:.2f} px and {1000 * held.residual_m:.1f} mm"
    worse_px = held.residual_px > max(MAX_RESIDUAL_PX, _WORSE * known.residual_px)
    slack = float(np.sqrt(np.mean(held.slack**2))) > 2.0
    far = moved > MOVED_M + 2 * free.std_m or turned > MOVED_RAD + 2 * free.std_rad
    if not (worse_px or slack or (far and free.std_m < MAX_STD_M * 2)):
        return Check(True, f"{recording.role} stands where it was calibrated: {numbers}", moved, turned)
    return Check(
        False,
        f"{recording.role} was moved by about {1000 * moved:.0f} mm and {np.rad2deg(turned):.1f} degrees since its "
        f"calibration ({numbers}); calibrate it again",
        moved,
        turned,
    )
