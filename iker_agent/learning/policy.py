"""What a policy is to everyone else: a function from observations to actions that knows its spec and fits in one file.

    policy.act(observations (N, obs))  ->  actions (N, 6) in [-1, 1]
    policy.save(path)  /  load_policy(path, spec)

A policy file is a safetensors file: arrays, and a header with kind, spec hash and whatever the kind needs. It is data,
never code; a file that is cut, foreign or made for another spec is refused with one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from iker_envs.spec import Spec

FORMAT = "iker-policy-1"


class Policy(Protocol):
    """Maps observations to actions; deterministic."""

    spec: Spec

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions (N, 6) float32 in [-1, 1] for observations (N, observation_dim)."""
        ...

    def save(self, path: str | Path) -> None:
        """Write the policy into one file."""
        ...


_KINDS: dict[str, Callable[[Mapping[str, np.ndarray], dict[str, Any], Spec], Policy]] = {}


def register_kind(kind: str, build: Callable[[Mapping[str, np.ndarray], dict[str, Any], Spec], Policy]) -> None:
    """Say how policies of a kind are made from (arrays, header, spec)."""
    _KINDS[kind] = build


def save_policy(path: str | Path, kind: str, spec: Spec, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]):
    """Write arrays and a JSON-able header as one policy file."""
    content = {"format": FORMAT, "kind": kind, "spec_hash": spec.spec_hash(), "spec": asdict(spec), **header}
    tensors = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    save_file(tensors, str(path), metadata={"iker": json.dumps(content)})


def load_policy(path: str | Path, spec: Spec | None = None) -> Policy:
    """Read a policy made for `spec` (default: whichever it was made for).

    ValueError says why a file cannot be used.
    """
    from iker_agent.learning import network, waypoint  # noqa: F401 (they register their kinds)

    header, arrays = _read(Path(path))
    if header.get("format") != FORMAT or header.get("kind") not in _KINDS:
        raise ValueError(
            f"{str(path)!r} is no policy of this project (format {header.get('format')!r}, not {FORMAT!r})"
        )
    spec = spec or Spec(**header.get("spec", {}))
    if header["spec_hash"] != spec.spec_hash():
        raise ValueError(
            f"{str(path)!r} was made for spec {header['spec_hash']}, this environment has {spec.spec_hash()}; "
            "train it again or use the observation and action settings it was trained with"
        )
    return _KINDS[header["kind"]](arrays, header, spec)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not path.exists():
        raise ValueError(f"the policy file {str(path)!r} does not exist")
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("iker", "{}"))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{str(path)!r} is not a readable policy file ({error})") from None
