"""What running a program gives: the frozen `ProgramResult`.

In: fields found by `runner` and `answer`. Out: a value that can go into prompts, logs and a run folder as it is:
plain Python numbers and printable text only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

Status = Literal["ok", "done", "impossible", "refused", "error", "limit", "invalid"]

MAX_PRINTED = 4_000  # characters of a program's own output


@dataclass(frozen=True, eq=False)
class ProgramResult:
    """The outcome of one program.

    status: "ok" (targets are given), "done" (the program says that the task is finished), "impossible" (it says that
        the task cannot be done), "refused" (not run: a syntax error, too long, or outside the allowed language),
        "error" (it raised), "limit" (time, memory or output), "invalid" (it returned something else than the contract
        asks for, or targets that make no sense).
    message: one sentence for model and user alike, empty when ok or done; when impossible, why.
    object: what the program calls the object to move, printable, at most 200 characters; never use it as a path.
    indices: labels of the keypoints to move, in the program's order; empty under the contract "poses".
    grasp: grasp the object first (True) or push it (False).
    targets: label -> (x, y, z) in metres, world frame, for every label given, unmoved ones exactly as they were;
        under "poses" object -> (x, y, z, roll, pitch, yaw) in metres and radians. Empty unless ok.
    warnings: what was read generously, e.g. "grasp_mode was given as a number".
    printed: the program's own output, at most 4000 characters; never repeat it to a user as ours.
    layers: the isolation layers that were active, of "language", "process", "rlimit", "seccomp".
    seconds: wall-clock duration of the call.
    """

    status: Status
    message: str = ""
    object: str = ""
    indices: tuple[str, ...] = ()
    grasp: bool = False
    targets: dict[str, tuple[float, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    printed: str = ""
    layers: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON data (lists in place of tuples)."""
        data = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {**data, "targets": {label: list(row) for label, row in self.targets.items()}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ProgramResult:
        """The inverse of `to_dict`; ValueError names unknown fields and an unknown status."""
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"unknown fields {unknown}; a ProgramResult has {[f.name for f in fields(cls)]}")
        if data.get("status") not in get_args(Status):
            raise ValueError(f"status {data.get('status')!r} is not one of {get_args(Status)}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        values["targets"] = {k: tuple(v) for k, v in data.get("targets", {}).items()}
        return cls(**values)
