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
from iker_envs.spec import ObservedKeypoints, Spec

_NEAR_M = 0.02  # horizontal distance at which a carried object is lowered
_TURNED_RAD = np.deg2rad(12.0)  # a carried object is lowered once it is turned so far
_LIFT_M = 0.015  # an object further than this under the carrying height is lifted before it moves across
_STEP_M = 0.02  # per tick: faster, a heavy object turns in the fingers when the hand starts and stops
_BRAKE = 0.6  # of what is left, per tick
_SET_DOWN_M = 0.004  # a lowest keypoint so near to its target's height stands
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
    gap = (seen.keypoints_m[..., 2] - seen.targets_m[..., 2]).min(axis=1)
    lower = np.where(np.abs(gap) > _SET_DOWN_M, -gap, 0.0)
    error[:, 2] = np.where(away, rise, lower)
    if parameters.first_axis >= 0:
        first = parameters.first_axis
        error[np.abs(error[:, first]) > _ALIGNED_M, 1 - first] = 0.0
    lift = away & (rise > _LIFT_M)
    error[lift, :2] = 0.0
    return shortened(_BRAKE * error, min(_STEP_M, spec.position_step_m)), np.where(lift[:, None], 0.0, turn)
