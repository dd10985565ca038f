"""The folder of a training: which settings it was begun with, on which task, and where it can go on from.

    settings            ->  write_settings   ->  config.yaml
    folder              ->  read_settings    ->  TrainSettings, facts of the task
    folder, new budget  ->  resumed          ->  Resumed(settings, has the task changed?)
    folder              ->  read_state       ->  the checkpoint

A file that is damaged is refused with one sentence that names it and the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iker_agent.atomic import replace_file
from iker_agent.learning.checkpoint import read_checkpoint
from iker_agent.learning.policy_files import load_network
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.provenance import stages_facts
from iker_agent.learning.shipped import FAMILIES, stages_of
from iker_agent.learning.stored import shown, stored_fields
from iker_agent.learning.training import PARTS
from iker_agent.limits import Unusable, check_seed
from iker_envs.documents import read_document, yaml_text
from iker_envs.randomisation import as_randomisation
from iker_envs.spec import Spec, spec_of
from iker_envs.task import load_task

if TYPE_CHECKING:
    from iker_agent.learning.network import NetworkPolicy

CHECKPOINT = "checkpoint.pt"
CONFIG = "config.yaml"


@dataclass(frozen=True)
class TrainSettings:
    """What `iker train` depends on, beside the code."""

    task: str  # or a family
    observation: str = "keypoints"
    randomisation: Any = "on"  # on, off or ranges by row
    seed: int = 0
    learn: PPOConfig = field(default_factory=PPOConfig)
    start: str = ""  # path of the policy whose weights it begins with; none: random ones

    def __post_init__(self) -> None:
        Spec(observation=self.observation)  # it names the known ones
        check_seed(self.seed)
        for path in (self.task, self.start):
            if path != path.encode("utf-8", "replace").decode("utf-8"):
                raise ValueError(f"{path!r} is no text that config.yaml can hold; give the file another name")
        ranges = self.randomisation
        if ranges not in ("on", "off") and not isinstance(ranges, Mapping):
            raise ValueError(f"randomisation is 'on', 'off' or ranges by row, not {shown(ranges)}")
        as_randomisation(ranges)

    @property
    def name(self) -> str:
        """Of the task, also where it was given by a path, or of the family."""
        return self.task if self.task in FAMILIES else load_task(self.task).name

    def first_policy(self) -> NetworkPolicy | None:
        """What `start` names; ValueError or Unusable where the training cannot begin with it."""
        if not self.start:
            return None
        scene = load_task(stages_of(self.task)[0][0]).sample(None)
        return load_network(self.start, spec_of(scene, self.observation))


@dataclass(frozen=True)
class Resumed:
    """The settings that a training goes on with; has its task changed since it was begun?"""

    settings: TrainSettings
    task_changed: bool


def new_settings(
    task: str, observation: str, randomisation: str, seed: int, learn: PPOConfig, start: str = ""
) -> TrainSettings:
    """The settings of a new training; a file of ranges is read once, here. ValueError says what is wrong with them."""
    if not task:
        raise ValueError("say which task to train, such as `iker train shoe_push`")
    ranges: Any = randomisation
    if randomisation not in ("on", "off"):
        ranges = {row: list(map(float, limits)) for row, limits in as_randomisation(randomisation).ranges.items()}
    settings = TrainSettings(task, observation, ranges, seed, learn, start)
    settings.first_policy()  # read again when it is needed
    return settings


def write_settings(folder: Path, settings: TrainSettings) -> None:
    """config.yaml: the settings, and the facts of the task they were used on."""
    content = {**asdict(settings), "facts": stages_facts(stages_of(settings.task), settings.observation)}
    replace_file(folder / CONFIG, lambda path: path.write_text(yaml_text(content), "utf-8"))


def check_training_folder(folder: Path) -> None:
    """ValueError if no training was ever begun in a folder."""
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{str(folder)!r} is no training folder: it has no {CONFIG}")


def read_settings(folder: Path) -> tuple[TrainSettings, dict[str, Any]]:
    """The settings and facts of a training folder; ValueError if it is none, Unusable if config.yaml is damaged."""
    check_training_folder(folder)
    path = folder / CONFIG
    try:
        content = read_document(path)
        if not isinstance(content, dict):
            raise ValueError(f"it holds no settings but {shown(content)}")
        facts = content.pop("facts", None)
        values = stored_fields(TrainSettings, content, optional=("start",))
        learn = PPOConfig(**stored_fields(PPOConfig, values["learn"], "learn."))
        settings = TrainSettings(**{**values, "learn": learn})
        hashes = ("task_hash", "spec_hash")
        if not isinstance(facts, dict) or not all(isinstance(facts.get(name), str) for name in hashes):
            raise ValueError(f"the field 'facts' holds {' and '.join(hashes)}, not {shown(facts)}")
    except ValueError as error:
        raise Unusable(f"{str(path)!r} is damaged: {error}") from None
    return settings, facts


def resumed(folder: Path, change: Callable[[PPOConfig], PPOConfig], *, restart: bool = False) -> Resumed:
    """What a training goes on with once `change` has been made to its learn settings.

    `restart`: it begins again at step 0, because there is no checkpoint. ValueError if there is one, if nothing was
    said about beginning again, or if the task has another spec now; Unusable for damaged files.
    """
    settings, facts = read_settings(folder)
    path = folder / CHECKPOINT
    if restart and path.exists():
        raise ValueError(f"{str(folder)!r} has a {CHECKPOINT}: leave --restart out, or train into another folder")
    if not restart:
        _check_there(path)
    try:
        now = stages_facts(stages_of(settings.task), settings.observation)
    except ValueError as error:
        raise Unusable(f"the task in {str(folder / CONFIG)!r} cannot be used: {error}") from None
    if now["spec_hash"] != facts["spec_hash"]:
        raise ValueError(f"{str(folder)!r} was trained for spec {facts['spec_hash']}, this is {now['spec_hash']}")
    learn = change(settings.learn)
    return Resumed(replace(settings, learn=learn), now["task_hash"] != facts["task_hash"])


def read_state(folder: Path) -> dict[str, Any]:
    """The checkpoint of a training folder, all its parts; Unusable if there is none, or a damaged one."""
    path = folder / CHECKPOINT
    _check_there(path)
    return read_checkpoint(path, PARTS)


def _check_there(path: Path) -> None:
    if not path.exists():
        raise Unusable(
            f"{str(path.parent)!r} has no {path.name} to go on from; to begin again at step 0, with the same settings, "
            f"call iker train --resume {path.parent} --restart"
        )
