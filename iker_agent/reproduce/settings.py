"""What `iker reproduce` is asked for, and what every cell needs: policies, hashes, who writes programs.

ReproduceSettings  ->  policy_file(settings, task, name)  ->  path or None; facts(settings)  ->  hashes
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from iker_agent.config import RunConfig
from iker_agent.learning.provenance import fingerprint, task_facts
from iker_agent.learning.shipped import FAMILIES, shipped_names
from iker_agent.limits import check_choice
from iker_envs.task import Task, load_task

TABLES = ("table1", "table2", "fig5")
PLACES = ("sim", "lab")


@dataclass(frozen=True)
class ReproduceSettings:
    """Where, how much, and who writes programs; ValueError for what cannot be."""

    config: RunConfig = field(default_factory=RunConfig)
    worlds: tuple[str, ...] = ("sim",)
    configurations: int = 10
    copies: int = 32  # of each configuration, in simulation, where one batch does them all
    episodes: int = 1  # of each configuration, where one world does them one after the other
    policies: str = ""  # folder of trainings, TASK/pose and TASK/off as on docs/results.md

    def __post_init__(self) -> None:
        for world in self.worlds:
            check_choice("--world", world, PLACES)
        for name in ("configurations", "copies", "episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is at least 1, not {getattr(self, name)}")
        if self.configurations > 10:
            raise ValueError(f"the tasks have 10 configurations, not {self.configurations} (--configurations)")
        if self.policies and not Path(self.policies).is_dir():
            raise ValueError(f"there is no folder of trainings {self.policies!r} (--policies)")

    @property
    def asks_model(self) -> bool:
        """Does somebody else than the annotation write programs?"""
        return self.config.vlm != "annotated"

    @property
    def replays_shipped(self) -> bool:
        """Are the answers those of a record that the package ships?"""
        return self.config.vlm == "replay" and _is_shipped(self.config.ask.cassette)

    def with_contract(self, contract: str) -> RunConfig:
        """The settings of a run under a contract; of a shipped record NAME, NAME_poses answers for poses."""
        config = replace(self.config, run=replace(self.config.run, contract=contract))
        beside = f"{config.ask.cassette}_poses"
        if contract == "poses" and config.ask.cassette and _is_shipped(beside):
            config = replace(config, ask=replace(config.ask, cassette=beside))
        return config

    def trained(self, task: str, name: str) -> str:
        """The policy file of a training TASK/NAME; "" if there is none."""
        path = Path(self.policies) / task / name / "policy.safetensors"
        return str(path) if self.policies and path.is_file() else ""


@cache
def shipped_hash(name: str) -> str:
    """The fingerprint of a shipped policy's file."""
    with as_file(files("iker_cfg").joinpath(f"policies/{name}.safetensors")) as path:
        return fingerprint(Path(path))


def conditions(task: Task, **what: Any) -> dict[str, Any]:
    """What a unit's result depends on: the task, the spec, versions of ours, and `what`."""
    facts = _facts_of(task.name)
    kept = ("iker", "mujoco", "numpy")
    return {
        "task": facts["task"],
        "task_hash": facts["task_hash"],
        "spec_hash": facts["spec_hash"],
        "versions": {name: facts["versions"][name] for name in kept},
        **what,
    }


@cache
def known_task(name: str) -> Task:
    """A shipped task, read once: a table asks for it a hundred times."""
    return load_task(name)


@cache
def _facts_of(name: str) -> dict[str, Any]:
    return task_facts(known_task(name), "keypoints")


def model_facts(config: RunConfig) -> dict[str, Any]:
    """Who writes programs, and with which words it is asked."""
    prompts = {
        p.name: p.read_text(encoding="utf-8") for p in files("iker_cfg").joinpath("prompts").iterdir() if p.is_file()
    }
    return {
        "vlm": config.vlm,
        "model": config.ask.model,
        "cassette": config.ask.cassette,
        "cassette_hash": _cassette_hash(config.ask.cassette),
        "prompts_hash": fingerprint(prompts),
    }


def facts(settings: ReproduceSettings, tasks: tuple[str, ...]) -> dict[str, Any]:
    """The table of hashes below a table."""
    found = [_facts_of(name) for name in tasks]
    config = settings.config.to_dict()
    trained = {f"{task}/{name}": settings.trained(task, name) for task in tasks for name in ("pose", "off")}
    return {
        "configuration": fingerprint(config),
        "spec": found[0]["spec_hash"],
        "tasks": {f["task"]: f["task_hash"] for f in found},
        "shipped policies": {name: shipped_hash(name) for name in (*tasks, *FAMILIES) if name in shipped_names()},
        "trainings": {name: fingerprint(Path(path)) for name, path in trained.items() if path},
        "learner of chains": settings.config.learner,
        "seed": settings.config.seed,
        **model_facts(settings.config),
    }


def _is_shipped(name: str) -> bool:
    return files("iker_cfg").joinpath(f"cassettes/{name}/calls.jsonl").is_file()


def _cassette_hash(name: str) -> str:
    if not name:
        return ""
    path = Path(name) / "vlm" / "calls.jsonl"
    if path.is_file():
        return fingerprint(path)
    if not _is_shipped(name):
        return ""
    with as_file(files("iker_cfg").joinpath(f"cassettes/{name}/calls.jsonl")) as shipped:
        return fingerprint(Path(shipped))
