"""A simulated world in which tests move the hand by script: objects are put somewhere, the hand is led along points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from iker_envs.env import StageEnv
from iker_envs.planning.grasps import propose_grasps
from iker_envs.scene import Goal, Grasp, Outcome, upright_pose

TASK = {
    "name": "scripted",
    "id": "IKER-Scripted-v0",
    "description": "Things of every kind around a rack.",
    "workspace_m": [[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]],
    "instruction": "Move something",
    "objects": {
        "rack": {"model": "low_rack", "position_m": [0.62, 0.0, 0.0], "movable": False},
        "box": {"model": "shoe_box", "stands_on": "rack", "position_m": [0.62, 0.0, 0.0]},
        "left": {"model": "sneaker_left", "position_m": [0.33, 0.20, 0.0]},
        "right": {"model": "sneaker_right", "position_m": [0.33, -0.15, 0.0]},
        "book": {"model": "book_red", "position_m": [0.26, -0.40, 0.0]},
    },
    "stages": [{"goal": {"object": "left", "relative_to": "rack", "position_m": [0, 0.2, 0.1]}}],
}
_FULL_SCALE_M = 0.03  # of an action along an axis, in a tick


class ScriptedWorld:
    """One world, made once; `begin` puts everything back where it stands in TASK."""

    def __init__(self) -> None:
        self.env = StageEnv(task=TASK, randomisation="off", episode_s=8.0)
        self.hand = np.zeros(3)
        self.ticks = 0

    def begin(self, poses: Mapping[str, np.ndarray] | None = None) -> None:
        """A new world, with some objects at other poses (7,)."""
        self.env.reset(seed=0, options={"look": True})
        for name, pose in (poses or {}).items():
            self.env.move(name, pose)

    def pose(self, name: str) -> np.ndarray:
        """Where an object is now (7,)."""
        return np.array(self.env.scene.object(name).pose)

    def goal(self, name: str, shift_m: Sequence[float], yaw_rad: float | None = None, *, grasp: bool = False) -> Goal:
        """An object should go so far from where it is; with a yaw, upright as well."""
        pose = self.pose(name)
        position = pose[:3] + np.array(shift_m)
        target = np.array([*position, *pose[3:]]) if yaw_rad is None else upright_pose(position, yaw_rad)
        return Goal(name, target, grasp=grasp)

    def keep(self, goal: Goal, grasp: Grasp | None = None) -> None:
        """Begin a stage."""
        observation, _ = self.env.reset(options={"world": "keep", "goal": goal, "grasp": grasp})
        self.hand = observation[:3].astype(float)
        self.ticks = 0

    def grasp(self, name: str, target: np.ndarray | None = None) -> Grasp:
        """The best grasp of an object."""
        return propose_grasps(self.env.scene, name, target).grasps[0]

    def lead(self, *points_m: Sequence[float], tilt: Sequence[float] = (0, 0, 0), until_lost: bool = True) -> None:
        """Move the hand in straight lines over points (3,) of the base frame; `tilt` is the rotation of each action."""
        for point in points_m:
            for _ in range(25):
                way = np.array(point) - self.hand
                if np.linalg.norm(way) < 0.004:
                    break
                step = way * min(1.0, _FULL_SCALE_M / np.abs(way).max())
                _, _, lost, _, _ = self.env.step(np.array([*(step / _FULL_SCALE_M), *tilt]))
                self.hand = self.env.worlds.episode.commanded_pose[0, :3].copy()  # on a leash, when something stops it
                self.ticks += 1
                if lost and until_lost:
                    return

    def wait(self, ticks: int) -> None:
        """Do nothing."""
        for _ in range(ticks):
            self.env.step(np.zeros(6))
            self.ticks += 1

    def finish(self) -> Outcome:
        """Let go and measure."""
        return self.env.finish()
