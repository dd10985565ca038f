"""How much of the bare engine's speed is left in the vector environment and in training.

    python benchmarks/throughput.py --worlds 64 512 2048 --ids IKER-ShoePush-v0
    python benchmarks/throughput.py --sim warp --worlds 256 1024 4096 16384

In one run and on the same models, states and controls, each beside `mujoco.batch.Batch.step` alone in the same minute:
our vector environment with random actions and autoreset; training, updates and resets included; the stage without
physics, whose episodes go on as if nothing moved; new episodes in all worlds, pushes drawn anew and grasped states from
a filled bank; and `mujoco.rollout` alone. The physics of the grasps before the first episodes is left out on all sides.
Speeds are in env steps (0.1 s of simulated time) per second, those of resets in worlds per second; only ratios mean
anything on a busy machine. The ratio of CPU times is that of all threads together: other processes hardly change it,
but what runs in one thread weighs more in the ratio of speeds. A row is printed when it is measured. At the end, the
seconds that new episodes in all of 1024 worlds take for a push, in all of 256 for a grasp. `--fetch-python` adds
FetchPush of Gymnasium-Robotics.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from mujoco import rollout

import iker_envs
from iker_envs.physics.engines import base_name, engine_settings
from iker_envs.task import load_task
from iker_envs.vector_env import StageVectorEnv

ROUNDS = 40  # at most: the two are measured in short turns, so that a neighbour's load falls on both
RESET_WORLDS = {"push": 1024, "grasp": 256}


def memory_mb(device: str) -> float:
    """Resident memory of this process in megabytes; what is taken of a GPU's where the worlds are on one."""
    if device != "cpu":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        return (total - free) / 1e6
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def device_of(sim: str) -> str:
    """Where the worlds of an engine will be: "cpu", or a CUDA device."""
    if base_name(sim) != "warp":
        return "cpu"
    from iker_envs.physics.warp_sim import default_device

    return str(engine_settings(sim).get("device", "")) or default_device()


def timed(function: Callable[[], None]) -> tuple[float, float]:
    """Seconds that a call takes, by the clock and of all processors."""
    begin = time.perf_counter()
    begin_cpu = time.process_time()
    function()
    return time.perf_counter() - begin, time.process_time() - begin_cpu


def warm_up(env: StageVectorEnv, seed: int = 0) -> None:
    """Fill the banks of starts, as in the first minutes of training, and put worlds out of phase."""
    env.reset(seed=seed)
    for _ in range(env.worlds.config.start_bank):
        env.worlds.reset(np.arange(env.num_envs))
    ages = np.random.default_rng(seed).integers(env.worlds.config.max_steps, size=env.num_envs)
    env.worlds.episode.step_count[:] = env.worlds.arrays.put(ages)


def begin_all(env: StageVectorEnv) -> None:
    """New episodes in all worlds: starts of pushes drawn anew, grasped states taken from a filled bank."""
    for world in range(env.num_envs):
        env.worlds.arrangements.forget(world)
    env.worlds.reset(np.arange(env.num_envs))


def wait_for(device: str) -> None:
    """Return when a device has done what it was asked for."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize(device)


class Bare:
    """The engine alone, with the environment's models, states and controls of one moment."""

    def __init__(self, env: StageVectorEnv) -> None:
        self.worlds = env.worlds
        self.sim = env.worlds.sim
        self.model = self.sim.model
        self.state = self.sim.get_state()

    def batch(self, ticks: int, actions: Any) -> None:
        """`Batch.step`, or the recorded substep of Warp, under the same random commands as the environment."""
        if self.sim.name == "warp":
            self._graph(ticks, actions)
            return
        step = self.sim._batch.step
        substeps = self.worlds.substeps
        control = self.sim._ctrl
        for action in actions[:ticks]:
            control[:, :3] += 0.03 * action[:, :3]
            np.clip(control[:, :3], *self.worlds.workspace_m, out=control[:, :3])
            step(nstep=substeps, stage=1)

    def _graph(self, ticks: int, actions: Any) -> None:
        control = self.sim._ctrl
        low, high = self.worlds.arrays.put(self.worlds.workspace_m)
        wanted = control[:, :8].clone()
        for action in actions[:ticks]:
            wanted[:, :3] = (wanted[:, :3] + 0.03 * action[:, :3]).clip(low, high)
            self.sim._begin_way(wanted, self.worlds.substeps)
            self.sim._replay("substep", self.sim._substep, self.worlds.substeps)
        wait_for(self.worlds.ticks.device)

    def rollout(self, ticks: int, actions: np.ndarray, threads: int) -> None:
        """`mujoco.rollout` over as many substeps, from the saved states and with constant controls."""
        models = [self.sim._batch.get_model(k) for k in range(self.sim.num_worlds)]
        saved = self.state["state"]
        initial = np.concatenate([saved["time"].reshape(-1, 1), saved["qpos"], saved["qvel"]], axis=-1)
        data = [mujoco.MjData(self.model) for _ in range(threads)]
        control = np.repeat(saved["ctrl"][:, None], self.worlds.substeps, axis=1)
        with rollout.Rollout(nthread=threads) as roll:
            for _ in range(ticks):
                states, _ = roll.rollout(models, data, initial, control)
                initial = states[:, -1]


