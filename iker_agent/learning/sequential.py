"""When have enough copies been tried? A sequential test of a success rate against a target.

    successes, trials, target  ->  verdict  ->  True (at least the target), False (below it), None (try more)

Wald's sequential probability ratio test (Wald 1945): a rate whose odds are half of the target's against one whose odds
are twice the target's. What is clearly good or clearly bad is settled after a few dozen trials; what is neither after
`max_trials` goes by the rate that was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

_ODDS = 2.0  # rates whose odds are this many times the target's, or its share of them, are told apart
_EXTREME = 1e-3  # of a target, whose odds are finite that way


@dataclass(frozen=True)
class SequentialTest:
    """Does a success rate reach `target`? Error rates by Wald's bounds, exact up to the overshoot of a batch.

    A rate with half of the target's odds or less (0.90 for 0.95, 0.33 for 0.5) passes in at most a share
    `accept_wrongly` of all tests; one with twice its odds or more (0.974 for 0.95, 0.67 for 0.5) fails in at most a
    share `reject_wrongly`. In between the rate over `max_trials` trials decides, right or wrong. Trials may come in
    batches of any size. tests/test_sequential.py draws both shares.
    """

    target: float
    max_trials: int
    accept_wrongly: float = 0.01
    reject_wrongly: float = 0.05

    def verdict(self, num_success: int, num_trials: int) -> bool | None:
        """True: reached; False: missed; None: not settled yet."""
        if num_trials >= self.max_trials:
            return num_success >= self.target * num_trials
        evidence = self._evidence(num_success, num_trials)
        if evidence >= log((1.0 - self.reject_wrongly) / self.accept_wrongly):
            return True
        if evidence <= log(self.reject_wrongly / (1.0 - self.accept_wrongly)):
            return False
        return None

    def _evidence(self, num_success: int, num_trials: int) -> float:
        """Logarithm of how much likelier the trials are under the higher of the two rates."""
        target = min(max(self.target, _EXTREME), 1.0 - _EXTREME)
        odds = target / (1.0 - target)
        low = odds / _ODDS / (1.0 + odds / _ODDS)
        high = odds * _ODDS / (1.0 + odds * _ODDS)
        return num_success * log(high / low) + (num_trials - num_success) * log((1.0 - high) / (1.0 - low))
