"""The log of a training run for TensorBoard: `tensorboard --logdir FOLDER`.

TrainingRow  ->  Scalars.add  ->  events.out.tfevents...
"""

from __future__ import annotations

import math
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from iker_agent.learning.progress import TrainingRow

# Scalar -> field of TrainingRow; the rows of the reward are added by their names. Rewards are weighted and per tick,
# the mean over the worlds.
SCALARS = {
    "success/exploring": "success",
    "success/exploring_strict": "success_strict",
    "success/evaluated_strict": "eval_strict",
    "episode/keypoint_error_m": "goal_error_m",
    "episode/lost": "lost",
    "reward/total": "reward",
    "ppo/kl": "kl",
    "ppo/entropy": "entropy",
    "ppo/explained_variance": "explained_variance",
    "ppo/learning_rate": "learning_rate",
    "ppo/std": "std",
    "speed/steps_per_s": "steps_per_s",
}


def scalars_of(row: TrainingRow) -> dict[str, float]:
    """Every scalar of a row by its name in TensorBoard."""
    scalars = {scalar: getattr(row, name) for scalar, name in SCALARS.items()}
    return scalars | {f"reward/{name}": value for name, value in row.rewards.items()}


class Scalars:
    """Writes rows as events; what an earlier process wrote beyond `first_step` is hidden."""

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first_step or None)

    def add(self, row: TrainingRow) -> None:
        """One point per scalar that is a number."""
        for scalar, value in scalars_of(row).items():
            if not math.isnan(value):
                self._writer.add_scalar(scalar, value, row.steps)

    def close(self) -> None:
        """Write out what is still in memory."""
        self._writer.close()
