"""How a stage ended, in words for people: what failed comes first, then what follows from it.

RecordedStage  ->  ending_of  ->  Ending(kind, status, failure, consequence)
"""

from __future__ import annotations

from dataclasses import dataclass

from iker_agent.records.reading import RecordedStage
from iker_agent.records.record import Failure
from iker_envs.spec import Spec

_NOTHING_MOVED = "so there is no goal and nothing moved."
# Failure -> what the badge says.
_STATUS = {
    Failure.SCENE: "No scene",
    Failure.BACKEND: "No answer",
    Failure.ANSWER: "No usable answer",
    Failure.IMPOSSIBLE: "Said impossible",
    Failure.LEARNING: "No policy",
    Failure.GRASP: "Grasp failed",
    Failure.LOST: "Object lost",
    Failure.TARGET: "Missed",
    Failure.ROBOT: "Robot stopped",
    Failure.INTERRUPTED: "Interrupted",
    Failure.ERROR: "Broken off",
}


@dataclass(frozen=True)
class Ending:
    """`kind` is the colour (good, bad, done or open), `status` a word or two; the rest are sentences."""

    kind: str
    status: str
    failure: str = ""  # what failed
    consequence: str = ""  # what follows from that for the rest of what is told
    what: Failure | None = None  # None too where nobody knows


def ending_of(stage: RecordedStage) -> Ending:
    """How a stage ended; outcome.json counts before run.json."""
    if stage.done:
        return Ending("done", "Said done")
    if stage.success_strict:
        return Ending("good", "Success")
    what = _what_failed(stage)
    problem = stage.record.problem if stage.record else ""
    if what is not None:
        kind = "open" if what is Failure.INTERRUPTED else "bad"
        return Ending(kind, _STATUS[what], _failure(what, stage, problem), _consequence(what, stage), what)
    if problem:
        return Ending("bad", "Not carried out", sentence(problem))
    return Ending("open", "Unfinished", "There is no outcome of this stage.", _how_far(stage))


def _what_failed(stage: RecordedStage) -> Failure | None:
    """What run.json says; where it says nothing, what the outcome shows."""
    if stage.record is not None and stage.record.failed is not None:
        return stage.record.failed
    if stage.outcome is not None and not stage.outcome.grasped:
        return Failure.GRASP
    return Failure.TARGET if stage.goal_error_m is not None else None


def _failure(what: Failure, stage: RecordedStage, problem: str) -> str:
    """One sentence: what failed."""
    if what is Failure.LOST and not _is_explained(stage):
        return f"{_object(stage)} was dropped, tipped over or fell."
    measured = stage.outcome.reason if stage.outcome is not None else ""
    return sentence(measured or problem or _STATUS[what])


def _consequence(what: Failure, stage: RecordedStage) -> str:
    """One or two sentences on what follows; empty where the failure says it all."""
    match what:
        case Failure.SCENE:
            return "No scene could be made of what was seen, so no program was asked for and nothing moved."
        case Failure.BACKEND:
            return f"Nobody answered, {_NOTHING_MOVED}"
        case Failure.ANSWER:
            return f"No program could be used, {_NOTHING_MOVED}"
        case Failure.IMPOSSIBLE:
            return "So there is no goal, nothing moved, and the run ends here; whether it is so, nobody checked."
        case Failure.LEARNING:
            return "The learner made no policy for this goal, so nothing moved."
        case Failure.GRASP:
            return (
                f"The policy never had {_object(stage)} in the hand, so this says nothing about the policy: what is "
                "measured below is where the failed grasp left things."
            )
        case Failure.LOST if stage.outcome is not None:
            seconds = stage.outcome.num_steps / Spec.control_hz
            stopped = f"The policy was stopped there, after {seconds:.1f} s."
            return stopped if _is_explained(stage) else f"{stopped} {sentence(stage.outcome.reason)}"
        case Failure.INTERRUPTED | Failure.ERROR:
            return _how_far(stage)
        case Failure.ROBOT if stage.outcome is None:
            return _how_far(stage)
    return ""


def _is_explained(stage: RecordedStage) -> bool:
    """Does the outcome say what happened, and not only how far off it ended?"""
    return stage.outcome is not None and bool(stage.outcome.happened)


def _how_far(stage: RecordedStage) -> str:
    """How far a stage came that has no outcome."""
    if stage.goal is None:
        return "No goal had been accepted yet."
    if not stage.files.has("policy.safetensors"):
        return "A goal had been accepted; there was no policy for it yet."
    return "There was a policy; how it acted was not measured."


def _object(stage: RecordedStage) -> str:
    if stage.goal is not None:
        return stage.goal.object
    return stage.record.object if stage.record is not None and stage.record.object else "the object"


def sentence(text: str) -> str:
    """With a full stop, and a capital unless the first word is a name such as left_shoe."""
    text = text.strip()
    if text.partition(" ")[0].isalpha():
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
