"""Where the joints must be for the tool to be at a pose: on the host, with the arm's own model, elbow kept in.

    pose (7,), present joints (7,)  ->  HostIK.follow  ->  joints of the next set point (mink, one iteration)
    pose (7,)                       ->  HostIK.solve   ->  joints from nowhere, or None
    joints (7,)                     ->  tool_pose      ->  pose (7,) of the tool centre

The arm has one joint more than a pose needs. A posture fixes it: joint 3 is pulled to 0, which keeps the elbow in the
vertical plane through shoulder and wrist, and the same posture holds for a whole scene. Metres and radians.
"""

from __future__ import annotations

import mink
import numpy as np

from iker_envs.geometry import body_axis, quaternion_from_matrix, rotation_matrix
from real_env.arm_model import HAND, build_arm
from real_env.kinematics import forward, matrix, solve
from real_env.xarm7 import JOINT_LIMITS_RAD, JOINTS, MAX_JOINT_SPEED_RAD_S, TOOL_M

_INSIDE_RAD = 1e-6  # a joint on its limit, or beyond by rounding, leaves the solver without a solution
_POSITION_COST = 1.0
_ROTATION_COST = 0.3
_POSTURE_COST = np.array([2e-4, 2e-4, 1e-2, 2e-4, 2e-4, 2e-4, 2e-4])  # the third joint's decides where the elbow is
_DAMPING = 1e-6
MAX_ELBOW_RAD = 1.0  # of joint 3; further out is the other branch
_TRIES = 6
_SPREAD_RAD = 0.25
TOOL = matrix(np.array([0.0, 0.0, TOOL_M]), np.eye(3))
_LOW, _HIGH = JOINT_LIMITS_RAD.T


def tool_pose(joints_rad: np.ndarray) -> np.ndarray:
    """Pose (7,) of the tool centre in the base frame, by the vendor's DH table."""
    tool = forward(joints_rad) @ TOOL
    return np.concatenate([tool[:3, 3], quaternion_from_matrix(tool[:3, :3])])


def as_matrix(pose: np.ndarray) -> np.ndarray:
    """A pose (7,) as (4, 4)."""
    return matrix(pose[:3], rotation_matrix(np.asarray(pose[3:], dtype=float)))


class HostIK:
    """Inverse kinematics of one arm; `num_unsolved` counts set points for which the solver found nothing."""

    def __init__(self, period_s: float = 0.01) -> None:
        model = build_arm()
        self._period_s = period_s
        self._state = mink.Configuration(model)
        self._reach = mink.FrameTask(HAND, "body", _POSITION_COST, _ROTATION_COST, lm_damping=_DAMPING)
        self._posture = mink.PostureTask(model, _POSTURE_COST)
        speeds = dict.fromkeys(JOINTS, MAX_JOINT_SPEED_RAD_S)
        self._limits = [mink.ConfigurationLimit(model), mink.VelocityLimit(model, speeds)]
        self.num_unsolved = 0
        self.set_posture(np.zeros(7))

    def set_posture(self, joints_rad: np.ndarray) -> None:
        """From now on prefer these joints (7,), with the elbow in."""
        posture = np.array(joints_rad, dtype=float)
        posture[2] = 0.0
        self._posture.set_target(posture)

    def follow(self, pose: np.ndarray, joints_rad: np.ndarray) -> np.ndarray:
        """The joints (7,) one period after `joints_rad` (7,) on the way to a pose (7,); the same if there are none."""
        self._state.update(np.clip(joints_rad, _LOW + _INSIDE_RAD, _HIGH - _INSIDE_RAD))
        self._reach.set_target(mink.SE3(wxyz_xyz=np.concatenate([pose[3:], pose[:3]])))
        try:
            velocity = mink.solve_ik(
                self._state, [self._reach, self._posture], self._period_s, "daqp", _DAMPING, limits=self._limits
            )
        except mink.NoSolutionFound:
            self.num_unsolved += 1
            return np.array(joints_rad, dtype=float)
        return np.clip(self._state.integrate(velocity, self._period_s), _LOW + _INSIDE_RAD, _HIGH - _INSIDE_RAD)

    def solve(self, pose: np.ndarray) -> np.ndarray | None:
        """Joints (7,) for a pose (7,) from nowhere, the elbow in; None if there are none of that kind."""
        goal = as_matrix(pose)
        rng = np.random.default_rng(0)  # the same pose always has the same answer
        for attempt in range(_TRIES):
            guess = _guess(pose)
            start = guess + (rng.normal(0.0, _SPREAD_RAD, 7) if attempt else 0.0)
            found, reached = solve(goal, np.clip(start, _LOW, _HIGH), TOOL, iterations=150, posture_rad=guess)
            if not reached:
                found, reached = solve(goal, found, TOOL, iterations=100)
            if reached and abs(found[2]) <= MAX_ELBOW_RAD:
                return found
        return None


def _guess(pose: np.ndarray) -> np.ndarray:
    """Joints near those of a pose: elbow in the vertical plane of the target, the last joint turned to fit."""
    azimuth = np.arctan2(pose[1], pose[0])
    approach = body_axis(pose[3:], 2)
    forward_part = approach[0] * np.cos(azimuth) + approach[1] * np.sin(azimuth)
    pitch = np.arctan2(forward_part, -approach[2])  # 0 with the tool down, a quarter turn with it forward
    joints = np.array([azimuth, -0.3, 0.0, 1.2, 0.0, 1.5 - pitch, 0.0])
    turn = forward(joints)[:3, :3].T @ rotation_matrix(np.asarray(pose[3:], dtype=float))
    joints[6] = np.arctan2(turn[1, 0], turn[0, 0])
    return joints
