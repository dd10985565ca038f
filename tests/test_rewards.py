"""The rows of the reward against numbers worked out by hand, and what happens when something cannot be measured."""

from dataclasses import fields, replace

import array_api_strict
import numpy as np
import pytest
import torch

from iker_envs.rewards import ROWS, RewardConfig, State, compute_rewards

CONFIG = RewardConfig.changed({  # written out, so that tuning the defaults does not touch the arithmetic tested here
    "distance": 0.3, "direction": 1.0, "alignment": 1.0, "bonus": 2.0, "penalty": 1.0,
    "length_scale_m": 0.1, "fine_scale_m": 0.02, "progress_per_m": 40.0, "progress_limit": 2.0, "success_steps": 5,
    "motion_cost": 0.01, "drop_cost": 10.0, "force_limit_N": 60.0, "force_cost": 0.01, "others_cost": 10.0,
})  # fmt: skip
# Two worlds: one on its way, one that has arrived but presses hard and moved something.
STATE = State(
    gripper_distance_m=np.array([0.1, 0.0]),
    error_m=np.array([0.2, 0.01]),
    error_before_m=np.array([0.23, 0.01]),
    success_steps=np.array([4, 5]),
    action=np.array([[1.0, -1, 0, 0, 0.5, 0], [0, 0, 0, 0, 0, 0]]),
    dropped=np.array([0.0, 1.0]),
    contact_force_N=np.array([60.0, 80.0]),
    others_moved_m=np.array([0.0, 0.05]),
)
BY_HAND = {
    "distance": [0.3 * 0.5, 0.3],
    "direction": [40 * 0.03, 0.0],
    "alignment": [
        0.5 * (np.exp(-2.0) + np.exp(-10.0)),
        0.5 * (np.exp(-0.1) + np.exp(-0.5)),
    ],
    "bonus": [0.0, 2.0],
    "penalty": [-0.01 * 2.25, -(10.0 + 0.01 * 20 + 10 * 0.05)],
}


@pytest.mark.parametrize(
    ("to", "dtype"),
    [(np.asarray, np.float64), (array_api_strict.asarray, array_api_strict.float64), (torch.as_tensor, torch.float64)],
    ids=["numpy", "array_api_strict", "torch"],
)
def test_rows_by_hand_in_every_library(to, dtype):
    state = State(**{f.name: to(getattr(STATE, f.name)) for f in fields(State)})
    rewards = compute_rewards(state, CONFIG)
    assert list(rewards) == list(ROWS) and all(values.dtype == dtype for values in rewards.values())
    for name, by_hand in BY_HAND.items():
        np.testing.assert_allclose(np.asarray(rewards[name]), by_hand, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("row", BY_HAND)
def test_a_weight_scales_its_row_alone(row):
    doubled = compute_rewards(STATE, replace(CONFIG, weights={**CONFIG.weights, row: 2 * CONFIG.weights[row]}))
    for name, by_hand in BY_HAND.items():
        np.testing.assert_allclose(doubled[name], np.multiply(by_hand, 2 if name == row else 1), atol=1e-12)


@pytest.mark.parametrize(("before", "now", "value"), [(0.5, 0.1, 2.0), (0.1, 0.5, -2.0), (0.30, 0.31, -0.4)])
def test_progress_is_clipped_on_both_sides(before, now, value):
    state = replace(STATE, error_before_m=np.full(2, before), error_m=np.full(2, now))
    np.testing.assert_allclose(compute_rewards(state, CONFIG)["direction"], value)


def test_costs_are_bounded():
    wild = replace(STATE, contact_force_N=np.full(2, 1e6), others_moved_m=np.full(2, 3.0), dropped=np.zeros(2))
    at_rest = replace(wild, action=np.zeros((2, 6)))
    np.testing.assert_allclose(compute_rewards(at_rest, CONFIG)["penalty"], -(0.01 * 100 + 10 * 0.1))


NEEDS = {
    "gripper_distance_m": {"distance"},
    "error_m": {"direction", "alignment"},
    "error_before_m": {"direction"},
    "success_steps": {"bonus"},
}


@pytest.mark.parametrize("name", [f.name for f in fields(State)])
def test_what_cannot_be_measured_gives_zero(name):
    missing = np.full(getattr(STATE, name).shape, np.nan)
    state = replace(STATE, **{name: missing})
    rewards = compute_rewards(state, CONFIG)
    for row, by_hand in BY_HAND.items():
        values = rewards[row]
        if row in NEEDS.get(name, ()):
            np.testing.assert_array_equal(values, 0.0)
        elif row != "penalty" or name in NEEDS:
            np.testing.assert_allclose(values, by_hand, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("action", [0.0, -10.7]),
        ("dropped", [-0.0225, -0.7]),
        ("contact_force_N", [-0.0225, -10.5]),
        ("others_moved_m", [-0.0225, -10.2]),
    ],
)
def test_the_other_costs_remain_when_one_cannot_be_measured(name, left):
    state = replace(STATE, **{name: np.full(getattr(STATE, name).shape, np.nan)})
    np.testing.assert_allclose(compute_rewards(state, CONFIG)["penalty"], left, atol=1e-12)


def test_one_world_without_a_sensor_leaves_the_others_alone():
    state = replace(STATE, contact_force_N=np.array([60.0, np.nan]))
    np.testing.assert_allclose(compute_rewards(state, CONFIG)["penalty"], [-0.0225, -10.5], atol=1e-12)


def test_nearer_is_better():
    errors = np.linspace(0.0, 0.5, 50)
    grid = State(*(np.zeros(50) for _ in range(4)), np.zeros((50, 6)), *(np.zeros(50) for _ in range(3)))
    aligned = compute_rewards(replace(grid, error_m=errors, error_before_m=errors), CONFIG)
    reached = compute_rewards(replace(grid, gripper_distance_m=errors), CONFIG)
    assert (np.diff(aligned["alignment"]) < 0).all() and (np.diff(reached["distance"]) < 0).all()
    assert aligned["alignment"][0] == 1.0 and reached["distance"][0] == CONFIG.weights["distance"]


@pytest.mark.parametrize("name", ["length_scale_m", "fine_scale_m", "success_m", "success_steps", "progress_limit"])
@pytest.mark.parametrize("bad", [0, -1.0, np.nan])
def test_a_scale_is_above_0(name, bad):
    with pytest.raises(ValueError, match=f"{name} of the rewards is above 0, not {bad}"):
        RewardConfig(**{name: bad})
