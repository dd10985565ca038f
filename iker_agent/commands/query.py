"""`iker query`: one look, one question, one answer; nothing is learned and nothing moves.

config  ->  look  ->  ask (without repair turns)  ->  Query(folder, prompt, reply, program, goal or why there is none)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from iker_agent.asking.ask import AcceptedProgram, NoAnswer, Requirements, ask
from iker_agent.asking.limits import standing_of
from iker_agent.asking.prompts import build_request
from iker_agent.backends import asking, make_vlm, recorded, told
from iker_agent.commands.terminal import show_code, show_text
from iker_agent.config import RunConfig
from iker_agent.plan import Plan, make_plan
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.records.run_folder import Folder, claimed_folder
from iker_agent.seeing.look import Look, look
from iker_agent.vlm.errors import Unanswered
from iker_agent.vlm.types import VLM
from iker_agent.worlds import make_world, pose_estimator
from iker_envs.scene import Goal


@dataclass(frozen=True, eq=False)
class Query:
    """What came of a question: the files are in `folder`; `problem` says why there is no answer."""

    folder: Path
    answer: AcceptedProgram | None
    problem: str = ""
    told: Sequence[str] = ()  # whom it went to

    def text(self, name: str) -> str:
        """A file of the folder, empty if it was not written."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def query(config: RunConfig, out: Path | None) -> Query:
    """Look at the start of a task and ask once."""
    plan = make_plan(config)
    backend = make_vlm(config, plan.task)
    with asking(backend), claimed_folder(out, f"{plan.task.name}_query") as folder:
        return _answered(plan, backend, folder)


def _answered(plan: Plan, backend: VLM, folder: Folder) -> Query:
    config = plan.config
    vlm = recorded(config, backend, folder.path / "vlm")
    seen = _look(plan, folder)
    prompt = prompt_kind(config.prompt.name, config.run.contract)
    standing = replace(standing_of(config, number=1, missed=0), repairs=0)
    request = build_request(plan.instruction, seen, prompt=prompt, shown=config.prompt, standing=standing)
    wanted = Requirements(plan.instruction, config.run.contract, config.goal.project, repairs=0)
    try:
        return Query(folder.path, ask(vlm, request, seen, wanted, folder), told=told(backend))
    except (NoAnswer, Unanswered) as problem:
        return Query(folder.path, None, str(problem), told(backend))


def _look(plan: Plan, folder: Folder) -> Look:
    """The first look of a run of the plan."""
    config = plan.config
    world = make_world(config, plan.task)
    try:
        world.reset(seed=config.seed, options={"configuration": plan.configuration, "look": True})
        return look(world, pose_estimator(config), folder, config.run.contract, side=config.prompt.side)
    finally:
        world.close()


def show(result: Query, console: Console) -> None:
    """Print the marked image's path, the prompt, the reply, the program and the goal."""
    console.print(f"[bold]marked image[/bold]  {escape(str(result.folder / 'marked.png'))}", soft_wrap=True)
    for line in result.told:
        console.print(escape(line), soft_wrap=True)
    for title, name in (("prompt", "prompt.md"), ("reply", "reply.md")):
        console.rule(title)
        show_text(console, result.text(name) or "nothing")
    console.rule("program")
    show_code(console, result.text("program.py"))
    console.rule("goal")
    console.print(_verdict(result), soft_wrap=True)


def _verdict(result: Query) -> str:
    if result.answer is None:
        return f"[red]none[/red]: {escape(result.problem)}"
    goal = result.answer.goal
    if goal is not None:
        lines = [_goal_line(goal)]
    elif result.answer.impossible:
        lines = [f"impossible: {escape(result.answer.impossible)}"]
    else:
        lines = ["done: the instruction is fulfilled"]
    return "\n".join([*lines, *(f"note: {escape(note)}" for note in result.answer.notes)])


def _goal_line(goal: Goal) -> str:
    x, y, z = (f"{100 * v:.1f}" for v in goal.target_pose[:3])
    return f"{'grasp and place' if goal.grasp else 'push'} {escape(goal.object)} to x {x}, y {y}, z {z} cm"
