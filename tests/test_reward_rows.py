"""A row of the reward is a function and a line of ROWS: its name reaches everything that tells of rewards by itself."""

from __future__ import annotations

import csv

import gymnasium as gym
import numpy as np
import pytest

import iker_envs  # noqa: F401 (registers the environments)
from iker_agent.learning.curve import draw_curve
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.progress import Progress, TrainingRow, read_metrics, write_metrics
from iker_agent.learning.task_training import TaskTraining
from iker_agent.learning.training_folder import TrainSettings
from iker_envs.rewards import ROWS, RewardConfig, RewardRow

PUSH = "IKER-ShoePush-v0"
FIVE = ("distance", "direction", "alignment", "bonus", "penalty")
UPDATE = 8 * 4  # env steps of an update
TINY = PPOConfig(num_envs=8, horizon=4, budget_s=1e9, eval_envs=4, num_threads=1, max_steps=2 * UPDATE)


def smoothness(state, config):
    """Minus the mean square of the action."""
    return -(state.action**2).mean(axis=-1)


@pytest.fixture
def sixth(monkeypatch):
    """The two edits of a newcomer: the function above and this line."""
    monkeypatch.setitem(ROWS, "smoothness", RewardRow(0.5, smoothness))


def test_a_sixth_row_reaches_metrics_tensorboard_and_curve(sixth, tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    legends = []
    monkeypatch.setattr(Figure, "legend", lambda self, lines, labels, **_: legends.append(labels))
    TaskTraining(TrainSettings("shoe_push", learn=TINY), tmp_path, resume=False).run()
    rows = read_metrics(tmp_path / "metrics.csv")
    assert [set(row.rewards) for row in rows] == [set(ROWS)] * 2
    for row in rows:
        assert row.rewards["smoothness"] < 0 and sum(row.rewards.values()) == pytest.approx(row.reward, abs=1e-4)
    events = EventAccumulator(str(tmp_path)).Reload()
    seen = [event.value for event in events.Scalars("reward/smoothness")]
    assert seen == pytest.approx([row.rewards["smoothness"] for row in rows], rel=1e-4)
    assert legends[-1] == list(ROWS)


def test_a_sixth_row_is_told_weighted_and_part_of_the_reward(sixth):
    action = np.full((2, 6), 0.5)
    infos = []
    for rewards in (None, {"smoothness": 2.0}):
        env = gym.make_vec(PUSH, num_envs=2, num_threads=1, rewards=rewards)
        env.reset(seed=0)
        _, reward, _, _, info = env.step(action)
        np.testing.assert_allclose(sum(info[f"reward/{name}"] for name in ROWS), reward, atol=1e-6)
        infos.append(info)
        env.close()
    np.testing.assert_allclose(infos[0]["reward/smoothness"], -0.5 * 0.25)
    np.testing.assert_allclose(infos[1]["reward/smoothness"], -2.0 * 0.25)


def test_the_columns_of_metrics_keep_their_names_and_order(tmp_path):
    write_metrics(tmp_path / "metrics.csv", [])
    with (tmp_path / "metrics.csv").open() as file:
        header = next(csv.reader(file))
    before = ["steps", "seconds", "steps_per_s", "success", "success_strict", "goal_error_m", "reward"]
    after = ["lost", "learning_rate", "std", "eval_strict", "seconds_left", "kl", "entropy", "explained_variance"]
    newer = {f"reward_{name}" for name in ROWS if name not in FIVE}
    assert [n for n in header if n not in newer] == [*before, *(f"reward_{name}" for name in FIVE), *after]


def rewarded(**rewards: float) -> TrainingRow:
    numbers = {name: 0.5 for name in ("success", "success_strict", "goal_error_m", "reward", "lost", "std", "kl")}
    rest = {"learning_rate": 1e-3, "seconds_left": 2.0, "entropy": 1.0, "explained_variance": 0.25, "eval_strict": 1.0}
    return TrainingRow(steps=3, seconds=1.0, steps_per_s=2.0, rewards=rewards, **numbers, **rest)


def test_rows_survive_metrics_csv_also_where_their_rewards_differ(tmp_path):
    rows = [rewarded(distance=1.0, bonus=2.0), rewarded(charm=3.0, **dict.fromkeys(FIVE, 0.125))]
    write_metrics(tmp_path / "metrics.csv", rows)
    assert read_metrics(tmp_path / "metrics.csv") == rows
    draw_curve(tmp_path / "curve.png", rows)
    assert (tmp_path / "curve.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [({"stepz": 1.0}, "has the unknown column 'stepz'"), ({"steps": None}, "lacks the column 'steps'")],
)
def test_a_log_with_other_columns_is_refused(tmp_path, change, says):
    columns = {name: value for name, value in {**rewarded().columns(), **change}.items() if value is not None}
    with (tmp_path / "metrics.csv").open("w") as file:
        csv.writer(file).writerows([columns, columns.values()])
    with pytest.raises(ValueError, match=says):
        read_metrics(tmp_path / "metrics.csv")


def test_a_log_of_before_goes_on_with_a_row_that_is_new(sixth):
    progress = Progress(1.0, 10, None)
    old = rewarded(**dict.fromkeys(FIVE, 0.125))
    progress.rows = [old]
    again = Progress(1.0, 10, None)
    again.restore(progress.state())
    assert again.rows == [old] and "smoothness" not in old.rewards


def test_weights_are_of_the_rows_that_there_are():
    assert RewardConfig.changed({"distance": 0.5, "motion_cost": 0.0}).weights == {
        **{name: row.weight for name, row in ROWS.items()},
        "distance": 0.5,
    }
    assert RewardConfig.changed(None) == RewardConfig()
    for wrong in ({"distance": 1.0}, {**RewardConfig().weights, "charm": 1.0}):
        with pytest.raises(ValueError, match="have weights for distance"):
            RewardConfig(weights=wrong)
    for name in ("charm", "weights"):
        with pytest.raises(ValueError, match=f"the rewards have no '{name}'; they have: distance, "):
            RewardConfig.changed({name: 1.0})
