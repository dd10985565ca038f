"""What a vision-language model is asked: the prompt file, the history, the instruction and the marked image.

    instruction, Look, history, settings  ->  build_request  ->  Request

As in the paper (Appendix B) everything is one user message: rules first, then earlier images with the programs that
answered them and how those ended, then the limits of this scene, the instruction and the present image. Prompt files
lie in cfg/prompts; a path works too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath

import numpy as np

from iker_agent.asking.limits import Standing, limits_text
from iker_agent.program.rows import POSE_ROWS
from iker_agent.program.signatures import signature_named
from iker_agent.prompt_kinds import PROMPTS, PromptKind, PromptSettings
from iker_agent.seeing.look import SIDE_IMAGE, Look
from iker_agent.vlm.types import Message, Part, Request
from iker_envs.judging.directions import centimetres
from iker_envs.judging.sentences import is_near_miss, sentence, side_effects
from iker_envs.measure import reached
from iker_envs.scene import Outcome, Scene, position_and_angles

_DEFAULT = PromptSettings()
_UNKNOWN = Standing()
_ABOUT_SIDE = (
    "The same moment from the side: the camera stands to the right of the robot and looks forward and to the left. The "
    "same numbers mark the same points; +x, +y and +z are drawn at the bottom right."
)
REPAIR = "Your answer cannot be used: {reason}. Answer again with the whole corrected program in one Python code block."


@dataclass(frozen=True, eq=False)
class Turn:
    """One finished stage: the image that was shown, the program that was used, how it ended."""

    image: np.ndarray
    image_name: str
    program: str
    outcome: Outcome | None = None
    note: str = ""  # why no outcome exists, where that is so
    instruction: str = ""  # what was asked then
    refusals: tuple[str, ...] = ()  # why answers of the stage could not be used, one clause each

    def outcome_text(self) -> str:
        """One sentence on how the stage ended."""
        if self.outcome is None:
            return f"This stage was not carried out: {self.note}."
        events = self.outcome.happened
        if reached(self.outcome):  # where the annotation wants it is not for the model to know
            effects = side_effects(events)
            near = f"its keypoints are {centimetres(self.outcome.goal_error_m)} from their targets"
            return f"This stage succeeded: {near}{f', but {effects}' if effects else ''}."
        verdict = "missed narrowly" if is_near_miss(events) else "failed"
        return f"This stage {verdict}: {self.outcome.reason or sentence(events)}."


def build_request(
    instruction: str,
    seen: Look,
    history: Sequence[Turn] = (),
    *,
    image_name: str = "marked.png",
    prompt: PromptKind = PROMPTS["multi_stage"],
    shown: PromptSettings = _DEFAULT,
    standing: Standing = _UNKNOWN,
    outcomes: bool = True,
) -> Request:
    """One user message; `outcomes=False` leaves out how earlier stages ended (preset paper).

    `shown` says what is told beside the marks, `standing` what is left of the run. Keypoints and object poses of the
    look are attached for local backends; a model is shown them only as far as `shown` and the contract say.
    """
    is_pose = signature_named(prompt.contract).rows is POSE_ROWS
    parts = [Part(prompt_text(prompt))]
    if prompt.stages:
        parts += _history(history, instruction, outcomes, shown.refusals)
    if shown.limits:
        parts.append(Part(limits_text(seen, prompt.contract, standing)))
    now = f"## Now\n\nInstruction: {instruction}"
    poses = object_poses(seen.scene)
    if is_pose:
        now += "\n\nObjects (x, y, z in metres, roll, pitch, yaw in radians):\n\n" + _listed(poses)
    elif shown.coordinates:
        now += "\n\nKeypoints (x, y, z in metres):\n\n" + _table(seen)
    parts += [Part(now), Part(image=seen.marked, image_name=image_name)]
    if seen.side is not None:
        parts += [Part(_ABOUT_SIDE), Part(image=seen.side, image_name=_beside(image_name))]
    attachments = {"keypoints": seen.keypoints.by_label(), "poses": poses, "instruction": instruction}
    return Request((Message("user", tuple(parts)),), attachments)


def _beside(image_name: str) -> str:
    return str(PurePosixPath(image_name).with_name(SIDE_IMAGE))


def _table(seen: Look) -> str:
    """A line for every keypoint, by object."""
    keypoints = seen.keypoints
    lines = []
    for label, owner, point in zip(keypoints.labels, keypoints.objects, keypoints.world_m, strict=True):
        note = "" if label in seen.drawn else ", not in the image"
        lines.append(f"- {label} ({owner}{note}): {', '.join(f'{v:.3f}' for v in point)}")
    return "\n".join(lines)


def prompt_text(prompt: PromptKind) -> str:
    """The rules that a model is told, from the prompt's files."""
    return "\n\n".join(_text(name) for name in prompt.files)


def _text(name: str) -> str:
    if Path(name).suffix == ".md":
        return Path(name).read_text(encoding="utf-8").rstrip()
    return files("iker_cfg").joinpath(f"prompts/{name}.md").read_text(encoding="utf-8").rstrip()


def _history(history: Sequence[Turn], instruction: str, outcomes: bool, refusals: bool) -> list[Part]:
    parts = []
    for number, turn in enumerate(history, start=1):
        heading = f"## Earlier stage {number}"
        if turn.instruction and turn.instruction != instruction:
            heading += f"\n\nThe instruction was then: {turn.instruction}"
        parts += [Part(heading), Part(image=turn.image, image_name=turn.image_name)]
        if turn.program:
            parts.append(Part(f"```python\n{turn.program.rstrip()}\n```"))
        if refusals and turn.refusals:
            listed = "\n".join(f"- {reason}" for reason in turn.refusals)
            parts.append(Part(f"Answers that were refused in this stage:\n\n{listed}"))
        if outcomes:
            parts.append(Part(turn.outcome_text()))
    return parts


def object_poses(scene: Scene) -> dict[str, tuple[float, ...]]:
    """Object name -> (x, y, z, roll, pitch, yaw) in metres and radians: what the pose contract works on."""
    return {o.name: position_and_angles(o.pose) for o in scene.objects}


def _listed(poses: Mapping[str, tuple[float, ...]]) -> str:
    return "\n".join(f"- {name}: {', '.join(f'{v:.3f}' for v in pose)}" for name, pose in poses.items())
