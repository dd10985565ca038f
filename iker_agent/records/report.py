"""report.html: a run folder as one page that a person reads, with nothing outside the file.

    run folder  ->  read_run  ->  write_report  ->  report.html        (template: report.html.j2)

Only facts that are in the folder are told; what is missing or cannot be read is said on the page and the rest is shown.
Programs and replies were written by a model and object names by a user, so all text is escaped by the template.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from iker_agent.plain_text import clean_block
from iker_agent.records.code_html import coloured
from iker_agent.records.embedding import image_uri, poster_uri, video_uri
from iker_agent.records.ending import Ending, ending_of, sentence
from iker_agent.records.reading import RecordedRun, RecordedStage, is_number, read_run
from iker_agent.records.record import Failure
from iker_agent.records.run_folder import Folder
from iker_envs.judging.sentences import side_effects

_ACTED = ("metrics.csv", "curve.png", "outcome.json", "rollout.mp4")  # files of a stage that learned and acted


def write_report(folder: str | Path) -> Path:
    """Write report.html of a run folder and return its path; ValueError where there is no run.json."""
    run = read_run(Path(folder))
    page = _template().render(_page(run))
    return Folder(folder).text("report.html", page.encode("utf-8", "replace").decode("utf-8"))


@cache
def _template() -> Template:
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, autoescape=True, finalize=_harmless, undefined=StrictUndefined
    )
    formats = {"cm": _cm, "degrees": _degrees, "percent": _percent, "clock": _clock, "count": _count, "yes_no": _yes_no}
    environment.filters.update(formats, program=coloured)
    return environment.from_string(files("iker_agent.records").joinpath("report.html.j2").read_text(encoding="utf-8"))


def _harmless(value: Any) -> Any:
    """What the template is about to show, without control codes and bidirectional overrides."""
    if isinstance(value, Markup):
        return Markup(clean_block(value))
    return clean_block(value) if isinstance(value, str) else value


@dataclass
class _Section:
    """What the page says about one stage, beside what was read of it."""

    stage: RecordedStage
    title: str
    ending: Ending
    goal_words: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    learning: dict[str, Any] = field(default_factory=dict)  # end of the training log
    happened: str = ""  # what a stage that succeeded did beside that
    grasp_failed: bool = False
    untrained: bool = False  # there is a training log, and nothing was trained
    marked: str = ""
    overlay: str = ""
    curve: str = ""
    video: str = ""
    poster: str = ""
    missing: list[str] = field(default_factory=list)


def _page(run: RecordedRun) -> dict[str, Any]:
    """What the template is given."""
    look = run.result.final_look
    asked = [*run.result.stages, *([look] if look else [])]
    return {
        "run": run,
        "instruction": run.instruction or "Instruction unknown",
        "verdict": _verdict(run),
        "disturbance": (run.disturbance or {}).get("text"),
        "sections": [_section(stage, run) for stage in run.stages],
        "tries": len(run.result.stages),
        "env_steps": sum(record.env_steps for record in run.result.stages),
        "answers": sum(record.answers for record in asked),
        "settings": _flat(run.config),
        "faults": run.faults,
    }


def _verdict(run: RecordedRun) -> tuple[str, str, str]:
    """How the run ended: kind, a word or two, one sentence."""
    result = run.result
    if not run.readable:
        return "open", "Unknown", "run.json cannot be read."
    if result.success:
        if result.final_look:
            return "good", "Done", "The program looked again and found the instruction fulfilled."
        return "good", "Done", "The one stage that was asked for ended where it should."
    if result.success is None and result.done:
        return (
            "done",
            "Said done",
            "The program says done; nothing says what success is, so nobody can tell.",
        )
    if result.done:
        unmet = f" Not fulfilled: {'; '.join(result.unmet)}." if result.unmet else ""
        more = f" {sentence(result.reason)}" if result.reason else ""
        return "bad", "Not done", f"The program said done, but it is not.{unmet}{more}"
    if result.reason == "interrupted":
        return "open", "Interrupted", f"The run was stopped {_where_stopped(run)}before it came to an end."
    return "bad", "Not done", sentence(result.reason) if result.reason else "No reason was recorded."


def _where_stopped(run: RecordedRun) -> str:
    """The stage that was stopped, with a space behind it; nothing where that is not known."""
    last = run.stages[-1] if run.stages else None
    return f"in stage {last.number} ({_title(last)}) " if last and ending_of(last).kind == "open" else ""


def _section(stage: RecordedStage, run: RecordedRun) -> _Section:
    section = _Section(stage, _title(stage), ending_of(stage), _goal_in_words(stage), _refusals(stage, run))
    section.learning = _learned(stage.rows)
    trained = bool(stage.rows and stage.rows[-1].get("steps"))
    section.untrained = stage.files.has("metrics.csv") and not trained
    if stage.outcome is not None and section.ending.kind == "good":
        section.happened = sentence(side_effects(stage.outcome.happened))
    section.grasp_failed = section.ending.what is Failure.GRASP
    section.marked = image_uri(stage.files.bytes("marked.png"))
    section.overlay = image_uri(stage.files.bytes("overlay.png"))
    section.curve = "" if section.untrained else image_uri(stage.files.bytes("curve.png"))  # that one shows no curve
    section.video = video_uri(stage.files.bytes("rollout.mp4"))
    section.poster = poster_uri(stage.files.path / "rollout.mp4") if section.video else ""
    section.missing = [name for name in _expected(section, run) if not stage.files.has(name)]
    return section


def _title(stage: RecordedStage) -> str:
    if stage.done:
        return "looked again"
    if stage.record is not None and stage.record.action:
        return stage.record.action
    if stage.goal is not None:
        return f"{'grasp and place' if stage.goal.grasp else 'push'} {stage.goal.object}"
    return "no goal"


def _refusals(stage: RecordedStage, run: RecordedRun) -> list[str]:
    """Why answers were sent back; the look that ended the run is recorded apart from the stages."""
    look = run.result.final_look
    record = look if look and look.number == stage.number else stage.record
    return list(record.refusals) if record else []


def _expected(section: _Section, run: RecordedRun) -> list[str]:
    """The files that a stage with this ending leaves."""
    names = ["marked.png", "prompt.md", "reply.md", "program.py"]
    stage = section.stage
    if section.ending.what is Failure.SCENE:
        return []
    if section.ending.kind in ("good", "open") or stage.outcome or stage.goal or stage.done:
        names.append("goal.json")
    acted = section.ending.kind == "good" or stage.outcome or stage.goal_error_m is not None
    if not acted and section.ending.status != "Unfinished":
        return names
    settings = run.config.get("run")
    video = not isinstance(settings, dict) or settings.get("video") is not False
    return [*names, *(n for n in _ACTED if video or n != "rollout.mp4")]


def _goal_in_words(stage: RecordedStage) -> list[str]:
    """Sentences: what goes where, how far that is from where it was seen, which keypoints asked for it."""
    goal = stage.goal
    if goal is None:
        return []
    target = goal.target_pose.tolist()
    x, y, z = (f"{axis}\u00a0{100 * v:.1f}".replace("-", "−") for axis, v in zip("xyz", target, strict=False))
    how = f"Grasp {goal.object} and place it" if goal.grasp else f"Push {goal.object} so that it ends"
    words = [f"{how} with its centre at {x}, {y}, {z}\u00a0cm."]
    if stage.seen_pose:
        words.append(f"From where it was seen it {_motion(stage.seen_pose, target)}.")
    if goal.raw_targets_m:
        words.append(f"The program gave targets for keypoints {', '.join(goal.raw_targets_m)}.")
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
    """The last row of the training log, with the best of all evaluations."""
    evaluated = [v for row in rows if is_number(v := row.get("eval_strict"))]
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


def _cm(metres: Any) -> str:
    return f"{100 * metres:.1f} cm".replace("-", "−") if is_number(metres) else "–"


def _degrees(radians: Any) -> str:
    return f"{math.degrees(radians):.1f}°" if is_number(radians) else "–"


def _percent(share: Any) -> str:
    return f"{100 * share:.0f} %" if is_number(share) else "–"


def _count(value: Any) -> str:
    return f"{value:,.0f}" if is_number(value) else "–"


def _yes_no(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else "–"


def _clock(seconds: Any) -> str:
    if not is_number(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
