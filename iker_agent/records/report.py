"""report.html: a run folder as one page that a person reads, with nothing outside the file.

    run folder  ->  write_report  ->  report.html        (template: report.html.j2)

Only facts that are in the folder are told. Runs are interrupted and files get lost, so every file is optional but
run.json: what is missing or cannot be read is said on the page and the rest is shown. Programs and replies were
written by a model and object names by a user, so all text is escaped by the template.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from iker_agent.asking.prompts import REPAIR
from iker_agent.plain_text import clean_block
from iker_agent.records.code_html import coloured
from iker_agent.records.run_folder import Folder

_MAX_IMAGE_BYTES = 1_000_000  # larger pictures are embedded as smaller JPEG
_SHRUNK_PX = 1280
_ACTED = ("metrics.csv", "curve.png", "outcome.json", "rollout.mp4")  # files of a stage that learned and acted
_REFUSED = re.compile(re.escape(REPAIR).replace(re.escape("{reason}"), "(.+?)"), re.DOTALL)


def write_report(folder: str | Path) -> Path:
    """Write report.html of a run folder and return its path; ValueError where there is no run.json."""
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise ValueError(f"{str(folder)!r} is not a run folder: it has no run.json")
    page = _template().render(_page(folder))
    return Folder(folder).text("report.html", page.encode("utf-8", "replace").decode("utf-8"))


@cache
def _template() -> Template:
    options = {"autoescape": True, "finalize": _harmless, "undefined": StrictUndefined}
    environment = Environment(trim_blocks=True, lstrip_blocks=True, **options)
    formats = {"cm": _cm, "degrees": _degrees, "percent": _percent, "clock": _clock, "count": _count, "yes_no": _yes_no}
    environment.filters.update(formats, program=coloured)
    return environment.from_string(files("iker_agent.records").joinpath("report.html.j2").read_text(encoding="utf-8"))


def _harmless(value: Any) -> Any:
    """What the template is about to show, without control codes and bidirectional overrides."""
    if isinstance(value, Markup):
        return Markup(clean_block(value))
    return clean_block(value) if isinstance(value, str) else value


@dataclass
class _Files:
    """Reads one folder of a run; files that are there but of no use are noted in `faults`."""

    path: Path
    label: str  # put before file names in faults
    faults: list[str]

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def bytes(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes() if self.has(name) else b""
        except OSError as error:
            self.faults.append(f"{self.label}{name} cannot be read ({error.strerror})")
            return b""

    def text(self, name: str) -> str:
        return self.bytes(name).decode("utf-8", "replace")

    def json(self, name: str) -> dict[str, Any]:
        """The mapping in a JSON file; empty when it is missing or broken."""
        if not self.has(name):
            return {}
        try:
            content = json.loads(self.text(name))
        except (ValueError, RecursionError):
            self.faults.append(f"{self.label}{name} is not valid JSON and was left out")
            return {}
        if not isinstance(content, dict):
            self.faults.append(f"{self.label}{name} does not hold a mapping and was left out")
        return _mapping(content)

    def rows(self, name: str) -> list[dict[str, float]]:
        """The numbers of a CSV file, line by line."""
        lines = csv.DictReader(io.StringIO(self.text(name).replace("\0", "")))
        return [{k: _parsed(v) for k, v in line.items() if k is not None} for line in lines]

    def image(self, name: str) -> str:
        """A picture as data URI, or nothing."""
        content = self.bytes(name)
        kind = "image/png"
        if len(content) > _MAX_IMAGE_BYTES:
            content, kind = _shrunk(content)
        return _data_uri(content, kind)

    def video(self, name: str) -> str:
        return _data_uri(self.bytes(name), "video/mp4")

    def poster(self, name: str) -> str:
        """The first frame of a video as data URI; nothing if it cannot be read, the video is then shown without."""
        if not self.has(name):
            return ""
        import imageio.v2 as imageio

        try:
            with imageio.get_reader(self.path / name) as reader:
                return _data_uri(_jpeg(reader.get_data(0)), "image/jpeg")
        except Exception:  # whatever a decoder makes of a broken file
            return ""


@dataclass
class _Stage:
    """What the page says about one stage folder."""

    name: str
    number: int
    kind: str = "open"  # good, bad, done or open
    status: str = ""
    title: str = ""
    reason: str = ""
    record: dict[str, Any] = field(default_factory=dict)  # its entry in run.json
    goal: dict[str, Any] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)
    error_m: Any = None
    goal_words: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)  # what people did meanwhile
    notes: list[str] = field(default_factory=list)  # what was read generously
    learning: dict[str, Any] = field(default_factory=dict)  # end of the training diary
    untrained: bool = False
    marked: str = ""
    curve: str = ""
    video: str = ""
    poster: str = ""
    program: str = ""
    prompt: str = ""
    reply: str = ""
    missing: list[str] = field(default_factory=list)


def _page(folder: Path) -> dict[str, Any]:
    faults: list[str] = []
    top = _Files(folder, "", faults)
    run = top.json("run.json")
    final = top.json("outcome.json")
    listed = run.get("stages") if isinstance(run.get("stages"), list) else []
    records = {str(r.get("folder")): r for r in listed if isinstance(r, dict)}
    names = {*records, *(p.name for p in folder.iterdir() if p.is_dir())}
    ordered = sorted((int(name[6:]), name) for name in names if re.fullmatch(r"stage_\d{1,6}", name))
    stages = [_stage(folder / name, records.get(name, {}), run, faults) for _, name in ordered]
    if not top.has("outcome.json"):
        faults.append("outcome.json is missing, so where the objects ended is unknown")
    ended = {n: _vector(_mapping(o).get("position_m"), 3) for n, o in _mapping(final.get("objects")).items()}
    return {
        "run": run,
        "instruction": _text(run.get("instruction")) or "Instruction unknown",
        "verdict": _verdict(run),
        "disturbance": _text(_mapping(run.get("disturbance")).get("text")),
        "stages": stages,
        "tries": len(records),
        "env_steps": sum(_number(r.get("env_steps")) or 0 for r in records.values()),
        "answers": sum(_number(r.get("answers")) or 0 for r in (*records.values(), _mapping(run.get("final_look")))),
        "objects": {name: p for name, p in ended.items() if p},
        "tops": {k.removesuffix("_top_m"): v for k, v in final.items() if k.endswith("_top_m") and _is_number(v)},
        "versions": _mapping(run.get("versions")),
        "settings": _flat(_mapping(run.get("config"))),
        "faults": faults,
    }


def _verdict(run: Mapping[str, Any]) -> tuple[str, str, str]:
    """How the run ended: kind, a word or two, one sentence."""
    reason = _text(run.get("reason"))
    if not run:
        return "open", "Unknown", "run.json cannot be read."
    if run.get("success") is True:
        if run.get("final_look"):
            return "good", "Done", "The program looked again and found the instruction fulfilled."
        return "good", "Done", "The one stage that was asked for ended where it should."
    if run.get("done") is True:
        return "bad", "Not done", "The program said done, but the objects are not where the task wants them."
    if reason == "interrupted":
        return "open", "Interrupted", "The run was stopped before it came to an end."
    return "bad", "Not done", _sentence(reason) if reason else "No reason was recorded."


def _stage(path: Path, record: dict[str, Any], run: Mapping[str, Any], faults: list[str]) -> _Stage:
    source = _Files(path, f"{path.name}/", faults)
    stage = _Stage(path.name, int(path.name.removeprefix("stage_")), record=record)
    stage.outcome = source.json("outcome.json")
    stage.goal = source.json("goal.json")
    stage.program, stage.prompt, stage.reply = (source.text(n) for n in ("program.py", "prompt.md", "reply.md"))
    stage.refusals = [reason.strip() for reason in _REFUSED.findall(stage.prompt)]
    stage.events, stage.notes = (_texts(record.get(k)) for k in ("events", "notes"))
    stage.goal_words = _goal_in_words(stage.goal, source.json("poses.json"))
    rows = source.rows("metrics.csv")
    stage.learning = _learned(rows)
    stage.untrained = source.has("metrics.csv") and not (
        rows and rows[-1].get("steps")
    )  # curve.png shows no curve then
    stage.curve = "" if stage.untrained else source.image("curve.png")
    stage.marked = source.image("marked.png")
    stage.video = source.video("rollout.mp4")
    stage.poster = source.poster("rollout.mp4")
    stage.error_m = stage.outcome.get("goal_error_m", record.get("goal_error_m"))
    stage.title = _title(stage)
    stage.kind, stage.status, stage.reason = _status(stage)
    stage.missing = [name for name in _expected(stage, run) if not source.has(name)]
    return stage


def _title(stage: _Stage) -> str:
    if stage.goal.get("done") is True:
        return "looked again"
    if action := _text(stage.record.get("action")):
        return action
    if name := _text(stage.goal.get("object")):
        return f"{'grasp and place' if stage.goal.get('grasp') else 'push'} {name}"
    return "no goal"


def _status(stage: _Stage) -> tuple[str, str, str]:
    """How the stage ended: kind, word, reason. outcome.json counts before run.json."""
    problem = _text(stage.record.get("problem"))
    if stage.goal.get("done") is True:
        return "done", "Said done", ""
    strict = stage.outcome.get("success_strict", stage.record.get("success_strict"))
    if strict is True:
        return "good", "Success", ""
    if stage.outcome or _is_number(stage.record.get("goal_error_m")):
        return "bad", "Missed", _sentence(_text(stage.outcome.get("reason")) or problem)
    if problem:
        return "bad", "Not carried out", _sentence(problem)
    return "open", "Unfinished", "There is no outcome of this stage."


def _expected(stage: _Stage, run: Mapping[str, Any]) -> list[str]:
    names = ["marked.png", "prompt.md", "reply.md", "program.py"]
    if stage.kind in ("good", "open") or stage.outcome or stage.goal:
        names.append("goal.json")
    if stage.kind == "done" or stage.status == "Not carried out":
        return names
    video = _mapping(_mapping(run.get("config")).get("run")).get("video") is not False
    return [*names, *(n for n in _ACTED if video or n != "rollout.mp4")]


def _goal_in_words(goal: Mapping[str, Any], poses: Mapping[str, Any]) -> list[str]:
    """Sentences: what goes where, how far that is from where it was seen, which keypoints asked for it."""
    name = _text(goal.get("object"))
    target = _vector(goal.get("target_pose"), 7)
    if not name or not target:
        return []
    x, y, z = (f"{axis}\u00a0{100 * v:.1f}".replace("-", "−") for axis, v in zip("xyz", target, strict=False))
    how = f"Grasp {name} and place it" if goal.get("grasp") else f"Push {name} so that it ends"
    words = [f"{how} with its centre at {x}, {y}, {z}\u00a0cm."]
    if seen := _vector(_mapping(poses.get(name)).get("pose"), 7):
        words.append(f"From where it was seen it {_motion(seen, target)}.")
    if labels := list(_mapping(goal.get("raw_targets_m"))):
        words.append(f"The program gave targets for keypoints {', '.join(labels)}.")
    return words


def _motion(seen: Sequence[float], target: Sequence[float]) -> str:
    """The way from one pose to another in the robot's words: +x forward, +y left, +z up."""
    ways = (("forward", "back"), ("left", "right"), ("up", "down"))
    steps = [(100 * (b - a), way) for a, b, way in zip(seen[:3], target[:3], ways, strict=True)]
    parts = [f"{abs(cm):.0f}\u00a0cm {way[cm < 0]}" for cm, way in steps if abs(cm) >= 0.5]
    dot = abs(sum(a * b for a, b in zip(seen[3:], target[3:], strict=True)))
    turn = math.degrees(2 * math.acos(min(1.0, dot)))
    moves = f"moves {', '.join(parts)}" if parts else "stays within half a centimetre"
    return moves + (f" and turns by {turn:.0f}°" if turn >= 0.5 else "")


