"""What a contract is to this room: the function that programs define, and everything that follows from it.

One object of a subclass of `Signature` is one contract: what its function is given, which names its programs may use,
how its answer is read, which answers make no sense, and which prompt asks for it. `signatures` lists them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from iker_agent.program.rows import RowKind, Rows
from iker_agent.program.vocabulary import STANDARD, Vocabulary


@dataclass
class Reading:
    """What has been understood of an answer.

    done: the program declares the task finished; impossible: why, where it declares that it cannot be done; object:
    what it calls the object to move; moving: labels of the rows that it moves; indices: the same labels where the
    program itself lists them; targets: label -> numbers for every label that was given; ordered: the program gave
    its labels in an order of its own; ignored: keys of its dictionary that are no labels; warnings: what was read
    generously.
    """

    done: bool = False
    impossible: str = ""
    object: str = ""
    moving: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    grasp: bool = False
    targets: Rows = field(default_factory=dict)
    ordered: bool = True
    ignored: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_claim(self) -> bool:
        """It says that there is nothing to move, and why."""
        return self.done or bool(self.impossible)


class Invalid(Exception):
    """The returned value does not fulfil the contract; the text is one sentence."""


@dataclass(frozen=True)
class Signature(ABC):
    """A contract.

    name: its word in run_program and in settings; function, argument: the function that a program defines; returns:
    names of the returned values in order; rows: what its argument holds; prompt: name in cfg/prompts of the prompt that
    asks for it; vocabulary: what its programs may import and which names they have without an import.
    """

    name: str
    function: str
    argument: str
    returns: tuple[str, ...]
    rows: RowKind
    prompt: str
    vocabulary: Vocabulary = STANDARD

    @abstractmethod
    def read(self, value: Any, originals: Rows, argument: Any = None) -> Reading:
        """Reads a returned value, as `serialise` gives it; `Invalid` with one sentence if it breaks the contract.

        `originals` are the rows that the program was given, `argument` the dictionary they were in as the program has
        left it (None unless the answer may mean done).
        """

    @abstractmethod
    def implausible(self, reading: Reading, originals: Rows) -> str:
        """Why no scene could want these targets, in one sentence; empty when one may."""
