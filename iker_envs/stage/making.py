"""From the keyword arguments of an environment to what a Stage is made of.

    task | scene + goal, randomisation  ->  make_source  ->  source      other arguments  ->  make_config  ->  config

Both forms of the environment check their arguments and the options of their resets here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from iker_envs.contract import as_contract, check_number, is_whole
from iker_envs.physics.transfer import check_at_rest
from iker_envs.randomisation import Randomisation, as_randomisation
from iker_envs.rewards import RewardConfig
from iker_envs.scene import Goal, Scene
from iker_envs.spec import spec_of
from iker_envs.stage.config import StageConfig
from iker_envs.stage.starts import FixedStart, StartSource, TaskStart
from iker_envs.task import Task, check_episode_time, load_task

_EPISODE_S = 6.0  # time limit where neither the arguments nor a task say one
_PLAIN = (
    "free",
    "grasp_bank",
    "start_bank",
    "num_threads",
)  # arguments that are fields of the configuration as they are


def make_source(
    task: Any, scene: Any, goal: Any, randomisation: Any, stage_index: int = 0
) -> tuple[Task | None, StartSource, Randomisation]:
    """The task (or None), where episodes come from, and the randomisation; ValueError for what cannot be."""
    ranges = as_randomisation(randomisation)
    if (task is None) == (scene is None):
        raise ValueError("an environment is made from a task, or from a scene and a goal; give one of the two")
    if task is not None:
        if goal is not None:
            raise ValueError("a task has its own goals; give scene and goal without a task, or goals to reset()")
        loaded = _as_task(task)
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


def _as_task(task: Any) -> Task:
    """A task from itself, its name or the path of its file."""
    if isinstance(task, Task):
        return task
    if not isinstance(task, (str, Path)):
        raise ValueError(f"a task is given by its name or as a file, not as {task!r}")
    return load_task(task)


def make_config(
    source: StartSource,
    task: Task | None = None,
    *,
    observation: str = "keypoints",
    episode_s: float | None = None,
    rewards: Mapping[str, float] | None = None,
    **plain: Any,
) -> StageConfig:
    """The configuration of a stage from the keyword arguments that both forms of the environment share.

    `plain` are fields of StageConfig. ValueError for a value that cannot be, TypeError for an argument that is unknown.
    """
    if unknown := [name for name in plain if name not in _PLAIN]:
        known = ", ".join(("observation", "episode_s", "rewards", *_PLAIN))
        raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}; beside scene and goal there are: {known}")
    spec = spec_of(source.scene, observation)
    max_steps = round(_episode_time(episode_s, task) * spec.control_hz)
    return StageConfig(spec=spec, rewards=_reward_config(rewards), max_steps=max_steps, **plain)


def _episode_time(episode_s: Any, task: Task | None) -> float:
    """The time limit in seconds: as asked for, else the task's, else 6 s."""
    if episode_s is not None:
        return check_episode_time(episode_s)
    return _EPISODE_S if task is None else task.episode_s


def _reward_config(rewards: Any) -> RewardConfig:
    """The default rewards with some fields changed."""
    if rewards is not None and not isinstance(rewards, Mapping):
        raise ValueError(f"rewards is a mapping from fields of RewardConfig to numbers, not {rewards!r}")
    known = [f.name for f in fields(RewardConfig)]
    if unknown := [name for name in rewards or {} if name not in known]:
        raise ValueError(f"the rewards have no {unknown[0]!r}; they have: {', '.join(known)}")
    for name, value in (rewards or {}).items():
        check_number(f"rewards[{name!r}]", value)
    return RewardConfig(**(rewards or {}))


def check_configuration(configuration: Any, source: StartSource) -> None:
    """ValueError unless it is None or one of the source's arrangements."""
    known = source.num_configurations
    if configuration is not None and not (is_whole(configuration) and 0 <= int(configuration) < known):
        raise ValueError(f"configuration {configuration!r} does not exist; there are 0 to {known - 1}")


def check_options(options: Any, known: Sequence[str]) -> dict[str, Any]:
    """The options of a reset as a dictionary; ValueError names one that is unknown."""
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"reset options are a mapping with {', '.join(known)}, not {options!r}")
    if unknown := [k for k in options or {} if k not in known]:
        raise ValueError(f"reset option {unknown[0]!r} is unknown; known: {', '.join(known)}")
    return dict(options or {})
