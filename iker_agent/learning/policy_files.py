"""From a policy file to the policy in it, whatever its kind.

path, spec  ->  load_policy   ->  Policy, or one sentence that names the file and what is wrong in it
path, spec  ->  load_network  ->  the same, of a policy that a training can go on from
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from iker_agent.learning.plain_network import PlainNetworkPolicy
from iker_agent.learning.policy import FORMAT, Policy, read_policy
from iker_agent.learning.stored import shown, stored_fields
from iker_agent.limits import Unusable
from iker_envs.spec import LAYOUTS, Spec, hash_of

if TYPE_CHECKING:
    from iker_agent.learning.network import NetworkPolicy

KINDS = ("network", "waypoint")


def load_policy(path: str | Path, spec: Spec | None = None) -> Policy:
    """Read a policy made for `spec` (default: whichever it was made for).

    ValueError if there is no such file, or one for another spec; Unusable if it is damaged.
    """
    header, arrays = read_policy(Path(path))
    if header.get("format") != FORMAT or header.get("kind") not in KINDS:
        raise Unusable(
            f"{str(path)!r} is no policy of this project (format {shown(header.get('format'))}, not {FORMAT!r}; "
            f"kind {shown(header.get('kind'))}, not {' or '.join(KINDS)})"
        )
    if difference := _of_another_version(header):
        raise ValueError(
            f"{str(path)!r} was made by a version of this package whose spec {difference}, and so was trained on other "
            "physics or commands; train it again"
        )
    try:
        own = _own_spec(header)
    except ValueError as error:
        raise Unusable(f"{str(path)!r} is damaged: {error}") from None
    spec = spec or own
    if header["spec_hash"] != spec.spec_hash():
        raise ValueError(
            f"{str(path)!r} was made for spec {header['spec_hash']}, this environment has {spec.spec_hash()}; "
            "train it again or use the observation and action settings it was trained with"
        )
    try:
        return _policy(header, arrays, spec)
    except ValueError as error:
        raise Unusable(f"{str(path)!r} is damaged: {error}") from None


def load_network(path: str | Path, spec: Spec) -> NetworkPolicy:
    """As `load_policy`, a policy with weights to go on from.

    ValueError for the waypoint rule, which has none, and for a network of other widths than a training makes.
    """
    from iker_agent.learning.network import HIDDEN, NetworkPolicy

    policy = load_policy(path, spec)
    if not isinstance(policy, NetworkPolicy):
        raise ValueError(f"{str(path)!r} holds the waypoint rule, which has no weights to begin with; give a network's")
    if policy.network.hidden != HIDDEN:
        raise ValueError(f"{str(path)!r} has layers of {policy.network.hidden}, a training has {HIDDEN}; give another")
    return policy


def _of_another_version(header: Mapping[str, Any]) -> str:
    """How the fields of an undamaged header's spec differ from those of this version's; "" if they do not."""
    values = header.get("spec")
    if not isinstance(values, dict) or values.get("observation") not in LAYOUTS:
        return ""
    known = {f.name for f in fields(Spec)}
    if set(values) == known or header.get("spec_hash") != hash_of(values):
        return ""
    told = [f"lacks {name}" for name in sorted(known - set(values))]
    told += [f"has {name}" for name in sorted(set(values) - known)]
    return " and ".join(told)


def _own_spec(header: Mapping[str, Any]) -> Spec:
    """The spec that a policy was made for; ValueError names a field of the header that is missing or wrong."""
    for name in ("spec", "spec_hash"):
        if name not in header:
            raise ValueError(f"the field {name!r} is missing")
    if not isinstance(header["spec_hash"], str):
        raise ValueError(f"the field 'spec_hash' is a text, not {shown(header['spec_hash'])}")
    values = stored_fields(Spec, header["spec"], "spec.")
    axis = values["approach_axis"]
    if not isinstance(axis, list) or len(axis) != 3 or not all(isinstance(x, (int, float)) for x in axis):
        raise ValueError(f"the field 'spec.approach_axis' is three numbers, not {shown(axis)}")
    return Spec(**values)


def _policy(header: dict[str, Any], arrays: Mapping[str, np.ndarray], spec: Spec) -> Policy:
    for name, values in arrays.items():
        if not np.all(np.isfinite(values)):
            raise ValueError(f"the tensor {name!r} holds numbers that are not finite")
    if header["kind"] == "waypoint":
        from iker_agent.learning.waypoint import WaypointPolicy

        return WaypointPolicy.from_header(header, spec)
    if find_spec("torch") is None:  # a robot's computer
        return PlainNetworkPolicy.from_arrays(arrays, header, spec)
    from iker_agent.learning.network import NetworkPolicy  # torch loads only for networks

    return NetworkPolicy.from_arrays(arrays, header, spec)
