"""What `iker eval` does: a policy, a task and conditions become rates, and the record that a result file holds.

EvalSettings  ->  measure  ->  Measured(result, record)  ->  write_record  ->  JSON file
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iker_agent.atomic import replace_file
from iker_agent.learning.conditions import conditions, parse_configurations
from iker_agent.learning.evaluate import Evaluation, TaskEvaluation, evaluate_task
from iker_agent.learning.policy import Policy
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.provenance import fingerprint, task_facts
from iker_agent.learning.shipped import family_of, shipped_names, shipped_policy
from iker_agent.learning.waypoint import WaypointLearner
from iker_agent.learning.world_evaluation import evaluate_in_world
from iker_agent.limits import check_choice, check_seed, check_sim
from iker_agent.robots import Operator, robot_world
from iker_envs.physics.engines import DEFAULT_ENGINE
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Scene
from iker_envs.spec import Spec, spec_of
from iker_envs.stage.starts import TaskStart
from iker_envs.task import Task, load_task
from iker_envs.world import WorldFault

Report = Callable[[int, Evaluation], None]
WAYPOINT = "waypoint"  # in the place of a policy file


@dataclass(frozen=True)
class EvalSettings:
    """What is evaluated, and how; ValueError for what cannot be."""

    policy: str = ""  # a file, "waypoint", or nothing for the one that is shipped
    task: str = "shoe_push"
    configurations: str = "all"  # or numbers such as "0,3"
    stage_index: int = 0  # counted from 0, earlier stages done
    num_envs: int = 128  # copies of each configuration
    episodes: int = 1  # in each copy
    seed: int = 0
    randomisation: str = "on"  # off, shifted or a file of ranges
    observation: str = "keypoints"  # of the shipped policy
    world: str = "sim"  # or lab, an emulated laboratory, or real, a robot: one episode after the other
    sim: str = DEFAULT_ENGINE  # physics engine of world sim: threads, warp or isaac
    real: str = ""  # robot.yaml of a robot
    clock: float = 1.0  # of a laboratory

    def __post_init__(self) -> None:
        self._check_world()
        check_seed(self.seed)
        if self.num_envs < 1 or self.episodes < 1:
            raise ValueError(f"--num-envs and --episodes are at least 1, not {self.num_envs}, {self.episodes}")
        if self.policy == WAYPOINT and self.observation != "keypoints":
            raise ValueError(f"waypoint reads keypoints, not {self.observation!r}; leave --observation out")
        if self.policy and self.policy != WAYPOINT and not Path(self.policy).is_file():
            raise ValueError(f"there is no policy file {self.policy!r}; give a .safetensors file, waypoint, or nothing")

    def _check_world(self) -> None:
        check_choice("--world", self.world, ("sim", "lab", "real"))
        check_sim("--sim", self.sim)
        if (self.world == "real") != bool(self.real):
            raise ValueError(f"--world real and --real FILE belong together, not --world {self.world}")
        if self.world != "sim" and (self.stage_index or self.randomisation != "on" or self.sim != DEFAULT_ENGINE):
            raise ValueError(f"--stage-index, --randomisation and --sim are for --world sim, not {self.world}")


@dataclass(frozen=True)
class Measured:
    """The rates, and the content of a result file: rates, settings, where policy and task come from.

    `stopped` is what ended it early, on a robot that waits for a person.
    """

    title: str
    result: TaskEvaluation
    record: dict[str, Any]
    stopped: WorldFault | None = None


@dataclass(frozen=True)
class _Chosen:
    """The policy of each configuration, its spec, and what a result file says about it."""

    policy_of: Callable[[int], Policy]
    spec: Spec
    source: dict[str, str]


def measure(settings: EvalSettings, report: Report | None = None, operator: Operator | None = None) -> Measured:
    """Evaluate; `report` hears of each configuration when it is done. ValueError for a policy that there is not.

    `operator` arranges a robot's table when it is asked to.
    """
    task = load_task(settings.task)
    indices = parse_configurations(settings.configurations, len(task.configurations))
    chosen = _chosen(settings, task)
    if settings.world != "sim":
        return _measure_robot(settings, task, indices, chosen, report, operator)
    ranges, world_seed = _conditions(settings)
    result = evaluate_task(
        chosen.policy_of,
        indices,
        num_envs=settings.num_envs,
        episodes=settings.episodes,
        seed=world_seed,
        report=report,
        task=settings.task,
        stage_index=settings.stage_index,
        observation=chosen.spec.observation,
        randomisation=ranges,
        sim=settings.sim,
    )
    title = f"{task.name}, {chosen.source['policy']}, randomisation {settings.randomisation}, seed {settings.seed}"
    record = {
        **result.to_dict(),
        **task_facts(task, chosen.spec.observation),
        **chosen.source,
        "sim": settings.sim,
        "seed": settings.seed,
        "stage_index": settings.stage_index,
        "randomisation": settings.randomisation,
        "ranges": {name: [float(x) for x in limits] for name, limits in ranges.ranges.items()},
        "num_envs": settings.num_envs,
        "episodes": settings.episodes,
    }
    return Measured(title, result, record)


def _measure_robot(
    settings: EvalSettings,
    task: Task,
    indices: list[int],
    chosen: _Chosen,
    report: Report | None,
    operator: Operator | None,
) -> Measured:
    """As `measure`, in a world in which an episode takes its time."""
    where = settings.world, settings.real, settings.clock, settings.seed, operator
    world = robot_world(settings.task, *where, observation=chosen.spec.observation)
    try:
        found = evaluate_in_world(
            world, chosen.policy_of, indices, episodes=settings.episodes, seed=settings.seed, report=report
        )
        judged_by = "truth" if world.has_truth else "estimate"
    finally:
        world.close()
    name = "emulated laboratory" if settings.world == "lab" else "robot"
    title = f"{task.name}, {chosen.source['policy']}, {name}, success by {judged_by}, seed {settings.seed}"
    record = {
        **found.result.to_dict(),
        **task_facts(task, chosen.spec.observation),
        **chosen.source,
        "seed": settings.seed,
        "world": settings.world,
        "clock": settings.clock,
        "judged_by": judged_by,
        "faults": found.faults,
        "stopped": None if found.stopped is None else str(found.stopped),
        "episodes": settings.episodes,
    }
    return Measured(title, found.result, record, found.stopped)


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a result file, all or nothing."""
    text = json.dumps(record, indent=2) + "\n"
    replace_file(path, lambda file: file.write_text(text, encoding="utf-8"))


