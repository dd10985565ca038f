"""From the keyword arguments of an environment to the objects that run it.

task | scene + goal, randomisation  ->  make_source  ->  make_stage  ->  StageWorlds
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from iker_envs.contract import Contract
from iker_envs.randomisation import Randomisation
from iker_envs.rewards import RewardConfig
from iker_envs.scene import Goal, Scene
from iker_envs.spec import spec_of
from iker_envs.stage import StageConfig, StageWorlds
from iker_envs.starts import FixedStart, StartSource
from iker_envs.task import Task, TaskStart, load_task


def make_source(
    task: Any, scene: Any, goal: Any, randomisation: Any, stage_index: int = 0
) -> tuple[Task | None, StartSource, Randomisation]:
    """The task (or None), where episodes come from, and the randomisation."""
    ranges = as_randomisation(randomisation)
    if (task is None) == (scene is None):
        raise ValueError("an environment is made from a task, or from a scene and a goal; give one of the two")
    if task is not None:
        loaded = task if isinstance(task, Task) else load_task(task)
        stages = min(len(c.stages) for c in loaded.configurations)
        if not isinstance(stage_index, (int, np.integer)) or not 0 <= stage_index < stages:
            raise ValueError(f"stage_index {stage_index!r} does not exist; {loaded.name} has 0 to {stages - 1}")
        return loaded, TaskStart(loaded, int(stage_index)), ranges
    if stage_index:
        raise ValueError(f"stage_index {stage_index!r} is for tasks; a scene with a goal is one stage")
    if goal is None:
        raise ValueError("a scene needs a goal; goal={'object': ..., 'target_pose': [x, y, z, qw, qx, qy, qz]}")
    scene, goal = as_contract(Scene, scene), as_contract(Goal, goal)
    try:
        target = scene.object(goal.object)
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    if not target.movable:
        raise ValueError(f"the goal's object {goal.object!r} is furniture; movable: {', '.join(scene.movable)}")
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
    if num_worlds < 1:
        raise ValueError(f"num_envs is at least 1, not {num_worlds}")
    if not episode_s > 0:
        raise ValueError(f"episode_s is a time above 0 s, not {episode_s!r}")
    known = [f.name for f in fields(RewardConfig)]
    if unknown := [name for name in rewards or {} if name not in known]:
        raise ValueError(f"the rewards have no {unknown[0]!r}; they have: {', '.join(known)}")
    if free not in ("near", "all"):
        raise ValueError(f"free is 'near' or 'all', not {free!r}")
    config = StageConfig(
        spec=spec_of(source.scene, observation),
        rewards=RewardConfig(**(rewards or {})),
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
    if configuration is not None and not (
        isinstance(configuration, (int, np.integer)) and 0 <= int(configuration) < known
    ):
        raise ValueError(f"configuration {configuration!r} does not exist; there are 0 to {known - 1}")


def as_contract(kind: type[Contract], value: Any) -> Any:
    """A contract from itself, its dictionary, or the path of a JSON or YAML file."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, (str, Path, Mapping)):
        raise ValueError(f"a {kind.__name__.lower()} is given as itself, as a mapping or as a file, not as {value!r}")
    if isinstance(value, (str, Path)):
        text = Path(value).read_text()
        value = json.loads(text) if str(value).endswith(".json") else yaml.safe_load(text)
    return kind.from_dict(value)


def as_randomisation(value: Any) -> Randomisation:
    """A Randomisation from itself, its ranges, "on", "off", "all" or None (the default ranges)."""
    if value is None or value == "on":
        return Randomisation()
    if isinstance(value, Randomisation):
        return value
    if value == "off":
        return Randomisation.off()
    if value == "all":
        return Randomisation.all()
    if isinstance(value, Mapping):
        return Randomisation(dict(value.get("ranges", value)))
    if isinstance(value, (str, Path)) and Path(value).exists():
        return as_randomisation(yaml.safe_load(Path(value).read_text()))
    raise ValueError(f"randomisation is 'on', 'off', 'all', a file or a mapping of ranges, not {value!r}")
