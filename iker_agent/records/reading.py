"""A run folder read back into the dataclasses that it was written from, as far as it can be read.

    run folder  ->  read_run  ->  RecordedRun (RunResult, StageRecord, Goal, Outcome, texts; faults)

Runs are interrupted and files get lost or damaged, so nothing but the folder itself is taken for granted: a value of
another kind than its dataclass wants keeps the dataclass's default, and one sentence in `faults` says so.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, get_type_hints

from iker_agent.records.record import Failure, RunResult, StageRecord
from iker_envs.contract import Contract
from iker_envs.scene import Goal, Outcome

_STAGE_FOLDER = re.compile(r"stage_(\d{1,6})")
_LARGEST = 1e15  # JSON holds integers without end; a page has no room for them
_FAULT_LENGTH = 300  # characters of one fault: the value that it quotes may be a whole file
_POSE_LENGTH = 7
_POSITION_LENGTH = 3

Kind = TypeVar("Kind")
ContractKind = TypeVar("ContractKind", bound=Contract)


def is_number(value: Any) -> TypeGuard[float]:
    """Is it finite and of ordinary size, and no truth value?"""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def is_vector(value: Any, length: int) -> TypeGuard[list[float]]:
    """Is it a list of so many numbers?"""
    return isinstance(value, list) and len(value) == length and all(map(is_number, value))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


# What JSON must hold for a field of a type, in words and as a check; fields of other types are read one by one.
_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda v: isinstance(v, str)),
    bool: ("true or false", lambda v: isinstance(v, bool)),
    bool | None: ("true, false or null", lambda v: v is None or isinstance(v, bool)),
    int: ("a whole number", lambda v: is_number(v) and isinstance(v, int)),
    float: ("a number", is_number),
    list[str]: ("a list of texts", _is_texts),
    tuple[str, ...]: ("a list of texts", _is_texts),
    dict[str, Any]: ("a mapping", lambda v: isinstance(v, dict)),
    dict[str, Any] | None: ("a mapping or null", lambda v: v is None or isinstance(v, dict)),
}


@dataclass
class Files:
    """Reads the files of one folder; what is there but of no use is noted in `faults`, one sentence each."""

    path: Path
    label: str  # put before file names in faults
    faults: list[str]

    def has(self, name: str) -> bool:
        """Is there such a file?"""
        return (self.path / name).is_file()

    def fault(self, name: str, problem: str) -> None:
        """Note what is wrong with a file."""
        words = f"{self.label}{name} {problem}"
        self.faults.append(words if len(words) <= _FAULT_LENGTH else words[: _FAULT_LENGTH - 1] + "…")

    def bytes(self, name: str) -> bytes:
        """The content of a file; empty when it is missing or cannot be read."""
        try:
            return (self.path / name).read_bytes() if self.has(name) else b""
        except OSError as error:
            self.fault(name, f"cannot be read ({error.strerror})")
            return b""

    def text(self, name: str) -> str:
        """The text of a file, with a replacement sign for what is not UTF-8."""
        return self.bytes(name).decode("utf-8", "replace")

    def json(self, name: str) -> dict[str, Any]:
        """The mapping in a JSON file; empty when it is missing or broken."""
        if not self.has(name):
            return {}
        try:
            content = json.loads(self.text(name))
        except (ValueError, RecursionError):
            self.fault(name, "is not valid JSON and was left out")
            return {}
        if not isinstance(content, dict):
            self.fault(name, "does not hold a mapping and was left out")
            return {}
        return content

    def contract(self, kind: type[ContractKind], name: str, content: Mapping[str, Any]) -> ContractKind | None:
        """A contract from a file's content, fields of other versions left out; None when it cannot be made."""
        known = {f.name for f in fields(kind)}
        if not content:
            return None
        try:
            return kind.from_dict({key: value for key, value in content.items() if key in known})
        except (ValueError, OverflowError) as error:  # an integer may be too large for a float
            self.fault(name, f"was left out: {error}")
            return None

    def rows(self, name: str) -> list[dict[str, float]]:
        """The numbers of a CSV file line by line, NaN for what is no number."""
        lines = csv.DictReader(io.StringIO(self.text(name).replace("\0", "")))
        return [{key: _parsed(value) for key, value in line.items() if key is not None} for line in lines]

    def filled(self, kind: type[Kind], name: str, content: Mapping[str, Any], what: str = "", **known: Any) -> Kind:
        """A dataclass from a mapping of the file; `known` fields are given, others are read where their type is known.

        A field that is missing has its default; so has one of another type, and `faults` says so.
        """
        values = dict(known)
        for key, annotation in get_type_hints(kind).items():
            if key in known or key not in content or annotation not in _KINDS:
                continue
            wanted, fits = _KINDS[annotation]
            if fits(content[key]):
                values[key] = content[key]
            else:
                self.fault(name, f"gives {what}{key} as {reprlib.repr(content[key])}, not as {wanted}")
        return kind(**values)


@dataclass
class RecordedStage:
    """One stage folder and its entry in run.json; `record` is None where run.json does not list the stage."""

    name: str
    number: int
    files: Files
    record: StageRecord | None = None
    done: bool = False  # its answer was that nothing is left to do
    goal: Goal | None = None
    seen_pose: list[float] | None = None  # of the goal's object (7,), as the stage saw it
    outcome: Outcome | None = None
    success_strict: bool | None = None  # of outcome.json, else of run.json
    goal_error_m: float | None = None
    foretold: str = ""  # what happened in copies before anything moved, a clause
    rows: list[dict[str, float]] = field(default_factory=list)  # of the training log
    program: str = ""
    prompt: str = ""
    reply: str = ""


