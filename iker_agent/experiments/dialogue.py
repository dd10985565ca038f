"""A conversation about one item: look, ask, carry the accepted goal out, look again, until there is no next goal.

    Item, scene, backend  ->  converse  ->  Ending(said, why, scene, moved, programs)

Goals are carried out without a robot (carrying_out.py), so that what is measured is the answer and nothing else. It
ends when the program says done or impossible, when no answer can be used, or when the stages are used up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from iker_agent.asking.ask import NoAnswer, Requirements, ask
from iker_agent.asking.limits import Standing
from iker_agent.asking.prompts import Turn, build_request
from iker_agent.config import RunConfig
from iker_agent.experiments.carrying_out import Unsettled, carry_out
from iker_agent.experiments.items import Item
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.look import Look
from iker_agent.vlm.errors import ReplayMiss
from iker_agent.vlm.types import VLM
from iker_envs.scene import Scene

Glance = Callable[[Scene], Look]


@dataclass(frozen=True, eq=False)
class Ending:
    """How a conversation ended.

    `said` is done, impossible or nothing; `why` the reason that was given, or why nothing was said; `moved` the objects
    that goals moved, in order; `looks` how many questions were asked, `repairs` how many answers were sent back.
    """

    scene: Scene
    said: str = "nothing"
    why: str = ""
    moved: tuple[str, ...] = ()
    looks: int = 0
    repairs: int = 0
    programs: tuple[str, ...] = field(default_factory=tuple)


def converse(item: Item, seen: Look, glance: Glance, vlm: VLM, config: RunConfig, folder: Folder) -> Ending:
    """Ask about an item from a first look on; errors of the backend (`Unanswered`) pass through.

    A record without an answer left ends the conversation once something was carried out, and passes through before.
    Where everything is fulfilled to begin with, the first goal ends it.
    """
    prompt = prompt_kind(config.prompt.name, config.run.contract)
    instruction = item.task.configuration(item.configuration).instruction
    wanted = Requirements(instruction, config.run.contract, config.goal.project, config.run.repairs)
    history: list[Turn] = []
    end = Ending(seen.scene)
    for number in range(1, config.run.max_stages + 1):
        place = folder.stage(number)
        place.image("marked.png", seen.marked)
        request = build_request(
            instruction,
            seen,
            history,
            prompt=prompt,
            shown=config.prompt,
            standing=Standing(stages_left=config.run.max_stages - number, repairs=config.run.repairs),
            outcomes=config.run.outcomes_in_history,
        )
        refused: list[str] = []
        try:
            accepted = ask(vlm, request, seen, wanted, place, refused.append)
        except ReplayMiss as problem:
            if not (end.moved or refused):
                raise
            return replace(end, looks=number, repairs=end.repairs + len(refused), why=str(problem))
        except NoAnswer as problem:
            return replace(end, looks=number, repairs=end.repairs + len(refused), why=str(problem))
        end = replace(end, looks=number, repairs=end.repairs + len(refused))
        if accepted.goal is None:
            return replace(end, said="done" if accepted.is_done else "impossible", why=accepted.impossible)
        end = replace(end, moved=(*end.moved, accepted.goal.object), programs=(*end.programs, accepted.code))
        turn = Turn(seen.marked, f"../{place.path.name}/marked.png", accepted.code, refusals=tuple(refused))
        try:
            carried = carry_out(seen.scene, accepted.goal)
        except Unsettled as problem:
            return replace(end, why=str(problem))
        end = replace(end, scene=carried.scene)
        place.json("outcome.json", carried.outcome)
        if item.expects == "done" or not prompt.stages:
            return end
        history.append(replace(turn, outcome=carried.outcome, instruction=instruction))
        seen = glance(carried.scene)
    return replace(end, why=f"all {config.run.max_stages} stages are used (run.max_stages)")
