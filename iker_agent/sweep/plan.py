"""What a sweep trains: a YAML file becomes trials, each with a folder named after everything that it depends on.

    file, defaults of learn  ->  read_sweep  ->  Sweep  ->  Sweep.trials()  ->  (Trial, ...)

A trial whose settings or task have changed has another hash, hence another folder: no result is ever mixed up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from iker_agent.config import make_config
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.provenance import fingerprint, task_facts
from iker_agent.learning.shipped import FAMILIES
from iker_agent.learning.task_evaluation import EvalSettings
from iker_agent.learning.training_folder import TrainSettings, new_settings
from iker_agent.limits import check_range, check_seed
from iker_envs.contract import is_whole
from iker_envs.documents import read_document, shown, yaml_text
from iker_envs.task import load_task

_PLAIN = ("observation", "randomisation")  # what settings may say beside learn.KEY
_NAME = re.compile(r"[A-Za-z0-9_.-]+")  # of settings: it is part of a folder's name
_THREADS = "num_threads"  # of learn: how fast a trial is, not what comes of it


@dataclass(frozen=True)
class Trial:
    """One training and its evaluation; `cpus` and `gpus` are what it occupies of a machine."""

    variant: str  # name of its settings
    settings: TrainSettings
    evaluation: EvalSettings
    cpus: float = 1.0
    gpus: float = 0.0

    @cached_property
    def hash(self) -> str:
        """12 hex digits over settings, evaluation, task and spec, as they are when it is asked for first."""
        settings = asdict(self.settings)
        settings["learn"].pop(_THREADS)
        facts = task_facts(load_task(self.settings.task), self.settings.observation)
        content = [settings, asdict(self.evaluation), facts["task_hash"], facts["spec_hash"]]
        return fingerprint(content)

    @cached_property
    def name(self) -> str:
        """TASK-SETTINGS-seedN-HASH: the name of its folder."""
        return f"{self.settings.name}-{self.variant}-seed{self.settings.seed}-{self.hash}"


@dataclass(frozen=True)
class Sweep:
    """The content of a sweep file; ValueError for what cannot be trained."""

    tasks: Sequence[str]
    seeds: Sequence[int] = (0,)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})  # by name
    learn: Mapping[str, Any] = field(default_factory=dict)  # of all trials; `settings` come on top
    observation: str = "keypoints"
    randomisation: str = "on"  # or off, or a YAML file of ranges
    copies: int = 128  # of each configuration, in which a policy is evaluated
    configurations: str = "all"  # that are evaluated, or numbers such as "0,3"
    evaluation_seed: int = 1_000_000  # far from the seeds of trainings
    cpus: float = 1.0  # that a trial occupies
    gpus: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tasks", "seeds"):
            _check_list(name, getattr(self, name))
        for task in self.tasks:
            _check_task(task)
        for seed in self.seeds:
            if not is_whole(seed):
                raise ValueError(f"seeds of a sweep are whole numbers, not {shown(seed)}")
            check_seed(seed)
        _check_settings(self.settings)
        if not isinstance(self.learn, Mapping):
            raise ValueError(f"learn is a mapping such as {{max_steps: 3000000}}, not {shown(self.learn)}")
        check_range(self, "copies", 1)
        check_range(self, "cpus gpus", 0)

    def trials(self, base: PPOConfig) -> tuple[Trial, ...]:
        """Every task with every seed and all settings, on top of the defaults `base`."""
        common = {f"learn.{name}": value for name, value in self.learn.items()}
        return tuple(
            self._trial(task, seed, variant, {**common, **own}, base)
            for task in self.tasks
            for variant, own in self.settings.items()
            for seed in self.seeds
        )

    def _trial(self, task: str, seed: int, variant: str, given: Mapping[str, Any], base: PPOConfig) -> Trial:
        overrides = [f"{key}={_text(value)}" for key, value in given.items() if key not in _PLAIN]
        learn = make_config([f"learn={yaml_text(asdict(base))}", *overrides]).learn
        observation = given.get("observation", self.observation)
        randomisation = given.get("randomisation", self.randomisation)
        randomisation = {True: "on", False: "off"}.get(randomisation, randomisation)  # YAML's on and off
        settings = new_settings(task, observation, randomisation, seed, learn)
        evaluation = EvalSettings(
            task=task,
            configurations=str(self.configurations),
            num_envs=self.copies,
            seed=self.evaluation_seed,
            randomisation=randomisation,
        )
        return Trial(variant, settings, evaluation, self.cpus, self.gpus)


def read_sweep(path: Path) -> Sweep:
    """The sweep of a file; ValueError names the file and what is wrong in it."""
    content = read_document(path)
    known = [f.name for f in fields(Sweep)]
    if not isinstance(content, Mapping) or "tasks" not in content:
        raise ValueError(
            f"{str(path)!r} is no sweep: it is a mapping that has at least tasks; known: {', '.join(known)}"
        )
    if unknown := [key for key in content if key not in known]:
        raise ValueError(f"{str(path)!r}: {shown(unknown[0])} is unknown; known: {', '.join(known)}")
    try:
        return Sweep(**content)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{str(path)!r}: {error}") from None


def _check_list(name: str, value: Any) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError(f"{name} of a sweep are a list with at least one entry, not {shown(value)}")
    if len({*map(str, value)}) < len(value):
        raise ValueError(f"{name} of a sweep are all different, not {shown(value)}")


def _check_task(task: Any) -> None:
    if not isinstance(task, str):
        raise ValueError(f"tasks of a sweep are names or paths of task files, not {shown(task)}")
    if task in FAMILIES:
        raise ValueError(f"{task!r} is a family of stages and has no evaluation of its own; name its tasks instead")
    load_task(task)  # ValueError for one that there is not


def _check_settings(settings: Any) -> None:
    if not isinstance(settings, Mapping) or not settings:
        raise ValueError(
            f"settings of a sweep are mappings by name, {{wide: {{learn.num_envs: 1024}}}}, not {settings!r}"
        )
    for name, given in settings.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"settings have names of letters, digits, _ . and -, not {shown(name)}")
        if not isinstance(given, Mapping):
            raise ValueError(f"settings {name!r} are a mapping such as {{learn.discount: 0.99}}, not {shown(given)}")
        for key in given:
            if key not in _PLAIN and not str(key).startswith("learn."):
                raise ValueError(f"settings {name!r} hold learn.KEY, {' or '.join(_PLAIN)}, not {shown(key)}")


def _text(value: Any) -> str:
    """A value as it is written behind the = of a setting."""
    return value if isinstance(value, str) else json.dumps(value)
