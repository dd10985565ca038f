"""`iker bench vlm`: how often does a model's program put the target where the task is fulfilled?

    tasks x arrangements x stages x samples  ->  look, ask, check  ->  BenchRow  ->  table with Wilson intervals, JSON

Nothing is learned and nothing moves: every stage begins as if those before it had gone perfectly, with their annotated
programs as history. The last question of each arrangement shows the finished task; the right answer is done. Whether
an answer is right the task's success says (scoring.py); how near a target is to the annotation is a second number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import numpy as np

from iker_agent.asking.ask import AcceptedProgram, NoAnswer, Requirements, ask
from iker_agent.asking.limits import Standing
from iker_agent.asking.prompts import Turn, build_request
from iker_agent.backends import asking, make_vlm, recorded
from iker_agent.config import RunConfig
from iker_agent.experiments.scoring import NEAR_M, NEAR_RAD, score_done, score_goal
from iker_agent.learning.evaluate import wilson
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.look import see
from iker_agent.vlm.budget import Budget
from iker_agent.vlm.types import VLM
from iker_envs.pictures.still import still_view
from iker_envs.scene import Scene
from iker_envs.spec import Spec
from iker_envs.task import Task


@dataclass(frozen=True)
class BenchRow:
    """One question and what came of it; errors are None where no target was given."""

    task: str
    configuration: int
    stage: int  # counted from 1; one more than the task has where done is the right answer
    sample: int
    contract: str
    right: bool
    answers: int  # replies until one was accepted or all repairs were used
    near: bool | None = None  # the target is within 5 cm and 15 degrees of the annotated one; None without a target
    error_m: float | None = None
    error_deg: float | None = None
    reason: str = ""  # why it is not right

    @property
    def first(self) -> bool:
        """Right with the first answer."""
        return self.right and self.answers == 1


@dataclass(frozen=True)
class Summary:
    """Counts of right answers among `asked` for one task and contract ("all" for all tasks)."""

    task: str
    contract: str
    asked: int
    first: int
    repaired: int  # first ones included
    targets: int  # proposed in the end, done not counted
    near: int  # of these, within 5 cm and 15 degrees of the annotated ones


def bench(tasks: Sequence[Task], contracts: Sequence[str], samples: int, config: RunConfig, folder: Folder):
    """Yield a BenchRow per question; everything that was asked and answered is left in the folder."""
    if config.vlm == "annotated":
        yield from _rows(tasks, contracts, samples, config, folder, None)
        return
    with asking(make_vlm(config, tasks[0])) as inner:
        yield from _rows(tasks, contracts, samples, config, folder, Budget(inner, config.ask))


def _rows(tasks, contracts, samples: int, config: RunConfig, folder: Folder, shared: VLM | None) -> Iterator[BenchRow]:
    for contract in contracts:
        for task in tasks:
            for configuration in range(len(task.configurations)):
                chosen = replace(config, run=replace(config.run, contract=contract), configuration=configuration)
                vlm = recorded(chosen, shared or make_vlm(chosen, task), folder.path / "vlm")
                for sample in range(samples):
                    yield from _questions(task, chosen, sample, vlm, folder)


def _questions(task: Task, config: RunConfig, sample: int, vlm, folder: Folder) -> Iterator[BenchRow]:
    index = config.configuration
    contract = config.run.contract
    start = task.sample(np.random.default_rng([config.seed, sample]), index)
    scene = start
    stages = task.configuration(index).stages
    history: list[Turn] = []
    for number in range(1, len(stages) + 2):
        view = still_view(scene, config.prompt.size_px, all_cameras=config.prompt.side)
        seen = see(scene, view, contract, side=config.prompt.side)
        name = f"{task.name}_{index}_stage{number}_sample{sample}_{contract}"
        place = Folder(folder.path / name)
        place.image("marked.png", seen.marked)
        request = build_request(
            task.configuration(index).instruction,
            seen,
            history,
            prompt=prompt_kind(config.prompt.name, contract),
            shown=config.prompt,
            standing=Standing(repairs=config.run.repairs),
            outcomes=False,
        )
        wanted = Requirements("", contract, config.goal.project, config.run.repairs)
        row = BenchRow(task.name, index, number, sample, contract, right=False, answers=0)
        try:
            accepted = ask(vlm, request, seen, wanted, place)
        except NoAnswer as problem:
            yield replace(row, answers=len(problem.refusals), reason=problem.refusals[-1])
        else:
            yield _scored(row, accepted, task, scene, start)
        if number <= len(stages):
            history.append(Turn(seen.marked, f"../{name}/marked.png", stages[number - 1].programs.get(contract, "")))
            goal = task.goal(number - 1, scene, index)
            scene = scene.with_poses({goal.object: goal.target_pose})


def _scored(row: BenchRow, accepted: AcceptedProgram, task: Task, scene: Scene, start: Scene) -> BenchRow:
    """The row with its verdict."""
    place = (task, row.configuration, row.stage)
    goal = accepted.goal
    score = score_done(*place, scene, start) if goal is None else score_goal(*place, goal, scene, start)
    return replace(row, answers=accepted.answers, **asdict(score))


def summarise(rows: Sequence[BenchRow]) -> list[Summary]:
    """One line per contract and task, then one over all tasks of the contract."""
    lines = []
    for contract in dict.fromkeys(r.contract for r in rows):
        mine = [r for r in rows if r.contract == contract]
        for task in (*dict.fromkeys(r.task for r in mine), "all"):
            group = [r for r in mine if task in (r.task, "all")]
            near = [r.near for r in group if r.near is not None]
            counts = (sum(r.first for r in group), sum(r.right for r in group), len(near), sum(near))
            lines.append(Summary(task, contract, len(group), *counts))
    return lines


def results(rows: Sequence[BenchRow], config: RunConfig, samples: int) -> dict:
    """results.json: what was asked of whom, the summary with intervals, every row."""
    settings = config.to_dict()
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "benchmark": "vlm",
        "version": version("iker"),
        "backend": config.vlm,
        "model": config.ask.model,
        "seed": config.seed,
        "samples": samples,
        "near": {"position_m": NEAR_M, "angle_deg": float(np.rad2deg(NEAR_RAD))},
        "config_hash": digest,
        "spec_hash": Spec().spec_hash(),
        "summary": [
            {
                **asdict(s),
                "first_interval": wilson(s.first, s.asked),
                "repaired_interval": wilson(s.repaired, s.asked),
                "near_interval": wilson(s.near, s.targets),
            }
            for s in summarise(rows)
        ],
        "rows": [asdict(r) for r in rows],
        "config": settings,
    }