Row = tuple[float, float, float]  # steps per second, their ratio to those of `Batch.step`, the ratio of CPU times


class Speeds:
    """Measures one number of worlds of one id; every row is given so many seconds and at least one round."""

    def __init__(self, env_id: str, num_envs: int, ticks: int, sim: str) -> None:
        xp = "torch" if base_name(sim) == "warp" else "numpy"
        self.device = device_of(sim)
        self.begin_mb = memory_mb(self.device)
        self.env = gym.make_vec(env_id, num_envs=num_envs, sim=sim, xp=xp, **iker_envs.TRAINING)
        warm_up(self.env)
        self.ticks = ticks
        self.steps = ticks * num_envs
        self._rng = np.random.default_rng(1)

    def beside_batch(self, work: Callable[[], None], steps: int, seconds: float) -> Row:
        """Steps per second of some work, and their ratios to those of `Batch.step`; medians over rounds."""
        end = time.perf_counter() + seconds
        rounds: list[Row] = []
        while not rounds or (len(rounds) < ROUNDS and time.perf_counter() < end):
            drawn = self._rng.uniform(-1, 1, (self.ticks, self.env.num_envs, 6))
            self.actions = self.env.worlds.arrays.put(drawn)
            own_s, own_cpu_s = timed(work)
            state = self.env.worlds.get_state()
            engine = Bare(self.env)
            bare_s, bare_cpu_s = timed(lambda engine=engine: engine.batch(self.ticks, self.actions))
            self.env.worlds.set_state(state)
            longer = steps / self.steps  # than a round of the bare engine
            rounds.append((steps / own_s, longer * bare_s / own_s, longer * bare_cpu_s / own_cpu_s))
        speed, ratio, cpu_ratio = np.median(rounds, axis=0)
        return float(speed), float(ratio), float(cpu_ratio)

    def environment(self, seconds: float) -> Row:
        """The vector environment with random actions."""
        return self.beside_batch(lambda: self._act(), self.steps, seconds)

    def without_physics(self, seconds: float) -> Row:
        """The same while nothing moves."""
        ticks = self.env.worlds.ticks

        def idle() -> None:
            ticks.step = lambda *_, **__: None
            try:
                self._act()
            finally:
                del ticks.step

        return self.beside_batch(idle, self.steps, seconds)

    def resets(self, seconds: float) -> Row:
        """New episodes in all worlds: starts of pushes drawn anew, grasped states taken from a filled bank."""
        return self.beside_batch(lambda: begin_all(self.env), self.env.num_envs, seconds)

    def rollout(self, seconds: float) -> Row:
        """`mujoco.rollout`, a quarter of the ticks."""
        few = max(1, self.ticks // 4)
        threads = len(os.sched_getaffinity(0))
        state = self.env.worlds.get_state()

        def roll() -> None:
            self.env.worlds.set_state(state)
            Bare(self.env).rollout(few, self.actions, threads)

        return self.beside_batch(roll, few * self.env.num_envs, seconds)

    def training(self, seconds: float) -> Row:
        """Rollouts, resets and updates of PPO; evaluations are no part of it."""
        import torch

        from iker_agent.learning.ppo_config import PPOConfig
        from iker_agent.learning.training import Training

        torch.set_num_threads(1)  # as `iker run` and `iker train` do
        config = PPOConfig(num_envs=self.env.num_envs)
        trained = Training(self.env, config, lambda policy, seed: np.zeros(1, dtype=bool))
        self.latest = trained.begin(0)
        warm_up(self.env)

        def update() -> None:
            self.latest, _ = trained.rollout_and_update(self.latest)

        update()  # the first one compiles and allocates
        return self.beside_batch(update, config.horizon * self.env.num_envs, seconds)

    def _act(self) -> None:
        for action in self.actions:
            self.env.step(action)
        wait_for(self.env.worlds.ticks.device)

    def close(self) -> None:
        """Free the worlds."""
        self.env.close()


RESETS = "reset, worlds/s"
ROWS: dict[str, Callable[[Speeds, float], Row]] = {
    "environment": Speeds.environment,
    "training": Speeds.training,
    "stage without physics": Speeds.without_physics,
    RESETS: Speeds.resets,
    "mujoco.rollout": Speeds.rollout,
}


ON_DEVICE = ("environment", "training", "stage without physics")
"""Rows that work where the arrays are; resets, which are drawn on the host, and rollout are rows of threads."""


def print_resets(ids: Sequence[str], sim: str, end: float) -> None:
    """Seconds of new episodes in all worlds: medians, by the clock and of all processors."""
    print("\n| id | new episodes in worlds | s | CPU s |\n|---|---|---|---|")
    for env_id in ids:
        if time.perf_counter() > end:
            print(f"no time was left for the resets of {env_id}; --minutes gives more", flush=True)
            continue
        goal = load_task(iker_envs.TASKS[env_id]).configurations[0].stages[0].goal
        num_envs = RESET_WORLDS["grasp" if goal.grasp else "push"]
        env = gym.make_vec(env_id, num_envs=num_envs, sim=sim, **iker_envs.TRAINING)
        env.reset(seed=0)  # fills the bank of grasped states
        taken_s, cpu_s = np.median([timed(lambda env=env: begin_all(env)) for _ in range(6)], axis=0)
        print(f"| {env_id} | {num_envs} | {taken_s:.3f} | {cpu_s:.3f} |", flush=True)
        env.close()


def fetch_push(python: str) -> float:
    """Simulated seconds per second of FetchPush, run by the Python of another environment (see fetch_push.py)."""
    script = Path(__file__).with_name("fetch_push.py")
    done = subprocess.run([python, str(script)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print a row per id, number of worlds and kind of work, when it is measured; what no time is left for is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, nargs="+", default=[512])
    parser.add_argument("--ticks", type=int, default=10, help=f"per round, of at most {ROUNDS}")
    parser.add_argument("--ids", nargs="+", default=["IKER-ShoePush-v0", "IKER-ShoePlace-v0"], choices=iker_envs.TASKS)
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="default: all that the engine has")
    parser.add_argument("--sim", default="threads", help="threads, or warp, whose settings may follow: warp:njmax=256")
    parser.add_argument("--minutes", type=float, default=3.0, help="after which nothing new is begun")
    parser.add_argument("--fetch-python", help="Python of an environment with Gymnasium-Robotics, to compare with")
    options = parser.parse_args()
    is_warp = base_name(options.sim) == "warp"
    known = [name for name in ROWS if not is_warp or name in ON_DEVICE]
    rows = options.rows or known
    if unable := [name for name in rows if name not in known]:
        parser.error(f"the row {unable[0]!r} is not for --sim {options.sim}; there are: {', '.join(known)}")
    end = time.perf_counter() + 60 * options.minutes
    if options.fetch_python:
        print(f"FetchPush, async x 8: {fetch_push(options.fetch_python):.0f} simulated s/s\n")
    print("| id | worlds | what | env steps/s | of Batch.step | of its CPU time | MB | seconds left |")
    print("|---|---|---|---|---|---|---|---|")
    cases = [(env_id, num_envs) for env_id in options.ids for num_envs in options.worlds]
    for number, (env_id, num_envs) in enumerate(cases):
        left = end - time.perf_counter()
        if left <= 0:
            print(f"no time was left for {env_id} with {num_envs} worlds; --minutes gives more", flush=True)
            continue
        share = left / (len(cases) - number) / (len(rows) + 1)  # one more for making the worlds
        speeds = Speeds(env_id, num_envs, options.ticks, options.sim)
        if number == 0:
            print(f"engine {options.sim} on {speeds.env.device}", file=sys.stderr)
        for name in rows:
            speed, ratio, cpu_ratio = ROWS[name](speeds, share)
            used_mb = memory_mb(speeds.device) - speeds.begin_mb
            left = max(0.0, end - time.perf_counter())
            row = f"{speed:.0f} | {ratio:.2f} | {cpu_ratio:.2f} | {used_mb:.0f} | {left:.0f}"
            print(f"| {env_id} | {num_envs} | {name} | {row} |", flush=True)
        speeds.close()
    if RESETS in rows:
        print_resets(options.ids, options.sim, end)


if __name__ == "__main__":
    main()
