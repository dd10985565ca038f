"""Worlds made of metal, and emulated ones: reached by the ids of their environments and by nothing else.

task, "real" and a robot.yaml | "lab" and a clock  ->  robot_world  ->  World
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import gymnasium as gym

import iker_envs
from iker_envs.world import World

Operator = Callable[[str], bool]
"""Shows a person what the table should look like; True when it does, False when it will not."""


def robot_world(
    task: str, world: str, real: str, clock: float, seed: int, operator: Operator | None = None, **make: Any
) -> World:
    """The world of a robot (`world` "real", described by the file `real`) or of a laboratory of its own ("lab").

    `task` is a name or a path; `make` are other arguments of the environment. ValueError for what cannot be,
    ModuleNotFoundError with the pip line if the robot's libraries are missing, WorldFault if nothing answers.
    """
    ids = {name: id_ for id_, name in iker_envs.REAL_IDS.items() if name}
    named: dict[str, Any] = {} if task in ids else {"task": task}
    where: dict[str, Any] = {"real": "lab", "clock": clock} if world == "lab" else {"real": real}
    made = gym.make(
        ids.get(task, "IKER-Stage-Real-v0"),
        seed=seed,
        operator=operator,
        disable_env_checker=True,  # it would step a robot
        **named,
        **where,
        **make,
    )
    return cast(World, made.unwrapped)
