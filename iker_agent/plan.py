"""What a run is going to do, resolved once from its settings.

make_plan(config)  ->  Plan(config, task, configuration, instruction, disturbance)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from iker_agent.config import RunConfig
from iker_agent.disturb import Disturbance, load_disturbance
from iker_agent.learning.forecast import ForecastSettings
from iker_envs.randomisation import as_randomisation
from iker_envs.task import Task, load_task


@dataclass(frozen=True, eq=False)
class Plan:
    """A run's settings, and what they name: the task, which of its arrangements, what to do, what will happen to it.

    Instruction and arrangement change in the course of a run when people change their mind (`retold`); the settings
    and the task stay.
    """

    config: RunConfig
    task: Task
    configuration: int
    instruction: str
    disturbance: Disturbance | None = None

    @property
    def is_annotated(self) -> bool:
        """Is the instruction the task's own, so that the task's annotation says where things should be?"""
        return self.instruction == self.task.configuration(self.configuration).instruction

    @property
    def criterion(self) -> str:
        """What success is, as the task says it; empty where nearness to the annotation or nothing judges."""
        return self.task.configuration(self.configuration).success if self.is_annotated else ""

    def retold(self, configuration: int) -> Plan:
        """The plan with the instruction of another configuration of the task."""
        instruction = self.task.configuration(configuration).instruction
        return replace(self, configuration=configuration, instruction=instruction)


def make_plan(config: RunConfig) -> Plan:
    """The plan of a run; ValueError if there is no such task, configuration or disturbance, or if they do not fit."""
    disturbance, task = _disturbed(config) if config.disturb else (None, load_task(config.task))
    of_the_task = task.configuration(config.configuration).instruction
    return Plan(config, task, config.configuration, config.instruction or of_the_task, disturbance)


def forecast_settings(plan: Plan) -> ForecastSettings:
    """How a stage of the plan is tried in copies: as it would be carried out and counted."""
    config = plan.config
    return ForecastSettings(
        act_above=config.run.act_above,
        max_copies=config.run.max_copies,
        noise=config.perception.noise,
        randomisation=as_randomisation(config.randomisation),
        episode_s=plan.task.episode_s,
        strict=config.run.strict,
    )


def _disturbed(config: RunConfig) -> tuple[Disturbance, Task]:
    """The disturbance and the task that it plays in; ValueError if another task is asked for beside that."""
    disturbance, task = load_disturbance(config.disturb)
    if config.task not in (RunConfig.task, task.name):
        raise ValueError(f"the disturbance {config.disturb} plays in the task {task.name}; leave out --task")
    return disturbance, task
