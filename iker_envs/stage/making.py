"""From the keyword arguments of an environment to the objects that run it.

task | scene + goal, randomisation  ->  make_source  ->  make_stage  ->  StageWorlds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iker_envs.contract import as_contract, check_whole, is_whole
from iker_envs.physics.transfer import check_at_rest
from iker_envs.randomisation import Randomisation, as_randomisation
from iker_envs.rewards import RewardConfig
from iker_envs.scene import Goal, Scene
from iker_envs.spec import spec_of
from iker_envs.stage.starts import FixedStart, StartSource, TaskStart
from iker_envs.stage.worlds import StageConfig, StageWorlds
from iker_envs.task import Task, check_episode_time, load_task


def make_source(
    task: Any, scene: Any, goal: Any, randomisation: Any, stage_index: int = 0
) -> tuple[Task | None, StartSource, Randomisation]:
    """The task (or None), where episodes come from, and the randomisation."""
    ranges = as_randomisation(randomisation)
    if (task is None) == (scene is None):
        raise ValueError("an environment is made from a task, or from a scene and a goal; give one of the two")
    if task is not None:
        if goal is not None:
            raise ValueError("a task has its own goals; give scene and goal without a task, or goals to reset()")
        if not isinstance(task, (Task, str, Path)):
            raise ValueError(f"a task is given by its name or as a file, not as {task!r}")
        loaded = task if isinstance(task, Task) else load_task(task)
        stages = min(len(c.stages) for c in loaded.configurations)
        if not is_whole(stage_index) or not 0 <= stage_index < stages:
            raise ValueError(f"stage_index {stage_index!r} does not exist; {loaded.name} has 0 to {stages - 1}")
        return loaded, TaskStart(loaded, int(stage_index)), ranges
    if stage_index:
        raise ValueError(f"stage_index {stage_index!r} is for tasks; a scene with a goal is one stage")
    if goal is None:
        raise ValueError("a scene needs a goal; goal={'object': ..., 'target_pose': [x, y, z, qw, qx, qy, qz]}")
    scene = as_contract(Scene, scene)
    goal = as_contract(Goal, goal)
    try:
        target = scene.object(goal.object)
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    if not target.movable:
        raise ValueError(f"the goal's object {goal.object!r} is furniture; movable: {', '.join(scene.movable)}")
    check_at_rest(scene)
    return None, FixedStart(scene, goal, ranges), ranges


def make_stage(
    source: StartSource,
    num_worlds: int,
    randomisation: Randomisation,
    *,
    observation: str = "keypoints",
    episode_s: float = 6.0,
    free: str = "near",
    rewards: Mapping[str, float] | None = None,
    num_threads: int = 0,
    grasp_bank: int = 4,
    start_bank: int = 32,
) -> StageWorlds:
    """N worlds of a source."""
    check_whole("num_threads", num_threads, 0)
    if free not in ("near", "all"):
        raise ValueError(f"free is 'near' or 'all', not {free!r}")
    config = StageConfig(
        spec=spec_of(source.scene, observation),
        rewards=RewardConfig.changed(rewards),
        episode_s=float(episode_s),
        free=free,
        grasp_bank=grasp_bank,
        start_bank=start_bank,
        num_threads=num_threads,
    )
    return StageWorlds(source, num_worlds, config, randomisation)


def check_configuration(configuration: Any, source: StartSource) -> None:
    """ValueError unless it is None or one of the source's arrangements."""
    known = source.num_configurations
    if configuration is not None and not (is_whole(configuration) and 0 <= int(configuration) < known):
        raise ValueError(f"configuration {configuration!r} does not exist; there are 0 to {known - 1}")


def episode_time(episode_s: Any, task: Task | None) -> float:
    """The time limit in seconds: as asked for, else the task's, else 6 s."""
    if episode_s is None:
        return task.episode_s if task is not None else StageConfig.episode_s
    return check_episode_time(episode_s)


def check_options(options: Any, known: Sequence[str]) -> dict[str, Any]:
    """The options of a reset as a dictionary; ValueError names one that is unknown."""
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"reset options are a mapping with {', '.join(known)}, not {options!r}")
    if unknown := [k for k in options or {} if k not in known]:
        raise ValueError(f"reset option {unknown[0]!r} is unknown; known: {', '.join(known)}")
    return dict(options or {})
