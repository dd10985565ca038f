"""From the keyword arguments of an environment to what a Stage is made of.

    task | scene + goal, randomisation  ->  make_source  ->  source      other arguments  ->  make_config  ->  config

Both forms of the environment check their arguments and the options of their resets here.
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
from iker_envs.stage.config import StageConfig
from iker_envs.stage.starts import FixedStart, StartSource, TaskStart
from iker_envs.task import Task, check_episode_time, load_task, parse_task

_EPISODE_S = 6.0  # time limit where neither the arguments nor a task say one
_MAX_VIEW_PX = 4096
_NO_LIMIT = -1  # `max_episode_steps` of gymnasium.make for "none but the environment's own"
_PLAIN = (
    "free",
    "grasp_bank",
    "start_bank",
    "num_threads",
    "sim",
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
        stages = min((len(c.stages) for c in loaded.configurations), default=0)
        if stages == 0:
            raise ValueError(f"the task {loaded.name} has a configuration without stages, or no configuration")
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
    """A task from itself, its name, the path or the content of its file, or its `to_dict()`."""
    if isinstance(task, Task):
        return task
    if isinstance(task, Mapping):
        return Task.from_dict(task) if "models" in task else parse_task(task)
    if not isinstance(task, (str, Path)):
        raise ValueError(f"a task is given as itself, as a mapping, by its name or as a file, not as {task!r}")
    return load_task(task)


def make_config(
    source: StartSource,
    task: Task | None = None,
    *,
    observation: str = "keypoints",
    episode_s: float | None = None,
    max_episode_steps: int | None = None,
    rewards: Mapping[str, float] | None = None,
    **plain: Any,
) -> StageConfig:
    """The configuration of a stage from the keyword arguments that both forms of the environment share.

    `plain` are fields of StageConfig. ValueError for a value that cannot be, TypeError for an argument that is unknown.
    """
    if unknown := [name for name in plain if name not in _PLAIN]:
        known = ", ".join(("observation", "episode_s", "max_episode_steps", "rewards", *_PLAIN))
        raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}; beside scene and goal there are: {known}")
    spec = spec_of(source.scene, observation)
    max_steps = _max_steps(episode_s, max_episode_steps, task, spec.control_hz)
    return StageConfig(spec=spec, rewards=RewardConfig.changed(rewards), max_steps=max_steps, **plain)


def _max_steps(episode_s: Any, max_episode_steps: Any, task: Task | None, control_hz: float) -> int:
    """The time limit in ticks: the earlier one of those that are asked for, else the task's, else 6 s."""
    limits = []
    if episode_s is not None:
        limits.append(round(check_episode_time(episode_s) * control_hz))
    if max_episode_steps is not None and max_episode_steps != _NO_LIMIT:
        limits.append(check_whole("max_episode_steps", max_episode_steps, 1))
    own_s = _EPISODE_S if task is None else task.episode_s
    return min(limits, default=round(own_s * control_hz))


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


def check_view_size(size: Any) -> tuple[int, int] | None:
    """Width and height of pictures in pixels, from 1 to 4096 each, or None; ValueError for anything else."""
    if size is None:
        return None
    fits = isinstance(size, Sequence) and len(size) == 2 and all(is_whole(v) and 0 < v <= _MAX_VIEW_PX for v in size)
    if not fits:
        raise ValueError(f"view_size is a width and a height from 1 to {_MAX_VIEW_PX} pixels, or None, not {size!r}")
    return int(size[0]), int(size[1])
