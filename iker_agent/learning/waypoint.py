"""The waypoint learner: straight pushes and carries with simple feedback, under the same spec as a trained policy.

    learn(scene, goal)  ->  Learned(WaypointPolicy)  ->  act(observations)  ->  actions

It needs no training: expert, named baseline, and what makes tests of the whole loop run in seconds. A waypoint policy
is a function of the observation alone plus a few lengths of the scene, so it recovers when the object is moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from iker_agent.learning.learner import Learned, Report
from iker_agent.learning.policy import Policy, save_policy
from iker_agent.learning.stored import stored_fields
from iker_agent.learning.waypoint_carry import REACH_LEFT_M, carry
from iker_agent.learning.waypoint_parameters import WaypointParameters, waypoint_parameters
from iker_agent.learning.waypoint_push import push
from iker_agent.learning.waypoint_room import no_room
from iker_agent.learning.waypoint_tall import push_tall
from iker_envs.geometry import norm, quaternion_from_rotvec, quaternion_multiply
from iker_envs.reach import reach_margin
from iker_envs.scene import Goal, Grasp, Scene
from iker_envs.spec import ObservedKeypoints, Spec, spec_of, unpack_keypoints

# How far a step that would leave the arm's reach is drawn in and lowered, in metres, the smallest change first.
_RETREATS_M = sorted(product((0.0, 0.01, 0.02, 0.04), (0.0, 0.01, 0.02)), key=sum)
_TINY = 1e-9


class WaypointPolicy:
    """Acts on keypoint observations; see the module docstring."""

    def __init__(self, parameters: WaypointParameters, spec: Spec) -> None:
        if spec.observation != "keypoints":
            raise ValueError(f"the waypoint policy reads keypoint observations, not {spec.observation!r}")
        self.parameters = parameters
        self.spec = spec

    @classmethod
    def from_header(cls, header: Mapping[str, Any], spec: Spec) -> WaypointPolicy:
        """The policy that `save` wrote; ValueError names a field of the header that is missing or wrong."""
        if "parameters" not in header:
            raise ValueError("the field 'parameters' is missing")
        later = (
            "third_half_m",
            "lean_rad",
            "around",
            "first_axis",
            "hang_m",
        )  # files written before these were known hold low, wide objects, carried straight
        values = stored_fields(WaypointParameters, header["parameters"], "parameters.", optional=later)
        for name, value in values.items():
            if not np.isfinite(value):
                raise ValueError(f"the field {f'parameters.{name}'!r} is a finite number, not {value}")
        return cls(WaypointParameters(**values), spec)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions (N, 6) for keypoint observations (N, 38)."""
        seen = unpack_keypoints(self.spec, np.asarray(observations, dtype=float))
        position, rotvec = self._displacement(seen)
        action = np.concatenate([position / self.spec.position_step_m, rotvec / self.spec.rotation_step_rad], axis=-1)
        scale = np.abs(action).max(axis=-1, keepdims=True)
        action = action / np.maximum(scale, 1.0)
        if self.parameters.grasp or self.parameters.lean_rad:
            action = self._within_reach(action, seen.gripper_pose)
        return action.astype(np.float32)

    def _within_reach(self, action: np.ndarray, gripper_pose: np.ndarray) -> np.ndarray:
        """Actions (N, 6) that keep the hand, at poses (N, 7), within reach: drawn in or lowered as little as need be.

        A step out of reach would not be carried out at all, and the hand would stay where it is for good.
        """
        position = self.spec.position_step_m * action[:, :3]
        turn = quaternion_from_rotvec(self.spec.rotation_step_rad * action[:, 3:])
        turned = quaternion_multiply(turn, gripper_pose[:, 3:])
        inward = -gripper_pose[:, :2] / np.maximum(norm(gripper_pose[:, :2]), _TINY)[:, None]
        best = position
        best_margin = np.full(len(action), -np.inf)
        for draw_m, lower_m in _RETREATS_M:
            shift = np.concatenate([draw_m * inward, np.full((len(action), 1), -lower_m)], axis=-1)
            margin = reach_margin(np.concatenate([gripper_pose[:, :3] + position + shift, turned], axis=-1))
            better = (best_margin < REACH_LEFT_M) & (margin > best_margin)
            best = np.where(better[:, None], position + shift, best)
            best_margin = np.where(better, margin, best_margin)
        limited = np.clip(best / self.spec.position_step_m, -1.0, 1.0)
        return np.concatenate([limited, action[:, 3:]], axis=-1)

    def _displacement(self, seen: ObservedKeypoints) -> tuple[np.ndarray, np.ndarray]:
        if self.parameters.grasp:
            return carry(seen, self.parameters, self.spec)
        how = push_tall if self.parameters.lean_rad else push
        return how(seen, self.parameters, self.spec)

    def save(self, path: str | Path) -> None:
        """Write the parameters as a policy file."""
        save_policy(path, "waypoint", self.spec, {"none": np.zeros(1)}, {"parameters": asdict(self.parameters)})


@dataclass(frozen=True)
class WaypointLearner:
    """Makes a WaypointPolicy from a scene and a goal; nothing is trained."""

    def learn(
        self,
        scene: Scene,
        goal: Goal,
        *,
        stage: int = 1,
        init: Policy | None = None,
        seed: int = 0,
        report: Report | None = None,
        grasp: Grasp | None = None,
    ) -> Learned:
        """The rule for one stage, from the scene and the goal alone: the other arguments do not matter to it."""
        parameters = waypoint_parameters(scene, goal)
        return Learned(WaypointPolicy(parameters, spec_of(scene)), doubt=no_room(scene, goal, parameters))
