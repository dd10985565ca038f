"""What N worlds make of a tick, as pure functions of their arrays: on a GPU each is one graph of kernels.

action, last command, state, tops of furniture  ->  Tick.command   ->  commanded poses (N, 7)
state after the tick, episode, action           ->  Tick.measured  ->  Measured: errors, rewards, what is lost
hand, observed object pose, episode             ->  Tick.packed    ->  observations (N, observation_dim)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from iker_envs import components
from iker_envs.components import Array, Components, clipped, columns, difference, namespace, transform
from iker_envs.geometry import norm, pose_apply
from iker_envs.measure import NEAR_TILT_RAD, Errors, compare, lost, others_moved_m
from iker_envs.planning.fingertips import next_command
from iker_envs.rewards import State, compute_rewards
from iker_envs.sim import WorldState
from iker_envs.spec import POSITION_BOUND_M, pack_observation
from iker_envs.stage.arrays import Arrays, copied
from iker_envs.stage.config import StageConfig
from iker_envs.stage.subroutines import in_hand

_POSE_ERROR_M_PER_RAD = 0.1  # of the alignment row under the pose observation
Held = Mapping[str, Array]  # arrays of an Episode by name


@dataclass(frozen=True)
class Measured:
    """What is found after a tick, (N,) each."""

    error_m: Array  # what the alignment reward goes by
    success_steps: Array  # consecutive ticks near the target
    lost: Array  # dropped, tipped over, fell, far away or diverged
    rewards: dict[str, Array]  # weighted rows
    errors: Errors


class Tick:
    """The functions of a stage's ticks."""

    def __init__(self, config: StageConfig, arrays: Arrays, workspace_m: np.ndarray) -> None:
        self._config = config
        self._box_m = arrays.put(workspace_m)  # (2, 3) lowest and highest corner
        self._bound = arrays.put(config.spec.observation_bound())
        self.command = arrays.graphed(self._command)
        self.measured = {grasp: arrays.graphed(partial(self._measured, grasp)) for grasp in (False, True)}
        self.packed_all = arrays.graphed(self.packed)  # of all worlds

    def _command(self, action: Array, commanded_pose: Array, state: WorldState, tops: Array) -> Array:
        """The next commanded poses (N, 7) after actions (N, 6), see `fingertips.next_command`."""
        measured = (state.gripper_pose, self._box_m, state.opening_m, tops)
        return next_command(self._config.spec, action, commanded_pose, *measured)

    def _measured(self, grasp: bool, state: WorldState, held: Held, action: Array) -> Measured:
        """How things stand after actions (N, 6) of hands that hold the objects, or push them.

        `held` is as `Episode.of_ticks` gives it, of the tick before.
        """
        pose = object_pose(state, held)
        xp = namespace(pose)
        keypoints_m = _keypoints_m(pose, held)
        errors = _compared(state, held, pose, keypoints_m)
        error_m = copied(self.error(errors, pose, held))  # a copy, since the beginning of an episode writes into it
        is_near = (error_m <= self._config.rewards.success_m) & (errors.tilt_rad <= NEAR_TILT_RAD)
        success_steps = xp.where(is_near, held["success_steps"] + 1, 0)
        gone = _lost(state, held, pose, errors, grasp=grasp)
        reward_state = State(
            gripper_distance_m=_nearest_m(state.gripper_pose, pose, keypoints_m),
            error_m=error_m,
            error_before_m=held["error_m"],
            success_steps=success_steps,
            action=clipped(action, -1.0, 1.0),
            dropped=xp.astype(gone, error_m.dtype),
            contact_force_N=norm(state.contact_force),
            others_moved_m=errors.others_m,
        )
        return Measured(error_m, success_steps, gone, compute_rewards(reward_state, self._config.rewards), errors)

    def error(self, errors: Errors, pose: Array, held: Held) -> Array:
        """What the alignment row goes by (M,): keypoint error, or pose error under the pose observation."""
        if self._config.spec.observation == "keypoints":
            return errors.goal_m
        offset = pose[:, :3] - held["target_pose"][:, :3]
        return norm(offset) + _POSE_ERROR_M_PER_RAD * (errors.heading_rad + errors.tilt_rad)

    def packed(self, gripper_pose: Array, pose: Array, held: Held) -> Array:
        """Observations (M, observation_dim) of objects observed at poses (M, 7), clipped to their bounds."""
        keypoints_m = pose_apply(pose, held["local_m"])
        packed = pack_observation(
            self._config.spec, gripper_pose, pose, keypoints_m, held["targets_m"], held["target_pose"]
        )
        return clipped(packed, -self._bound, self._bound)


def of_object(poses: Array, index: Array) -> Array:
    """Poses (M, 7), out of those of all objects (M, O, 7), of the ones with the indices (M,)."""
    rows = namespace(poses).arange(poses.shape[0], device=poses.device)
    return poses[rows, index]


def object_pose(state: WorldState, held: Held) -> Array:
    """The manipulated objects' true poses (M, 7)."""
    return of_object(state.object_pose, held["object_index"])


def errors_of(state: WorldState, held: Held, pose: Array) -> Errors:
    """How far M objects at poses (M, 7) are from their goals."""
    return _compared(state, held, pose, _keypoints_m(pose, held))


def _keypoints_m(pose: Array, held: Held) -> Components:
    """Control keypoints of objects at poses (M, 7): components (M, K)."""
    return transform(columns(pose[:, None, :]), columns(held["local_m"]))


def _compared(state: WorldState, held: Held, pose: Array, keypoints_m: Components) -> Errors:
    others_m = others_moved_m(state.object_pose, held["object_index"], held["start_pose"])
    return compare(pose, held["target_pose"], keypoints_m, columns(held["targets_m"]), others_m)


def _lost(state: WorldState, held: Held, pose: Array, errors: Errors, *, grasp: bool) -> Array:
    """Worlds (N,) in which the object, at (N, 7), was dropped, tipped over or fell, or physics diverged.

    An object that stands at its target is not dropped by a hand that slides along it.
    """
    xp = namespace(pose)
    start = of_object(held["start_pose"], held["object_index"])
    slipped_m = 0 * errors.goal_m
    if grasp:
        slipped_m = norm(in_hand(pose, state.gripper_pose) - held["held_offset_m"])
    gone = lost(pose, start, held["target_pose"], errors, slipped_m, grasp=grasp)
    for coordinate in columns(pose)[:3]:
        gone = gone | (xp.abs(coordinate) > POSITION_BOUND_M)
    return gone | state.unstable


def _nearest_m(gripper_pose: Array, pose: Array, keypoints_m: Components) -> Array:
    """From end effectors (N, 7) to the nearest of objects' centres (N, 7) and keypoints (N, K), by component: (N,)."""
    hand = columns(gripper_pose[:, None, :])[:3]
    to_keypoint_m = namespace(pose).min(components.norm(difference(keypoints_m, hand)), axis=-1)
    to_centre_m = components.norm(difference(columns(pose)[:3], columns(gripper_pose)[:3]))
    return namespace(pose).minimum(to_keypoint_m, to_centre_m)
