"""The contracts that there are. A new one is a file like `keypoint_signature` and one name in the list below."""

from __future__ import annotations

from iker_agent.program.keypoint_signature import KEYPOINTS
from iker_agent.program.pose_signature import POSES
from iker_agent.program.signature import Signature

SIGNATURES: dict[str, Signature] = {signature.name: signature for signature in (KEYPOINTS, POSES)}
CONTRACTS = tuple(SIGNATURES)


def signature_named(name: str | Signature) -> Signature:
    """The contract of that name, or the one that is given itself; ValueError lists the valid names."""
    if isinstance(name, Signature):
        return name
    if name not in SIGNATURES:
        raise ValueError(f"unknown contract {name!r}; valid are {sorted(SIGNATURES)}")
    return SIGNATURES[name]
