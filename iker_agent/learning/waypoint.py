"""The waypoint learner: straight pushes and carries with simple feedback, under the same spec as a trained policy.

    learn(scene, goal)  ->  Learned(WaypointPolicy)  ->  act(observations)  ->  actions

It needs no training: expert, named baseline, and what makes tests of the whole loop run in seconds. A waypoint policy
is a function of the observation alone plus a few lengths of the scene, so it recovers when the object is moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from iker_agent.learning.learner import Learned, Report
from iker_agent.learning.policy import Policy, save_policy
from iker_agent.learning.stored import stored_fields
from iker_agent.learning.waypoint_parameters import WaypointParameters, waypoint_parameters
from iker_agent.learning.waypoint_push import push, turn_left
from iker_agent.learning.waypoint_tall import push_tall
from iker_envs.geometry import norm
from iker_envs.scene import Goal, Grasp, Scene
from iker_envs.spec import ObservedKeypoints, Spec, spec_of, unpack_keypoints

_NEAR_M = 0.02  # horizontal distance at which a carried object is lowered
_TURNED_RAD = np.deg2rad(12.0)  # a carried object is lowered once it is turned so far
_LIFT_M = 0.015  # an object further than this under the carrying height is lifted before it moves across


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
        later = ("third_half_m", "lean_rad")  # files written before these were known hold low, wide objects
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
        return (action / np.maximum(scale, 1.0)).astype(np.float32)

    def _displacement(self, seen: ObservedKeypoints) -> tuple[np.ndarray, np.ndarray]:
        if self.parameters.grasp:
            return self._carry(seen)
        how = push_tall if self.parameters.lean_rad else push
        return how(seen, self.parameters, self.spec)

    def _carry(self, seen: ObservedKeypoints) -> tuple[np.ndarray, np.ndarray]:
        """Lift straight up, move across, lower; turn on the way. Displacements (N, 3) and rotation vectors (N, 3)."""
        gripper = seen.gripper_pose[:, :3]
        centre = seen.targets_m.mean(axis=1)
        turn = turn_left(seen)
        # the object turns about the tool centre: where it would be once turned
        arm = seen.object_pose[:, :3] - gripper
        turned = gripper + Rotation.from_rotvec(turn).apply(arm)
        error = centre - turned
        across = norm(error[:, :2])
        height = self.parameters.carry_height_m - seen.object_pose[:, 2]
        away = (across > _NEAR_M) | (norm(turn) > _TURNED_RAD)
        lift = away & (height > _LIFT_M)
        error[:, 2] = np.where(away, height, error[:, 2])
        error[lift, :2] = 0.0
        return error, np.where(lift[:, None], 0.0, turn)

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
        return Learned(WaypointPolicy(waypoint_parameters(scene, goal), spec_of(scene)))
