"""IKER environments: `import iker_envs` registers the ids and loads neither torch nor mujoco.

    gym.make("IKER-ShoePlace-v0")                     one world, a gymnasium.Env
    gym.make_vec("IKER-ShoePlace-v0", num_envs=512)   many worlds on CPU threads, a gymnasium VectorEnv
    gym.make("IKER-Stage-v0", scene=..., goal=...)    any scene and goal
    gym.make_vec(id, num_envs=512, **TRAINING)        many worlds that are quick to begin anew
    gym.make("IKER-ShoePlace-Real-v0", real="robot.yaml")   the same on an xArm7; real="lab" on an emulated one

`gym.make("iker_envs:IKER-ShoePlace-v0")` imports this module by itself. The ids of the tasks in the folders of the
environment variable IKER_TASKS are registered too.
"""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym

TASKS = {
    "IKER-ShoePlace-v0": "shoe_place",
    "IKER-ShoePush-v0": "shoe_push",
    "IKER-BookPush-v0": "book_push",
    "IKER-BookReorient-v0": "book_reorient",
    "IKER-ShoeRack-v0": "shoe_rack",
    "IKER-BookStow-v0": "book_stow",
}
IDS = ("IKER-Stage-v0", *TASKS)
REAL_IDS = {id_.replace("-v0", "-Real-v0"): task for id_, task in TASKS.items()} | {"IKER-Stage-Real-v0": ""}
USER_TASKS: dict[str, str] = {}  # id -> path of the task's file, of those in the folders of IKER_TASKS
# What makes episodes of many worlds cheap: neighbours that the task does not touch are welded, and every world repeats
# a few grasped states and starts of its own instead of making new ones.
TRAINING: dict[str, Any] = {"free": "near", "grasp_bank": 4, "start_bank": 32}


def _register(env_id: str, **arguments: str) -> None:
    """Make an id known to gymnasium, in both forms.

    There is no max_episode_steps: the environments keep the time limit themselves, alike in both forms.
    """
    gym.register(
        env_id,
        entry_point="iker_envs.env:StageEnv",
        vector_entry_point="iker_envs.vector_env:StageVectorEnv",
        kwargs=arguments,
    )


for _id in IDS:
    if _id not in gym.registry:
        _register(_id, **({"task": TASKS[_id]} if _id in TASKS else {}))

for _id, _task in REAL_IDS.items():
    if _id not in gym.registry:
        gym.register(_id, entry_point="real_env.entry:make_world", kwargs={"task": _task} if _task else {})

if os.environ.get("IKER_TASKS"):
    from iker_envs.user_tasks import user_tasks

    USER_TASKS, _ = user_tasks()  # `iker tasks` says which ids cannot be used
    for _id, _path in USER_TASKS.items():
        _register(_id, task=_path)
