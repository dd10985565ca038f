"""Training runs that survive: resumed, killed, interrupted, in two processes; candidates tried first; files refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from iker_agent.cli import app
from iker_agent.learning.checkpoint import read_checkpoint, write_checkpoint
from iker_agent.learning.evaluate import StrictCopies, make_copies, run_episodes
from iker_agent.learning.network import ActorCritic, NetworkPolicy, Normaliser
from iker_agent.learning.plain_network import feature_dim
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.progress import TrainingRow, read_metrics
from iker_agent.learning.scalars import SCALARS
from iker_agent.learning.task_training import TaskTraining
from iker_agent.learning.training import Training
from iker_agent.learning.training_folder import TrainSettings, read_settings, write_settings
from iker_agent.learning.waypoint import WaypointPolicy
from iker_agent.learning.waypoint_parameters import WaypointParameters
from iker_envs.spec import Spec

UPDATE = 8 * 4  # env steps of an update of TINY
TINY = PPOConfig(num_envs=8, horizon=4, budget_s=1e9, checkpoint_every_s=0.0, eval_envs=4, num_threads=1)
COMMAND = (sys.executable, "-m", "iker_agent.cli", "train", "shoe_push")
TINY_ARGUMENTS = tuple(
    f"learn.{name}={getattr(TINY, name)}" for name in ("num_envs", "horizon", "checkpoint_every_s", "num_threads")
)


def policy_of(seed: int) -> NetworkPolicy:
    torch.manual_seed(seed)
    return NetworkPolicy(ActorCritic(feature_dim(Spec()), Spec().action_dim), Normaliser(Spec()))


def limited(updates: int) -> PPOConfig:
    return PPOConfig(**{**vars(TINY), "max_steps": updates * UPDATE})


@pytest.fixture
def env():
    env = gym.make_vec("IKER-ShoePush-v0", num_envs=8, num_threads=1, random_first_age=True)
    yield env
    env.close()


def weights(training: Training) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in training.policy.network.parameters()])


def updated(training: Training, seed: int, count: int) -> torch.Tensor:
    observation = training.begin(seed)
    for _ in range(count):
        observation, _ = training.rollout_and_update(observation)
    return weights(training)


def test_a_restored_training_makes_the_same_next_updates(env, tmp_path):
    first = Training(env, TINY, lambda *_: np.zeros(4, dtype=bool), seed=3)
    updated(first, 3, 2)
    write_checkpoint(tmp_path / "checkpoint.pt", first.state())
    went_on = updated(first, 100, 2)
    second = Training(env, TINY, lambda *_: np.zeros(4, dtype=bool), seed=4)
    second.restore(read_checkpoint(tmp_path / "checkpoint.pt"))
    assert not torch.equal(weights(second), went_on)
    assert torch.equal(updated(second, 100, 2), went_on)
    numbers = [[(r.steps, r.reward, r.kl, r.learning_rate) for r in t.progress.rows] for t in (first, second)]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 4


class FallingJudge:
    """Judges the first policy best, and remembers each; never good enough."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(self, policy: NetworkPolicy, seed: int) -> np.ndarray:
        self.seen.append(torch.cat([p.detach().flatten().clone() for p in policy.network.parameters()]))
        return np.arange(4) < (2 if len(self.seen) == 1 else 1)


def looking(updates: int) -> PPOConfig:
    """Looks after every update."""
    return replace(limited(updates), eval_every_s=0.0, stop_success=0.99, max_eval_envs=4)


def test_a_training_that_does_not_get_there_ends_with_the_best_that_was_seen(env, monkeypatch):
    monkeypatch.setattr("iker_agent.learning.training._WORTH_A_LOOK", 1.0)
    monkeypatch.setattr("iker_agent.learning.training._EVAL_PAUSE", 0.0)
    judge = FallingJudge()
    training = Training(env, looking(3), judge, seed=3)
    policy = training.run()
    assert len(judge.seen) == 3, "after every update, and not twice at the end"
    assert not torch.equal(judge.seen[-1], judge.seen[0])
    assert torch.equal(weights(training), judge.seen[0])
    assert policy.header["success_strict"] == 0.5 and not policy.header["good_enough"]