@dataclass
class RecordedRun:
    """A run folder as far as it can be read; `faults` says in sentences what cannot."""

    files: Files
    readable: bool = False  # is there anything in run.json?
    instruction: str = ""
    task: str = ""
    id: str = ""
    spec_hash: str = ""
    judged_by: str = ""  # how it is known where things ended: truth or estimate
    seeds: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    disturbance: dict[str, Any] | None = None
    result: RunResult = field(default_factory=RunResult)
    stages: list[RecordedStage] = field(default_factory=list)
    positions_m: dict[str, list[float]] = field(default_factory=dict)  # object -> where its centre ended (3,)
    tops_m: dict[str, float] = field(default_factory=dict)  # furniture -> height of its top

    @property
    def faults(self) -> list[str]:
        """What cannot be read, one sentence each without full stop."""
        return self.files.faults


def read_run(folder: Path) -> RecordedRun:
    """Everything that a run folder holds but pictures and policies. ValueError where there is no run.json."""
    if not (folder / "run.json").is_file():
        raise ValueError(f"{str(folder)!r} is not a run folder: it has no run.json")
    files = Files(folder, "", [])
    content = files.json("run.json")
    entries = _entries(files, content)
    run = files.filled(RecordedRun, "run.json", content, files=files, readable=bool(content))
    run.result = files.filled(RunResult, "run.json", content)
    names = {*entries, *(p.name for p in folder.iterdir() if p.is_dir())}
    ordered = sorted((int(match[1]), name) for name in names if (match := _STAGE_FOLDER.fullmatch(name)))
    run.stages = [_read_stage(files, name, number, entries.get(name)) for number, name in ordered]
    run.result.stages = [s.record for s in run.stages if s.record is not None]
    run.result.final_look = _final_look(files, content)
    _read_ends(files, run)
    return run


def _entries(files: Files, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The stages that run.json lists, by folder."""
    listed = content.get("stages", [])
    if not isinstance(listed, list):
        files.fault("run.json", f"gives stages as {reprlib.repr(listed)}, not as a list")
        return {}
    found = {}
    for entry in listed:
        folder = entry.get("folder") if isinstance(entry, dict) else None
        if isinstance(folder, str) and _STAGE_FOLDER.fullmatch(folder):
            found[folder] = entry
        else:
            files.fault("run.json", f"lists a stage whose folder is {reprlib.repr(folder)}; it was left out")
    return found


def _final_look(files: Files, content: Mapping[str, Any]) -> StageRecord | None:
    look = content.get("final_look")
    if not isinstance(look, dict):
        return None
    match = _STAGE_FOLDER.fullmatch(str(look.get("folder")))
    if match is None:
        return None
    return files.filled(StageRecord, "run.json", look, "final_look.", number=int(match[1]))


def _read_stage(run: Files, name: str, number: int, entry: dict[str, Any] | None) -> RecordedStage:
    files = Files(run.path / name, f"{name}/", run.faults)
    goal = files.json("goal.json")
    stage = RecordedStage(name, number, files, done=goal.get("done") is True)
    if entry is not None:
        stage.record = run.filled(StageRecord, "run.json", entry, f"{name}.", number=number, failed=_failure(entry))
    if not stage.done and "impossible" not in goal:
        stage.goal = files.contract(Goal, "goal.json", goal)
    stage.outcome = files.contract(Outcome, "outcome.json", files.json("outcome.json"))
    _read_result(stage, entry or {})
    forecast = (entry or {}).get("forecast")
    told = forecast.get("sentence") if isinstance(forecast, dict) else None
    stage.foretold = told if isinstance(told, str) else ""
    if stage.record is not None:
        stage.record.outcome = stage.outcome
    seen = files.json("poses.json").get(stage.goal.object) if stage.goal else None
    pose = seen.get("pose") if isinstance(seen, dict) else None
    stage.seen_pose = pose if is_vector(pose, _POSE_LENGTH) else None
    stage.rows = files.rows("metrics.csv")
    stage.program = files.text("program.py")
    stage.prompt = files.text("prompt.md")
    stage.reply = files.text("reply.md")
    return stage


def _failure(entry: Mapping[str, Any]) -> Failure | None:
    """What failed; None too where this version has no word for it."""
    failed = entry.get("failed")
    return Failure(failed) if isinstance(failed, str) and failed in set(Failure) else None


def _read_result(stage: RecordedStage, entry: Mapping[str, Any]) -> None:
    """Success and error of a stage: outcome.json counts before run.json."""
    if stage.outcome is not None:
        stage.success_strict = stage.outcome.success_strict
        stage.goal_error_m = stage.outcome.goal_error_m
        return
    strict = entry.get("success_strict")
    error = entry.get("goal_error_m")
    stage.success_strict = strict if isinstance(strict, bool) else None
    stage.goal_error_m = error if is_number(error) else None


def _read_ends(files: Files, run: RecordedRun) -> None:
    """Where the objects ended, from outcome.json of the run."""
    if not files.has("outcome.json"):
        files.fault("outcome.json", "is missing, so where the objects ended is unknown")
        return
    content = files.json("outcome.json")
    objects = content.get("objects")
    for name, end in objects.items() if isinstance(objects, dict) else ():
        position = end.get("position_m") if isinstance(end, dict) else None
        if is_vector(position, _POSITION_LENGTH):
            run.positions_m[name] = position
        else:
            files.fault("outcome.json", f"gives position_m of {name} as {reprlib.repr(position)}, not as 3 numbers")
    for key, height in content.items():
        if key.endswith("_top_m") and is_number(height):
            run.tops_m[key.removesuffix("_top_m")] = height


def _parsed(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
