"""From a policy file to the policy in it, whatever its kind."""

from __future__ import annotations

from pathlib import Path

from iker_agent.learning.policy import FORMAT, Policy, read_policy
from iker_envs.spec import Spec

KINDS = ("network", "waypoint")


def load_policy(path: str | Path, spec: Spec | None = None) -> Policy:
    """Read a policy made for `spec` (default: whichever it was made for).

    ValueError says why a file cannot be used.
    """
    header, arrays = read_policy(Path(path))
    if header.get("format") != FORMAT or header.get("kind") not in KINDS:
        raise ValueError(
            f"{str(path)!r} is no policy of this project (format {header.get('format')!r}, not {FORMAT!r})"
        )
    spec = spec or Spec(**header.get("spec", {}))
    if header["spec_hash"] != spec.spec_hash():
        raise ValueError(
            f"{str(path)!r} was made for spec {header['spec_hash']}, this environment has {spec.spec_hash()}; "
            "train it again or use the observation and action settings it was trained with"
        )
    if header["kind"] == "waypoint":
        from iker_agent.learning.waypoint import WaypointPolicy

        return WaypointPolicy.from_header(header, spec)
    from iker_agent.learning.network import NetworkPolicy  # torch loads only for networks

    return NetworkPolicy.from_arrays(arrays, header, spec)
