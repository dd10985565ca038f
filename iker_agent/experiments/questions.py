"""One question of the benchmark: a stage of the precise tier, or a conversation about an item of another tier.

plan, item, what is shown, contract, history  ->  Question.ask(vlm)  ->  BenchRow; its files are in the folder
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from iker_agent.asking.ask import AcceptedProgram, NoAnswer, Requirements, ask
from iker_agent.asking.limits import Standing
from iker_agent.asking.prompts import Turn, build_request
from iker_agent.config import RunConfig
from iker_agent.experiments.bench_rows import PRECISE, BenchRow, Key
from iker_agent.experiments.dialogue import converse
from iker_agent.experiments.executing import execute_programs
from iker_agent.experiments.items import Item
from iker_agent.experiments.scoring import Score, score_done, score_goal, score_impossible, score_item
from iker_agent.experiments.stills import Still, looks_at
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.look import Look
from iker_agent.vlm.errors import ReplayMiss
from iker_agent.vlm.types import VLM
from iker_envs.scene import Scene

_DONE_SKILLS = ("done",)


def key_of(item: Item, stage: int, sample: int, contract: str) -> Key:
    """The key of a row; stage 0 is a conversation."""
    return (item.tier, item.name, item.configuration, stage, sample, contract)


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked; `config` has the contract, `history` holds the stages before in the precise tier."""

    config: RunConfig
    item: Item
    now: Still
    history: tuple[Turn, ...]
    folder: Folder

    @property
    def contract(self) -> str:
        """What programs move."""
        return self.config.run.contract

    @property
    def seen(self) -> Look:
        """What the model is shown first."""
        return self.now.looks[self.contract]

    @property
    def key(self) -> Key:
        """What the row is found by."""
        stage = self.now.stage if self.item.tier == PRECISE else 0
        return key_of(self.item, stage, self.now.sample, self.contract)

    def ask(self, vlm: VLM) -> BenchRow:
        """Ask and judge; `Unanswered` passes through, ReplayMiss only where a record has nothing about it at all."""
        row = BenchRow(
            self.item.task.name,
            self.item.configuration,
            self.now.stage,
            self.now.sample,
            self.contract,
            right=False,
            answers=1,
            tier=self.item.tier,
            item=self.item.name,
            skills=self._skills(),
        )
        return self._stage(row, vlm) if self.item.tier == PRECISE else self._conversation(row, vlm)

    def turn(self) -> Turn:
        """This stage in the history of the next one, as if it had gone perfectly."""
        stages = self.item.task.configuration(self.item.configuration).stages
        spec = stages[self.now.stage - 1] if self.now.stage <= len(stages) else None
        program = spec.programs.get(self.contract, "") if spec else ""
        return Turn(self.seen.marked, f"../{self._place(self.now.stage)}/marked.png", program)

    # -- the precise tier ----------------------------------------------------------------------------------------------

    def _skills(self) -> tuple[str, ...]:
        num_stages = len(self.item.task.configuration(self.item.configuration).stages)
        is_over = self.item.tier == PRECISE and self.now.stage > num_stages
        return _DONE_SKILLS if is_over and self.item.skills else tuple(self.item.skills)

    def _place(self, stage: int) -> str:
        """Name of the folder of a stage; tasks of users may have any name that a folder can have."""
        place = f"{self.item.task.name}_{self.item.configuration}_stage{stage}"
        return f"{place}_sample{self.now.sample}_{self.contract}"

    def _stage(self, row: BenchRow, vlm: VLM) -> BenchRow:
        config = self.config
        place = Folder(self.folder.path / self._place(self.now.stage))
        place.image("marked.png", self.seen.marked)
        request = build_request(
            self.item.task.configuration(self.item.configuration).instruction,
            self.seen,
            self.history,
            prompt=prompt_kind(config.prompt.name, self.contract),
            shown=config.prompt,
            standing=Standing(repairs=config.run.repairs),
            outcomes=False,
        )
        asked_at = {
            "task": self.item.task.name,
            "configuration": self.item.configuration,
            "stage": self.now.stage,
            "seed": config.seed,
        }
        request = replace(request, attachments={**request.attachments, "place": asked_at})
        wanted = Requirements("", self.contract, config.goal.project, config.run.repairs)
        refused: list[str] = []
        try:
            accepted = ask(vlm, request, self.seen, wanted, place, refused.append)
        except (NoAnswer, ReplayMiss) as problem:
            if isinstance(problem, ReplayMiss) and not refused:
                raise
            return replace(row, answers=len(refused), reason=refused[-1], said="nothing")
        said = "goal" if accepted.goal else "done" if accepted.is_done else "impossible"
        return replace(row, answers=accepted.answers, said=said, **asdict(self._score(accepted)))

    def _score(self, accepted: AcceptedProgram) -> Score:
        if accepted.impossible:
            return score_impossible(accepted.impossible)
        place = (self.item.task, self.item.configuration, self.now.stage)
        scenes = (self.seen.scene, self.now.start)
        return score_goal(*place, accepted.goal, *scenes) if accepted.goal else score_done(*place, *scenes)

    # -- the other tiers -----------------------------------------------------------------------------------------------

    def _conversation(self, row: BenchRow, vlm: VLM) -> BenchRow:
        def glance(scene: Scene) -> Look:
            return looks_at(scene, (self.contract,), self.config.prompt)[self.contract]

        end = converse(self.item, self.seen, glance, vlm, self.config, self._talk)
        score = score_item(self.item, end, self.now.start)
        said = "goal" if end.said == "nothing" and end.moved else end.said
        return replace(row, stage=end.looks, answers=1 + end.repairs, said=said, **asdict(score))

    @property
    def _talk(self) -> Folder:
        name = f"{self.item.tier}_{self.item.name}_{self.item.configuration}_sample{self.now.sample}_{self.contract}"
        return Folder(self.folder.path / name)

    # -- carried out ---------------------------------------------------------------------------------------------------

    def executed(self, row: BenchRow, before: Sequence[BenchRow]) -> BenchRow:
        """The row with what came of its goals in a world of its own; those of an arrangement at its last stage.

        Only what was right is carried out. `before` are the rows that are known.
        """
        num_stages = len(self.item.task.configuration(self.item.configuration).stages)
        is_precise = self.item.tier == PRECISE
        if not row.right or (is_precise and self.now.stage <= num_stages):
            return row
        if is_precise:
            found = {r.key: r.right for r in before}
            stages = range(1, num_stages + 1)
            keys = [key_of(self.item, stage, self.now.sample, self.contract) for stage in stages]
            if not all(found.get(key, False) for key in keys):
                return row
            places = [self.folder.path / self._place(stage) for stage in stages]
        else:
            places = sorted(path.parent for path in self._talk.path.glob("stage_*/outcome.json"))
        programs = [(place / "program.py").read_text(encoding="utf-8") for place in places]
        if not programs:
            return row
        name = self._place(row.stage) if is_precise else self._talk.path.name
        place = Folder(self.folder.path / "executed" / name)
        end = execute_programs(self.item.task, self.item.configuration, self.now.sample, programs, self.config, place)
        return replace(row, executed=end.success, execution=end.reason)
