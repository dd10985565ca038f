"""The present episode on a robot: its goal, how it began, and what follows from poses that are measured or estimated.

    joints' pose of the hand, poses of the objects  ->  Episode.observe  ->  observation
                                                    ->  Episode.tick     ->  reward rows, lost, Errors
                                                    ->  Episode.outcome  ->  Outcome

The same formulas as in simulation (spec, measure, rewards), for one world. Poses are base frame, metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from iker_envs.geometry import norm, pose_apply, quaternion_conjugate, quaternion_rotate, rotation_angle
from iker_envs.judging.happened import happened
from iker_envs.judging.sentences import sentence
from iker_envs.measure import NEAR_TILT_RAD, Errors, lost, make_outcome, measure
from iker_envs.planning.fingertips import next_command, tops_of
from iker_envs.rewards import RewardConfig, State, compute_rewards
from iker_envs.scene import Goal, Outcome, Scene
from iker_envs.spec import POSITION_BOUND_M, Spec, pack_observation
from real_env.recorder import Recorder

_STILL_M = 0.001
_STILL_RAD = 0.01
_POSE_ERROR_M_PER_RAD = 0.1  # of the alignment row under the pose observation, as in simulation


def in_hand(object_pose: np.ndarray, gripper_pose: np.ndarray) -> np.ndarray:
    """The object's centre (3,) in the end-effector frame."""
    return quaternion_rotate(quaternion_conjugate(gripper_pose[3:]), object_pose[:3] - gripper_pose[:3])


def still(before: np.ndarray, now: np.ndarray) -> bool:
    """Do things at poses (O, 7) and a moment later (O, 7) not move?"""
    moved_m = norm(now[:, :3] - before[:, :3]).max()
    return bool(moved_m < _STILL_M and rotation_angle(before[:, 3:], now[:, 3:]).max() < _STILL_RAD)


