"""Policies that come with the package: one file per family of stages, one per task.

    scene, goal               ->  shipped_for     ->  the policy of the stage's family, or None
    task or family, spec      ->  shipped_policy  ->  Policy, or None
    task or family            ->  stages_of       ->  the stages that such a policy is trained on

The files lie in iker_cfg/policies: NAME.safetensors for keypoint and NAME-pose.safetensors for pose observations.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files

from iker_agent.learning.policy import Policy
from iker_agent.learning.policy_files import load_policy
from iker_envs.scene import Goal, Scene
from iker_envs.spec import Spec, spec_of

Stages = tuple[tuple[str, int], ...]  # (task name or path, index of the stage)
# Stages that one policy can do, and on which `iker train FAMILY` trains it.
FAMILIES: Mapping[str, Stages] = {
    "push": (("shoe_push", 0), ("book_push", 0), ("shoe_rack", 0)),
    "carry": (("shoe_place", 0), ("book_reorient", 0), ("shoe_rack", 1), ("shoe_rack", 2)),
}


def family_of(goal: Goal) -> str:
    """The family of a stage by its goal."""
    return "carry" if goal.grasp else "push"


def stages_of(name: str) -> Stages:
    """The stages of a family, or the first stage of a task."""
    return FAMILIES.get(name, ((name, 0),))


def shipped_names() -> list[str]:
    """Names of the policies that come with the package."""
    folder = files("iker_cfg").joinpath("policies")
    found = (p.name for p in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name.removesuffix(".safetensors") for name in found if name.endswith(".safetensors"))


def shipped_policy(name: str, spec: Spec) -> Policy | None:
    """The shipped policy of a family or a task, None where none was made for the spec."""
    full = name if spec.observation == "keypoints" else f"{name}-{spec.observation}"
    if full not in shipped_names():
        return None
    with as_file(files("iker_cfg").joinpath(f"policies/{full}.safetensors")) as path:
        policy = load_policy(path)
    return policy if policy.spec == spec else None


def shipped_for(scene: Scene, goal: Goal) -> Policy | None:
    """The shipped policy that may do a stage as it is, None where there is none."""
    return shipped_policy(family_of(goal), spec_of(scene))
