"""Which prompt files there are, which contract each asks for, and what else a model is told.

name, contract  ->  prompt_kind  ->  PromptKind (files)        settings `prompt.*`  ->  PromptSettings
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iker_agent.limits import check_choice
from iker_agent.program.signatures import SIGNATURES, signature_named

VIEWS = ("query", "query+side")
SIZES = ("640x480", "800x600", "960x720", "1280x960")


@dataclass(frozen=True)
class PromptKind:
    """The files that make up a prompt, the contract it asks for, and whether the model plans in stages."""

    files: tuple[str, ...]
    contract: str = "keypoints"
    stages: bool = True


@dataclass(frozen=True)
class PromptSettings:
    """What a model is shown and told beside its rules, the instruction and the history."""

    name: str = "auto"  # in cfg/prompts, or a path; auto: multi_stage, or poses under that contract; prompt=NAME too
    limits: bool = True  # what is refused afterwards is told beforehand, from the scene: reach, room, heights, names
    coordinates: bool = False  # keypoints' coordinates as a table
    refusals: bool = True  # which answers were refused in earlier stages, and why
    views: str = "query"  # or query+side: a second picture of the same moment, with the same marks
    size: str = "640x480"  # of the pictures, in pixels: up to 1280x960

    def __post_init__(self) -> None:
        check_choice("prompt.views", self.views, VIEWS)
        check_choice("prompt.size", self.size, SIZES)

    @property
    def side(self) -> bool:
        """Is there a second picture?"""
        return self.views == "query+side"

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        width, height = self.size.split("x")
        return int(width), int(height)


PROMPTS = {
    "single_stage": PromptKind(("single_stage",), stages=False),
    "multi_stage_examples": PromptKind(("multi_stage", "multi_stage_examples")),
    **{s.prompt: PromptKind((s.prompt,), contract=s.name) for s in SIGNATURES.values()},
}


def prompt_kind(name: str, contract: str = "keypoints") -> PromptKind:
    """The prompt of that name; "auto" is the contract's own, a path is a user's, in stages, for the contract."""
    if Path(name).suffix == ".md":
        return PromptKind((name,), contract)
    return PROMPTS[signature_named(contract).prompt if name == "auto" else name]


def check_prompt(name: str, contract: str) -> None:
    """ValueError if there is no such prompt, or if it asks for the other contract."""
    is_path = Path(name).suffix == ".md"
    if name not in ("auto", *PROMPTS) and not (is_path and Path(name).is_file()):
        raise ValueError(f"prompt {name!r} does not exist; known: auto, {', '.join(PROMPTS)}, or a path to a .md")
    if prompt_kind(name, contract).contract != contract:
        fitting = ", ".join(n for n, kind in PROMPTS.items() if kind.contract == contract)
        raise ValueError(f"prompt {name!r} does not ask for {contract}; with run.contract={contract}: {fitting}")