@dataclass(eq=False)
class Episode:
    """One episode; `begin` makes it, `tick` advances it."""

    spec: Spec
    rewards: RewardConfig
    scene: Scene  # with the objects where they were when it began
    goal: Goal
    objects: tuple[str, ...]
    index: int  # the goal's object among them
    local_m: np.ndarray  # (4, 3) its control keypoints, body frame
    start_pose: np.ndarray  # (O, 7)
    commanded_pose: np.ndarray  # (7,) of the end effector
    opening_m: float  # commanded of the fingers
    held_offset_m: np.ndarray  # (3,) of the object in the hand when it began
    step_count: int = 0
    success_steps: int = 0
    error_m: float = 0.0
    grasp_failure: str = ""
    target_pose: np.ndarray = field(init=False)  # (7,)
    targets_m: np.ndarray = field(init=False)  # (4, 3)
    tops: np.ndarray = field(init=False)  # (1, B, 9) of the furniture, see planning/fingertips.py

    def __post_init__(self) -> None:
        self.target_pose = np.array(self.goal.target_pose)
        self.targets_m = pose_apply(self.target_pose, self.local_m)
        self.tops = tops_of(self.scene)

    @classmethod
    def begin(
        cls, spec: Spec, rewards: RewardConfig, scene: Scene, goal: Goal, hand: np.ndarray, opening_m: float, why: str
    ) -> Episode:
        """From a scene as it stands; the hand is at a pose (7,), `why` says why it does not hold what it should."""
        objects = scene.movable
        model = scene.object(goal.object).model
        episode = cls(
            spec=spec,
            rewards=rewards,
            scene=scene,
            goal=goal,
            objects=objects,
            index=objects.index(goal.object),
            local_m=model.control_keypoints_m(),
            start_pose=np.array([scene.object(name).pose for name in objects]),
            commanded_pose=np.array(hand),
            opening_m=opening_m,
            held_offset_m=in_hand(scene.object(goal.object).pose, hand),
            grasp_failure=why,
        )
        episode.error_m = episode._error(episode.errors(episode.start_pose), episode.start_pose)
        return episode

    def command(self, action: np.ndarray, hand: np.ndarray, opening_m: float, workspace_m: np.ndarray) -> None:
        """Take an action (6,) as the next command; the hand is at a pose (7,), the workspace a box (2, 3)."""
        self.commanded_pose = next_command(
            self.spec,
            action[None],
            self.commanded_pose[None],
            hand[None],
            workspace_m,
            np.array([opening_m]),
            self.tops,
        )[0]

    def poses(self, found: Mapping[str, np.ndarray]) -> np.ndarray:
        """Poses (O, 7) in the order of the scene; an object that was not found stands where it was last seen."""
        return np.array([found.get(name, self.scene.object(name).pose) for name in self.objects])

    def observe(self, gripper_pose: np.ndarray, poses: np.ndarray) -> np.ndarray:
        """The observation (observation_dim,), clipped to its bounds."""
        pose = poses[None, self.index]
        keypoints = pose_apply(pose, self.local_m)
        packed = pack_observation(
            self.spec, gripper_pose[None], pose, keypoints, self.targets_m[None], self.target_pose[None]
        )
        bound = self.spec.observation_bound()
        return np.clip(packed, -bound, bound)[0]

    def errors(self, poses: np.ndarray) -> Errors:
        """How far things (O, 7) are from the goal; arrays of one world."""
        index = np.array([self.index])
        return measure(poses[None], index, self.start_pose[None], self.target_pose[None], self.local_m)

    def tick(
        self, gripper_pose: np.ndarray, poses: np.ndarray, action: np.ndarray
    ) -> tuple[dict[str, float], bool, Errors]:
        """Count a tick after which the hand is at a pose (7,) and the objects at (O, 7): rows, lost, errors."""
        self.step_count += 1
        errors = self.errors(poses)
        before_m = self.error_m
        self.error_m = self._error(errors, poses)
        is_near = self.error_m <= self.rewards.success_m and errors.tilt_rad[0] <= NEAR_TILT_RAD
        self.success_steps = self.success_steps + 1 if is_near else 0
        is_lost = self._is_lost(gripper_pose, poses, errors)
        state = State(
            gripper_distance_m=np.array([self._gripper_distance(gripper_pose, poses[self.index])]),
            error_m=np.array([self.error_m]),
            error_before_m=np.array([before_m]),
            success_steps=np.array([self.success_steps]),
            action=np.clip(action, -1.0, 1.0)[None],
            dropped=np.array([float(is_lost)]),
            contact_force_N=np.array([np.nan]),  # the arm has no force sensor: that part of the penalty is 0
            others_moved_m=errors.others_m,
        )
        rows = compute_rewards(state, self.rewards)
        return {name: float(value[0]) for name, value in rows.items()}, is_lost, errors

    def _error(self, errors: Errors, poses: np.ndarray) -> float:
        """What the alignment row goes by: keypoint error, or pose error under the pose observation."""
        if self.spec.observation == "keypoints":
            return float(errors.goal_m[0])
        offset_m = float(norm(poses[self.index, :3] - self.target_pose[:3]))
        return offset_m + _POSE_ERROR_M_PER_RAD * float(errors.heading_rad[0] + errors.tilt_rad[0])

    def _gripper_distance(self, gripper_pose: np.ndarray, pose: np.ndarray) -> float:
        points = np.concatenate([pose[None, :3], pose_apply(pose, self.local_m)])
        return float(norm(points - gripper_pose[:3]).min())

    def _is_lost(self, gripper_pose: np.ndarray, poses: np.ndarray, errors: Errors) -> bool:
        pose = poses[None, self.index]
        slipped_m = norm(in_hand(poses[self.index], gripper_pose) - self.held_offset_m)[None]
        start = self.start_pose[None, self.index]
        gone = lost(pose, start, self.target_pose[None], errors, slipped_m, grasp=self.goal.grasp)
        return bool(gone[0]) or float(np.abs(pose[0, :3]).max()) > POSITION_BOUND_M

    def outcome(self, poses: np.ndarray, recorder: Recorder, max_steps: int, stopped: str = "") -> Outcome:
        """How it ended with the objects at (O, 7), and what happened; `stopped` says what cut it short."""
        model = self.scene.object(self.goal.object).model
        ends = {name: np.array(pose) for name, pose in zip(self.objects, poses, strict=True)}
        grasped = not self.grasp_failure
        late = self.step_count >= max_steps
        recorder.see(ends)
        trace = recorder.trace(self.scene, self.goal, held=self.goal.grasp and grasped, out_of_time=late)
        events = happened(trace)
        why = "; ".join(part for part in (stopped, sentence(events)) if part) or self.grasp_failure
        errors = self.errors(poses)
        return make_outcome(errors, 0, self.goal, model, ends, why, self.step_count, events, grasped=grasped)
