"""What a run is going to do, resolved once from its settings.

make_plan(config)  ->  Plan(config, task, configuration, instruction, disturbance, success)
plan.judge(scene now, scene at the start)  ->  Verdict, or None where nothing can tell
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from iker_agent.config import RunConfig
from iker_agent.disturb import Disturbance, load_disturbance
from iker_agent.learning.forecast import ForecastSettings
from iker_envs.documents import read_document, shown
from iker_envs.judging.expression import Criterion, Verdict, parse
from iker_envs.judging.relations import CONDITIONS
from iker_envs.randomisation import as_randomisation
from iker_envs.scene import Scene
from iker_envs.task import Task, load_task
from iker_envs.task_file import joined


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
    success: Criterion | None = None  # what the settings say success is, in the place of the task's own

    @property
    def is_annotated(self) -> bool:
        """Is the instruction the task's own, so that the task's annotation says where things should be?"""
        return self.instruction == self.task.configuration(self.configuration).instruction

    @property
    def criterion(self) -> str:
        """What success is, as the settings or the task say it; empty where nearness or nothing judges."""
        if self.success is not None:
            return self.success.text
        return self.task.configuration(self.configuration).success if self.is_annotated else ""

    def judge(self, now: Scene, start: Scene) -> Verdict | None:
        """Is it done? None for an instruction of one's own without a word on what success is."""
        if self.success is not None:
            return self.success.judge(now, start)
        return self.task.judge(now, start, self.configuration) if self.is_annotated else None

    def retold(self, configuration: int) -> Plan:
        """The plan with the instruction of another configuration of the task."""
        instruction = self.task.configuration(configuration).instruction
        return replace(self, configuration=configuration, instruction=instruction)


def make_plan(config: RunConfig) -> Plan:
    """The plan of a run, a success that was named as a file read into its settings.

    ValueError if there is no such task, configuration or disturbance, if they do not fit, or if success cannot be read.
    """
    disturbance, task = _disturbed(config) if config.disturb else (None, load_task(config.task))
    of_the_task = task.configuration(config.configuration).instruction
    success = None
    if config.success:
        objects = task.configuration(config.configuration).objects
        config = replace(config, success=_success_text(config.success))
        success = parse(config.success, objects)
    return Plan(config, task, config.configuration, config.instruction or of_the_task, disturbance, success)


def _success_text(given: str) -> str:
    """Conditions as they are, else those in the YAML file of that name: a text, or a list of texts that must all hold.

    ValueError if it is neither.
    """
    is_file = _is_file(given)
    if "(" in given and not is_file:
        return given
    if not is_file:
        raise ValueError(
            f"success {shown(given)} is neither conditions such as 'on(left_shoe, rack) and upright(left_shoe)' nor a "
            f"file; conditions: {', '.join(CONDITIONS)}"
        )
    content = read_document(given)
    if isinstance(content, dict) and set(content) == {"success"}:
        content = content["success"]
    try:
        return joined(content)
    except ValueError as error:
        raise ValueError(f"{shown(given)}: {error}") from None


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # too long for a name
        return False


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
