"""`iker query`: one look, one question, one answer; nothing is learned and nothing moves.

config  ->  look  ->  ask (without repair turns)  ->  Query(folder, prompt, reply, program, goal or why there is none)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax

from iker_agent.asking.ask import Answer, NoAnswer, Terms, ask
from iker_agent.asking.prompts import build_request
from iker_agent.backends import make_vlm, recorded, told
from iker_agent.config import RunConfig
from iker_agent.disturb import chosen_task
from iker_agent.loop import make_world
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.records.run_folder import Folder, fresh_folder
from iker_agent.seeing.look import look
from iker_agent.vlm.errors import Unanswered
from iker_envs.scene import Goal


@dataclass(frozen=True, eq=False)
class Query:
    """What came of a question: the files are in `folder`; `problem` says why there is no answer."""

    folder: Path
    answer: Answer | None
    problem: str = ""
    told: Sequence[str] = ()  # whom it went to

    def text(self, name: str) -> str:
        """A file of the folder, empty if it was not written."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def query(config: RunConfig, out: Path | None) -> Query:
    """Look at the start of a task and ask once."""
    task = chosen_task(config)
    instruction = config.instruction or task.configuration(config.configuration).instruction
    backend = make_vlm(config, task)
    folder = Folder(fresh_folder(out, f"{task.name}_query"))
    vlm = recorded(config, backend, folder.path / "vlm")
    env = make_world(task, "" if config.disturb else config.task)
    try:
        env.reset(seed=config.seed, options={"configuration": config.configuration, "look": True})
        seen = look(env, config.perception, np.random.default_rng([config.seed, 1]), folder, config.run.contract)
    finally:
        env.close()
    prompt = prompt_kind(config.prompt, config.run.contract)
    request = build_request(instruction, seen.marked, seen.keypoints.by_label(), seen.scene, prompt=prompt)
    terms = Terms(instruction, config.run.contract, config.goal.project, repairs=0)
    try:
        return Query(folder.path, ask(vlm, request, seen, terms, folder), told=told(backend))
    except (NoAnswer, Unanswered) as problem:
        return Query(folder.path, None, str(problem), told(backend))


def show(result: Query, console: Console) -> None:
    """Print the marked image's path, the prompt, the reply, the program and the goal."""
    console.print(f"[bold]marked image[/bold]  {escape(str(result.folder / 'marked.png'))}", soft_wrap=True)
    for line in result.told:
        console.print(escape(line), soft_wrap=True)
    for title, name in (("prompt", "prompt.md"), ("reply", "reply.md")):
        console.rule(title)
        console.print(result.text(name) or "nothing", markup=False, soft_wrap=True)
    console.rule("program")
    console.print(Syntax(result.text("program.py"), "python", background_color="default", word_wrap=True))
    console.rule("goal")
    console.print(_verdict(result), soft_wrap=True)


def _verdict(result: Query) -> str:
    if result.answer is None:
        return f"[red]none[/red]: {escape(result.problem)}"
    goal = result.answer.goal
    lines = ["done: the instruction is fulfilled" if goal is None else _goal_line(goal)]
    return "\n".join([*lines, *(f"note: {escape(note)}" for note in result.answer.notes)])


def _goal_line(goal: Goal) -> str:
    x, y, z = (f"{100 * v:.1f}" for v in goal.target_pose[:3])
    return f"{'grasp and place' if goal.grasp else 'push'} {escape(goal.object)} to x {x}, y {y}, z {z} cm"
