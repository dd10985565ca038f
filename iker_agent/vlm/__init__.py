"""Who writes the programs: the backends behind one Protocol (types.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iker_agent.vlm.types import VLM

if TYPE_CHECKING:
    from iker_agent.config import RunConfig
    from iker_envs.task import Task


def make_vlm(config: RunConfig, task: Task) -> VLM:
    """The backend that a run asks; ValueError if the task has no annotated programs."""
    from iker_agent.vlm.annotated import AnnotatedVLM

    programs = [s.programs["keypoints"] for s in task.configuration(config.configuration).stages]
    return AnnotatedVLM(programs)
