"""From a request to a goal that can be trusted: ask, find the program, run it, check its goal, else ask again.

    Request, Look  ->  ask  ->  AcceptedProgram(goal or done, code, refusals)

A reply that cannot be used is answered with one concrete reason, at most `repairs` times; then NoAnswer says so. The
repair dialogue is dropped once a program is accepted: only that program enters the history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from iker_agent.asking.goals import Refusal, check_goal, goal_notes
from iker_agent.asking.prompts import REPAIR, object_poses
from iker_agent.program import extract_program, run_program
from iker_agent.program.extract import CUT
from iker_agent.program.rows import POSE_ROWS
from iker_agent.program.signatures import signature_named
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.look import Look
from iker_agent.vlm.errors import Unusable
from iker_agent.vlm.types import VLM, Request
from iker_envs.scene import Goal


@dataclass(frozen=True)
class Requirements:
    """What a program must fulfil, and how often it may be asked for again."""

    instruction: str = ""
    contract: str = "keypoints"
    project: bool = True  # targets onto the nearest rigid motion
    repairs: int = 4


@dataclass(eq=False)
class AcceptedProgram:
    """What came of asking; `goal` is None when the program says done, or why it is impossible.

    `refusals` holds one reason per repair turn.
    """

    goal: Goal | None = None
    code: str = ""
    refusals: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()  # what was read generously
    impossible: str = ""  # why the program says that it cannot be done

    @property
    def is_done(self) -> bool:
        """It says that nothing is left to do."""
        return self.goal is None and not self.impossible

    @property
    def answers(self) -> int:
        """How many replies it took."""
        return len(self.refusals) + 1


class NoAnswer(Exception):
    """No usable program within the repairs; `refusals` has the reasons."""

    def __init__(self, refusals: list[str]) -> None:
        count = "1 answer" if len(refusals) == 1 else f"{len(refusals)} answers"
        super().__init__(f"no usable program after {count}: {refusals[-1]}")
        self.refusals = refusals


def ask(
    vlm: VLM,
    request: Request,
    seen: Look,
    wanted: Requirements,
    folder: Folder,
    on_refusal: Callable[[str], None] = lambda reason: None,
    trial: Callable[[Goal], Refusal | None] = lambda goal: None,
) -> AcceptedProgram:
    """Ask until a program is accepted; leaves prompt.md, reply.md, program.py, goal.json.

    `trial` has the last word on a goal that passed all checks: its Refusal is told like any other. NoAnswer when all
    repairs are used; errors of the backend (`Unanswered`) pass through.
    """
    refusals: list[str] = []
    for _ in range(wanted.repairs + 1):
        folder.text("prompt.md", request.markdown())
        text, unusable = _reply(vlm, request)
        folder.text("reply.md", text)
        (folder.path / "program.py").unlink(missing_ok=True)  # that of the answer before
        outcome = unusable or read_reply(text, seen, wanted, folder)
        if isinstance(outcome, AcceptedProgram):
            refused = trial(outcome.goal) if outcome.goal else None
            if refused is None:
                outcome.refusals = refusals
                return outcome
            outcome = refused
            (folder.path / "goal.json").unlink(missing_ok=True)  # nothing will act on it
        refusals.append(outcome.reason)
        on_refusal(outcome.reason)
        request = request.followed_by(text or "(no text)", REPAIR.format(reason=outcome.reason))
    raise NoAnswer(refusals)


def _reply(vlm: VLM, request: Request) -> tuple[str, Refusal | None]:
    try:
        return vlm.complete(request).text, None
    except Unusable as problem:
        return (problem.reply.text if problem.reply else ""), Refusal(str(problem))


def read_reply(text: str, seen: Look, wanted: Requirements, folder: Folder) -> AcceptedProgram | Refusal:
    """Read one reply: its program, run and checked."""
    code, warnings = extract_program(text, wanted.contract)
    if code is None:
        return Refusal(warnings[0])
    folder.text("program.py", code)
    result = run_program(code, _inputs(seen, wanted.contract), wanted.contract, check_targets=False)  # check_goal does
    notes = (*warnings, *result.warnings)
    if result.status in ("done", "impossible"):
        if CUT in warnings:
            return Refusal(f"the program says {result.status}, but {CUT}")
        reason = result.message  # empty where it is done
        folder.json("goal.json", {"impossible": reason} if reason else {"done": True})
        return AcceptedProgram(None, code, notes=notes, impossible=reason)
    if result.status != "ok":
        return Refusal(result.message)
    goal = check_goal(result, seen.scene, seen.keypoints, wanted.instruction, project=wanted.project)
    if isinstance(goal, Refusal):
        return goal
    folder.json("goal.json", goal)
    return AcceptedProgram(goal, code, notes=(*notes, *goal_notes(goal, seen.keypoints)))


def _inputs(seen: Look, contract: str) -> dict:
    is_pose = signature_named(contract).rows is POSE_ROWS
    return object_poses(seen.scene) if is_pose else seen.keypoints.by_label()
