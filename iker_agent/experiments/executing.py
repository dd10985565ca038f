"""The goals of an answer are carried out by policies, in a world of their own that begins as the question did.

    task, arrangement, programs that were accepted  ->  execute_programs  ->  Executed(success, reason)

It is a run like any other (loop.py): each program is run again on what is seen in its stage, a policy that is shipped,
trained or a fixed rule acts, and the task's success judges the end. Nothing is tried
again: a stage that misses ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_agent.config import RunConfig
from iker_agent.learning.progress import TrainingRow
from iker_agent.loop import carry_out
from iker_agent.plan import Plan
from iker_agent.program.signatures import signature_named
from iker_agent.records.record import StageRecord
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.errors import ReplayMiss
from iker_agent.vlm.types import Reply, Request
from iker_envs.task import Placement, Task

_DONE = "def {function}({argument}):\n    return None\n"


@dataclass(frozen=True)
class Executed:
    """Did the run end as the instruction asks, and if not, why."""

    success: bool
    reason: str = ""


class _Programs:
    """Answers with one program after another."""

    corrects = False  # they are written

    def __init__(self, programs: Sequence[str]) -> None:
        self._left = list(programs)

    def complete(self, request: Request) -> Reply:
        if not self._left:
            raise ReplayMiss("all programs that were answered are used")
        return Reply(f"```python\n{self._left.pop(0).rstrip()}\n```\n", backend="programs")


class _Silent:
    """A display that shows nothing: the folder of the run has it all."""

    def stage(self, number: int, text: str) -> None: ...

    def learning(self, row: TrainingRow) -> None: ...

    def outcome(self, record: StageRecord) -> None: ...

    def note(self, text: str) -> None: ...


def execute_programs(
    task: Task, configuration: int, sample: int, programs: Sequence[str], config: RunConfig, folder: Folder
) -> Executed:
    """Carry programs out one after another in the scene of a sample; `config.learner` says what acts."""
    signature = signature_named(config.run.contract)
    done = _DONE.format(function=signature.function, argument=signature.argument)
    once = replace(config.run, retries=0, repairs=0, doubts=0, video=False, max_stages=len(programs) + 1)
    here = as_drawn(task, configuration, config.seed, sample)
    chosen = replace(config, task=f"{task.name}_as_drawn", configuration=configuration, world="sim", run=once)
    plan = Plan(chosen, here, configuration, here.configuration(configuration).instruction)
    result = carry_out(plan, folder, _Silent(), _Programs([*programs, done]))
    if result.success:
        return Executed(True)
    why = [result.reason, *(result.unmet if result.done else [])]
    return Executed(False, "; ".join(filter(None, why)) or "not done")


def as_drawn(task: Task, configuration: int, seed: int, sample: int) -> Task:
    """The task with every object of an arrangement where the benchmark's sample has it, without ranges."""
    chosen = task.configuration(configuration)
    drawn = np.random.default_rng([seed, sample]).uniform(-1, 1, (len(chosen.objects), 3))  # as `Task.sample` draws
    placed = {
        name: _at(placement, shift) for (name, placement), shift in zip(chosen.objects.items(), drawn, strict=True)
    }
    configurations = list(task.configurations)
    configurations[configuration] = replace(chosen, objects=placed)
    return replace(task, configurations=tuple(configurations))


def _at(placement: Placement, drawn: np.ndarray) -> Placement:
    """A placement with its ranges used up: `drawn` are x, y and yaw as shares of them."""
    position = np.array(placement.position_m)
    position[:2] += drawn[:2] * placement.position_range_m
    yaw_deg = placement.yaw_deg + float(drawn[2]) * placement.yaw_range_deg
    return replace(placement, position_m=position, yaw_deg=yaw_deg, position_range_m=np.zeros(2), yaw_range_deg=0.0)