def _conditions(settings: EvalSettings) -> tuple[Randomisation, int]:
    try:
        return conditions(settings.randomisation, settings.seed)
    except ValueError as error:
        raise ValueError(f"--randomisation knows shifted too; {error}") from None


def _chosen(settings: EvalSettings, task: Task) -> _Chosen:
    fewest = min(len(configuration.stages) for configuration in task.configurations)
    if not 0 <= settings.stage_index < fewest:
        raise ValueError(f"--stage-index of {task.name} is from 0 to {fewest - 1}, not {settings.stage_index}")
    spec = spec_of(task.sample(None), settings.observation)
    if settings.policy == WAYPOINT:
        return _Chosen(lambda index: _waypoint(task, settings.stage_index, index), spec, {"policy": WAYPOINT})
    if settings.policy:
        policy = load_policy(settings.policy)
        source = {"policy": settings.policy, "policy_hash": fingerprint(Path(settings.policy))}
        return _Chosen(_always(policy), policy.spec, source)
    family = family_of(_stage(task, settings.stage_index, 0)[1])
    own = () if settings.stage_index else (task.name,)  # a task's own policy is for its first stage
    for name in (*own, family):
        if shipped := shipped_policy(name, spec):
            return _Chosen(_always(shipped), spec, {"policy": f"shipped {name}"})
    known = ", ".join(shipped_names()) or "none"
    raise ValueError(
        f"no policy is shipped for {task.name} ({settings.observation}); give a policy file. Shipped: {known}"
    )


def _always(policy: Policy) -> Callable[[int], Policy]:
    """One policy for every configuration."""
    return lambda _: policy


def _waypoint(task: Task, stage_index: int, configuration: int) -> Policy:
    return WaypointLearner().learn(*_stage(task, stage_index, configuration)).policy


def _stage(task: Task, stage_index: int, configuration: int) -> tuple[Scene, Goal]:
    start = TaskStart(task, stage_index).sample(None, configuration)
    return start.scene, start.goal
