"""`iker talk`: a run whose programs are written by whoever reads its questions, a person or a program, through files.

iker talk TASK  ->  `iker run --vlm files` with a fresh box (vlm/files.py), and what to do in plain words
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from iker_agent.commands.ending import DONE, NOT_DONE
from iker_agent.commands.options import Out, RunOptions
from iker_agent.plain_text import echo

_HOW = """\
You write the programs. For every question, a folder appears in {box}/ (001, 002, ...):
  look at  {box}/001/image_1.png, the scene with its numbered keypoints
  read     {box}/001/request.md, the rules and what is asked
  write    {box}/001/reply.md, your answer with a program in a ```python block
A reply is read once it did not change for {settle:g} s; what you save later is not. Ctrl-C ends the run.
"""


@dataclass(frozen=True, kw_only=True)
class TalkOptions(RunOptions):
    """As of a run; the task may stand for itself."""

    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK] KEY=VALUE", help="The task, and settings such as ask.wait_s=600; see below."),
    ] = None

    def as_run(self) -> RunOptions:
        """The options of the run; ValueError if they ask for another backend, or for two tasks."""
        if self.vlm not in (None, "files"):
            raise ValueError(f"iker talk asks by files; --vlm {self.vlm} is for iker run")
        settings = [word for word in self.overrides or () if "=" in word]
        named = [word for word in self.overrides or () if "=" not in word] + ([self.task] if self.task else [])
        if len(named) > 1:
            raise ValueError(f"iker talk takes one task, not {', '.join(named)}")
        is_boxed = any(setting.startswith("ask.box=") for setting in settings)
        box = self.box or (None if is_boxed else _fresh_box())
        return replace(self, vlm="files", box=box, overrides=settings, task=named[0] if named else None)


def talk(options: TalkOptions, out: Out = None) -> None:
    """Do a task with programs that you write: each question lies in a folder, and your answer in a file beside it.

    The same as run --vlm files --box FOLDER, with a new folder box_001, box_002, ... and with words on what to do. A
    program can answer as well: docs/vlm.md has one of ten lines. For example:

        iker talk shoe_push --learner waypoint
    """
    from iker_agent.commands.run import start_run
    from iker_agent.plan import make_plan

    config = options.as_run().config()
    make_plan(config)  # what cannot begin says so before it says what to do
    echo(_HOW.format(box=config.ask.box, settle=config.ask.settle_s))
    raise typer.Exit(DONE if start_run(config, out) else NOT_DONE)


def _fresh_box() -> Path:
    """box_NNN with the next free number; another talk that takes it first makes this one stop with a sentence."""
    number = 1
    while Path(f"box_{number:03d}").exists():
        number += 1
    return Path(f"box_{number:03d}")