def test_the_latest_policy_has_its_chance_at_the_end(env, monkeypatch):
    monkeypatch.setattr("iker_agent.learning.training._WORTH_A_LOOK", 1.0)
    judge = FallingJudge()
    config = looking(3)
    training = Training(env, config, judge, seed=3)

    def put_off(training: Training) -> None:
        training.config = replace(config, eval_every_s=1e9)

    training.after_update = put_off
    training.run()
    assert len(judge.seen) == 2, "after the first update, and at the end"
    assert not torch.equal(judge.seen[1], judge.seen[0])
    assert torch.equal(weights(training), judge.seen[0])


def test_a_policy_that_is_good_enough_is_told_by_its_own_rate(env, monkeypatch):
    monkeypatch.setattr("iker_agent.learning.training._WORTH_A_LOOK", 1.0)
    monkeypatch.setattr("iker_agent.learning.training._EVAL_PAUSE", 0.0)
    looks = iter([np.arange(2000) < 1910, np.arange(64) < 62])  # 0.955 of many is surely more than 0.969 of a few
    config = replace(looking(5), stop_success=0.96, max_eval_envs=64)
    training = Training(env, config, lambda *_: next(looks), seed=3)
    policy = training.run()
    assert training.progress.steps == 2 * UPDATE
    assert policy.header["good_enough"] and policy.header["success_strict"] == 62 / 64


def test_worlds_of_tensors_are_trained_in_like_those_of_arrays(env):
    tensors = gym.make_vec("IKER-ShoePush-v0", num_envs=8, num_threads=1, random_first_age=True, xp="torch")
    rows = []
    for worlds in (env, tensors):
        training = Training(worlds, limited(2), lambda *_: np.zeros(4, dtype=bool), seed=3)
        policy = training.run()
        assert policy.act(np.zeros((2, Spec().observation_dim))).shape == (2, 6)
        rows.append(training.progress.rows[0])
    ours, theirs = (row.columns() for row in rows)
    timed = {"seconds", "steps_per_s", "seconds_left"}
    for name in set(ours) - timed:  # tensors are of single precision
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-4, nan_ok=True), name
    tensors.close()


def test_copies_judge_every_policy_as_fresh_ones_would():
    make = {"task": "shoe_push", "randomisation": "on", "num_threads": 1}
    kept = StrictCopies(4, **make)
    policies = [policy_of(seed) for seed in (1, 2)]
    for seed, policy in enumerate(policies):
        kept(policies[0], 7)
        fresh = make_copies(4, **make, grasp_bank=1)
        errors_m = run_episodes(fresh, policy, seed, None)
        np.testing.assert_array_equal(kept(policy, seed), errors_m[:, 1] > 0)
        np.testing.assert_array_equal(run_episodes(kept._env, policy, seed, None), errors_m)
        fresh.close()
    kept.close()


def test_the_bonus_of_entropy_is_that_of_the_configuration_that_fails_most(env):
    training = Training(env, TINY, FallingJudge(), seed=3)
    (curriculum,) = training._curricula
    everything = np.arange(len(curriculum.weights))
    good = np.ones_like(everything, dtype=bool)
    for quarter in (True, False, True, True) * 100:
        curriculum.see(everything, (everything != 7) | quarter, ~good)  # never exact while the noise is on
    training.rollout_and_update(training.begin(0))
    assert training.agent.cfg.entropy_loss_scale == pytest.approx(0.25 * TINY.entropy, rel=0.1)
    for _ in range(300):
        curriculum.see(everything, good, ~good)
    training.rollout_and_update(training.begin(0))
    assert training.agent.cfg.entropy_loss_scale < 0.1 * TINY.entropy


