"""Units of the tables about one stage: a policy at the annotated goals, and at the goals of a model's programs.

evaluation(...)  ->  Unit    a policy over copies of a configuration in simulation, or on the laboratory's arm
written(...)     ->  Unit    one program for a configuration, run on every episode's own look, carried out and measured

Success is the paper's: the keypoints are within 5 cm of the annotated target after the hand has let go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from iker_agent.asking.ask import AcceptedProgram, NoAnswer, Requirements, ask, read_reply
from iker_agent.asking.limits import Standing
from iker_agent.asking.prompts import build_request
from iker_agent.backends import asking, make_vlm, recorded
from iker_agent.config import RunConfig
from iker_agent.execute import execute
from iker_agent.learning.forecast import ForecastSettings
from iker_agent.learning.policy import Policy
from iker_agent.learning.provenance import fingerprint
from iker_agent.learning.seeds import seed_for
from iker_agent.learning.shipped import shipped_policy
from iker_agent.learning.task_evaluation import EvalSettings, measure
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.records.run_folder import Folder
from iker_agent.rehearsal import choose_grasps
from iker_agent.reproduce.cells import Result, Unit
from iker_agent.reproduce.settings import ReproduceSettings, conditions, known_task, model_facts, shipped_hash
from iker_agent.seeing.look import Look, look
from iker_agent.vlm.budget import Budget
from iker_agent.vlm.errors import ReplayMiss
from iker_agent.worlds import make_world, pose_estimator
from iker_envs.scene import Goal
from iker_envs.spec import spec_of
from iker_envs.task import Task
from iker_envs.world import World

_PROMPTS = {"keypoints": "single_stage", "poses": "poses"}  # of tasks of one stage


def evaluation(settings: ReproduceSettings, name: str, index: int, label: str, **what: Any) -> Unit:
    """A policy in one configuration: `what` are further EvalSettings; the shipped policy without `policy`."""
    task = known_task(name)
    is_lab = what.get("world") == "lab"
    asked = EvalSettings(
        task=name,
        configurations=str(index),
        num_envs=1 if is_lab else settings.copies,
        episodes=settings.episodes if is_lab else 1,
        seed=settings.config.seed,
        clock=settings.config.clock,
        **what,
    )
    path = asked.policy
    policy = shipped_hash(name) if not path else _hash_of(path)
    told = {k: v for k, v in vars(asked).items() if k not in ("policy", "task")}

    def run() -> Result:
        measured = measure(asked)
        if measured.stopped is not None:
            raise measured.stopped
        found = measured.result.overall
        successes = round(found.success_rate * found.num_episodes)
        strict = round(found.success_rate_strict * found.num_episodes)
        return {"trials": found.num_episodes, "successes": [successes], "strict": strict}

    return Unit(f"{label} {name} {index}", conditions(task, policy=policy, **told), run)


def written(settings: ReproduceSettings, name: str, index: int, contract: str, world: str) -> Unit:
    """One program of a model for a configuration, carried out by the shipped policy in a world."""
    task = known_task(name)
    config = settings.with_contract(contract)
    config = replace(config, task=name, configuration=index, world=world)
    config = replace(config, prompt=replace(config.prompt, name=_PROMPTS[contract]))
    told = {"config": config.to_dict(), "episodes": settings.episodes, "policy": shipped_hash(name)}

    def run() -> Result:
        return _Written(config, task, settings.episodes).result()

    unit = f"VLM {world} {contract} {name} {index}"
    return Unit(unit, conditions(task, **told, **model_facts(config)), run)


def per_configuration(settings: ReproduceSettings, make: Callable[[int], Unit]) -> tuple[Unit, ...]:
    """A unit for each of the configurations that are asked for."""
    return tuple(make(index) for index in range(settings.configurations))


def _hash_of(path: str) -> str:
    return fingerprint(Path(path))


class _Written:
    """Episodes of one configuration under one program."""

    def __init__(self, config: RunConfig, task: Task, episodes: int) -> None:
        self.config = config
        self.task = task
        self.episodes = episodes
        self.wanted = Requirements("", config.run.contract, config.goal.project, config.run.repairs)

    def result(self) -> Result:
        """Ask in the first episode; the program is run again on what the others look like."""
        policy = shipped_policy(self.task.name, spec_of(self.task.sample(None)))
        if policy is None:
            raise ValueError(f"no policy is shipped for {self.task.name}")
        world = make_world(self.config, self.task)
        try:
            with TemporaryDirectory(prefix="iker-reproduce-") as place:
                return self._episodes(world, policy, Folder(place))
        finally:
            world.close()

    def _episodes(self, world: World, policy: Policy, folder: Folder) -> Result:
        successes, program, answers, reasons = 0, "", 0, []
        for k in range(self.episodes):
            seed = seed_for(self.config.seed, self.config.configuration, k)
            world.reset(seed=seed, options={"configuration": self.config.configuration, "look": True})
            seen = look(world, pose_estimator(replace(self.config, seed=seed)), folder, self.config.run.contract)
            try:
                accepted = self._again(program, seen, folder) if program else self._ask(seen, folder)
            except ReplayMiss:
                return {"missing": "the record of the model's answers has none for it"}
            except NoAnswer as problem:
                reasons.append(str(problem))
                if not program:  # nothing to run on other looks
                    return {"trials": self.episodes, "successes": [0], "answers": len(problem.refusals), "why": reasons}
                continue
            program, answers = accepted.code, answers or accepted.answers
            fault = self._act(world, policy, accepted.goal, seen)
            successes += not fault
            reasons += [fault] if fault else []
        return {"trials": self.episodes, "successes": [successes], "answers": answers, "why": reasons}

    def _ask(self, seen: Look, folder: Folder) -> AcceptedProgram:
        kind = prompt_kind(self.config.prompt.name, self.config.run.contract)
        instruction = self.task.configuration(self.config.configuration).instruction
        standing = Standing(repairs=self.config.run.repairs)
        request = build_request(instruction, seen, prompt=kind, shown=self.config.prompt, standing=standing)
        with asking(make_vlm(self.config, self.task)) as inner:
            vlm = recorded(self.config, Budget(inner, self.config.ask), folder.path / "vlm")
            return ask(vlm, request, seen, self.wanted, folder)

    def _again(self, program: str, seen: Look, folder: Folder) -> AcceptedProgram:
        found = read_reply(f"```python\n{program}\n```", seen, self.wanted, folder)
        if isinstance(found, AcceptedProgram):
            return found
        raise NoAnswer([found.reason])

    def _act(self, world: World, policy: Policy, goal: Goal | None, seen: Look) -> str:
        """Carry a goal out; empty if it ended at the annotated target, else what went wrong."""
        if goal is None:
            return "the program says that nothing is left to do"
        near = goal.target_pose
        annotated = self.task.annotated_pose(goal.object, world.scene, self.config.configuration, near=near)
        goal = replace(goal, annotated_pose=annotated)
        try:
            grasps = choose_grasps(seen.scene, goal, ForecastSettings(act_above=0.0)) if goal.grasp else (None,)
            rollout = execute(world, policy, goal, grasps[0])
        except ValueError as problem:
            return str(problem)
        outcome = rollout.outcome
        held = outcome.success and outcome.grasped and not rollout.lost and annotated is not None
        return "" if held else outcome.reason or "the object is not at the annotated target"
