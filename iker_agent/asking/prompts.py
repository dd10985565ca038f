"""What a vision-language model is asked: the prompt file, the history, the instruction and the marked image.

    instruction, marked image, keypoints, history  ->  build_request  ->  Request

As in the paper (Appendix B) everything is one user message: rules first, then earlier images with the programs that
answered them and how those ended, then the present image. Prompt files lie in cfg/prompts; a path works too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from iker_agent.program.rows import POSE_ROWS
from iker_agent.program.signatures import signature_named
from iker_agent.prompt_kinds import PROMPTS, PromptKind
from iker_agent.vlm.types import Message, Part, Request
from iker_envs.judging.directions import centimetres
from iker_envs.judging.sentences import is_near_miss, sentence, side_effects
from iker_envs.measure import reached
from iker_envs.scene import Outcome, Scene, position_and_angles

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
        return f"This stage {verdict}: {sentence(events) or self.outcome.reason}."


def build_request(
    instruction: str,
    marked: np.ndarray,
    keypoints: Mapping[str, np.ndarray],
    scene: Scene,
    history: Sequence[Turn] = (),
    *,
    image_name: str = "marked.png",
    prompt: PromptKind = PROMPTS["multi_stage"],
    outcomes: bool = True,
) -> Request:
    """One user message; `outcomes=False` leaves out how earlier stages ended (preset paper).

    `keypoints` is label -> position (3,) in metres; like the object poses it is attached for local backends, and under
    the keypoint contract the model is shown neither: it sees the marks alone.
    """
    parts = [Part("\n\n".join(_text(name) for name in prompt.files))]
    if prompt.stages:
        parts += _history(history, instruction, outcomes)
    now = f"## Now\n\nInstruction: {instruction}"
    poses = object_poses(scene)
    if signature_named(prompt.contract).rows is POSE_ROWS:
        now += "\n\nObjects (x, y, z in metres, roll, pitch, yaw in radians):\n\n" + _listed(poses)
    parts += [Part(now), Part(image=marked, image_name=image_name)]
    attachments = {"keypoints": dict(keypoints), "poses": poses, "instruction": instruction}
    return Request((Message("user", tuple(parts)),), attachments)


def _text(name: str) -> str:
    if Path(name).suffix == ".md":
        return Path(name).read_text(encoding="utf-8").rstrip()
    return files("iker_cfg").joinpath(f"prompts/{name}.md").read_text(encoding="utf-8").rstrip()


def _history(history: Sequence[Turn], instruction: str, outcomes: bool) -> list[Part]:
    parts = []
    for number, turn in enumerate(history, start=1):
        heading = f"## Earlier stage {number}"
        if turn.instruction and turn.instruction != instruction:
            heading += f"\n\nThe instruction was then: {turn.instruction}"
        parts += [Part(heading), Part(image=turn.image, image_name=turn.image_name)]
        parts.append(Part(f"```python\n{turn.program.rstrip()}\n```"))
        if outcomes:
            parts.append(Part(turn.outcome_text()))
    return parts


def object_poses(scene: Scene) -> dict[str, tuple[float, ...]]:
    """Object name -> (x, y, z, roll, pitch, yaw) in metres and radians: what the pose contract works on."""
    return {o.name: position_and_angles(o.pose) for o in scene.objects}


def _listed(poses: Mapping[str, tuple[float, ...]]) -> str:
    return "\n".join(f"- {name}: {', '.join(f'{v:.3f}' for v in pose)}" for name, pose in poses.items())
