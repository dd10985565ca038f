"""Under which conditions answers were given, as hashes: results are compared only where these are equal.

    settings, items, tasks  ->  conditions  ->  {"prompts": {contract: hash}, "tiers": {tier: hash}, ...}

A hash of a prompt covers the texts of its files and what else a model is shown; that of an item covers its arrangement,
instruction, objects and success; that of a tier covers all of its items that were chosen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from iker_agent.asking.prompts import REPAIR, prompt_text
from iker_agent.config import RunConfig
from iker_agent.experiments.items import Item
from iker_agent.prompt_kinds import prompt_kind
from iker_envs.spec import Spec
from iker_envs.task import Task

_LENGTH = 16


def digest(content: Any) -> str:
    """A short name for plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def prompt_hash(config: RunConfig, contract: str) -> str:
    """A name for what a model is told beside the scene, the instruction and the history."""
    shown = {name: value for name, value in asdict(config.prompt).items() if name != "name"}
    texts = prompt_text(prompt_kind(config.prompt.name, contract))
    return digest([texts, REPAIR, shown, config.run.outcomes_in_history])


def item_hash(item: Item) -> str:
    """A name for what an item asks, where, and what is right."""
    of_the_task = arrangement_hash(item.task, item.configuration)
    return digest([item.name, item.tier, sorted(item.skills), item.expects, of_the_task])


def arrangement_hash(task: Task, configuration: int) -> str:
    """A name for an arrangement of a task: objects, instruction, goals and success, programs left out."""
    chosen = task.configuration(configuration)
    arranged = chosen.to_dict()
    arranged["stages"] = [stage.goal.to_dict() for stage in chosen.stages]
    models = {p.model: task.models[p.model].to_dict() for p in chosen.objects.values()}
    space = [task.workspace_m.tolist(), task.approach_axis.tolist(), task.approach_cone_deg]
    return digest([task.name, configuration, arranged, models, space])


def conditions(config: RunConfig, contracts: Iterable[str], tiers: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Everything that has to be equal for results to be compared; `tiers` holds the hash of every item by tier."""
    return {
        "prompts": {contract: prompt_hash(config, contract) for contract in contracts},
        "tiers": {tier: digest(items) for tier, items in tiers.items()},
        "seed": config.seed,
        "repairs": config.run.repairs,
        "max_stages": config.run.max_stages,
        "project": config.goal.project,
        "spec_hash": Spec().spec_hash(),
    }
