"""A sequential test errs as seldom as it says, and settles clear cases after a few dozen trials."""

import numpy as np
import pytest

from iker_agent.learning.sequential import SequentialTest


def decided(rate: float, target: float, batch: int = 16, tests: int = 2000) -> tuple[float, float]:
    """Over Bernoulli draws: share of the tests that pass, and their median number of trials."""
    rng = np.random.default_rng(round(1000 * rate))
    test = SequentialTest(target, max_trials=512)
    passed = []
    used = []
    for draws in rng.random((tests, 512)) < rate:
        trials = next(n for n in range(batch, 513, batch) if test.verdict(int(draws[:n].sum()), n) is not None)
        passed.append(test.verdict(int(draws[:trials].sum()), trials))
        used.append(trials)
    return float(np.mean(passed)), float(np.median(used))


@pytest.mark.parametrize("target, too_low, high_enough", [(0.95, 0.904, 0.975), (0.5, 0.333, 0.667)])
def test_wrong_verdicts_are_as_rare_as_promised(target, too_low, high_enough):
    test = SequentialTest(target, 512)
    assert decided(too_low, target)[0] <= test.accept_wrongly
    assert 1.0 - decided(high_enough, target)[0] <= test.reject_wrongly


@pytest.mark.parametrize(
    "rate, target, passes, at_most", [(1.0, 0.95, 1, 64), (0.6, 0.95, 0, 16), (0.95, 0.5, 1, 16), (0.05, 0.5, 0, 16)]
)
def test_clear_cases_take_a_few_dozen_trials(rate, target, passes, at_most):
    share, trials = decided(rate, target)
    assert abs(share - passes) < 0.01 and trials <= at_most


@pytest.mark.parametrize("target", [0.0, 0.25, 0.95, 1.0])
def test_after_the_last_trial_the_rate_itself_decides(target):
    test = SequentialTest(target, max_trials=8)
    assert [test.verdict(good, 8) for good in range(9)] == [good >= 8 * target for good in range(9)]


def test_nothing_is_settled_before_the_first_trial():
    assert SequentialTest(0.95, 512).verdict(0, 0) is None
