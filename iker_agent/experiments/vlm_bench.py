"""A model benchmark without actions: ask about items of three tiers, and judge the answers.

items, contracts, settings  ->  Bench.rows  ->  BenchRow, one after another (bench_rows.py); tables: bench_tables.py

Nothing is learned. The precise tier is asked stage by stage: every stage begins as if those before it had gone
perfectly, with their annotated programs as history, and the last question of each arrangement shows the finished task;
the right answer is done. Items of the other tiers are conversations (dialogue.py), judged by where they end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from iker_agent.asking.prompts import Turn
from iker_agent.backends import asking, make_vlm, recorded
from iker_agent.config import RunConfig
from iker_agent.experiments.annotated_items import AnnotatedItem
from iker_agent.experiments.bench_rows import PRECISE, BenchRow, Key, Meter, RowFile
from iker_agent.experiments.items import Item
from iker_agent.experiments.questions import Question, key_of
from iker_agent.experiments.stills import Still, ahead, looks_at, stages_of, start_of
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.budget import Budget
from iker_agent.vlm.errors import ReplayMiss
from iker_agent.vlm.types import VLM
from iker_envs.scene import Scene
from iker_envs.task import Task


@dataclass(frozen=True, eq=False)
class BenchPlan:
    """What is asked, of whom: items in order, contracts, drawn scenes per item, settings; `execute` carries goals out.

    ValueError if a prompt of the settings does not fit a contract.
    """

    items: tuple[Item, ...]
    contracts: tuple[str, ...]
    config: RunConfig
    samples: int = 1
    execute: bool = False
    chosen: dict[str, RunConfig] = field(init=False)  # the settings by contract

    def __post_init__(self) -> None:
        run = self.config.run
        chosen = {c: replace(self.config, run=replace(run, contract=c)) for c in self.contracts}
        object.__setattr__(self, "chosen", chosen)

    def keys(self) -> list[Key]:
        """Every question, in the order in which they are asked."""
        return [key for item, sample in self.scenes() for key in self.keys_of(item, sample)]

    def keys_of(self, item: Item, sample: int) -> Iterator[Key]:
        """The questions about a drawn scene of an item."""
        stages = len(item.task.configuration(item.configuration).stages)
        for stage in range(1, stages + 2) if item.tier == PRECISE else (0,):
            for contract in self.contracts:
                yield key_of(item, stage, sample, contract)

    def scenes(self) -> Iterator[tuple[Item, int]]:
        """Items and samples; the precise tier comes first."""
        for item in sorted(self.items, key=lambda item: item.tier != PRECISE):
            yield from ((item, sample) for sample in range(self.samples))


def precise_items(tasks: Sequence[Task], tagged: Sequence[Item] = ()) -> tuple[Item, ...]:
    """Every arrangement of tasks as an item of the precise tier; skills are those of `tagged` items, where known."""
    skills = {item.name: item.skills for item in tagged}
    return tuple(
        Item(name, "precise", skills.get(name, ()), task, index, "goal", (), {})
        for task in tasks
        for index in range(len(task.configurations))
        for name in (f"{task.name}_{index}",)
    )


class Bench:
    """Asks what a plan holds and `file` does not, and writes it down; `unanswered` is what a record had no answer to.

    `vlm` takes the place of the backend of the settings.
    """

    def __init__(self, plan: BenchPlan, folder: Folder, file: RowFile, vlm: VLM | None = None) -> None:
        self.plan = plan
        self.folder = folder
        self.file = file
        self.unanswered: list[Key] = []
        self._vlm = vlm

    def rows(self) -> Iterator[BenchRow]:
        """A row per question, each in the file before it is given; everything asked and answered is left in the folder.

        Errors of the backend (`Unanswered`) pass through.
        """
        config = self.plan.config
        if self._vlm is None and config.vlm == "annotated":
            yield from self._asked(None)
            return
        with asking(self._vlm or make_vlm(config, self.plan.items[0].task)) as inner:
            yield from self._asked(Budget(inner, config.ask))

    def _asked(self, shared: VLM | None) -> Iterator[BenchRow]:
        history: dict[str, list[Turn]] = {}
        for item, now in ahead(self._stills()):
            if now.stage == 1:
                history = {contract: [] for contract in self.plan.contracts}
            for contract in self.plan.contracts:
                question = Question(self.plan.chosen[contract], item, now, tuple(history[contract]), self.folder)
                if question.key not in self.file.known:
                    yield from self._answered(question, shared)
                history[contract].append(question.turn())

    def _answered(self, question: Question, shared: VLM | None) -> Iterator[BenchRow]:
        config = question.config
        inner = shared or AnnotatedItem(question.item, config.run.contract)
        ask_settings = config.ask
        priced = bool(ask_settings.usd_per_mtok_in or ask_settings.usd_per_mtok_out)

        def usd_of(prompt: float, completion: float) -> float:
            return (prompt * ask_settings.usd_per_mtok_in + completion * ask_settings.usd_per_mtok_out) / 1e6

        meter = Meter(recorded(config, inner, self.folder.path / "vlm"), usd_of if priced else None)
        try:
            row = question.ask(meter)
        except ReplayMiss:  # of a record that is not of this benchmark, what it holds is asked
            self.unanswered.append(question.key)
            return
        row = replace(row, cost=meter.take())
        if self.plan.execute:
            row = question.executed(row, self.file.rows)
        self.file.append(row)
        yield row

    def _stills(self) -> Iterator[Callable[[], tuple[Item, Still]]]:
        """What is to be shown: all stages of an arrangement in which something is to be asked, the start of an item."""
        plan = self.plan
        for item, sample in plan.scenes():
            start = start_of(item.task, item.configuration, plan.config.seed, sample)
            keys = set(plan.keys_of(item, sample))
            if keys <= self.file.known:
                continue
            scenes = stages_of(item.task, item.configuration, start) if item.tier == PRECISE else (start,)
            for number, scene in enumerate(scenes, start=1):
                yield partial(_shown, item, (sample, number), scene, start, plan)


def _shown(item: Item, place: tuple[int, int], scene: Scene, start: Scene, plan: BenchPlan) -> tuple[Item, Still]:
    """An item and a scene of it, looked at; `place` is sample and stage."""
    return item, Still(*place, start, looks_at(scene, plan.contracts, plan.config.prompt))
