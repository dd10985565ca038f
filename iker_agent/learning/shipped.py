"""Policies that come with the package: one file per family of stages, one per task.

    shipped_policy("push" | "carry" | a task's name, spec)  ->  Policy, or None if there is none

The files lie in iker_cfg/policies: NAME.safetensors for keypoint and NAME-pose.safetensors for pose observations.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from iker_agent.learning.policy import Policy, load_policy
from iker_envs.spec import Spec

FAMILIES = ("push", "carry")


def family_of(grasp: bool) -> str:
    """The family of a stage by its goal."""
    return FAMILIES[grasp]


def shipped_names() -> list[str]:
    """Names of the policies that come with the package."""
    folder = files("iker_cfg").joinpath("policies")
    found = (p.name for p in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name.removesuffix(".safetensors") for name in found if name.endswith(".safetensors"))


def shipped_policy(name: str, spec: Spec) -> Policy | None:
    """The shipped policy of a family or a task; ValueError if it was made for another spec."""
    full = name if spec.observation == "keypoints" else f"{name}-{spec.observation}"
    if full not in shipped_names():
        return None
    with as_file(files("iker_cfg").joinpath(f"policies/{full}.safetensors")) as path:
        return load_policy(path, spec)
