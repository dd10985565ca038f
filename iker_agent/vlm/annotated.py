"""The annotated backend: human-written programs in the paper's contract take the place of a model (Table I, Annotated).

    request.attachments  ->  run the programs for the instruction in order  ->  the first that still wants a move

It answers with that program's text, or with one that says done. In a repair turn, programs that were refused in this
dialogue are passed over: that is its way to change the plan. The agent treats the answer like any model's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import numpy as np

from iker_agent.program import run_program
from iker_agent.program.result import ProgramResult
from iker_agent.program.signatures import signature_named
from iker_agent.vlm.errors import VLMUnavailable
from iker_agent.vlm.types import Reply, Request
from iker_envs.geometry import fit_rigid, rotation_angle
from iker_envs.scene import IDENTITY_QUATERNION, turned_pose
from iker_envs.task import Task

NEAR_M = 0.03  # a program whose targets are all but reached, as near as the strict measure asks, is finished
NEAR_RAD = float(np.deg2rad(15.0))
_DONE = 'def {function}({argument}):\n    """Everything is where it should be."""\n    return\n'


class AnnotatedVLM:
    """Answers with the first of the programs whose targets are more than 3 cm or 15 degrees away, else done.

    `by_instruction` holds programs for other instructions than the one that `programs` are for. With `in_turn` what
    comes before a program that is done with is done with as well: an object may have been moved on since.
    """

    corrects = False  # the programs are written: told what is wrong with one, it can only pass it over

    def __init__(
        self,
        programs: Sequence[str],
        contract: str = "keypoints",
        by_instruction: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.programs = tuple(programs)
        self.contract = contract
        self.in_turn = False
        self.by_instruction = {_words(text): tuple(codes) for text, codes in (by_instruction or {}).items()}

    @classmethod
    def of_task(cls, task: Task, configuration: int, contract: str = "keypoints") -> Self:
        """The task's programs; ValueError if a stage has none for the contract."""
        chosen = task.configuration(configuration)
        for number, stage in enumerate(chosen.stages, start=1):
            if contract not in stage.programs:
                raise ValueError(f"stage {number} of {task.name} has no annotated program for the {contract} contract")
        by_instruction = {
            c.instruction: [s.programs[contract] for s in c.stages if contract in s.programs]
            for c in (*task.configurations, chosen)  # the chosen one's, where two say the same
        }
        return cls([s.programs[contract] for s in chosen.stages], contract, by_instruction)

    def knows(self, instruction: str) -> bool:
        """Are there programs for this instruction? Capitals and punctuation do not matter."""
        return _words(instruction) in self.by_instruction

    def complete(self, request: Request) -> Reply:
        """Answer a request; RuntimeError if a program does not run, VLMUnavailable if there was no time to run it."""
        start = time.monotonic()
        signature = signature_named(self.contract)
        now = request.attachments[signature.rows.name]
        programs = self.by_instruction.get(_words(request.attachments.get("instruction", "")), self.programs)
        refused = {p.text for m in request.messages if m.role == "assistant" for p in m.parts}
        done = _block(_DONE.format(function=signature.function, argument=signature.argument))
        text = ""
        repeated = ""
        for code in self._left(programs, now):
            text = _block(code)
            repeated = repeated or _block(code)
            if text not in refused:
                break
        else:
            text = repeated or done
        return Reply(text, backend="annotated", seconds=time.monotonic() - start)

    def _left(self, programs: Sequence[str], now: dict) -> Iterator[str]:
        """The programs that still want a move."""
        if not self.in_turn:
            return (code for code in programs if not self._is_reached(code, now))
        first = max((k for k, code in enumerate(programs, start=1) if self._is_reached(code, now)), default=0)
        return iter(programs[first:])

    def _is_reached(self, code: str, now: dict) -> bool:
        """Is what a program wants all but so, in place and in direction?"""
        result = run_program(code, now, self.contract, check_targets=False)  # it may be all but reached
        if result.status == "limit":
            raise VLMUnavailable(f"an annotated program could not be run to its end: {result.message}")
        if result.status == "done":
            return True
        if result.status != "ok":
            raise RuntimeError(f"an annotated program does not run: {result.message}")
        moved = result.indices or (result.object,)
        is_, wanted = (np.array([rows[k] for k in moved]) for rows in (now, result.targets))
        far_m = float(np.mean(np.linalg.norm(wanted[:, :3] - is_[:, :3], axis=1)))
        return far_m <= NEAR_M and _turn_rad(result, is_, wanted) <= NEAR_RAD


def _turn_rad(result: ProgramResult, is_: np.ndarray, wanted: np.ndarray) -> float:
    """By how much the rows (K, 3 or 6) that a program moves turn; fewer than three points tell of no turn."""
    if not result.indices:
        return float(rotation_angle(*(turned_pose(rows[0, :3], rows[0, 3:])[3:] for rows in (is_, wanted))))
    if len(is_) < 3:
        return 0.0
    motion, _ = fit_rigid(is_, wanted)
    return float(rotation_angle(motion[3:], np.array(IDENTITY_QUATERNION)))


def _words(instruction: str) -> str:
    return " ".join(re.findall(r"\w+", instruction.casefold()))


def _block(code: str) -> str:
    return f"```python\n{code.rstrip()}\n```\n"
