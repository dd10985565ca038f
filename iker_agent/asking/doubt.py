"""A program says done, and it is not: the model hears what is not fulfilled and may go on.

    request, what the program was, unmet clauses  ->  doubt  ->  Request

What is told is what was measured, a clause each; never where the task's annotation wants things.
"""

from __future__ import annotations

from collections.abc import Sequence

from iker_agent.vlm.types import Request

_DOUBT = (
    "You say that the task is done, but it is not. Not fulfilled: {unmet}. Answer with the program of the next stage, "
    "in one Python code block; if you are sure that the instruction is fulfilled as it is, return None again."
)


def doubt(request: Request, code: str, unmet: Sequence[str]) -> Request:
    """The request followed by the program that said done and by what is not fulfilled."""
    return request.followed_by(f"```python\n{code.rstrip()}\n```", _DOUBT.format(unmet="; ".join(unmet)))
