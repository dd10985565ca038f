"""Which prompt files there are, and which contract each asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iker_agent.program.signatures import SIGNATURES, signature_named


@dataclass(frozen=True)
class PromptKind:
    """The files that make up a prompt, the contract it asks for, and whether the model plans in stages."""

    files: tuple[str, ...]
    contract: str = "keypoints"
    stages: bool = True


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
