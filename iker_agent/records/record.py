"""What run.json and outcome.json say: plain facts that other programs read.

StageRecord, RunResult  ->  run_record     ->  run.json
Whereabouts             ->  final_outcome  ->  outcome.json of the run
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from iker_agent.learning.curve import draw_curve
from iker_agent.learning.forecast import Forecast
from iker_agent.learning.policy import Policy
from iker_agent.learning.progress import TrainingRow, write_metrics
from iker_agent.learning.provenance import versions
from iker_agent.plan import Plan
from iker_agent.records.run_folder import Folder
from iker_envs.measure import reached
from iker_envs.scene import Outcome, Scene
from iker_envs.spec import spec_of
from iker_envs.world import World


class Failure(StrEnum):
    """What of a stage failed, in the order in which a stage goes on."""

    SCENE = "scene"  # no poses could be trusted, or no scene made of them would rest in simulation
    BACKEND = "backend"  # nobody answered
    ANSWER = "answer"  # no program could be used
    IMPOSSIBLE = "impossible"  # the program says that it cannot be done
    LEARNING = "learning"  # the learner made no policy, or one whose actions are no numbers
    GRASP = "grasp"  # the hand did not hold the object when the policy began
    LOST = "lost"  # the object was dropped, tipped over or fell while the policy acted
    TARGET = "target"  # the object is not where it should be
    ROBOT = "robot"  # the robot was stopped by a fault
    INTERRUPTED = "interrupted"  # somebody stopped the run
    ERROR = "error"  # the program failed


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
    deciding_seconds: float = 0.0  # trying grasps and the stage in copies, beside learning
    forecast: Forecast | None = None  # what happened in copies before it was carried out, or was not
    outcome: Outcome | None = None
    failed: Failure | None = None
    problem: str = ""  # why there is no outcome
    strict: bool = True  # what counts: its own goal by the strict limits, or the paper's measure

    @property
    def ok(self) -> bool:
        """Carried out with success."""
        if self.outcome is None:
            return False
        return reached(self.outcome) if self.strict else self.outcome.success

    def acted(self, outcome: Outcome, *, lost: bool) -> None:
        """Take in how acting ended; `lost` says that the policy was stopped because it had lost the object."""
        self.outcome = outcome
        if self.ok:
            self.failed = None
        elif not outcome.grasped:
            self.failed = Failure.GRASP
        else:
            self.failed = Failure.LOST if lost else Failure.TARGET

    def stopped(self, failed: Failure, problem: str) -> None:
        """Note why the stage has no outcome; one that it has already stays."""
        if self.outcome is not None:
            return
        self.failed = failed
        self.problem = problem


@dataclass
class RunResult:
    """How a run ended."""

    success: bool | None = False  # None: the program says done, and nothing can tell whether it is
    done: bool = False  # the program says so
    reason: str = ""
    seconds: float = 0.0
    stages: list[StageRecord] = field(default_factory=list)
    final_look: StageRecord | None = None  # the look whose answer was done
    spent: dict[str, Any] = field(default_factory=dict)  # calls, tokens and money of the backend
    unmet: list[str] = field(default_factory=list)  # what is not as the task's success wants it, a clause each
    wrong_done: int = 0  # how often the program said done and was told what is not fulfilled
    near_annotation: bool | None = None  # by 3 cm and 15 degrees; None where there is no annotation


@dataclass(frozen=True, eq=False)
class Whereabouts:
    """Where everything is, and how that is known: "truth" or "estimate"."""

    scene: Scene
    judged_by: str


def whereabouts(world: World) -> Whereabouts:
    """What a run is judged by: the truth in a world that knows it, else the world's latest estimate."""
    return Whereabouts(world.scene, "truth" if world.has_truth else "estimate")


def run_record(plan: Plan, result: RunResult, judged_by: str) -> dict[str, Any]:
    """run.json: instruction, seed, versions, configuration, stages, success, how judged, seconds."""
    return {
        "instruction": plan.instruction,
        "task": plan.task.name,
        "id": plan.task.id,
        "success": result.success,
        "claimed": result.done,
        "judged_by": judged_by,
        "criterion": plan.criterion,
        "unmet": list(result.unmet),
        "wrong_done": result.wrong_done,
        "near_annotation": result.near_annotation,
        "done": result.done,
        "reason": result.reason,
        "seconds": round(result.seconds, 2),
        "seeds": {"world": plan.config.seed, "learning": [plan.config.seed + s.number for s in result.stages]},
        "stages": [_stage_record(s) for s in result.stages],
        "final_look": _final_look(result.final_look),
        "stages_succeeded": _successes(result),
        "spent": result.spent,
        "disturbance": _disturbance(plan),
        "versions": versions(),
        "spec_hash": spec_of(plan.task.sample(None)).spec_hash(),
        "config": plan.config.to_dict(),
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
        "deciding_seconds": round(stage.deciding_seconds, 2),
        "forecast": stage.forecast.to_dict() if stage.forecast else None,
        "success": bool(stage.outcome and stage.outcome.success),
        "success_strict": bool(stage.outcome and stage.outcome.success_strict),
        "goal_error_m": stage.outcome.goal_error_m if stage.outcome else None,
        "happened": [event.to_dict() for event in stage.outcome.happened] if stage.outcome else [],
        "failed": stage.failed,
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


def _disturbance(plan: Plan) -> dict[str, Any] | None:
    if plan.disturbance is None:
        return None
    return {"name": plan.config.disturb, "at": plan.disturbance.at, "text": plan.disturbance.text}


def final_outcome(found: Whereabouts, result: RunResult) -> dict[str, Any]:
    """outcome.json: success, the height of each piece of furniture, where every movable object ended."""
    objects = found.scene.objects
    tops = {f"{o.name}_top_m": float(o.pose[2] + o.model.size_m[2] / 2) for o in objects if not o.movable}
    ends = {
        o.name: {"position_m": o.pose[:3].tolist(), "quaternion_wxyz": o.pose[3:].tolist()}
        for o in objects
        if o.movable
    }
    return {"success": result.success, "judged_by": found.judged_by, **tops, "objects": ends}


def set_policy_aside(folder: Folder) -> None:
    """Keep the policy of a goal that will not be carried out as refused_N.safetensors, so that a replay has it."""
    number = len(list(folder.path.glob("refused_*.safetensors"))) + 1
    (folder.path / "policy.safetensors").replace(folder.path / f"refused_{number}.safetensors")


def save_policy_files(folder: Folder, policy: Policy, rows: Sequence[TrainingRow]) -> None:
    """policy.safetensors, metrics.csv and curve.png of a stage."""
    folder.file("policy.safetensors", policy.save)
    folder.file("metrics.csv", lambda path: write_metrics(path, rows))
    folder.file("curve.png", lambda path: draw_curve(path, rows))
