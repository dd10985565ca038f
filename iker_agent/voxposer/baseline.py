"""A whole run of VoxPoser: the plan's stages one after the other, each from ground-truth boxes, and no second try.

plan, folder, display [, vlm, world]  ->  carry_out_value_maps  ->  RunResult

It leaves the records that the loop leaves, and is judged by the same success. What the plan says is done in its order:
nothing looks at how a stage ended, but the boxes are those of the moment at which a stage begins.
"""

from __future__ import annotations

import time
from dataclasses import replace

from iker_agent.asking.ask import NoAnswer
from iker_agent.backends import recorded
from iker_agent.execute import Rollout, execute
from iker_agent.loop import INTERRUPTED, Display
from iker_agent.plan import Plan
from iker_agent.records.film import Films
from iker_agent.records.record import Failure, RunResult, StageRecord, final_outcome, run_record, whereabouts
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.budget import Budget
from iker_agent.vlm.errors import Unanswered
from iker_agent.vlm.types import VLM
from iker_agent.voxposer.acts import Act, Carry, Push
from iker_agent.voxposer.asking import ask, build_request
from iker_agent.voxposer.follower import Follower
from iker_agent.voxposer.plans import plan_of
from iker_agent.voxposer.pushing import next_push
from iker_agent.worlds import make_world
from iker_envs.judging.success import near_targets
from iker_envs.scene import Goal
from iker_envs.spec import spec_of
from iker_envs.world import World, WorldFault

_MAX_PUSHES = 8  # of one object in a stage
_LEAST_PUSH_M = 0.004  # an object that a push moves by less is pushed no more


def carry_out_value_maps(
    plan: Plan, folder: Folder, display: Display, vlm: VLM, world: World | None = None
) -> RunResult:
    """Carry out the plan's stages; run.json and outcome.json are kept up to date. ValueError without a plan."""
    run = _Run(plan, folder, display, vlm, world)
    try:
        return run.go()
    finally:
        run.films.close()
        run.world.close()


class _Run:
    """A run in progress."""

    def __init__(self, plan: Plan, folder: Folder, display: Display, vlm: VLM, world: World | None) -> None:
        config = plan.config
        self.plan = plan
        self.steps = plan_of(plan.task, plan.configuration)
        self.folder = folder
        self.display = display
        self.budget = Budget(vlm, config.ask)
        self.vlm = recorded(config, self.budget, folder.path / "vlm")
        self.world = world or make_world(config, plan.task)
        self.films = Films()
        self.result = RunResult(reason=INTERRUPTED)
        self.began_s = time.monotonic()

    def go(self) -> RunResult:
        """All stages, then the verdict."""
        start = {"configuration": self.plan.configuration, "look": True}
        self.world.reset(seed=self.plan.config.seed, options=start)
        self.start = whereabouts(self.world).scene
        try:
            for number in range(1, len(self.steps) + 1):
                record = StageRecord(number, strict=self.plan.config.run.strict)
                self.result.stages.append(record)
                self._recorded_stage(record)
                self.display.outcome(record)
                self._judge_and_save()
            self.result.done = True  # the plan is carried out
            self.result.reason = ""
            self.films.wait(self.display.note)
        except Unanswered as problem:
            self.result.reason = str(problem)
        finally:
            self._judge_and_save()
        return self.result

    def _recorded_stage(self, record: StageRecord) -> None:
        """A stage, with whatever ends it written down."""
        began_s = time.monotonic()
        try:
            self._stage(record)
        except NoAnswer as problem:
            record.stopped(Failure.ANSWER, str(problem))
        except WorldFault as problem:
            record.stopped(Failure.ROBOT, str(problem))
            if not problem.fault.recovered:
                raise
        except Unanswered as problem:
            record.stopped(Failure.BACKEND, str(problem))
            raise
        except ValueError as problem:  # the world does not take the act, and says why
            record.stopped(Failure.TARGET, str(problem))
        finally:
            record.seconds = time.monotonic() - began_s

    def _stage(self, record: StageRecord) -> None:
        """Look, ask, act."""
        folder = self.folder.stage(record.number)
        view = self.world.view()
        scene = whereabouts(self.world).scene
        folder.image("view.png", view.image.rgb)
        folder.image("marked.png", view.image.rgb)  # nothing is marked for this method; the report shows this name
        request = build_request(scene, view, self.plan.instruction, self.steps, record.number - 1)

        def note_refusal(reason: str) -> None:
            record.refusals.append(reason)
            self.display.note(f"the answer was refused: {reason}")

        acts = ask(self.vlm, request, scene, self.plan.config.run.repairs, folder, note_refusal)
        record.answers = len(record.refusals) + 1
        for act in acts:
            record.object = act.object
            record.grasp = isinstance(act, Carry)
            record.action = f"{'grasp and place' if record.grasp else 'push'} {act.object}"
            self.display.stage(record.number, record.action)
            self._act(act, record, folder)

    def _act(self, act: Act, record: StageRecord, folder: Folder) -> None:
        """Let the hand do it, and measure."""
        stages = self.plan.task.configuration(self.plan.configuration).stages
        scene = whereabouts(self.world).scene
        wanted = self.plan.task.goal(min(record.number, len(stages)) - 1, scene, self.plan.configuration)
        annotated = wanted.target_pose if wanted.object == act.object else None
        goal = Goal(act.object, act.target_pose, isinstance(act, Carry), self.plan.instruction, {}, annotated)
        if isinstance(act, Push):
            rollout = self._push(act, goal)
        else:
            policy = Follower(act.waypoints, spec_of(self.world.template))
            rollout = execute(self.world, policy, goal, act.grasp, video=self.plan.config.run.video)
        record.acted(rollout.outcome, lost=rollout.lost)
        if rollout.fault is not None and not record.ok:
            record.failed = Failure.ROBOT
        folder.json("goal.json", goal)
        folder.json("outcome.json", rollout.outcome)
        if rollout.frames:
            self.films.add(folder, rollout.frames, rollout.fps)

    def _push(self, act: Push, goal: Goal) -> Rollout:
        """Push until the object is at the end of its path, does not move any more, or all pushes are used."""
        rollout: Rollout | None = None
        frames = []
        for _ in range(_MAX_PUSHES):
            before = whereabouts(self.world).scene
            waypoints = next_push(before, act)
            if waypoints is None:
                break
            policy = Follower(waypoints, spec_of(self.world.template))
            rollout = execute(self.world, policy, goal, video=self.plan.config.run.video)
            frames += rollout.frames
            after = whereabouts(self.world).scene.object(act.object).pose
            moved_m = abs(after[:2] - before.object(act.object).pose[:2]).max()
            if rollout.lost or moved_m < _LEAST_PUSH_M:
                break
        if rollout is None:
            raise ValueError(f"{act.object} is at the end of its path already")
        return replace(rollout, frames=frames)

    def _judge_and_save(self) -> None:
        found = whereabouts(self.world)
        verdict = self.plan.judge(found.scene, self.start)
        if self.plan.is_annotated:
            targets = self.plan.task.targets(found.scene, self.plan.configuration)
            self.result.near_annotation = near_targets(targets, found.scene).fulfilled
        if verdict is None:
            self.result.success = None if self.result.done else False
        else:
            self.result.unmet = list(verdict.unmet)
            self.result.success = self.result.done and verdict.fulfilled
        self.result.seconds = time.monotonic() - self.began_s
        self.result.spent = self.budget.spent
        self.folder.json("run.json", run_record(self.plan, self.result, found.judged_by))
        self.folder.json("outcome.json", final_outcome(found, self.result))
