"""The whole loop: look, ask, check, learn, act, look again, until the program says done or the budget ends.

    run_task(config, folder, display)  ->  RunResult

Each line of `_Run._stage` is one step of the data flow; each leaves its file in the run folder. Everything that the
backend was asked and answered is in the folder's vlm/, so that the run can be replayed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol

import numpy as np

from iker_agent.acting import Actor
from iker_agent.asking.ask import AcceptedProgram, NoAnswer, Requirements, ask
from iker_agent.asking.doubt import doubt
from iker_agent.asking.goals import Refusal
from iker_agent.asking.limits import standing_of
from iker_agent.asking.prompts import Turn, build_request
from iker_agent.backends import make_vlm, recorded
from iker_agent.config import RunConfig
from iker_agent.disturb import Perturbation
from iker_agent.learners import make_learner
from iker_agent.learning.learner import Learner
from iker_agent.learning.policy import PolicyFault
from iker_agent.learning.progress import TrainingRow
from iker_agent.plan import Plan, forecast_settings, make_plan
from iker_agent.preparing import NoPolicy, Preparer
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.records.film import Films
from iker_agent.records.record import (
    Failure,
    RunResult,
    StageRecord,
    final_outcome,
    run_record,
    whereabouts,
)
from iker_agent.records.run_folder import Folder
from iker_agent.rehearsal import Rehearsal
from iker_agent.seeing.look import Look, imagined, look
from iker_agent.vlm.budget import Budget
from iker_agent.vlm.errors import Unanswered
from iker_agent.vlm.types import VLM
from iker_agent.worlds import make_world, pose_estimator
from iker_envs.judging.success import near_targets
from iker_envs.perception import EstimateRefused
from iker_envs.physics.transfer import SceneNotAtRest
from iker_envs.scene import Goal, Outcome, Scene
from iker_envs.world import World, WorldFault

INTERRUPTED = "interrupted"  # the reason of a run that has not come to its end


class Display(Protocol):
    """Where a run tells what it is doing."""

    def stage(self, number: int, text: str) -> None:
        """Stage `number` is about to do what the text says."""

    def learning(self, row: TrainingRow) -> None:
        """The learner has written a row of its log."""

    def outcome(self, record: StageRecord) -> None:
        """A stage has ended."""

    def note(self, text: str) -> None:
        """Something worth knowing."""


class GaveUp(Exception):
    """The run cannot go on; the message says why."""


class SaysImpossible(GaveUp):
    """The program says that it cannot be done: that ends the run, whether it is so or not."""


def run_task(
    config: RunConfig,
    folder: Folder,
    display: Display,
    vlm: VLM | None = None,
    learner: Learner | None = None,
) -> RunResult:
    """Run a task to its end, as `carry_out` does. ValueError if the settings name what does not exist."""
    return carry_out(make_plan(config), folder, display, vlm, learner)


def carry_out(
    plan: Plan,
    folder: Folder,
    display: Display,
    vlm: VLM | None = None,
    learner: Learner | None = None,
    world: World | None = None,
) -> RunResult:
    """Carry a plan out to its end; run.json and outcome.json are kept up to date, also when it is interrupted.

    `vlm`, `learner` and `world` take the places of those that the configuration names; the world is closed in the end.
    """
    run = _Run(plan, folder, display, vlm, learner, world)
    try:
        return run.go()
    finally:
        run.close()


class _Run:
    """A run in progress: what it acts with, what it has learned so far, and the records that it leaves."""

    def __init__(
        self,
        plan: Plan,
        folder: Folder,
        display: Display,
        vlm: VLM | None,
        learner: Learner | None,
        world: World | None,
    ) -> None:
        config = plan.config
        self.plan = plan
        self.folder = folder
        self.display = display
        backend = vlm or make_vlm(config, plan.task)
        self.budget = Budget(backend, config.ask)
        self.vlm = recorded(config, self.budget, folder.path / "vlm")
        learner = learner or make_learner(config, forecast_settings(plan))
        self.preparer = Preparer(plan, learner, display.note, display.learning, getattr(backend, "corrects", True))
        self.prompt = prompt_kind(config.prompt.name, config.run.contract)
        self.estimator = pose_estimator(config)
        self.world = world or make_world(config, plan.task)
        self.perturbation = Perturbation(plan.disturbance, self.world)
        self.actor = Actor(plan, self.world, self.estimator, self.perturbation, display.note)
        self.films = Films()
        self.history: list[Turn] = []
        self.imagined: Look | None = None  # in an open loop: the first look, with the objects where they should be now
        self.start: Scene | None = None  # what the first look after the instruction found
        self.result = RunResult(reason=INTERRUPTED)  # until it ends otherwise
        self.began_s = time.monotonic()

    # -- the run -------------------------------------------------------------------------------------------------

    def go(self) -> RunResult:
        """Stages until done, out of budget, or interrupted; videos are what it waits for last."""
        start = {"configuration": self.plan.configuration, "look": True}
        self.world.reset(seed=self.plan.config.seed, options=start)
        self._save()
        try:
            self._act_to_the_end()
            self._finish_films()
        except BrokenPipeError:  # whoever read what the run prints has gone: that stops it as Ctrl-C does
            raise
        except Exception as error:  # is raised again: the record says that the run was broken off, and by what
            self.result.reason = f"broken off by an error: {_in_words(error)}"
            raise
        finally:
            self._judge()
            self._save()
        return self.result

    def _act_to_the_end(self) -> None:
        """All stages, and the verdict on them, whatever becomes of their videos."""
        try:
            self._stages()
        except (GaveUp, Unanswered) as end:
            self.result.reason = str(end)
        self._judge()
        self._save()

    def _finish_films(self) -> None:
        """Wait for the videos; a run that is interrupted meanwhile says so, and keeps its verdict."""
        try:
            self.films.wait(self.display.note)
        except KeyboardInterrupt:
            self.result.reason = INTERRUPTED
            raise

    def _stages(self) -> None:
        """One stage after another; returns when there is nothing left to do, GaveUp when the budget ends before."""
        limits = self.plan.config.run
        retries_left = limits.retries
        for number in range(1, limits.max_stages + 1):
            record = StageRecord(number, strict=limits.strict)
            self.result.stages.append(record)
            is_done = self._recorded_stage(record)
            if is_done:
                self.result.done = True
                if self.result.reason == INTERRUPTED:
                    self.result.reason = ""
            if is_done and not record.action:
                self.result.final_look = self.result.stages.pop()
                return
            self.display.outcome(record)
            self._save()
            if is_done:
                return
            retries_left -= not record.ok and not limits.open_loop  # nobody sees that it missed
            if retries_left < 0:
                reason = record.outcome.reason if record.outcome else record.problem
                raise GaveUp(f"no retries left after stage {number}: {reason}")
        raise GaveUp(f"all {limits.max_stages} stages of the run are used (run.max_stages)")

    def _recorded_stage(self, record: StageRecord) -> bool:
        """A stage, with whatever ends it written down; True when nothing is left to do."""
        began_s = time.monotonic()
        try:
            return self._stage(record)
        except (SceneNotAtRest, EstimateRefused) as problem:
            record.stopped(Failure.SCENE, str(problem))
        except NoAnswer as problem:
            record.stopped(Failure.ANSWER, str(problem))
        except (NoPolicy, PolicyFault) as problem:
            record.stopped(Failure.LEARNING, str(problem))
        except SaysImpossible as claim:
            record.stopped(Failure.IMPOSSIBLE, str(claim))
            raise
        except Unanswered as problem:
            record.stopped(Failure.BACKEND, str(problem))
            raise
        except WorldFault as problem:
            record.stopped(Failure.ROBOT, str(problem))
            if not problem.fault.recovered:  # else the stage has failed, and another look may find another way
                raise GaveUp(f"the robot cannot go on: {problem}") from None
        except (KeyboardInterrupt, BrokenPipeError):
            record.stopped(Failure.INTERRUPTED, "the run was stopped in this stage")
            raise
        except Exception as error:  # is raised again: the record says what ended the stage
            record.stopped(Failure.ERROR, f"broken off by an error: {_in_words(error)}")
            raise
        finally:
            record.seconds = time.monotonic() - began_s
            self._note_events(record)
        return False

    # -- one stage -----------------------------------------------------------------------------------------------

    def _stage(self, record: StageRecord) -> bool:
        """Look, ask, learn, act; True when nothing is left to do."""
        folder = self.folder.stage(record.number)
        self._hear_instruction(record)
        config = self.plan.config
        seen = self.imagined or look(self.world, self.estimator, folder, config.run.contract, side=config.prompt.side)
        self.start = self.start or whereabouts(self.world).scene
        turn = Turn(seen.marked, f"../{folder.path.name}/marked.png", "", instruction=self.plan.instruction)
        try:
            accepted = self._ask(seen, folder, record)
        except NoAnswer:
            self.history.append(replace(turn, note="no answer could be used", refusals=tuple(record.refusals)))
            raise
        if accepted.impossible:
            raise SaysImpossible(f"the program says that it cannot be done: {accepted.impossible}")
        if accepted.goal is None:
            self.display.stage(record.number, "looks again: done")
            return True
        turn = replace(turn, program=accepted.code, refusals=tuple(record.refusals))
        if config.run.open_loop:
            self.imagined = imagined(seen, {accepted.goal.object: accepted.goal.target_pose})
        try:
            outcome = self._act(self.preparer.take(), accepted.goal, seen.scene, folder, record)
        except (NoPolicy, PolicyFault) as problem:
            self.history.append(replace(turn, note=str(problem)))
            raise
        self.estimator.forget(accepted.goal.object)  # it was touched: earlier looks at it say nothing any more
        self.history.append(replace(turn, outcome=outcome))
        return record.ok and not self.prompt.stages

    def _hear_instruction(self, record: StageRecord) -> None:
        """Has somebody changed the instruction meanwhile?"""
        configuration = self.perturbation.look(record.number - 1)
        if configuration is not None:
            self.plan = self.plan.retold(configuration)
            self.start = None
            self._note_events(record)
            self.display.note(f"new instruction: {self.plan.instruction}")

    def _ask(self, seen: Look, folder: Folder, record: StageRecord) -> AcceptedProgram:
        """The next goal, or done, and the program it came from."""
        config = self.plan.config
        request = build_request(
            self.plan.instruction,
            seen,
            self.history,
            prompt=self.prompt,
            shown=config.prompt,
            standing=standing_of(config, record.number, sum(not s.ok for s in self.result.stages[:-1])),
            outcomes=config.run.outcomes_in_history and not config.run.open_loop,
        )
        wanted = Requirements(self.plan.instruction, config.run.contract, config.goal.project, config.run.repairs)

        def note_refusal(reason: str) -> None:
            record.refusals.append(reason)
            record.answers = len(record.refusals)
            self.display.note(f"the answer was refused: {reason}")

        def trial(goal: Goal) -> Refusal | None:
            self._announce(goal, record)
            return self.preparer.prepare(seen.scene, goal, folder, record)

        accepted = ask(self.vlm, request, seen, wanted, folder, note_refusal, trial)
        doubts = 0
        while doubts < config.run.doubts:
            unmet = self._unmet() if accepted.is_done and not config.run.open_loop else ()
            if not unmet:
                break
            doubts += 1
            self.result.wrong_done += 1
            self.display.note(f"the program says done; not fulfilled: {'; '.join(unmet)}")
            request = doubt(request, accepted.code, unmet)
            try:
                accepted = ask(self.vlm, request, seen, wanted, folder, note_refusal, trial)
            except Unanswered as problem:  # the word that was given stands
                self.result.reason = f"the program said done, was told what is not fulfilled, and {problem}"
                break
        record.answers = len(record.refusals) + doubts + 1
        record.notes = (*accepted.notes, *record.notes)
        return accepted

    def _unmet(self) -> tuple[str, ...]:
        """What is not fulfilled, as things stand; nothing where no conditions say what success is."""
        if not self.plan.criterion:
            return ()
        now = whereabouts(self.world).scene
        verdict = self.plan.judge(now, self.start or now)
        return verdict.unmet if verdict is not None and not verdict.fulfilled else ()

    def _announce(self, goal: Goal, record: StageRecord) -> None:
        """Say what the stage is going to do, and whether it was tried before."""
        record.object = goal.object
        record.grasp = goal.grasp
        record.action = f"{'grasp and place' if goal.grasp else 'push'} {goal.object}"
        missed = [s for s in self.result.stages[:-1] if s.action == record.action and not s.ok]
        record.attempt = len(missed) + 1
        self.display.stage(record.number, record.action + (f" (try {record.attempt})" if missed else ""))

    def _act(self, ready: Rehearsal, goal: Goal, seen: Scene, folder: Folder, record: StageRecord) -> Outcome:
        """Let the policy act in the world, and measure."""
        goal = replace(goal, annotated_pose=self._annotated_pose(goal))
        rollout, events = self.actor.act(ready, goal, seen, folder)
        record.events += events
        record.acted(rollout.outcome, lost=rollout.lost)
        if rollout.fault is not None and not record.ok:
            record.failed = Failure.ROBOT
        folder.json("outcome.json", rollout.outcome)
        if rollout.frames:
            self.films.add(folder, rollout.frames, rollout.fps)
        return rollout.outcome

    def _annotated_pose(self, goal: Goal) -> np.ndarray | None:
        """Where the task wants the goal's object (7,); None if people gave an instruction of their own."""
        if not self.plan.is_annotated:
            return None
        scene = whereabouts(self.world).scene
        return self.plan.task.annotated_pose(goal.object, scene, self.plan.configuration, near=goal.target_pose)

    # -- records -------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Note whether the task is done; where nothing can tell, the program's word is all that is known."""
        result = self.result
        scene = whereabouts(self.world).scene
        verdict = self.plan.judge(scene, self.start or scene)
        if self.plan.is_annotated:
            targets = self.plan.task.targets(scene, self.plan.configuration)
            result.near_annotation = near_targets(targets, scene).fulfilled
        if verdict is None:
            result.success = None if result.done else False
            return
        result.unmet = list(verdict.unmet)
        result.success = result.done and verdict.fulfilled

    def _note_events(self, record: StageRecord) -> None:
        for event in self.perturbation.take_events():
            record.events.append(event)
            self.display.note(f"meanwhile: {event}")

    def _save(self) -> None:
        self.result.seconds = time.monotonic() - self.began_s
        self.result.spent = self.budget.spent
        found = whereabouts(self.world)
        self.folder.json("run.json", run_record(self.plan, self.result, found.judged_by))
        self.folder.json("outcome.json", final_outcome(found, self.result))

    def close(self) -> None:
        self.films.close()
        self.world.close()


def _in_words(error: Exception) -> str:
    """The kind of an error and its first line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
