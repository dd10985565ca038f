"""MuJoCo Warp beyond the contract: parity, room for contacts, tensors, graphs; on a GPU where there is one."""

from __future__ import annotations

import runpy
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from sim_worlds import AWAY, BESIDE, everyone, rounding, rows, scene_of, skip_without, started, wait
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import iker_envs  # noqa: F401 (registers the environments)
from iker_envs.measure import Errors
from iker_envs.physics.engines import make_sim, make_ticks
from iker_envs.physics.torch_graph import leaves, mapped
from iker_envs.sim import SimulationError
from iker_envs.stage.arrays import Arrays
from iker_envs.stage.tick import Tick

DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"
PARITY = runpy.run_path(str(Path(__file__).resolve().parents[1] / "benchmarks" / "sim_parity.py"))


@pytest.fixture(autouse=True)
def installed() -> None:
    skip_without("warp")


@pytest.fixture(scope="module")
def sim():
    skip_without("warp")
    made = make_sim("warp", scene_of(), 3)
    yield made
    made.close()


def test_it_does_what_threads_do():
    found = list(PARITY["physics_rows"]("warp"))
    assert len(found) == 4
    assert [str(row) for row in found if not row.kept] == []


@pytest.mark.parametrize("setting", ["njmax=8", "nconmax=1"])
def test_too_little_room_names_the_number_to_raise(setting):
    name, number = setting.split("=")
    small = make_sim(f"warp:{setting}", scene_of(), 2)
    with pytest.raises(SimulationError) as caught:
        started(small)
        wait(small, 0.2)
    assert f"sim='warp:{name}={2 * int(number)}'" in str(caught.value) and "\n" not in str(caught.value)
    small.close()


def test_substeps_are_recorded_graphs_that_do_what_the_kernels_do(sim):
    started(sim)
    expected = wait(sim, 0.2, hand=BESIDE)
    assert set(sim._graphs) == {"substep", "place"} and all(sim._graphs.values())
    started(sim)
    graphs, sim._graphs = sim._graphs, {}
    wait(sim, 0.01, hand=BESIDE)  # once without a graph, which records it anew
    wait(sim, 0.19, hand=BESIDE)
    again = sim.state()
    sim._graphs = graphs
    np.testing.assert_allclose(again.object_pose, expected.object_pose, atol=rounding(sim))
    np.testing.assert_allclose(again.gripper_pose, expected.gripper_pose, atol=1e-6)


def test_tensors_share_the_engines_memory_and_states_do_not(sim):
    started(sim)
    assert sim._qpos.data_ptr() == sim._data.qpos.ptr
    ticks = make_ticks(sim, "torch")
    first = ticks.state()
    kept = first.gripper_pose.clone()
    ticks.step(torch.from_numpy(np.tile(BESIDE, (3, 1))).to(DEVICE), torch.zeros(3, device=DEVICE), 20)
    assert isinstance(first.object_pose, torch.Tensor) and first.object_pose.dtype == torch.float32
    assert torch.equal(first.gripper_pose, kept) and not torch.equal(ticks.state().gripper_pose, kept)
    with pytest.raises(ValueError, match=r"opening_m is an array \(3,\), not \(2,\)"):
        ticks.step(torch.from_numpy(np.tile(BESIDE, (3, 1))).to(DEVICE), torch.zeros(2, device=DEVICE), 1)


def test_a_command_that_is_not_finite_stays_in_its_world(sim):
    started(sim)
    ticks = make_ticks(sim, "torch")
    hands = torch.from_numpy(np.tile(AWAY, (3, 1))).float().to(DEVICE)
    hands[1, 0] = torch.nan
    ticks.step(hands, torch.zeros(3, device=DEVICE), 5)
    state = ticks.state()
    assert state.unstable.tolist() == [False, True, False]
    assert all(bool(torch.isfinite(values).all()) for values in vars(state).values())
    sim.reset(np.array([1]), rows(sim, 1))
    assert not wait(sim, 0.1).unstable.any()
    sim.reset(everyone(sim), rows(sim))


def test_a_saved_state_goes_on_here_and_on_threads(sim):
    threads = started(make_sim("threads", scene_of(), 3))
    threads.randomize("mass", np.array([1]), np.array([[1.5]]))
    wait(threads, 0.3, hand=BESIDE)
    sim.set_state(threads.get_state())
    for ours, theirs in ((sim, threads), (threads, sim)):
        for _ in range(2):
            for name, values in vars(threads.state()).items():
                np.testing.assert_allclose(getattr(sim.state(), name), values, atol=1e-5, err_msg=name)
            wait(sim, 0.05)
            wait(threads, 0.05)
        theirs.set_state(ours.get_state())
    sim.randomize("mass", np.array([1]), np.array([[1.0]]))
    threads.close()


