"""Units of Fig. 5: a whole chain by one method, and after which of its stages it counts.

method, world, writer of programs, configuration  ->  chain_unit  ->  Unit
task, configuration, scene at the end, at the start  ->  reached  ->  (bool, ...)
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from iker_agent.backends import asking, make_vlm
from iker_agent.config import RunConfig
from iker_agent.learning.progress import TrainingRow
from iker_agent.loop import carry_out
from iker_agent.plan import make_plan
from iker_agent.records.record import Failure, RunResult, StageRecord
from iker_agent.records.run_folder import Folder
from iker_agent.reproduce.cells import Result, Unit
from iker_agent.reproduce.settings import ReproduceSettings, conditions, known_task, model_facts, shipped_hash
from iker_agent.voxposer.baseline import carry_out_value_maps
from iker_agent.voxposer.plans import make_maps_vlm
from iker_agent.worlds import make_world
from iker_envs.judging.expression import parse
from iker_envs.scene import Scene
from iker_envs.task import Task

TASK = "shoe_rack"


@dataclass(frozen=True)
class Method:
    """A way of doing a chain: what people call it, the settings that make it, and what it is in words."""

    name: str
    text: str
    top: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)


METHODS = (
    Method("IKER", "keypoint programs, a look after every stage, misses tried again"),
    Method("IKER, open loop", "the same, all programs from the first look", run={"open_loop": True}),
    Method("poses", "as IKER, programs of poses in the place of keypoints", run={"contract": "poses"}),
    Method("VoxPoser", "value maps, true boxes, the plan given, no second try", top={"method": "voxposer"}),
)


def chain_unit(settings: ReproduceSettings, method: str, world: str, writer: str, index: int) -> Unit:
    """A chain in one configuration, `settings.episodes` times with other starts."""
    task = known_task(TASK)
    config = _config(settings, next(m for m in METHODS if m.name == method), world, writer, index)
    policies = {name: shipped_hash(name) for name in ("push", "carry")} if config.learner == "ppo" else {}
    told = {"config": config.to_dict(), "episodes": settings.episodes, "policies": policies, **model_facts(config)}

    def run() -> Result:
        found = [_run(replace(config, seed=config.seed + k), task) for k in range(settings.episodes)]
        if missing := [f for f in found if "missing" in f]:
            return missing[0]
        totals = [sum(f["reached"][k] for f in found) for k in range(len(found[0]["reached"]))]
        return {"trials": len(found), "successes": totals, "runs": found}

    return Unit(f"{method} {writer} {world} {index}", conditions(task, **told), run)


def _config(settings: ReproduceSettings, method: Method, world: str, writer: str, index: int) -> RunConfig:
    config = settings.with_contract(method.run.get("contract", "keypoints"))
    config = replace(config, task=TASK, configuration=index, world=world, **method.top)
    config = replace(config, run=replace(config.run, video=False, **method.run))
    return replace(config, vlm="annotated") if writer == "annotated" else config


class _Quiet:
    """Nobody watches a run of a table."""

    def stage(self, number: int, text: str) -> None:
        """Nothing."""

    def learning(self, row: TrainingRow) -> None:
        """Nothing."""

    def outcome(self, record: StageRecord) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


def _run(config: RunConfig, task: Task) -> Result:
    """One run: which stages it reached, and what its own record says; or that nobody answered."""
    plan = make_plan(config)
    world = make_world(config, task)
    world.reset(seed=config.seed, options={"configuration": config.configuration, "look": True})
    start = world.scene
    is_maps = config.method == "voxposer"
    with TemporaryDirectory(prefix="iker-reproduce-") as place:
        folder = Folder(place)
        with asking(make_maps_vlm(config, task) if is_maps else make_vlm(config, task)) as vlm:
            if is_maps:
                result = carry_out_value_maps(plan, folder, _Quiet(), vlm, world)
            else:
                result = carry_out(plan, folder, _Quiet(), vlm, world=world)
        if result.stages and result.stages[0].failed == Failure.BACKEND and config.vlm == "replay":
            return {"missing": "the record of the model's answers has none for it"}
        end = _end(folder.path, start)
    return {"reached": list(reached(task, config.configuration, end, start)), **_told(result)}


def _told(result: RunResult) -> dict[str, Any]:
    stages = [
        {
            "action": s.action,
            "ok": bool(s.ok),
            "failed": s.failed,
            "why": s.problem or (s.outcome.reason if s.outcome else ""),
        }
        for s in result.stages
    ]
    return {"success": result.success, "reason": result.reason, "unmet": result.unmet, "stages": stages}


def _end(folder: Path, start: Scene) -> Scene:
    """The scene as the run's outcome.json tells it."""
    told = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))["objects"]
    return start.with_poses({n: np.array([*p["position_m"], *p["quaternion_wxyz"]]) for n, p in told.items()})


def reached(task: Task, configuration: int, now: Scene, start: Scene) -> tuple[bool, ...]:
    """After which stages a chain counts, one bool a stage.

    Stage k counts if every condition of the task's success holds in which no object is named that only a later stage
    brings to its place. ValueError if the task has no success in words, or if a stage has no conditions.
    """
    chosen = task.configuration(configuration)
    last = {stage.goal.object: k for k, stage in enumerate(chosen.stages)}
    if not chosen.success:
        raise ValueError(f"{task.name} says in no words what success is; stages of it cannot be judged one by one")
    parts = _conjuncts(ast.parse(" ".join(chosen.success.split()), mode="eval").body)
    due = [max((last[name] for name in _names(part) if name in last), default=0) for part in parts]
    verdicts = [parse(ast.unparse(part), chosen.objects).judge(now, start).fulfilled for part in parts]
    return tuple(
        all(holds for holds, when in zip(verdicts, due, strict=True) if when <= k) for k in range(len(chosen.stages))
    )


def _conjuncts(node: ast.expr) -> list[ast.expr]:
    """The conditions that a criterion joins by `and`."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [part for value in node.values for part in _conjuncts(value)]
    return [node]


def _names(node: ast.expr) -> set[str]:
    """Names of objects, bare or in quotes, that a condition is about."""
    nodes = list(ast.walk(node))
    texts = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return texts | {n.id for n in nodes if isinstance(n, ast.Name)}
