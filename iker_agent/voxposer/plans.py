"""The plan that VoxPoser is given, and human-written programs of value maps, for the tasks that have them.

task, configuration  ->  plan_of  ->  PlanStep(step, program), ...        cfg/value_maps.yaml

AnnotatedMaps answers with these programs, in the place of a model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from iker_agent.backends import make_vlm
from iker_agent.config import RunConfig
from iker_agent.vlm.types import VLM, Reply, Request
from iker_envs.documents import read_document
from iker_envs.task import Task

STAGE = "stage"  # the attachment that says which stage of the plan a request is about, counted from 0


@dataclass(frozen=True)
class PlanStep:
    """A stage of the plan: what a model is told to do, and a program that a human wrote for it."""

    step: str
    program: str


class AnnotatedMaps:
    """Answers with the human-written program of the stage that it is asked about."""

    corrects = False

    def __init__(self, plan: Sequence[PlanStep]) -> None:
        self.plan = tuple(plan)

    def complete(self, request: Request) -> Reply:
        """The program of the stage."""
        start = time.monotonic()
        program = self.plan[request.attachments[STAGE]].program
        return Reply(f"```python\n{program.rstrip()}\n```\n", "annotated", seconds=time.monotonic() - start)


def make_maps_vlm(config: RunConfig, task: Task) -> VLM:
    """Who writes a run's programs of value maps; ValueError if nobody can, or if the task has no plan."""
    plan = plan_of(task, config.configuration)
    return AnnotatedMaps(plan) if config.vlm == "annotated" else make_vlm(config, task)


def plan_of(task: Task, configuration: int) -> tuple[PlanStep, ...]:
    """The plan of a task's configuration; ValueError if none was written for the task."""
    plans = _plans()
    stages = task.configuration(configuration).stages
    if task.name not in plans:
        known = ", ".join(sorted(plans))
        raise ValueError(f"VoxPoser is given its plan, and none is written for {task.name}; there are: {known}")
    return tuple(_filled(step, stage.goal) for step, stage in zip(plans[task.name], stages, strict=True))


def _filled(step: dict[str, str], goal: Any) -> PlanStep:
    x, y, z = (f"{v:g}" for v in goal.position_m)
    values = {"x": x, "y": y, "z": z, "object": goal.object, "relative_to": goal.relative_to}
    return PlanStep(*(Template(step[key]).substitute(values) for key in ("step", "program")))


@cache
def _plans() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = read_document(str(files("iker_cfg").joinpath("value_maps.yaml")))
    return found
