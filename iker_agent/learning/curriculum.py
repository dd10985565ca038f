"""Configurations that fail are trained more often, and keep the noise up, so that none stays unlearned.

episodes that ended  ->  Curriculum.see  ->  weights (C,) of the configurations  ->  the starts of one stage
                                             worst                               ->  the bonus of entropy
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from iker_envs.stage.stage import Stage

_EVEN_SHARE = 0.5  # of all starts, which every configuration has its part of; the rest goes by failures
_RATE = 0.02  # of the running means: an episode of a configuration counts for about 50 of them
_FIRST_RATE = 0.5  # of failure by the strict measure, until episodes have ended


class Curriculum:
    """How often each of C configurations of a stage comes: half the starts evenly, half by its rate of failure.

    Starts go by the strict measure. With one configuration they do not change, to the last bit.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._failed = np.full(stage.source.num_configurations, _FIRST_RATE)
        self._far = np.ones(stage.source.num_configurations)  # rates of failure by the paper's measure

    @property
    def weights(self) -> np.ndarray:
        """Shares (C,) of the starts."""
        count = len(self._failed)
        return _EVEN_SHARE / count + (1.0 - _EVEN_SHARE) * self._failed / self._failed.sum()

    @property
    def worst(self) -> float:
        """The share of episodes that fail by the paper's measure in the configuration where most do."""
        return float(self._far.max())

    def see(self, configuration: np.ndarray, success: np.ndarray, strict: np.ndarray) -> None:
        """Episodes (E,) of these configurations have ended, in success by the paper's and the strict measure or not."""
        for index, good, exact in zip(configuration.tolist(), success.tolist(), strict.tolist(), strict=True):
            self._far[index] += _RATE * (1.0 - float(good) - self._far[index])
            self._failed[index] += _RATE * (1.0 - float(exact) - self._failed[index])
        if len(configuration):
            self._weigh()

    def _weigh(self) -> None:
        if len(self._failed) == 1:
            return
        np.clip(self._failed, 1e-3, 1.0, out=self._failed)  # where nothing fails, all come alike
        self._stage.arrangements.weights = self.weights
        self._stage.grasps.weights = self.weights

    def state(self) -> dict[str, list[float]]:
        """Plain values from which `restore` goes on."""
        return {"failed": self._failed.tolist(), "far": self._far.tolist()}

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on from an earlier `state`; ValueError for other configurations' and for what are no rates."""
        failed, far = (np.array(state[name], dtype=float) for name in ("failed", "far"))
        if failed.shape != self._failed.shape or far.shape != self._far.shape:
            raise ValueError(f"it has rates of {failed.size} and {far.size} configurations, not {self._failed.size}")
        if not all(((rates >= 0.0) & (rates <= 1.0)).all() for rates in (failed, far)):
            raise ValueError("its rates are between 0 and 1")
        self._failed = failed
        self._far = far
        self._weigh()
