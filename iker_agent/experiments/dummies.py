"""Models that do not look: what the benchmark gives to who always answers the same, or moves things at random.

    DUMMIES: name  ->  a VLM for the contract of poses
    items, folder  ->  scores_of  ->  Score per dummy  ->  table (Markdown)

A benchmark is worth what it does not give to these. Whoever always says done is right where all is done: rates of right
answers do not show that, so `skill` is the mean of the rates over what items expect, brought to 0 for any constant
answer and 1 for all right (balanced accuracy adjusted for chance, as in Brodersen et al. 2010).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iker_agent.config import make_config
from iker_agent.experiments.bench_rows import BenchRow, RowFile
from iker_agent.experiments.items import EXPECTS, Item
from iker_agent.experiments.vlm_bench import Bench, BenchPlan
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.types import VLM, Reply, Request

_DONE = "return None"
_IMPOSSIBLE = "return 'impossible: no plan can do this'"
_ONTO_FURNITURE = """first, *others = poses
    name = next(n for n in others if n in moves)
    x, y, z = poses[first][:3]
    poses[name] = [x, y, 2 * z + poses[name][2], 0.0, 0.0, poses[name][5]]
    return name, True, poses"""
_ASIDE = """name = next(n for n in poses if n in moves)
    poses[name][1] = poses[name][1] - 0.1
    return name, False, poses"""
_SURFACE = re.compile(r"\b\w+ z (\d\.\d+) \(x (\d\.\d+) to (\d\.\d+), y (-?\d\.\d+) to (-?\d\.\d+)\)")
_TABLE = (0.0, 0.25, 0.72, -0.42, 0.42)  # height, range of x and of y, metres
_MOVES, _SAYS_DONE = 0.6, 0.9  # cumulated shares of random answers; the rest says that it cannot be done


class Constant:
    """Always the same program, whatever is asked and shown."""

    def __init__(self, body: str) -> None:
        self.body = body

    def complete(self, request: Request) -> Reply:
        """The program, which knows by name what moves: the prompt says it."""
        return _program(f"moves = {_movable(request)!r}\n    {self.body}")


class Random:
    """A random thing to a random place on table or furniture with a random heading, done, or impossible.

    What is refused is tried anew. The same question always gets the same answer.
    """

    def complete(self, request: Request) -> Reply:
        """A random answer; what is legal, it reads from the prompt."""
        text = _text(request)
        rng = np.random.default_rng([zlib.crc32(text.encode()), len(request.messages)])
        kind = rng.random()
        is_repair = len(request.messages) > 1
        if not is_repair and kind > _MOVES:
            return _program(_DONE if kind <= _SAYS_DONE else _IMPOSSIBLE)
        tops = [_TABLE, *(tuple(float(value) for value in match.groups()) for match in _SURFACE.finditer(text))]
        name = str(rng.choice(_movable(request)))
        x, y, z, roll, pitch, _ = request.attachments["poses"][name]
        under = max(top for top, a, b, c, d in tops if top <= z and ((a <= x <= b and c <= y <= d) or top == 0.0))
        top, a, b, c, d = tops[rng.integers(len(tops))]
        there = [rng.uniform(a, b), rng.uniform(c, d), z + top - under, roll, pitch, rng.uniform(-np.pi, np.pi)]
        pose = [round(float(value), 3) for value in there]
        return _program(f"poses[{name!r}] = {pose}\n    return {name!r}, {bool(rng.random() < 0.7)}, poses")


DUMMIES: dict[str, Callable[[], VLM]] = {
    "always done": lambda: Constant(_DONE),
    "always impossible": lambda: Constant(_IMPOSSIBLE),
    "always the first thing onto the furniture": lambda: Constant(_ONTO_FURNITURE),
    "always the first thing 10 cm to the right": lambda: Constant(_ASIDE),
    "at random": Random,
}


@dataclass(frozen=True)
class DummyScore:
    """How often a dummy was right, of how many, by what items expect."""

    name: str
    right: dict[str, int]
    asked: dict[str, int]

    @property
    def skill(self) -> float:
        """0 for any constant answer, 1 for all right; below 0 is worse than a constant answer."""
        rates = [self.right[kind] / self.asked[kind] for kind in EXPECTS if self.asked[kind]]
        chance = 1 / len(rates)
        return (float(np.mean(rates)) - chance) / (1 - chance) if len(rates) > 1 else rates[0]


def scores_of(
    items: Sequence[Item], folder: Path, told: Callable[[str, BenchRow], None] = lambda name, row: None
) -> Iterator[DummyScore]:
    """Ask every dummy about all items; a folder that holds answers is continued, `told` hears every new one."""
    for name, make in DUMMIES.items():
        place = Folder(folder / name.replace(" ", "_"))
        repairs = 4 if name == "at random" else 0
        config = make_config((f"run.repairs={repairs}", "ask.max_calls=0"), vlm="replay")
        file = RowFile(place)
        for row in Bench(BenchPlan(tuple(items), ("poses",), config), place, file, make()).rows():
            told(name, row)
        right = {row.item for row in file.rows if row.right}
        kinds = {kind: [item.name for item in items if item.expects == kind] for kind in EXPECTS}
        asked = {kind: len(names) for kind, names in kinds.items()}
        yield DummyScore(name, {kind: len(right & set(names)) for kind, names in kinds.items()}, asked)


def table(scores: Sequence[DummyScore]) -> str:
    """The scores as a Markdown table."""
    lines = ["| answers | goal | done | impossible | all | skill |", "|---|---:|---:|---:|---:|---:|"]
    for score in scores:
        parts = [f"{score.right[kind]} of {score.asked[kind]}" for kind in EXPECTS]
        right, asked = sum(score.right.values()), sum(score.asked.values())
        lines.append(f"| {score.name} | {' | '.join(parts)} | {100 * right / asked:.0f} % | {score.skill:.2f} |")
    return "\n".join(lines) + "\n"


def _program(body: str) -> Reply:
    return Reply(f"```python\ndef get_final_poses(poses):\n    {body}\n```", backend="dummy")


def _text(request: Request) -> str:
    return "\n".join(part.text for message in request.messages for part in message.parts)


def _movable(request: Request) -> list[str]:
    """What the prompt says that moves, in its order."""
    found = re.search(r"Objects that move: ([^.]*)\.", _text(request))
    return found[1].split(", ") if found else []