def _learned(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The last line of the training diary, with the best of all evaluations."""
    evaluated = [v for row in rows if (v := _number(row.get("eval_strict"))) is not None]
    return {**rows[-1], "best_eval": max(evaluated, default=None)} if rows else {}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as key.sub -> text."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat


def _jpeg(frame: Any) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(frame).convert("RGB").save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _shrunk(content: bytes) -> tuple[bytes, str]:
    """A large picture as smaller JPEG, and its media type; unchanged where it cannot be decoded."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.thumbnail((_SHRUNK_PX, _SHRUNK_PX))
            stream = io.BytesIO()
            image.convert("RGB").save(stream, "JPEG", quality=85)
    except (OSError, ValueError):
        return content, "image/png"
    return stream.getvalue(), "image/jpeg"


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}" if content else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    """Finite and of ordinary size: JSON also brings NaN, booleans and integers without end."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _number(value: Any) -> float | None:
    return value if _is_number(value) else None


def _vector(value: Any, length: int) -> list[float]:
    fits = isinstance(value, list) and len(value) == length and all(_is_number(v) for v in value)
    return value if fits else []


def _parsed(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _sentence(text: str) -> str:
    """With a full stop, and a capital unless the first word is a name such as left_shoe."""
    text = text.strip()
    if text.partition(" ")[0].isalpha():
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _cm(metres: Any) -> str:
    return f"{100 * metres:.1f} cm".replace("-", "−") if _is_number(metres) else "–"


def _degrees(radians: Any) -> str:
    return f"{math.degrees(radians):.1f}°" if _is_number(radians) else "–"


def _percent(share: Any) -> str:
    return f"{100 * share:.0f} %" if _is_number(share) else "–"


def _count(value: Any) -> str:
    return f"{value:,.0f}" if _is_number(value) else "–"


def _yes_no(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else "–"


def _clock(seconds: Any) -> str:
    if not _is_number(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
