"""The annotated backend: human-written programs in the paper's contract take the place of a model (Table I, Annotated).

    request.attachments["keypoints"]  ->  run the task's programs in order  ->  the first that still wants a move

It answers with that program's text, or with one that says done. The agent treats the answer like any model's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from iker_agent.program import run_program
from iker_agent.vlm.types import Reply, Request

NEAR_M = 0.03  # a program whose targets are all but reached is finished
_FUNCTIONS = {"keypoints": "get_interaction_data(keypoint_coordinates)", "poses": "get_final_poses(object_poses)"}
_DONE = 'def {function}:\n    """Everything is where it should be."""\n    return\n'


class AnnotatedVLM:
    """Answers with the first of a task's programs whose targets are more than 3 cm away, else done."""

    def __init__(self, programs: Sequence[str], contract: str = "keypoints") -> None:
        self.programs, self.contract = tuple(programs), contract

    def complete(self, request: Request) -> Reply:
        """Answer a request; RuntimeError if a shipped program does not run."""
        start = time.monotonic()
        now = request.attachments[self.contract]
        code = next((p for p in self.programs if self._distance_m(p, now) > NEAR_M), _done(self.contract))
        text = f"```python\n{code.rstrip()}\n```\n"
        return Reply(text, backend="annotated", seconds=time.monotonic() - start)

    def _distance_m(self, code: str, now: dict) -> float:
        result = run_program(code, now, self.contract)
        if result.status == "done":
            return 0.0
        if result.status != "ok":
            raise RuntimeError(f"an annotated program does not run: {result.message}")
        moved = result.indices or (result.object,)
        return float(np.mean([np.linalg.norm(np.subtract(result.targets[k][:3], now[k][:3])) for k in moved]))


def _done(contract: str) -> str:
    return _DONE.format(function=_FUNCTIONS[contract])
