"""What a policy is to everyone else: a function from observations to actions that knows its spec and fits in one file.

    policy.act(observations (N, obs))  ->  actions (N, 6) in [-1, 1]
    policy.save(path)  /  load_policy(path, spec)   (policy_files.py, above all kinds)

A policy file is a safetensors file: arrays, and a header with kind, spec hash and whatever the kind needs. It is data,
never code; a file that is cut, foreign or made for another spec is refused with one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from iker_agent.limits import Unusable
from iker_envs.spec import Spec

FORMAT = "iker-policy-1"
MAX_BYTES = 64_000_000  # of a policy file; those of this package have a third of a megabyte


class PolicyFault(ValueError):
    """A policy failed at its work; the message says how. Neither the task nor the world is to blame."""


class Policy(Protocol):
    """Maps observations to actions; deterministic."""

    spec: Spec

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions (N, 6) float32 in [-1, 1] for observations (N, observation_dim)."""
        ...

    def save(self, path: str | Path) -> None:
        """Write the policy into one file."""
        ...


def save_policy(path: str | Path, kind: str, spec: Spec, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]):
    """Write arrays and a JSON-able header as one policy file; OSError if it cannot be written."""
    content = {"format": FORMAT, "kind": kind, "spec_hash": spec.spec_hash(), "spec": asdict(spec), **header}
    tensors = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    Path(path).write_bytes(save(tensors, metadata={"iker": json.dumps(content)}))


def read_policy(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a policy file; Unusable if it cannot be read, ValueError if there is none."""
    if not path.is_file():
        what = "is a folder; give the file in it" if path.is_dir() else "does not exist"
        raise ValueError(f"the policy file {str(path)!r} {what}")
    if path.stat().st_size > MAX_BYTES:
        raise Unusable(f"{str(path)!r} is no policy file: it has more than {MAX_BYTES // 1_000_000} MB")
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("iker", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:  # TypeError: numbers that numpy lacks
        raise Unusable(f"{str(path)!r} is not a readable policy file ({' '.join(str(error).split())})") from None
    if not isinstance(header, dict):
        raise Unusable(f"{str(path)!r} is no policy of this project (its header is {type(header).__name__})")
    return header, arrays
