"""The annotated backend on an item: the programs of its solution, then done; or that it cannot be done, where so.

Item, contract  ->  AnnotatedItem.complete(request)  ->  Reply
"""

from __future__ import annotations

from iker_agent.experiments.items import Item
from iker_agent.program.signatures import signature_named
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_agent.vlm.types import Reply, Request

_IMPOSSIBLE = '```python\ndef {function}({argument}):\n    return "impossible: a person says so"\n```\n'


class AnnotatedItem:
    """Answers for one item; ValueError if one of its stages has no program for the contract."""

    corrects = False  # the programs are written

    def __init__(self, item: Item, contract: str) -> None:
        self.item = item
        self.contract = contract
        self._programs = AnnotatedVLM.of_task(item.task, item.configuration, contract)
        moved = [stage.goal.object for stage in item.task.configuration(item.configuration).stages]
        self._programs.in_turn = len(set(moved)) < len(moved)

    def complete(self, request: Request) -> Reply:
        """The next program, done, or that it is impossible."""
        if self.item.expects != "impossible":
            return self._programs.complete(request)
        signature = signature_named(self.contract)
        text = _IMPOSSIBLE.format(function=signature.function, argument=signature.argument)
        return Reply(text, backend="annotated")
