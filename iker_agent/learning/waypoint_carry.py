"""How the waypoint rule carries: lift straight up, move across, lower until something touches.

    observation  ->  carry  ->  displacement and rotation vector of the tool centre

A held object droops, and it may touch before its centre is as low as it should be. So its lowest keypoint says how high
it is lifted and where lowering ends: a stiff hand that goes on pressing turns the object in its fingers. Base frame, N
rows, metres and radians.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from iker_agent.learning.waypoint_parameters import WaypointParameters
from iker_agent.learning.waypoint_push import shortened, turn_left
from iker_envs.geometry import norm
from iker_envs.reach import reach_margin
from iker_envs.spec import ObservedKeypoints, Spec

_NEAR_M = 0.02  # horizontal distance at which a carried object is lowered
_TURNED_RAD = np.deg2rad(12.0)  # a carried object is lowered once it is turned so far
_LIFT_M = 0.015  # an object further than this under the carrying height is lifted before it moves across
# Per tick: faster, a heavy object turns in the fingers or slips when the hand starts and stops. A way that is longer
# than so many steps has to be gone faster to end in time.
_STEP_M = 0.015
_LONG = 30
_FASTEST_M = 0.02
_TURN_RAD = 0.12  # per tick, for the same reason; slower, a shoe is not yet turned when it comes past its neighbour
_BRAKE = 0.6  # of what is left, per tick
REACH_LEFT_M = 0.006  # of the arm, that a carrying hand keeps
_SET_DOWN_M = 0.004  # a lowest keypoint so near to its target's height stands
_NEARLY_M = 0.08  # horizontal distance from which the arm must reach the target's place at the height of the carry,
_SINKS_M = (0.0, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08)  # or goes so much lower
_ALIGNED_M = 0.03  # along the axis that comes first, before the other one follows


def carry(seen: ObservedKeypoints, parameters: WaypointParameters, spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """Displacements (N, 3) and rotation vectors (N, 3) of the tool centre."""
    gripper = seen.gripper_pose[:, :3]
    turn = turn_left(seen)
    # the object turns about the tool centre: where it would be once turned
    arm = seen.object_pose[:, :3] - gripper
    error = seen.targets_m.mean(axis=1) - gripper - Rotation.from_rotvec(turn).apply(arm)
    away = (norm(error[:, :2]) > _NEAR_M) | (norm(turn) > _TURNED_RAD)
    height = seen.object_pose[:, 2]
    droop = np.maximum(height - seen.keypoints_m[..., 2].min(axis=1) - parameters.hang_m, 0.0)
    rise = parameters.carry_height_m + droop - height
    rise = np.where(norm(error[:, :2]) < _NEARLY_M, _reached(rise, seen.gripper_pose, error[:, :2]), rise)
    gap = (seen.keypoints_m[..., 2] - seen.targets_m[..., 2]).min(axis=1)
    lower = np.where(np.abs(gap) > _SET_DOWN_M, -gap, 0.0)
    error[:, 2] = np.where(away, rise, lower)
    if parameters.first_axis >= 0:
        first = parameters.first_axis
        error[np.abs(error[:, first]) > _ALIGNED_M, 1 - first] = 0.0
    higher = _moved(seen.gripper_pose, np.zeros((len(rise), 2)), np.full(len(rise), _LIFT_M))
    lift = away & (rise > _LIFT_M) & (reach_margin(higher) > REACH_LEFT_M)  # else on, as high as the arm can
    error[lift, :2] = 0.0
    step_m = np.clip(norm(error) / _LONG, _STEP_M, min(_FASTEST_M, spec.position_step_m))
    turn = np.where(lift[:, None], 0.0, shortened(turn, min(_TURN_RAD, spec.rotation_step_rad)))
    return shortened(_BRAKE * error, step_m), turn


def _reached(rise: np.ndarray, hand: np.ndarray, across: np.ndarray) -> np.ndarray:
    """`rise` (N,), less what hands at poses (N, 7) have to sink to be within the arm's reach `across` (N, 2) from here.

    An object that has slipped in the fingers, or hangs from a leaning hand, would need a hand higher than the arm
    reaches there: drawn back into reach it would never come near enough to be lowered.
    """
    found = rise - _SINKS_M[-1]
    for sink_m in reversed(_SINKS_M):
        place = _moved(hand, across, rise - sink_m)
        found = np.where(reach_margin(place) > REACH_LEFT_M, rise - sink_m, found)
    return found


def _moved(hand: np.ndarray, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Poses (N, 7) of hands moved by `across` (N, 2) and `up` (N,)."""
    return np.concatenate([hand[:, :2] + across, (hand[:, 2] + up)[:, None], hand[:, 3:]], axis=-1)
