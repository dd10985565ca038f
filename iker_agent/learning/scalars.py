"""The log of a training run for TensorBoard: `tensorboard --logdir FOLDER`.

TrainingRow  ->  Scalars.add  ->  events.out.tfevents...
"""

from __future__ import annotations

import math
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from iker_agent.learning.progress import TrainingRow

# Scalar -> field of TrainingRow; rewards are weighted and per tick, the mean over the worlds.
SCALARS = {
    "success/exploring": "success",
    "success/exploring_strict": "success_strict",
    "success/evaluated_strict": "eval_strict",
    "episode/keypoint_error_m": "goal_error_m",
    "episode/lost": "lost",
    "reward/total": "reward",
    "reward/distance": "reward_distance",
    "reward/direction": "reward_direction",
    "reward/alignment": "reward_alignment",
    "reward/bonus": "reward_bonus",
    "reward/penalty": "reward_penalty",
    "ppo/kl": "kl",
    "ppo/entropy": "entropy",
    "ppo/explained_variance": "explained_variance",
    "ppo/learning_rate": "learning_rate",
    "ppo/std": "std",
    "speed/steps_per_s": "steps_per_s",
}


class Scalars:
    """Writes rows as events; what an earlier process wrote beyond `first_step` is hidden."""

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first_step or None)

    def add(self, row: TrainingRow) -> None:
        """One point per scalar that is a number."""
        for scalar, name in SCALARS.items():
            value = getattr(row, name)
            if not math.isnan(value):
                self._writer.add_scalar(scalar, value, row.steps)

    def close(self) -> None:
        """Write out what is still in memory."""
        self._writer.close()
