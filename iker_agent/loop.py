"""The whole loop: look, ask, check, learn, act, look again, until the program says done or the budget ends.

    run_task(config, folder, display)  ->  RunResult

Each line of `_Run.look` and `_Run.act` is one stage of the data flow; each leaves its file in the run folder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

import iker_envs
from iker_agent.config import RunConfig
from iker_agent.execute import execute
from iker_agent.goals import Refusal, check_goal
from iker_agent.keypoints import Keypoints, select_keypoints
from iker_agent.learners import make_learner
from iker_agent.learning.progress import Row
from iker_agent.marks import draw_marks
from iker_agent.program import extract_program, run_program
from iker_agent.prompts import REPAIR, Turn, build_request
from iker_agent.record import final_outcome, run_record, save_policy_files
from iker_agent.run_folder import Folder
from iker_agent.vlm import make_vlm
from iker_agent.vlm.types import VLM, Request
from iker_envs.grasps import propose_grasps
from iker_envs.perception import estimate_poses
from iker_envs.scene import Goal, Grasp, Outcome, Scene
from iker_envs.task import task_success
from iker_envs.transfer import SceneNotAtRest, scene_from_poses

_LOOKS = 5  # estimates tried before a scene that does not rest is given up


class Display(Protocol):
    """Where a run tells what it is doing."""

    def stage(self, number: int, text: str) -> None: ...
    def learning(self, row: Row) -> None: ...
    def outcome(self, record: StageRecord) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class StageRecord:
    """What is reported about one stage of a run."""

    number: int
    action: str = ""
    object: str = ""
    grasp: bool = False
    attempt: int = 1
    answers: int = 0  # programs asked for, 1 without repairs
    env_steps: int = 0
    seconds: float = 0.0
    learning_seconds: float = 0.0
    outcome: Outcome | None = None
    problem: str = ""  # why there is no outcome

    @property
    def ok(self) -> bool:
        return self.outcome is not None and self.outcome.success_strict


@dataclass
class RunResult:
    """How a run ended."""

    success: bool = False
    done: bool = False
    reason: str = ""
    seconds: float = 0.0
    stages: list[StageRecord] = field(default_factory=list)


class GaveUp(Exception):
    """A stage cannot go on; the message says why."""


@dataclass(frozen=True, eq=False)
class Look:
    """What one look at the world gave: the scene in simulation, keypoints, the marked image."""

    scene: Scene
    keypoints: Keypoints
    marked: np.ndarray


def run_task(config: RunConfig, folder: Folder, display: Display, vlm: VLM | None = None) -> RunResult:
    """Run a task to its end; run.json, outcome.json are kept up to date, also when interrupted.

    `vlm` takes the place of the backend that the configuration names.
    """
    run = _Run(config, folder, display, vlm)
    try:
        return run.go()
    finally:
        run.close()


class _Run:
    def __init__(self, config: RunConfig, folder: Folder, display: Display, vlm: VLM | None) -> None:
        self.config, self.folder, self.display = config, folder, display
        self.env = gym.make(_task_id(config.task), render_mode="rgb_array", **_task_kwargs(config.task)).unwrapped
        self.task = self.env.task
        self.instruction = config.instruction or self.task.configuration(config.configuration).instruction
        self.vlm = vlm or make_vlm(config, self.task)
        self.learner = make_learner(config)
        self.rng = np.random.default_rng([config.seed, 1])
        self.result, self.history = RunResult(), []
        self.policies: dict[bool, Any] = {}  # latest policy by grasp mode
        self.start = time.monotonic()

    def go(self) -> RunResult:
        """Stages until done, out of budget, or interrupted."""
        self.env.reset(seed=self.config.seed, options={"configuration": self.config.configuration, "look": True})
        self.result.reason = "interrupted"
        self._save()
        try:
            self._stages()
        except GaveUp as end:
            self.result.reason = str(end)
        finally:
            self.result.seconds = time.monotonic() - self.start
            reached = task_success(self.task, self.env.scene, self.config.configuration)
            annotated = self.config.instruction in ("", self.task.configuration(self.config.configuration).instruction)
            self.result.success = self.result.done and (reached or not annotated)
            self._save()
        return self.result

    def _stages(self) -> None:
        retries = self.config.run.retries
        for number in range(1, self.config.run.max_stages + 1):
            record = StageRecord(number)
            self.result.stages.append(record)
            began = time.monotonic()
            stage = self.folder.stage(number)
            try:
                if self.look_and_act(stage, record):
                    self.result.stages.pop()
                    self.result.done, self.result.reason = True, ""
                    return
            except GaveUp as problem:
                record.problem = str(problem)
            record.seconds = time.monotonic() - began
            self.display.outcome(record)
            self._save()
            if not record.ok:
                retries -= 1
                if retries < 0:
                    raise GaveUp(f"no retries left after stage {number}: {record.problem or record.outcome.reason}")
        raise GaveUp(f"not done after {self.config.run.max_stages} stages")

    def look_and_act(self, stage: Folder, record: StageRecord) -> bool:
        """One stage; True when the answer to the look is done."""
        look = self.look(stage)
        goal, program = self.ask(stage, look, record)
        if goal is None:
            self.display.stage(record.number, "looks again: done")
            return True
        record.object, record.grasp = goal.object, goal.grasp
        record.action = f"{'grasp and place' if goal.grasp else 'push'} {goal.object}"
        same = [s for s in self.result.stages[:-1] if s.action == record.action]
        record.attempt = len(same) + 1
        self.display.stage(record.number, record.action + (f" (try {record.attempt})" if same else ""))
        turn = Turn(look.marked, f"../{stage.path.name}/marked.png", program)
        try:
            record.outcome = self.act(stage, look.scene, goal, record)
            self.history.append(replace(turn, outcome=record.outcome))
        except GaveUp as problem:
            self.history.append(replace(turn, note=str(problem)))
            raise
        return False

    def look(self, stage: Folder) -> Look:
        """Image, poses, scene in simulation, numbered keypoints, marked image."""
        view = self.env.view()
        stage.image("view.png", view.image.rgb)
        scene = self._transfer(stage, view)
        keypoints = select_keypoints(scene, view)
        marked = draw_marks(view.image, keypoints)
        stage.json("keypoints.json", keypoints)
        stage.image("marked.png", marked)
        return Look(scene, keypoints, marked)

    def _transfer(self, stage: Folder, view) -> Scene:
        problem = ""
        for _ in range(_LOOKS):
            estimates = estimate_poses(view, self.env.stage.scene, self.config.perception, self.rng)
            try:
                scene = scene_from_poses(self.env.stage.scene, {name: pose for name, (pose, _) in estimates.items()})
            except SceneNotAtRest as error:
                problem = str(error)
                continue
            poses = {n: {"pose": pose.tolist(), "confidence": c} for n, (pose, c) in estimates.items()}
            stage.json("poses.json", poses)
            stage.yaml("scene.yaml", scene)
            return scene
        raise GaveUp(problem)

    def ask(self, stage: Folder, look: Look, record: StageRecord) -> tuple[Goal | None, str]:
        """The next goal and the program it came from; (None, program) when done. GaveUp after too many repairs."""
        outcomes = self.config.run.outcomes_in_history
        request = build_request(
            self.instruction,
            look.marked,
            look.keypoints,
            look.scene,
            self.history,
            prompt=self.config.prompt,
            outcomes=outcomes,
        )
        reason = ""
        for _ in range(self.config.run.repairs + 1):
            record.answers += 1
            answer = self._answer(stage, request, look)
            if not isinstance(answer, Refusal):
                return answer
            reason = answer.reason
            self.display.note(f"the program was refused: {reason}")
            request = request.followed_by(self._reply, REPAIR.format(reason=reason))
        raise GaveUp(f"no usable program after {record.answers} answers: {reason}")

    def _answer(self, stage: Folder, request: Request, look: Look) -> tuple[Goal | None, str] | Refusal:
        stage.text("prompt.md", request.markdown())
        reply = self.vlm.complete(request)
        self._reply = reply.text
        stage.text("reply.md", reply.text)
        code, warnings = extract_program(reply.text)
        if code is None:
            return Refusal(warnings[0] if warnings else "the reply holds no program")
        stage.text("program.py", code)
        result = run_program(code, look.keypoints.by_label())
        if result.status == "done":
            stage.json("goal.json", {"done": True})
            return None, code
        if result.status != "ok":
            return Refusal(result.message)
        checked = check_goal(result, look.scene, look.keypoints, self.instruction, project=self.config.goal.project)
        if isinstance(checked, Refusal):
            return checked
        stage.json("goal.json", checked)
        return checked, code

    def act(self, stage: Folder, scene: Scene, goal: Goal, record: StageRecord) -> Outcome:
        """Learn a policy in copies of the scene, then let it act in the world."""
        began = time.monotonic()
        init = self.policies.get(goal.grasp) if self.config.run.warm_start else None
        try:
            policy, rows = self.learner(scene, goal, init, self.config.seed + record.number, self.display.learning)
        except ValueError as problem:
            raise GaveUp(str(problem)) from None
        record.learning_seconds = time.monotonic() - began
        record.env_steps = rows[-1].steps if rows else 0
        save_policy_files(stage, policy, rows)
        self.policies[goal.grasp] = policy
        annotated = self.task.annotated_pose(
            goal.object, self.env.scene, self.config.configuration, near=goal.target_pose
        )
        rollout = execute(
            self.env,
            policy,
            replace(goal, annotated_pose=annotated),
            self._grasp(scene, goal),
            video=self.config.run.video,
        )
        stage.json("outcome.json", rollout.outcome)
        if rollout.frames:
            stage.video("rollout.mp4", rollout.frames, rollout.fps)
        return rollout.outcome

    def _grasp(self, scene: Scene, goal: Goal) -> Grasp | None:
        return propose_grasps(scene, goal.object, goal.target_pose).grasps[0] if goal.grasp else None

    def _save(self) -> None:
        self.result.seconds = time.monotonic() - self.start
        self.folder.json("run.json", run_record(self.config, self.task, self.instruction, self.result))
        self.folder.json("outcome.json", final_outcome(self.env.scene, self.result))

    def close(self) -> None:
        self.env.close()


def _task_id(task: str) -> str:
    ids = {name: id_ for id_, name in iker_envs.TASKS.items()}
    return ids.get(task, "IKER-Stage-v0")


def _task_kwargs(task: str) -> dict[str, str]:
    return {} if task in iker_envs.TASKS.values() else {"task": task}
