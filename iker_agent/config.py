"""All settings of a run in one frozen tree, with units, and how they are put together.

    defaults (here)  <-  preset (cfg/NAME.yaml)  <-  command line (learn.budget_s=120)   ->  RunConfig

Merging is strict: an unknown key is an error that suggests the nearest known one.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib.resources import files
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.limits import check_choice, check_range, check_seed, check_sim
from iker_agent.program.signatures import CONTRACTS
from iker_agent.prompt_kinds import PromptSettings, check_prompt
from iker_agent.vlm.settings import BACKENDS, AskSettings
from iker_agent.vlm.surroundings import addressed
from iker_envs.contract import check_number, is_whole
from iker_envs.documents import read_document, read_value, shown
from iker_envs.perception import SERVER, SOURCES, PoseNoise
from iker_envs.perception.fusing import MAX_LOOKS

WORLDS = ("sim", "lab", "real")
LEARNERS = ("ppo", "waypoint")
METHODS = ("iker", "voxposer")


@dataclass(frozen=True)
class RunSettings:
    """Budgets of a run."""

    retries: int = 2  # stages tried again after a miss, in the whole run
    strict: bool = True  # a stage succeeds by the strict measure; false: by the paper's, 5 cm mean keypoint distance
    repairs: int = 4  # answers asked again in one stage, with a reason
    doubts: int = 1  # times in a stage that a wrong done is answered with what is not fulfilled; 0: it ends the run
    max_stages: int = 8  # of a run, tries included
    contract: str = "keypoints"  # what programs move: keypoints, or poses (the paper's baseline)
    outcomes_in_history: bool = True  # a model is told how earlier stages ended
    warm_start: bool = True  # a stage may start from an earlier policy of the run
    video: bool = True  # leave rollout.mp4
    act_above: float = 0.5  # success in copies of the scene below which nothing moves and the model is told; 0: act
    max_copies: int = 64  # in which a doubtful stage is tried before it is carried out; clear cases take 16
    open_loop: bool = False  # all programs from the first look: stages are taken to have ended as they should
    regrasps: int = 2  # a missed grasp is tried again so often, from a fresh look and without learning anew

    def __post_init__(self) -> None:
        check_choice("run.contract", self.contract, CONTRACTS)
        check_range(self, "retries repairs doubts regrasps", 0, section="run.")
        check_range(self, "max_stages max_copies", 1, section="run.")
        check_range(self, "act_above", 0, 1, section="run.")


@dataclass(frozen=True)
class GoalSettings:
    """How a program's targets become a goal."""

    project: bool = True  # onto the nearest rigid motion


@dataclass(frozen=True)
class PerceptionSettings:
    """How the poses of objects are estimated from what the cameras see."""

    source: str = "truth"  # a simulated view's own, plus noise; rgbd: from depth cameras; server: by an outside model
    server: str = SERVER  # of source server: its address on this machine, or the command that is its process
    position_m: float = PoseNoise.position_m  # noise of truth: standard deviation per axis
    rotation_deg: float = PoseNoise.rotation_deg  # noise of truth: standard deviation, about a random axis
    looks: int = MAX_LOOKS  # how many at what stands still are averaged at most; 1: each stands alone
    sensor_noise: bool = True  # of rgbd in simulation: pictures and camera poses as wrong as a D435's
    empty: str = ""  # of rgbd: a view of the cleared scene (iker look writes one)
    masks: str = ""  # of rgbd: a server that tells objects apart in pictures, its address or its command
    track: bool = False  # of rgbd in simulation: policies see the object where pictures show it, at 10 Hz

    def __post_init__(self) -> None:
        check_choice("perception.source", self.source, SOURCES)
        check_range(self, "position_m rotation_deg", 0, section="perception.")
        check_range(self, "looks", 1, section="perception.")
        if (self.empty or self.masks) and self.source != "rgbd":
            raise ValueError("perception.empty and perception.masks are of perception.source=rgbd")
        if self.track and self.source == "truth":
            raise ValueError("perception.track follows an object in pictures; use it with perception.source=rgbd")
        if math.isinf(self.position_m + self.rotation_deg):
            raise ValueError("perception.position_m and perception.rotation_deg are finite, not inf")

    @property
    def noise(self) -> PoseNoise:
        """The noise of the source "truth"."""
        return PoseNoise(self.position_m, self.rotation_deg)


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on, beside the code."""

    task: str = "shoe_rack"  # a name, or the path of a task YAML
    instruction: str = ""  # empty: the task's own
    success: str = ""  # conditions, or a file of them, that say when it is done; empty: the task's own
    configuration: int = 0  # arrangement of the task
    seed: int = 0  # of world, noise and learning
    world: str = "sim"  # where it acts: sim, a simulation of its own; lab, an emulated laboratory; real, a robot
    real: str = ""  # path of the robot.yaml of world=real
    clock: float = 1.0  # of world=lab: laboratory seconds in a second; below 1 for slow machines
    method: str = "iker"  # or voxposer, the baseline of value maps (docs/reproduce.md)
    learner: str = "ppo"  # or waypoint, a fixed rule
    vlm: str = "annotated"  # who writes the programs: annotated (humans), openai, replay, files
    disturb: str = ""  # a scripted disturbance of cfg/disturbances
    randomisation: str = "on"  # of the training copies: on, off or a file
    run: RunSettings = field(default_factory=RunSettings)
    goal: GoalSettings = field(default_factory=GoalSettings)
    prompt: PromptSettings = field(default_factory=PromptSettings)
    ask: AskSettings = field(default_factory=AskSettings)
    perception: PerceptionSettings = field(default_factory=PerceptionSettings)
    learn: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        check_choice("world", self.world, WORLDS)
        check_choice("method", self.method, METHODS)
        check_choice("learner", self.learner, LEARNERS)
        check_choice("vlm", self.vlm, BACKENDS)
        if (self.world == "real") != bool(self.real):
            raise ValueError(
                f"world=real and real=robot.yaml, the path of a file, belong together, not world={self.world} and "
                f"real={self.real!r}"
            )
        check_number("clock", self.clock, above=0.0)
        check_seed(self.seed)
        check_prompt(self.prompt.name, self.run.contract)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries."""
        return asdict(self)


