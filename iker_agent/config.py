"""All settings of a run in one frozen tree, with units, and how they are put together.

    defaults (here)  <-  preset (cfg/NAME.yaml)  <-  command line (learn.budget_s=120)   ->  RunConfig

Merging is strict: an unknown key is an error that suggests the nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib.resources import files
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.limits import check_range, check_seed
from iker_agent.prompt_kinds import check_prompt
from iker_agent.vlm.settings import BACKENDS, AskSettings
from iker_agent.vlm.surroundings import addressed
from iker_envs.perception import PoseNoise

LEARNERS = ("ppo", "waypoint")
CONTRACTS = ("keypoints", "poses")


@dataclass(frozen=True)
class RunSettings:
    """Budgets of a run."""

    retries: int = 2  # stages tried again after a miss, in the whole run
    strict: bool = True  # a stage succeeds by the strict measure; false: by the paper's, 5 cm mean keypoint distance
    repairs: int = 4  # answers asked again in one stage, with a reason
    max_stages: int = 8  # of a run, tries included
    contract: str = "keypoints"  # what programs move: keypoints, or poses (the paper's baseline)
    outcomes_in_history: bool = True  # a model is told how earlier stages ended
    warm_start: bool = True  # a stage may start from an earlier policy of the run
    video: bool = True  # leave rollout.mp4

    def __post_init__(self) -> None:
        check_range(self, "retries repairs", 0, section="run.")
        check_range(self, "max_stages", 1, section="run.")


@dataclass(frozen=True)
class GoalSettings:
    """How a program's targets become a goal."""

    project: bool = True  # onto the nearest rigid motion


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on, beside the code."""

    task: str = "shoe_rack"  # a name, or the path of a task YAML
    instruction: str = ""  # empty: the task's own
    configuration: int = 0  # arrangement of the task
    seed: int = 0  # of world, noise and learning
    learner: str = "ppo"  # or waypoint, a fixed rule
    vlm: str = "annotated"  # who writes the programs: annotated (humans), openai, replay
    prompt: str = "auto"  # a name in cfg/prompts or a path; auto: multi_stage, or poses under that contract
    disturb: str = ""  # a scripted disturbance of cfg/disturbances
    randomisation: str = "on"  # of the training copies: on, off or a file
    run: RunSettings = field(default_factory=RunSettings)
    goal: GoalSettings = field(default_factory=GoalSettings)
    ask: AskSettings = field(default_factory=AskSettings)
    perception: PoseNoise = field(default_factory=PoseNoise)
    learn: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        choices = (
            ("learner", self.learner, LEARNERS),
            ("vlm", self.vlm, BACKENDS),
            ("run.contract", self.run.contract, CONTRACTS),
        )
        for name, value, known in choices:
            if value not in known:
                raise ValueError(f"{name} {value!r} is unknown; known: {', '.join(known)}")
        check_seed(self.seed)
        check_range(self.perception, "position_m rotation_deg", 0, section="perception.")
        check_prompt(self.prompt, self.run.contract)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries."""
        return asdict(self)


def presets() -> list[str]:
    """Names of the presets in cfg/."""
    folder = files("iker_cfg").joinpath("presets")
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def make_config(overrides: Sequence[str] = (), preset: str = "", **top: Any) -> RunConfig:
    """Defaults, then a preset, then `key.sub=value` overrides, then keyword arguments that are not None."""
    merged = OmegaConf.structured(RunConfig)
    try:
        if preset:
            if preset not in presets():
                raise ValueError(f"preset {preset!r} does not exist; known: {', '.join(presets())}")
            text = files("iker_cfg").joinpath(f"presets/{preset}.yaml").read_text(encoding="utf-8")
            merged = OmegaConf.merge(merged, _checked(OmegaConf.create(text)))
        for override in overrides:
            if "=" not in override:
                raise ValueError(f"an override is key=value, such as learn.budget_s=120, not {override!r}")
            merged = _merged(merged, override)
        merged = OmegaConf.merge(merged, {k: v for k, v in top.items() if v is not None})
        config = OmegaConf.to_object(merged)
        return replace(config, ask=addressed(config.ask)) if config.vlm == "openai" else config
    except OmegaConfBaseException as error:
        raise ValueError(str(error).splitlines()[0]) from None


def _merged(config: Any, override: str) -> Any:
    try:
        return OmegaConf.merge(config, _checked(OmegaConf.from_dotlist([override])))
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise ValueError(f"setting {override!r} cannot be used: {str(error).splitlines()[0]}") from None


def _checked(partial: Any) -> Any:
    """The same settings, or ValueError with the nearest known key."""
    known = _keys(RunConfig())
    for key in _keys_of(OmegaConf.to_container(partial)):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(k for k in known if '.' not in k)}"
            raise ValueError(f"setting {key!r} is unknown; {hint}")
    return partial


def _keys(config: Any, prefix: str = "") -> list[str]:
    keys = []
    for f in fields(config):
        value = getattr(config, f.name)
        keys += [prefix + f.name, *(_keys(value, f"{prefix}{f.name}.") if is_dataclass(value) else ())]
    return keys


def _keys_of(content: Any, prefix: str = "") -> list[str]:
    if not isinstance(content, dict):
        return []
    return [key for k, v in content.items() for key in (prefix + str(k), *_keys_of(v, f"{prefix}{k}."))]