def test_the_bonus_of_entropy_keeps_the_noise_up(env):
    spread = {}
    for weight in (0.0, 1.0):
        training = Training(env, replace(TINY, entropy=weight), FallingJudge(), seed=3)
        updated(training, 3, 3)
        spread[weight] = float(training.policy.network.log_std.detach().mean())
    assert spread[1.0] > spread[0.0] + 1e-3


def test_the_best_that_was_seen_survives_a_checkpoint(env, tmp_path, monkeypatch):
    monkeypatch.setattr("iker_agent.learning.training._WORTH_A_LOOK", 1.0)
    judge = FallingJudge()
    first = Training(env, looking(1), judge, seed=3)
    first.run()
    write_checkpoint(tmp_path / "checkpoint.pt", first.state())
    second = Training(env, looking(3), judge, seed=4)
    second.restore(read_checkpoint(tmp_path / "checkpoint.pt"))
    second.run()
    assert second.progress.steps == 3 * UPDATE
    assert torch.equal(weights(second), judge.seen[0])


def test_what_fails_is_known_after_a_checkpoint_too(env, tmp_path):
    first = Training(env, TINY, FallingJudge(), seed=3)
    everything = np.arange(len(first._curricula[0].weights))
    for _ in range(300):
        first._curricula[0].see(everything, everything > 2, everything != 7)
    write_checkpoint(tmp_path / "checkpoint.pt", first.state())
    env.worlds.arrangements.weights = env.worlds.grasps.weights = None
    second = Training(env, TINY, FallingJudge(), seed=4)
    second.restore(read_checkpoint(tmp_path / "checkpoint.pt"))
    (before,), (after,) = first._curricula, second._curricula
    np.testing.assert_array_equal(after.weights, before.weights)
    assert after.worst == before.worst > 0.9 and after.weights[7] > 0.4
    for starts in (env.worlds.arrangements, env.worlds.grasps):
        np.testing.assert_array_equal(starts.weights, after.weights)


def test_noise_that_hides_the_last_centimetres_does_not_put_a_look_off(env):
    training = Training(env, looking(1), FallingJudge(), seed=3)
    row = replace(TrainingRow.unknown(), success=0.9, success_strict=0.2)
    assert training._worth_a_look(row)
    assert not training._worth_a_look(replace(row, success=0.3))


def test_training_goes_on_from_a_policy_with_its_normaliser_frozen(env):
    before = policy_of(1)
    before.normaliser(torch.rand(8, 38), train=True)
    training = Training(env, limited(1), lambda *_: np.arange(64) < 32, start=before)
    policy = training.run()
    assert torch.equal(policy.normaliser.mean, before.normaliser.mean)
    assert policy.header["env_steps"] == UPDATE and not policy.header["good_enough"]


def start_with(path: Path, *arguments: str):
    command = ["train", "shoe_push", "--start", str(path), *arguments]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def test_the_command_begins_with_a_policy_that_is_given_and_the_folder_says_so(tmp_path):
    before = policy_of(1)
    before.normaliser(torch.rand(8, 38), train=True)
    before.save(tmp_path / "first.safetensors")
    folder = tmp_path / "run"
    tiny = (*TINY_ARGUMENTS, "learn.eval_envs=4", f"learn.max_steps={UPDATE}")
    start_with(tmp_path / "first.safetensors", *tiny, "--out", str(folder))
    policy = load_policy(folder / "policy.safetensors")
    assert isinstance(policy, NetworkPolicy) and torch.equal(policy.normaliser.mean, before.normaliser.mean)
    settings, _ = read_settings(folder)
    assert settings.start == str(tmp_path / "first.safetensors")
    assert policy.header["start"] == "first.safetensors"
    moved = [(a - b).abs().max() for a, b in zip(*(p.network.parameters() for p in (policy, before)), strict=True)]
    assert 0 < max(moved) < 0.05  # an update away from it