def presets() -> list[str]:
    """Names of the presets in cfg/."""
    folder = files("iker_cfg").joinpath("presets")
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def make_config(
    overrides: Sequence[str] = (), preset: str = "", *, defaults: RunConfig | None = None, **top: Any
) -> RunConfig:
    """Defaults, then a preset, then `key.sub=value` overrides, then keyword arguments that are not None."""
    merged = OmegaConf.structured(RunConfig if defaults is None else defaults)
    try:
        if preset:
            if preset not in presets():
                raise ValueError(f"preset {preset!r} does not exist; known: {', '.join(presets())}")
            content = read_document(str(files("iker_cfg").joinpath(f"presets/{preset}.yaml")))
            merged = OmegaConf.merge(merged, _checked(content))
        for override in overrides:
            if "=" not in override:
                raise ValueError(f"an override is key=value, such as learn.budget_s=120, not {override!r}")
            merged = _merged(merged, override)
        merged = OmegaConf.merge(merged, _literal(prompt_by_name({k: v for k, v in top.items() if v is not None})))
        config = cast(RunConfig, OmegaConf.to_object(merged))  # the class that `merged` was made of
    except OmegaConfBaseException as error:
        raise ValueError(str(error).splitlines()[0]) from None
    check_sim("learn.sim", config.learn.sim)
    return replace(config, ask=addressed(config.ask)) if config.vlm == "openai" else config


def _merged(config: Any, override: str) -> Any:
    key, _, text = override.partition("=")
    key = "prompt.name" if key == "prompt" and not text.lstrip().startswith("{") else key
    value = _value(text, _keys(RunConfig()).get(key), f"setting {shown(override)} cannot be used: its value")
    for part in reversed(key.split(".")):
        value = {part: value}
    try:
        return OmegaConf.merge(config, _checked(value))
    except OmegaConfBaseException as error:
        raise ValueError(f"setting {shown(override)} cannot be used: {str(error).splitlines()[0]}") from None


def _value(text: str, default: Any, where: str) -> Any:
    """What the text of a setting means: the words themselves where a text is wanted (quotes around them do not count),
    else a value of YAML, read as in files."""
    if isinstance(default, str) and not (len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"):
        return text
    return read_value(text, where)


def _checked(partial: Any) -> dict[str, Any]:
    """The same settings; ValueError with the nearest known key for one that is unknown, or for a value of another kind.

    A text that holds ${ is no reference to something else.
    """
    partial = prompt_by_name(partial)
    known = _keys(RunConfig())
    given = _keys_of(partial)
    for key, value in given.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
            section = key.rpartition(".")[0]
            beside = [k for k in known if k.rpartition(".")[0] == section] or [k for k in known if "." not in k]
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(beside)}"
            raise ValueError(f"setting {shown(key)} is unknown; {hint}")
        _check_kind(key, value, known[key])
    return _literal(partial)


def prompt_by_name(partial: Any) -> Any:
    """A prompt that is given by its name alone, as `prompt=NAME` and older runs do, as a group of settings."""
    if isinstance(partial, dict) and isinstance(partial.get("prompt"), str):
        return {**partial, "prompt": {"name": partial["prompt"]}}
    return partial


def _check_kind(key: str, value: Any, default: Any) -> None:
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    is_number = isinstance(value, float) or is_whole(value)
    fits = {bool: isinstance(value, bool), int: is_whole(value), float: is_number, str: isinstance(value, str)}
    if not fits.get(type(default), isinstance(value, dict)):
        wanted = kinds.get(type(default), "a group of settings")
        raise ValueError(f"setting {shown(key)} is {wanted}, not {shown(value)}")


def _literal(content: Any) -> Any:
    """The content with ${ escaped, which OmegaConf would resolve: the environment's secrets are in its reach."""
    if isinstance(content, dict):
        return {key: _literal(value) for key, value in content.items()}
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", content) if isinstance(content, str) else content


def _keys(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every setting and group of settings with its default, "run.retries" for instance."""
    keys: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        keys[prefix + f.name] = value
        keys |= _keys(value, f"{prefix}{f.name}.") if is_dataclass(value) else {}
    return keys


def _keys_of(content: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of nested dictionaries with its value, the outer ones first."""
    if not isinstance(content, dict):
        return {}
    keys: dict[str, Any] = {}
    for name, value in content.items():
        keys |= {f"{prefix}{name}": value, **_keys_of(value, f"{prefix}{name}.")}
    return keys
