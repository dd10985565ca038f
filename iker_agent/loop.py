"""The whole loop: look, ask, check, learn, act, look again, until the program says done or the budget ends.

    run_task(config, folder, display)  ->  RunResult

Each line of `_Run.stage` is one step of the data flow; each leaves its file in the run folder. Everything that the
backend was asked and answered is in the folder's vlm/, so that the run can be replayed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

import iker_envs
from iker_agent.asking.ask import Answer, NoAnswer, Terms, ask
from iker_agent.asking.prompts import Turn, build_request
from iker_agent.backends import make_vlm, recorded
from iker_agent.config import RunConfig
from iker_agent.disturb import Meddler, chosen_task, load_disturbance
from iker_agent.execute import execute
from iker_agent.learners import make_learner
from iker_agent.learning.learner import Learner
from iker_agent.learning.progress import TrainingRow
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.records.record import RunResult, StageRecord, final_outcome, run_record, save_policy_files
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.look import Look, look
from iker_agent.vlm.budget import Budget
from iker_agent.vlm.errors import Unanswered
from iker_agent.vlm.types import VLM
from iker_envs.physics.transfer import SceneNotAtRest
from iker_envs.planning.grasps import propose_grasps
from iker_envs.scene import Goal, Grasp, Outcome, Scene
from iker_envs.task import Task, task_success


class Display(Protocol):
    """Where a run tells what it is doing."""

    def stage(self, number: int, text: str) -> None: ...
    def learning(self, row: TrainingRow) -> None: ...
    def outcome(self, record: StageRecord) -> None: ...
    def note(self, text: str) -> None: ...


class GaveUp(Exception):
    """A stage cannot go on; the message says why."""


def run_task(
    config: RunConfig,
    folder: Folder,
    display: Display,
    vlm: VLM | None = None,
    learner: Learner | None = None,
) -> RunResult:
    """Run a task to its end; run.json, outcome.json are kept up to date, also when interrupted.

    `vlm` and `learner` take the places of those that the configuration names.
    """
    run = _Run(config, folder, display, vlm, learner)
    try:
        return run.go()
    finally:
        run.close()


class _Run:
    def __init__(
        self, config: RunConfig, folder: Folder, display: Display, vlm: VLM | None, learner: Learner | None
    ) -> None:
        self.config = config
        self.folder = folder
        self.display = display
        self.task = chosen_task(config)
        self.configuration = config.configuration
        self.instruction = config.instruction or self.task.configuration(self.configuration).instruction
        self.budget = Budget(vlm or make_vlm(config, self.task), config.ask)
        self.vlm = recorded(config, self.budget, folder.path / "vlm")
        self.learner = learner or make_learner(config)
        self.prompt = prompt_kind(config.prompt, config.run.contract)
        self.env = make_world(self.task, "" if config.disturb else config.task)
        self.meddler = Meddler(load_disturbance(config.disturb)[0] if config.disturb else None, self.env)
        self.rng = np.random.default_rng([config.seed, 1])
        self.result = RunResult()
        self.history = []
        self.policies: dict[bool, Any] = {}  # latest policy by grasp mode
        self.start = time.monotonic()

    def go(self) -> RunResult:
        """Stages until done, out of budget, or interrupted."""
        self.env.reset(seed=self.config.seed, options={"configuration": self.configuration, "look": True})
        self.result.reason = "interrupted"
        self._save()
        try:
            self._stages()
        except (GaveUp, Unanswered) as end:
            self.result.reason = str(end)
        finally:
            there = task_success(self.task, self.env.scene, self.configuration)
            self.result.success = self.result.done and (there or not self._annotated)
            self._save()
        return self.result

    @property
    def _annotated(self) -> bool:
        """Is the instruction the task's own, so that its annotation says where things should be?"""
        return self.instruction == self.task.configuration(self.configuration).instruction

    def _stages(self) -> None:
        retries = self.config.run.retries
        for number in range(1, self.config.run.max_stages + 1):
            record = StageRecord(number, strict=self.config.run.strict)
            self.result.stages.append(record)
            began = time.monotonic()
            try:
                done = self.stage(self.folder.stage(number), record)
            except (GaveUp, NoAnswer, SceneNotAtRest) as problem:
                record.problem = str(problem)
                done = False
            except Unanswered as problem:
                record.problem = str(problem)
                raise
            finally:
                record.seconds = time.monotonic() - began
                self._note_events(record)
            if done:
                self.result.done = True
                self.result.reason = ""
            if done and not record.action:
                self.result.final_look = self.result.stages.pop()
                return
            self._told(record)
            if done:
                return
            retries -= not record.ok
            if retries < 0:
                raise GaveUp(f"no retries left after stage {number}: {record.problem or record.outcome.reason}")
        raise GaveUp(f"not done after {self.config.run.max_stages} stages")

    def _note_events(self, record: StageRecord) -> None:
        for event in self.meddler.take_events():
            record.events.append(event)
            self.display.note(f"meanwhile: {event}")

    def _told(self, record: StageRecord) -> None:
        self.display.outcome(record)
        self._save()

    def stage(self, stage: Folder, record: StageRecord) -> bool:
        """One stage: look, ask, learn, act; True when nothing is left to do."""
        self._listen(record)
        seen = look(self.env, self.config.perception, self.rng, stage, self.config.run.contract)
        answer = self.ask(stage, seen, record)
        if answer.goal is None:
            self.display.stage(record.number, "looks again: done")
            return True
        goal = answer.goal
        record.object = goal.object
        record.grasp = goal.grasp
        record.action = f"{'grasp and place' if goal.grasp else 'push'} {goal.object}"
        same = [s for s in self.result.stages[:-1] if s.action == record.action and not s.ok]
        record.attempt = len(same) + 1
        self.display.stage(record.number, record.action + (f" (try {record.attempt})" if same else ""))
        image_name = f"../{stage.path.name}/marked.png"
        turn = Turn(seen.marked, image_name, answer.program, instruction=self.instruction)
        try:
            record.outcome = self.act(stage, seen.scene, goal, record)
            self.history.append(replace(turn, outcome=record.outcome))
        except GaveUp as problem:
            self.history.append(replace(turn, note=str(problem)))
            raise
        return record.ok and not self.prompt.stages

    def _listen(self, record: StageRecord) -> None:
        """Is there a new instruction?"""
        configuration = self.meddler.look(record.number - 1)
        if configuration is not None:
            self.configuration = configuration
            self.instruction = self.task.configuration(configuration).instruction
            self._note_events(record)
            self.display.note(f"new instruction: {self.instruction}")

    def ask(self, stage: Folder, seen: Look, record: StageRecord) -> Answer:
        """The next goal, or done, and the program it came from."""
        run = self.config.run
        request = build_request(
            self.instruction,
            seen.marked,
            seen.keypoints.by_label(),
            seen.scene,
            self.history,
            prompt=self.prompt,
            outcomes=run.outcomes_in_history,
        )
        terms = Terms(self.instruction, run.contract, self.config.goal.project, run.repairs)

        def refused(reason: str) -> None:
            record.refusals.append(reason)
            self.display.note(f"the answer was refused: {reason}")

        try:
            answer = ask(self.vlm, request, seen, terms, stage, refused)
        finally:
            record.answers = len(record.refusals)
        record.answers = answer.answers
        record.notes = answer.notes
        return answer

    def act(self, stage: Folder, scene: Scene, goal: Goal, record: StageRecord) -> Outcome:
        """Learn a policy in copies of the scene, then let it act in the world."""
        began = time.monotonic()
        init = self.policies.get(goal.grasp) if self.config.run.warm_start else None
        try:
            learned = self.learner.learn(
                scene,
                goal,
                stage=record.number,
                init=init,
                seed=self.config.seed + record.number,
                report=self.display.learning,
            )
        except ValueError as problem:
            raise GaveUp(str(problem)) from None
        record.learning_seconds = time.monotonic() - began
        policy = learned.policy
        record.env_steps = learned.rows[-1].steps if learned.rows else 0
        save_policy_files(stage, policy, learned.rows)
        self.policies[goal.grasp] = policy
        annotated = None
        if self._annotated:
            annotated = self.task.annotated_pose(goal.object, self.env.scene, self.configuration, near=goal.target_pose)
        rollout = execute(
            self.env,
            policy,
            replace(goal, annotated_pose=annotated),
            _grasp(scene, goal),
            video=self.config.run.video,
            bystander=self.meddler,
        )
        stage.json("outcome.json", rollout.outcome)
        if rollout.frames:
            stage.video("rollout.mp4", rollout.frames, rollout.fps)
        return rollout.outcome

    def _save(self) -> None:
        self.result.seconds = time.monotonic() - self.start
        self.result.spent = self.budget.spent
        self.folder.json("run.json", run_record(self.config, self.task, self.instruction, self.result))
        self.folder.json("outcome.json", final_outcome(self.env.scene, self.result))

    def close(self) -> None:
        self.env.close()


def make_world(task: Task, name: str = "") -> gym.Env:
    """The world that a run acts in: by its id where `name` is a registered task, else made of the task itself."""
    ids = {task_name: id_ for id_, task_name in iker_envs.TASKS.items()}
    if name in ids:
        return gym.make(ids[name], render_mode="rgb_array").unwrapped
    return gym.make("IKER-Stage-v0", task=task, render_mode="rgb_array").unwrapped


def _grasp(scene: Scene, goal: Goal) -> Grasp | None:
    return propose_grasps(scene, goal.object, goal.target_pose).grasps[0] if goal.grasp else None