def test_a_first_policy_that_cannot_be_gone_on_from_is_refused_before_anything_is_made(tmp_path):
    folder = tmp_path / "run"
    pose = Spec(observation="pose")
    NetworkPolicy(ActorCritic(feature_dim(pose), pose.action_dim), Normaliser(pose)).save(tmp_path / "pose.safetensors")
    WaypointPolicy(WaypointParameters(False, 0.2, 0.0, 0.1), Spec()).save(tmp_path / "waypoint.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    small = ActorCritic(feature_dim(Spec()), Spec().action_dim, (32, 32))
    NetworkPolicy(small, Normaliser(Spec())).save(tmp_path / "small.safetensors")
    policy_of(1).save(tmp_path / "odd\udcff.safetensors")
    refusals = {"pose": "spec", "waypoint": "no weights to begin with", "missing": "not exist", "folder": "a folder"}
    refusals |= {"small": "layers of", "odd\udcff": "another name"}
    for name, told in refusals.items():
        with pytest.raises(ValueError, match=told):
            start_with(tmp_path / f"{name}.safetensors", "--out", str(folder))
    policy_of(1).save(tmp_path / "first.safetensors")
    with pytest.raises(ValueError, match="keeps its observation"):
        start_with(tmp_path / "first.safetensors", "--resume", str(folder))
    with pytest.raises(ValueError, match="leave --resume, --start and --out out"):
        start_with(tmp_path / "first.safetensors", "--export-isaacgymenvs", str(folder))
    assert not folder.exists()


@pytest.fixture
def interruptible():
    """Ctrl-C works, also when the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_saves_and_the_folder_tells_all(tmp_path, interruptible):
    settings = TrainSettings("shoe_push", observation="pose", seed=1, learn=limited(50))
    write_settings(tmp_path, settings)
    run = TaskTraining(settings, tmp_path, resume=False, report=lambda row: os.kill(os.getpid(), signal.SIGINT))
    policy = run.run()
    assert run.interrupted and policy.header["env_steps"] == UPDATE
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a later Ctrl-C is an ordinary one
    assert read_settings(tmp_path)[0] == settings
    assert read_checkpoint(tmp_path / "checkpoint.pt")["progress"]["steps"] == UPDATE
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith("events")}
    assert names == {"checkpoint.pt", "config.yaml", "curve.png", "metrics.csv", "policy.safetensors"}


def test_tensorboard_gets_every_scalar(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = TrainSettings("shoe_push", learn=limited(2))
    TaskTraining(settings, tmp_path, resume=False).run()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) >= set(SCALARS) - {"success/evaluated_strict", "episode/keypoint_error_m"}
    assert [e.step for e in events.Scalars("ppo/kl")] == [UPDATE, 2 * UPDATE]


def num_rows(path: Path) -> int:
    return len(read_metrics(path)) if path.exists() else 0


def test_kill_loses_at_most_one_interval_and_resume_goes_on(tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen([*COMMAND, *TINY_ARGUMENTS, "--out", str(out)], stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and num_rows(out / "metrics.csv") < 3:
            time.sleep(0.05)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    seen = read_metrics(out / "metrics.csv")
    saved = read_checkpoint(out / "checkpoint.pt")["progress"]
    assert saved["steps"] >= seen[-1].steps >= 3 * UPDATE
    assert load_policy(out / "policy.safetensors").header["env_steps"] in (saved["steps"], saved["steps"] - UPDATE)
    settings, _ = read_settings(out)
    learn = PPOConfig(**{**vars(settings.learn), "max_steps": saved["steps"] + 2 * UPDATE})
    TaskTraining(TrainSettings("shoe_push", learn=learn), out, resume=True).run()
    rows = read_metrics(out / "metrics.csv")
    assert [r.steps for r in rows] == [UPDATE * (k + 1) for k in range(saved["steps"] // UPDATE + 2)]
    assert [(r.seconds, r.reward) for r in rows[: len(seen)]] == [(r.seconds, r.reward) for r in seen]


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"x": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        read_checkpoint(path)
    torch.save({"x": 1}, path)
    with pytest.raises(ValueError, match="no checkpoint of this project"):
        read_checkpoint(path)
    with pytest.raises(ValueError, match="is no training folder"):
        read_settings(tmp_path)
