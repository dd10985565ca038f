"""The interface of IsaacGymEnvs and rl_games: its own calls on our worlds, and its files with our numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sim_worlds import skip_without

import iker_envs
from iker_agent.commands.train import train_defaults
from iker_agent.learning.isaacgymenvs_cfg import load_cfg, write_cfg
from iker_agent.learning.network import HIDDEN, START_LOG_STD
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.training_folder import TrainSettings
from iker_agent.learning.training_worlds import make_worlds
from iker_envs.vec_task import VecTask, make

NUM_WORLDS = 4
ENV = {
    "task": "shoe_push",
    "numEnvs": NUM_WORLDS,
    "episodeLength": 5,
    "numThreads": 1,
    "free": "near",
    "startBank": 2,
}
CFG = {"env": ENV, "task": {"randomize": True}}


@pytest.fixture
def made():
    tasks: list[VecTask] = []

    def make_task(cfg=CFG, **options) -> VecTask:
        tasks.append(VecTask(cfg, **options))
        return tasks[-1]

    yield make_task
    for task in tasks:
        task.close()


def actions_of(task: VecTask, seed: int) -> torch.Tensor:
    return torch.rand((task.num_envs, task.num_acts), generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_calls_that_rl_games_makes_train_a_policy(made):
    """The order of its training loop, with a network, discounted returns that bootstrap time-outs, and a gradient."""
    task = made(rl_device="cpu", sim_device="cpu", graphics_device_id=-1, headless=True)
    info = task.get_env_info()
    assert task.get_number_of_agents() == info.get("agents", 1) == 1 and not task.has_action_masks()
    assert info["observation_space"].shape == (task.num_obs,) and info["action_space"].shape == (task.num_acts,)
    actor = torch.nn.Linear(task.num_obs, task.num_acts)
    critic = torch.nn.Linear(task.num_obs, 1)
    optimiser = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=1e-3)
    obs = task.reset()["obs"]
    frames = ended = timed_out = 0
    before = actor.weight.detach().clone()
    for _ in range(3):
        task.set_train_info(frames, object())
        losses = []
        for _ in range(4):
            policy = torch.distributions.Normal(actor(obs), 0.5)
            actions = policy.sample()
            values = critic(obs).squeeze(1)
            obs_dict, rewards, dones, extras = task.step(actions)
            obs = obs_dict["obs"]
            bootstrapped = rewards + 0.98 * values.detach() * extras["time_outs"].float()
            targets = bootstrapped + 0.98 * critic(obs).squeeze(1).detach() * (1.0 - dones.float())
            advantages = (targets - values).detach()
            losses.append(((targets - values) ** 2 - policy.log_prob(actions).sum(1) * advantages).mean())
            frames += task.num_envs
            ended += len(dones.nonzero())
            timed_out += int(extras["time_outs"].sum())
        optimiser.zero_grad()
        torch.stack(losses).mean().backward()
        optimiser.step()
    assert not torch.equal(before, actor.weight) and actor.weight.isfinite().all()
    assert ended >= timed_out >= NUM_WORLDS, "12 ticks hold two episodes of 5"
    assert task.total_train_env_frames == frames - 4 * NUM_WORLDS


def test_what_goes_out_are_tensors_of_the_interfaces_kinds_and_new_ones_each_time(made):
    task = made()
    first = task.reset()["obs"]
    kept = first.clone()
    obs, reward, done, extras = task.step(task.zero_actions())
    assert (obs["obs"].shape, obs["obs"].dtype) == ((NUM_WORLDS, task.num_obs), torch.float32)
    assert (reward.shape, reward.dtype) == ((NUM_WORLDS,), torch.float32)
    assert (done.shape, done.dtype) == ((NUM_WORLDS,), torch.int64)
    assert (extras["time_outs"].shape, extras["time_outs"].dtype) == ((NUM_WORLDS,), torch.bool)
    assert torch.equal(first, kept), "what was given away is not written into"
    assert task.get_state().shape == (NUM_WORLDS, task.num_states) and task.render() is None
    assert task.max_episode_length == 5 and task.dt == pytest.approx(0.1)


def test_the_worlds_are_those_of_the_vector_environment_to_the_last_bit(made):
    task = made(seed=7)
    env = make_worlds(
        NUM_WORLDS, task="shoe_push", start_bank=2, grasp_bank=0, num_threads=1, max_episode_steps=5, randomisation="on"
    )
    try:
        observation, _ = env.reset(seed=7)
        assert np.array_equal(task.reset()["obs"], observation.astype(np.float32))
        for tick in range(7):
            actions = actions_of(task, tick)
            obs, reward, done, extras = task.step(actions)
            observation, rewards, terminated, truncated, info = env.step(actions.numpy())
            assert np.array_equal(obs["obs"], observation.astype(np.float32))
            assert np.array_equal(reward, rewards.astype(np.float32))
            assert np.array_equal(done, terminated | truncated)
            assert np.array_equal(extras["time_outs"], truncated & ~terminated)
            assert np.array_equal(extras["final_obs"], info["final_obs"].astype(np.float32))
    finally:
        env.close()


@pytest.mark.parametrize("engine", ["warp", "warp:device=cpu,nconmax=64"])
def test_an_engine_on_a_device_gives_its_own_tensors_and_computes_where_it_is_told(made, monkeypatch, engine):
    skip_without("warp")
    monkeypatch.setattr("iker_envs.physics.warp_sim.default_device", lambda: "cuda:0")  # as where there is a GPU
    task = made({**CFG, "physics_engine": engine}, seed=7)
    assert (
        task.env.worlds.sim.name == "warp"
        and task.env.device == "cpu"
        and task.env.worlds.arrays.xp.__name__ != "numpy"
    )
    sim = "warp:device=cpu,nconmax=64"
    env = make_worlds(
        NUM_WORLDS, task="shoe_push", start_bank=2, grasp_bank=0, max_episode_steps=5, randomisation="on", sim=sim
    )
    try:
        observation, _ = env.reset(seed=7)
        np.testing.assert_allclose(task.reset()["obs"], observation, atol=1e-5)
        kept = []
        for tick in range(7):
            actions = actions_of(task, tick)
            obs, reward, done, extras = task.step(actions)
            found = (obs["obs"], reward, done, extras["time_outs"], extras["final_obs"], task.progress_buf)
            kept.append((found, [values.clone() for values in found]))
            observation, rewards, terminated, truncated, _ = env.step(actions.numpy())
            np.testing.assert_allclose(obs["obs"], observation, atol=1e-4)
            np.testing.assert_allclose(reward, rewards, atol=1e-4)
            assert np.array_equal(done, terminated | truncated)
        assert all(torch.equal(a, b) for found, copies in kept for a, b in zip(found, copies, strict=True))
        task.reset_idx(torch.tensor([1]))
        assert task.progress_buf[1] == 0 and torch.isfinite(task.obs_buf).all()
    finally:
        env.close()


def test_a_world_that_ended_shows_its_next_episode_and_its_last_observation_apart(made):
    task = made()
    for tick in range(5):
        obs, _, done, extras = task.step(actions_of(task, tick))
    assert done.tolist() == [1] * NUM_WORLDS and task.reset_buf.tolist() == [1] * NUM_WORLDS
    assert task.progress_buf.tolist() == [0] * NUM_WORLDS
    assert not torch.isclose(obs["obs"], extras["final_obs"]).all(dim=1).any()
    assert set(extras["episode"]) == {"success", "success_strict", "goal_error_m"}
    assert all(value.ndim == 0 for value in extras["episode"].values())
    again, ended = task.reset_done()
    assert ended.tolist() == [0, 1, 2, 3] and torch.equal(again["obs"], obs["obs"]), "nothing begins twice"


def test_without_autoreset_a_world_waits_until_it_is_told(made):
    task = made(autoreset=False)
    for tick in range(5):
        obs, _, done, extras = task.step(actions_of(task, tick))
    assert done.all() and "final_obs" not in extras and task.progress_buf.tolist() == [5] * NUM_WORLDS
    with pytest.raises(ValueError, match="reset"):
        task.step(task.zero_actions())
    begun, ended = task.reset_done()
    assert ended.tolist() == [0, 1, 2, 3] and not torch.isclose(begun["obs"], obs["obs"]).all(dim=1).any()
    assert task.progress_buf.tolist() == [0] * NUM_WORLDS
    task.step(task.zero_actions())


@pytest.mark.parametrize("ids", [[1, 3], [], [2]])
def test_reset_idx_begins_the_named_worlds_and_the_others_do_not_notice(made, ids):
    task = made()
    task.step(actions_of(task, 0))
    before, buffer = task.obs_buf, task.obs_buf.clone()
    task.reset_idx(torch.tensor(ids, dtype=torch.long))
    others = [world for world in range(NUM_WORLDS) if world not in ids]
    assert torch.equal(task.obs_buf[others], buffer[others]) and torch.equal(before, buffer)
    assert not torch.isclose(task.obs_buf[ids], buffer[ids]).all(dim=1).any()
    assert task.progress_buf.tolist() == [0 if world in ids else 1 for world in range(NUM_WORLDS)]


def test_reset_idx_refuses_worlds_that_there_are_not(made):
    with pytest.raises(ValueError, match="env_ids are from 0 to 3, not -1 to 4"):
        made().reset_idx(torch.tensor([-1, 4]))


def test_reset_begins_anew_once_something_has_happened(made):
    task = made()
    first = task.reset()["obs"]
    assert torch.equal(task.reset()["obs"], first)
    task.step(actions_of(task, 0))
    assert not torch.isclose(task.reset()["obs"], first).all(dim=1).any()


def test_actions_are_clipped(made):
    wild, tame = made(), made()
    actions = actions_of(wild, 0) * 5
    assert torch.equal(wild.step(actions)[0]["obs"], tame.step(actions.clamp(-1, 1))[0]["obs"])


def test_a_checkpoints_state_goes_out_and_in(made):
    task, other = made(), made()
    task.set_train_info(12_000)
    other.set_env_state(task.get_env_state())
    other.set_env_state(None)
    assert other.total_train_env_frames == 12_000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"env": {**ENV, "numObservations": 39}}, "env.numObservations is 38 in this environment, not 39"),
        ({"env": {**ENV, "numEnvs": 0}}, "env.numEnvs"),
        ({"env": {**ENV, "actionScale": 1.0}}, "env.actionScale is unknown; known: numEnvs, task"),
        ({"sim": {"dt": 0.0167}}, "sim.dt is 0.1 in this environment, not 0.0167"),
        ({"task": {"randomization_params": {"gravity": [0, 1]}}}, "gravity"),
    ],
)
def test_a_configuration_that_is_not_of_this_environment_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        VecTask({**CFG, **change})


def test_the_engine_on_threads_stays_on_the_cpu():
    with pytest.raises(ValueError, match="runs on the CPU: sim_device is 'cpu', not 'cuda:0'"):
        VecTask(CFG, sim_device="cuda:0")


def test_make_takes_the_arguments_of_that_librarys_make():
    task = make(seed=3, task="shoe_push", num_envs=2, sim_device="cpu", rl_device="cpu", headless=True)
    try:
        assert task.num_envs == 2 and task.reset()["obs"].shape == (2, task.num_obs)
    finally:
        task.close()


# ---------------------------------------------------------------------------------------------------- its files


LEARN = PPOConfig(num_envs=24, horizon=6, epochs=3, mini_batches=4, discount=0.97, gae_lambda=0.9, max_steps=1000)
SETTINGS = TrainSettings("book_push", observation="pose", randomisation={"friction": [0.5, 1.5]}, seed=5, learn=LEARN)


def written(folder: Path, settings: TrainSettings) -> dict[str, Any]:
    """What a script reads from the files of a training."""
    write_cfg(folder, settings)
    return load_cfg(folder)


def test_the_files_hold_our_numbers_and_make_our_worlds(tmp_path):
    paths = write_cfg(tmp_path, SETTINGS)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "task/BookPush.yaml",
        "train/BookPushPPO.yaml",
        "config.yaml",
    ]
    cfg = load_cfg(tmp_path)
    params = cfg["train"]["params"]
    config = params["config"]
    assert (cfg["seed"], params["seed"], config["num_actors"], cfg["task"]["env"]["numEnvs"]) == (5, 5, 24, 24)
    assert (config["gamma"], config["tau"], config["horizon_length"], config["mini_epochs"]) == (0.97, 0.9, 6, 3)
    assert (config["minibatch_size"], config["max_epochs"]) == (36, 7), "144 a rollout: a quarter; 1000 steps take 7"
    for theirs, ours in (("learning_rate", "learning_rate"), ("kl_threshold", "kl_target"), ("e_clip", "ratio_clip")):
        assert config[theirs] == getattr(LEARN, ours)
    assert config["grad_norm"] == LEARN.max_grad_norm and config["critic_coef"] == 2 * LEARN.value_loss
    assert config["entropy_coef"] == LEARN.entropy > 0.0
    assert params["network"]["mlp"]["units"] == list(HIDDEN)
    assert params["network"]["space"]["continuous"]["sigma_init"]["val"] == START_LOG_STD
    task = VecTask(cfg["task"], cfg["rl_device"], cfg["sim_device"], seed=cfg["seed"])
    env = make_worlds(
        24, task="book_push", observation="pose", random_first_age=True, randomisation={"friction": [0.5, 1.5]}
    )
    try:
        observation, _ = env.reset(seed=5)
        assert np.array_equal(task.reset()["obs"], observation.astype(np.float32))
        assert np.array_equal(task.progress_buf, env.worlds.episode.step_count)
    finally:
        task.close()
        env.close()


def test_what_is_said_on_the_command_line_holds_in_all_files(tmp_path):
    write_cfg(tmp_path, SETTINGS)
    given = ["num_envs=8", "seed=9", "max_iterations=3", "train.params.config.gamma=0.5", "checkpoint=runs/a.pth"]
    cfg = load_cfg(tmp_path, given)
    params = cfg["train"]["params"]
    assert cfg["task"]["env"]["numEnvs"] == params["config"]["num_actors"] == 8
    assert (params["seed"], params["config"]["max_epochs"], params["config"]["gamma"]) == (9, 3, 0.5)
    assert (params["load_checkpoint"], params["load_path"]) == (True, "runs/a.pth")
    assert load_cfg(tmp_path)["train"]["params"]["load_checkpoint"] is False
    assert load_cfg(tmp_path)["task"]["physics_engine"] == "threads"
    assert load_cfg(tmp_path, ["physics_engine=warp"])["task"]["physics_engine"] == "warp"
    with pytest.raises(ValueError, match="nothing_known"):
        load_cfg(tmp_path, ["nothing_known=1"])


@pytest.mark.parametrize(
    ("engine", "device", "pipeline"),
    [
        ("threads", "cpu", "cpu"),
        ("warp", "cuda:0", "gpu"),
        ("warp:device=cuda:1", "cuda:1", "gpu"),
        ("isaac:device=cpu", "cpu", "cpu"),
    ],
)
def test_the_files_name_the_engine_and_its_device(tmp_path, engine, device, pipeline):
    cfg = written(tmp_path, TrainSettings("book_push", learn=PPOConfig(sim=engine)))
    assert cfg["task"]["physics_engine"] == engine and cfg["pipeline"] == pipeline
    assert {cfg["sim_device"], cfg["rl_device"], cfg["train"]["params"]["config"]["device"]} == {device}


def test_randomisation_off_is_off_in_the_files(tmp_path):
    cfg = written(tmp_path, TrainSettings("shoe_push", randomisation="off", learn=LEARN))
    assert cfg["task"]["task"] == {"randomize": False, "randomization_params": {}}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (TrainSettings("push"), "is a family of stages; a configuration is of one task"),
        (
            TrainSettings("shoe_push", learn=PPOConfig(num_envs=7, horizon=3)),
            "= 21 is no multiple of learn.mini_batches",
        ),
    ],
)
def test_what_that_library_cannot_do_is_refused_and_nothing_written(tmp_path, settings, reason):
    with pytest.raises(ValueError, match=reason):
        write_cfg(tmp_path / "cfg", settings)
    assert not (tmp_path / "cfg").exists()


def test_the_command_writes_the_files_of_what_it_would_train(tmp_path, monkeypatch, capsys):
    from iker_agent.commands.app import call

    monkeypatch.chdir(tmp_path)
    assert call(["train", "shoe_push", "learn.discount=0.9", "--export-isaacgymenvs", "cfg"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "cfg/config.yaml"
    config = yaml.safe_load((tmp_path / "cfg/train/ShoePushPPO.yaml").read_text())["params"]["config"]
    assert config["gamma"] == 0.9
    cfg = load_cfg(tmp_path / "cfg")
    assert cfg["task"]["env"]["numEnvs"] == train_defaults().num_envs
    assert cfg["task"]["env"]["startBank"] == iker_envs.TRAINING["start_bank"]
    with pytest.raises(ValueError, match="trains nothing; leave --resume, --start and --out out"):
        call(["train", "shoe_push", "--export-isaacgymenvs", "cfg", "--out", "x"])
