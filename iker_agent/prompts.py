"""What a vision-language model is asked: the prompt file, the history, the instruction and the marked image.

    instruction, marked image, keypoints, history  ->  build_request  ->  Request

As in the paper (Appendix B) everything is one user message: rules first, then earlier images with the programs that
answered them and how those ended, then the present image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from iker_agent.keypoints import Keypoints
from iker_agent.vlm.types import Message, Part, Request
from iker_envs.scene import Outcome, Scene

REPAIR = (
    "This program cannot be used: {reason}. Answer again with the whole corrected program in one Python code block."
)


@dataclass(frozen=True, eq=False)
class Turn:
    """One finished stage: the image that was shown, the program that was used, how it ended."""

    image: np.ndarray
    image_name: str
    program: str
    outcome: Outcome | None = None
    note: str = ""  # why no outcome exists, where that is so

    def outcome_text(self) -> str:
        """One sentence on how the stage ended."""
        if self.outcome is None:
            return f"This stage was not carried out: {self.note}."
        if self.outcome.success_strict:
            return (
                f"This stage succeeded: its keypoints are {100 * self.outcome.goal_error_m:.1f} cm from their targets."
            )
        return f"This stage failed: {self.outcome.reason}."


def build_request(
    instruction: str,
    marked: np.ndarray,
    keypoints: Keypoints,
    scene: Scene,
    history: Sequence[Turn],
    *,
    image_name: str = "marked.png",
    prompt: str = "multi_stage",
    outcomes: bool = True,
) -> Request:
    """One user message; `outcomes=False` leaves out how earlier stages ended (preset paper)."""
    rules = files("iker_cfg").joinpath(f"prompts/{prompt}.md").read_text(encoding="utf-8")
    parts = [Part(rules)]
    for number, turn in enumerate(history, start=1):
        parts += [Part(f"## Earlier stage {number}"), Part(image=turn.image, image_name=turn.image_name)]
        parts.append(Part(f"```python\n{turn.program.rstrip()}\n```"))
        if outcomes:
            parts.append(Part(turn.outcome_text()))
    parts += [Part(f"## Now\n\nInstruction: {instruction}"), Part(image=marked, image_name=image_name)]
    attachments = {"keypoints": keypoints.by_label(), "poses": _poses(scene), "instruction": instruction}
    return Request((Message("user", tuple(parts)),), attachments)


def _poses(scene: Scene) -> Mapping[str, tuple[float, ...]]:
    """Object poses as x, y, z, roll, pitch, yaw: what the pose contract works on."""
    from scipy.spatial.transform import Rotation

    def six(pose: np.ndarray) -> tuple[float, ...]:
        euler = Rotation.from_quat(np.roll(pose[3:], -1)).as_euler("xyz")
        return tuple(float(v) for v in (*pose[:3], *euler))

    return {o.name: six(o.pose) for o in scene.objects}
