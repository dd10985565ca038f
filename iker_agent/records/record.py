"""What run.json and outcome.json say: plain facts that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from iker_agent.config import RunConfig
from iker_agent.disturb import load_disturbance
from iker_agent.learning.curve import draw_curve
from iker_agent.learning.policy import Policy
from iker_agent.learning.progress import TrainingRow, write_metrics
from iker_agent.learning.provenance import versions
from iker_agent.records.run_folder import Folder
from iker_envs.measure import reached
from iker_envs.scene import Outcome, Scene
from iker_envs.spec import spec_of
from iker_envs.task import Task


@dataclass
class StageRecord:
    """What is reported about one stage of a run."""

    number: int
    action: str = ""
    object: str = ""
    grasp: bool = False
    attempt: int = 1
    answers: int = 0  # programs asked for, 1 without repairs
    refusals: list[str] = field(default_factory=list)  # why answers were sent back
    notes: tuple[str, ...] = ()  # what was read generously in the accepted one
    events: list[str] = field(default_factory=list)  # what people did meanwhile
    env_steps: int = 0
    seconds: float = 0.0
    learning_seconds: float = 0.0
    outcome: Outcome | None = None
    problem: str = ""  # why there is no outcome
    strict: bool = True  # what counts: its own goal by the strict limits, or the paper's measure

    @property
    def ok(self) -> bool:
        """Carried out with success."""
        if self.outcome is None:
            return False
        return reached(self.outcome) if self.strict else self.outcome.success


@dataclass
class RunResult:
    """How a run ended."""

    success: bool = False
    done: bool = False
    reason: str = ""
    seconds: float = 0.0
    stages: list[StageRecord] = field(default_factory=list)
    final_look: StageRecord | None = None  # the look whose answer was done
    spent: dict[str, Any] = field(default_factory=dict)  # calls, tokens and money of the backend


def run_record(config: RunConfig, task: Task, instruction: str, result: RunResult) -> dict[str, Any]:
    """run.json: instruction, seed, versions, configuration, stages, success, seconds."""
    return {
        "instruction": instruction,
        "task": task.name,
        "id": task.id,
        "success": result.success,
        "done": result.done,
        "reason": result.reason,
        "seconds": round(result.seconds, 2),
        "seeds": {"world": config.seed, "learning": [config.seed + s.number for s in result.stages]},
        "stages": [_stage_record(s) for s in result.stages],
        "final_look": _final_look(result.final_look),
        "stages_succeeded": _successes(result),
        "spent": result.spent,
        "disturbance": _disturbance(config),
        "versions": versions(),
        "spec_hash": spec_of(task.sample(None)).spec_hash(),
        "config": config.to_dict(),
    }


def _stage_record(stage: StageRecord) -> dict[str, Any]:
    return {
        "folder": f"stage_{stage.number:02d}",
        "action": stage.action,
        "object": stage.object,
        "grasp": stage.grasp,
        "attempt": stage.attempt,
        "answers": stage.answers,
        "refusals": list(stage.refusals),
        "notes": list(stage.notes),
        "events": list(stage.events),
        "env_steps": stage.env_steps,
        "seconds": round(stage.seconds, 2),
        "learning_seconds": round(stage.learning_seconds, 2),
        "success": bool(stage.outcome and stage.outcome.success),
        "success_strict": bool(stage.outcome and stage.outcome.success_strict),
        "goal_error_m": stage.outcome.goal_error_m if stage.outcome else None,
        "problem": stage.problem or (stage.outcome.reason if stage.outcome else ""),
    }


def _final_look(stage: StageRecord | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    return {"folder": f"stage_{stage.number:02d}", "answers": stage.answers, "refusals": list(stage.refusals)}


def _successes(result: RunResult) -> dict[str, int]:
    """Stages that succeeded with the model's first answer, and with one that was asked for again."""
    first = [s.answers == 1 for s in result.stages if s.ok]
    return {"first_answer": sum(first), "repaired": len(first) - sum(first)}


def _disturbance(config: RunConfig) -> dict[str, Any] | None:
    if not config.disturb:
        return None
    disturbance, _ = load_disturbance(config.disturb)
    return {"name": config.disturb, "at": disturbance.at, "text": disturbance.text}


def final_outcome(scene: Scene, result: RunResult) -> dict[str, Any]:
    """outcome.json: success, the height of each piece of furniture, where every movable object ended."""
    tops = {f"{o.name}_top_m": float(o.pose[2] + o.model.size_m[2] / 2) for o in scene.objects if not o.movable}
    objects = {
        o.name: {"position_m": o.pose[:3].tolist(), "quaternion_wxyz": o.pose[3:].tolist()}
        for o in scene.objects
        if o.movable
    }
    return {"success": result.success, **tops, "objects": objects}


def save_policy_files(stage: Folder, policy: Policy, rows: Sequence[TrainingRow]) -> None:
    """policy.safetensors, metrics.csv and curve.png of a stage."""
    policy.save(stage.path / "policy.safetensors")
    write_metrics(stage.path / "metrics.csv", rows)
    draw_curve(stage.path / "curve.png", rows)
