"""What result files say about where their numbers come from: versions and fingerprints."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from iker_agent.learning.shipped import Stages
from iker_envs.spec import spec_of
from iker_envs.task import Task, load_task

_PACKAGES = ("iker", "gymnasium", "mujoco", "numpy", "torch", "skrl", "openai")


def task_facts(task: Task, observation: str) -> dict[str, Any]:
    """Name, id and fingerprint of a task, hash of the spec, versions."""
    return {
        "task": task.name,
        "id": task.id,
        "task_hash": fingerprint(task.to_dict()),
        "spec_hash": spec_of(task.sample(None), observation).spec_hash(),
        "versions": versions(),
    }


def stages_facts(stages: Stages, observation: str) -> dict[str, Any]:
    """The facts of a task, or of the tasks that a family's stages come from, their fingerprints made into one."""
    parts = [task_facts(load_task(name), observation) for name in dict.fromkeys(name for name, _ in stages)]
    if len(parts) == 1:
        return parts[0]
    hashes = [part["task_hash"] for part in parts]
    return {**parts[0], "task": [p["task"] for p in parts], "id": [p["id"] for p in parts]} | {
        "task_hash": fingerprint([hashes, [index for _, index in stages]])
    }


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that results depend on; None for one that is not installed."""
    return {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}}


def fingerprint(content: Any) -> str:
    """12 hex digits of JSON-able content, or of a file's bytes when given its path."""
    data = content.read_bytes() if isinstance(content, Path) else json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()[:12]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
