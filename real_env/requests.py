"""What a reset of a robot's world asks for, checked before anything moves.

seed, options, template, task  ->  read_request  ->  Request, or ValueError with one sentence
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from iker_envs.contract import as_contract, check_fields, is_whole
from iker_envs.documents import shown
from iker_envs.planning.grasps import check_grasp
from iker_envs.scene import Goal, Grasp, Scene
from iker_envs.spec import check_target

_OPTIONS = ("configuration", "goal", "grasp", "look", "world")


@dataclass(frozen=True, eq=False)
class Request:
    """How the next episode begins; `goal` None for the task's own, `configuration` None for a random one."""

    new: bool
    look: bool
    configuration: int | None
    goal: Goal | None
    grasp: Grasp | None


def read_request(
    seed: int | None,
    options: Mapping[str, Any] | None,
    template: Scene,
    workspace_m: np.ndarray,
    num_configurations: int,
) -> Request:
    """The request of `reset(seed=, options=)`; ValueError for what cannot be."""
    given = dict(options or {})
    check_fields("options", given, _OPTIONS)
    world = given.get("world", "new")
    if world not in ("new", "keep"):
        raise ValueError(f"options['world'] is 'new' or 'keep', not {shown(world)}")
    look = given.get("look", False)
    if not isinstance(look, (bool, np.bool_)):
        raise ValueError(f"options['look'] is True or False, not {shown(look)}")
    if world == "keep":
        if seed is not None or "configuration" in given or look:
            raise ValueError("a kept world stays as it is: seed, configuration and look need options['world'] = 'new'")
        return Request(False, False, None, *_stage(given, template, workspace_m))
    if "goal" in given or "grasp" in given:
        raise ValueError("options['goal'] and ['grasp'] need options['world'] = 'keep': a new world has its own goal")
    index = given.get("configuration")
    if index is not None and not (is_whole(index) and 0 <= index < num_configurations):
        raise ValueError(f"configuration {shown(index)} does not exist; there are 0 to {num_configurations - 1}")
    return Request(True, bool(look), None if index is None else int(index), None, None)


def _stage(given: dict[str, Any], template: Scene, workspace_m: np.ndarray) -> tuple[Goal | None, Grasp | None]:
    goal = as_contract(Goal, given["goal"]) if given.get("goal") is not None else None
    grasp = as_contract(Grasp, given["grasp"]) if given.get("grasp") is not None else None
    if goal is not None:
        if goal.object not in template.movable:
            movable = ", ".join(template.movable)
            raise ValueError(f"the goal's object {goal.object!r} is not movable; movable: {movable}")
        check_target(goal, template)
    if grasp is not None:
        check_grasp(grasp, workspace_m)
    return goal, grasp