def stepped(sim: str, xp: str, actions: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Observations, rewards and ends of two worlds through two episodes."""
    env = gym.make_vec(
        "IKER-BookPush-v0", num_envs=2, num_threads=1, sim=sim, xp=xp, max_episode_steps=4, randomisation="on"
    )
    kind = np.ndarray if xp == "numpy" else torch.Tensor
    seen = [(env.reset(seed=2)[0],)]
    for action in actions:
        *values, info = env.step(action if xp == "numpy" else torch.from_numpy(action).to(env.device))
        assert all(isinstance(v, kind) for v in (*values, info["final_obs"], info["reward/bonus"]))
        seen.append((*values, info["final_obs"]))
    seen.append((env.finish().goal_m,))
    env.close()
    return [tuple(np.asarray(v.cpu() if isinstance(v, torch.Tensor) else v) for v in row) for row in seen]


def same(ours, theirs, tolerance: float) -> None:
    for row, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, atol=tolerance, err_msg=f"tick {row}")


def test_an_environment_is_the_same_on_every_engine_and_array_library():
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (6, 2, 6)).astype(np.float32)
    actions[..., 2] = 0.5  # up and away; the books still settle
    threads = stepped("threads", "numpy", actions)
    same(stepped("threads", "torch", actions), threads, 1e-5)
    warp = stepped("warp", "numpy", actions)
    same(stepped("warp", "torch", actions), warp, 1e-5)
    same([row[:1] for row in warp], [row[:1] for row in threads], 1e-3)


def test_actions_of_tensors_have_the_spaces_shape_and_where_one_is_not_finite_the_hand_stays():
    env = gym.make_vec("IKER-BookPush-v0", num_envs=2, sim="warp", xp="torch")
    env.reset(seed=0)
    for bad in (np.zeros((2, 6)), torch.zeros(2, 5, device=DEVICE)):
        with pytest.raises(ValueError, match=r"actions are \(2, 6\) a torch tensor on (cpu|cuda:0), not"):
            env.step(bad)
    actions = torch.zeros(2, 6, device=DEVICE)
    actions[1] = torch.nan
    before = env.worlds.episode.commanded_pose.clone()
    observation, reward, terminated, _, _ = env.step(actions)
    assert torch.equal(env.worlds.episode.commanded_pose[1], before[1]) and not terminated.any()
    assert bool(torch.isfinite(observation).all()) and bool(torch.isfinite(reward).all())
    env.close()


def test_every_process_has_the_device_of_its_rank(monkeypatch):
    from iker_envs.physics.warp_sim import default_device

    assert default_device() == ("cuda:0" if torch.cuda.is_available() else "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert default_device() == "cuda:1"


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="the engine 'warp' finds no device 'cuda:77'; there are: c"):
        make_sim("warp:device=cuda:77", scene_of(), 1)


class Spy(TorchDispatchMode):
    """Names operations that look at a number, or bring one to the device: a recorded graph can have neither."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        tensors = [x for x in tree_leaves((args, kwargs, found)) if isinstance(x, torch.Tensor)]
        name = str(func)
        looks = any(word in name for word in ("_local_scalar", "nonzero", "lift_fresh"))
        looks |= "index" in name and any(x.dtype == torch.bool for x in tree_leaves(args[1:]) if hasattr(x, "dtype"))
        if looks or ("copy" in name and len({x.device for x in tensors}) > 1):
            self.seen.append(name)
        return found


@pytest.mark.parametrize(
    "work",
    [
        lambda values: float(values[0]),
        lambda values: torch.tensor([1.0]),
        lambda values: values.to("meta"),
        lambda values: torch.nonzero(values),
        lambda values: values[values > 0],
    ],
)
def test_a_spy_sees_what_no_graph_can_have(work):
    with Spy() as spy:
        work(torch.zeros(3))
    assert len(spy.seen) == 1


@pytest.mark.parametrize("env_id", ["IKER-ShoePush-v0", "IKER-ShoePlace-v0", "IKER-BookReorient-v0"])
def test_functions_of_a_tick_can_be_recorded(env_id):
    """On torch's device without numbers: they neither look at any nor make constants on the way."""
    env = gym.make_vec(env_id, num_envs=2, xp="torch", randomisation="on")
    env.reset(seed=0)
    env.step(torch.zeros(2, 6))
    worlds = env.worlds
    tick = Tick(worlds.config, Nowhere(worlds.ticks), worlds.workspace_m)
    empty = lambda values: torch.empty_like(values, device="meta")  # noqa: E731
    state, held, action = mapped(empty, (worlds.state, worlds.episode.of_ticks(), torch.zeros(2, 6)))
    pose, tops = mapped(empty, (worlds.episode.commanded_pose, worlds.episode.tops))
    calls = {
        "command": lambda: tick.command(action, pose, state, tops),
        "measured": lambda: tick.measured[worlds.goal.grasp](state, held, action),
        "packed": lambda: tick.packed_all(state.gripper_pose, pose, held),
    }
    for name, call in calls.items():
        call()  # makes what is kept
        with Spy() as spy:
            found = call()
        assert not spy.seen, name
        assert all(part.device.type == "meta" for part in leaves(found)), name
    env.close()


class Nowhere(Arrays):
    """Arrays on torch's device without numbers."""

    def put(self, values):
        return torch.empty_like(super().put(values), device="meta")


def test_tuples_mappings_and_dataclasses_keep_their_form():
    value = (torch.zeros(1), {"a": torch.ones(2)}, Errors(*torch.arange(4.0)))
    assert [part.tolist() for part in leaves(value)] == [[0.0], [1.0, 1.0], 0.0, 1.0, 2.0, 3.0]
    doubled = mapped(lambda part: 2 * part, value)
    assert doubled[1]["a"].tolist() == [2.0, 2.0] and doubled[2].others_m == 6.0
