"""What the worlds of a stage remember of their present episodes, beside physics: goals, commands and counters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import Array
from iker_envs.scene import Goal
from iker_envs.spec import NUM_KEYPOINTS
from iker_envs.stage.arrays import Arrays, copied

_ON_HOST = ("goals", "configuration", "furniture_pose", "grasped")  # what no tick needs

_OF_TICKS = (
    "object_index",
    "local_m",
    "target_pose",
    "targets_m",
    "start_pose",
    "held_offset_m",
    "success_steps",
    "error_m",
)


@dataclass(eq=False)
class Episode:
    """The present episode of each of N worlds; poses and points in the base frame, metres.

    O objects, F pieces of furniture and K control keypoints. What ticks need is where their arrays are.
    """

    goals: list[Goal]  # N of them
    object_index: Array  # (N,) int, the goal's object among the O
    local_m: Array  # (N, K, 3) its control keypoints in its body frame
    target_pose: Array  # (N, 7) where it should go
    targets_m: Array  # (N, K, 3) where its control keypoints should go
    configuration: np.ndarray  # (N,) int, which of the source's arrangements the world holds
    furniture_pose: np.ndarray  # (N, F, 7)
    tops: Array  # (N, B, 9) of the furniture, see planning/fingertips.py
    start_pose: Array  # (N, O, 7) of the objects when the episode began
    grasped: np.ndarray  # (N,) bool, did the hand hold the object when the episode began?
    held_offset_m: Array  # (N, 3) the object's centre in the end-effector frame when the episode began
    commanded_pose: Array  # (N, 7) of the end effector
    opening_command_m: Array  # (N,) of the fingers
    step_count: Array  # (N,) int, ticks since the episode began
    success_steps: Array  # (N,) int, consecutive ticks near the target
    error_m: Array  # (N,) what the alignment reward goes by, at the last tick

    @classmethod
    def allocate(cls, num_worlds: int, num_objects: int, furniture_pose: np.ndarray, goal: Goal) -> Episode:
        """Room for the episodes of N worlds that hold furniture (F, 7) and have one goal; nothing has begun yet.

        In memory the worlds lie side by side, in what every tick takes apart into components.
        """
        return cls(
            goals=[goal] * num_worlds,
            object_index=np.zeros(num_worlds, dtype=int),
            local_m=np.zeros((num_worlds, NUM_KEYPOINTS, 3), order="F"),
            target_pose=np.zeros((num_worlds, 7), order="F"),
            targets_m=np.zeros((num_worlds, NUM_KEYPOINTS, 3), order="F"),
            configuration=np.zeros(num_worlds, dtype=int),
            furniture_pose=np.tile(furniture_pose, (num_worlds, 1, 1)),
            tops=np.zeros((num_worlds, 0, 9)),
            start_pose=np.zeros((num_worlds, num_objects, 7), order="F"),
            grasped=np.zeros(num_worlds, dtype=bool),
            held_offset_m=np.zeros((num_worlds, 3), order="F"),
            commanded_pose=np.zeros((num_worlds, 7)),
            opening_command_m=np.zeros(num_worlds),
            step_count=np.zeros(num_worlds, dtype=int),
            success_steps=np.zeros(num_worlds, dtype=int),
            error_m=np.zeros(num_worlds),
        )

    def of_ticks(self, rows: Array | slice = slice(None)) -> dict[str, Array]:
        """What ticks read of worlds (M,), all of them by default, by name; not copied for all."""
        return {name: getattr(self, name)[rows] for name in _OF_TICKS}

    def copy(self) -> Episode:
        """The same with arrays of its own."""
        return Episode(**{name: copied(values) for name, values in vars(self).items()})

    def put(self, arrays: Arrays) -> Episode:
        """The same where the arrays of ticks are."""
        there = {name: v if name in _ON_HOST else arrays.put(v) for name, v in vars(self).items()}
        return Episode(**there)
