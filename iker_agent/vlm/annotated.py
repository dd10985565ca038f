"""The annotated backend: human-written programs in the paper's contract take the place of a model (Table I, Annotated).

    request.attachments  ->  run the programs for the instruction in order  ->  the first that still wants a move

It answers with that program's text, or with one that says done. In a repair turn, programs that were refused in this
dialogue are passed over: that is its way to change the plan. The agent treats the answer like any model's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from iker_agent.program import run_program
from iker_agent.program.signatures import signature_named
from iker_agent.vlm.types import Reply, Request
from iker_envs.task import Task

NEAR_M = 0.03  # a program whose targets are all but reached is finished
_DONE = 'def {function}({argument}):\n    """Everything is where it should be."""\n    return\n'


class AnnotatedVLM:
    """Answers with the first of the programs whose targets are more than 3 cm away, else done.

    `by_instruction` holds programs for other instructions than the one that `programs` are for.
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
        """Answer a request; RuntimeError if a shipped program does not run."""
        start = time.monotonic()
        signature = signature_named(self.contract)
        now = request.attachments[signature.rows.name]
        programs = self.by_instruction.get(_words(request.attachments.get("instruction", "")), self.programs)
        refused = {p.text for m in request.messages if m.role == "assistant" for p in m.parts}
        done = _block(_DONE.format(function=signature.function, argument=signature.argument))
        text = ""
        repeated = ""
        for code in (p for p in programs if self._distance_m(p, now) > NEAR_M):
            text = _block(code)
            repeated = repeated or _block(code)
            if text not in refused:
                break
        else:
            text = repeated or done
        return Reply(text, backend="annotated", seconds=time.monotonic() - start)

    def _distance_m(self, code: str, now: dict) -> float:
        result = run_program(code, now, self.contract, check_targets=False)  # it may be all but reached
        if result.status == "done":
            return 0.0
        if result.status != "ok":
            raise RuntimeError(f"an annotated program does not run: {result.message}")
        moved = result.indices or (result.object,)
        return float(np.mean([np.linalg.norm(np.subtract(result.targets[k][:3], now[k][:3])) for k in moved]))


def _words(instruction: str) -> str:
    return " ".join(re.findall(r"\w+", instruction.casefold()))


def _block(code: str) -> str:
    return f"```python\n{code.rstrip()}\n```\n"
