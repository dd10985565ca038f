"""How much of the bare engine's speed is left in the vector environment, and how it grows with the number of worlds.

    python benchmarks/throughput.py --worlds 64 512 2048 --ticks 30

In one run and on the same models, states and controls: our vector environment with random actions and autoreset,
`mujoco.batch.Batch.step` alone, and `mujoco.rollout` alone; for grasp tasks the physics of the grasps before the first
episodes is left out on both sides. Speeds are in env steps (0.1 s of simulated time) per second; only ratios mean
anything on a busy machine. `--fetch-python` adds FetchPush of Gymnasium-Robotics.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
from mujoco import rollout

import iker_envs
from iker_envs.vector_env import StageVectorEnv

ROUNDS = 6  # the two are measured in turn, so that a neighbour's load falls on both


def memory_mb() -> float:
    """Resident memory of this process in megabytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def timed(function: Callable[[], None]) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def warm_up(env: StageVectorEnv, seed: int = 0) -> None:
    """Fill the banks of starts, as in the first minutes of training, and put worlds out of phase."""
    env.reset(seed=seed)
    for _ in range(env.worlds.config.start_bank):
        env.worlds.reset(np.arange(env.num_envs))
    env.worlds.episode.step_count[:] = np.random.default_rng(seed).integers(
        env.worlds.config.max_steps, size=env.num_envs
    )


class Bare:
    """The engine alone, with the environment's models, states and controls of one moment."""

    def __init__(self, env: StageVectorEnv) -> None:
        self.worlds = env.worlds
        self.sim = env.worlds.sim
        self.model = self.sim.model
        self.state = self.sim.get_state()
        self.control = self.sim.state().gripper_pose

    def batch(self, ticks: int, actions: np.ndarray) -> None:
        """`Batch.step` under the same random commands as the environment."""
        step = self.sim._batch.step
        substeps = self.worlds.substeps
        control = self.sim._ctrl
        for action in actions[:ticks]:
            control[:, :3] += 0.03 * action[:, :3]
            np.clip(control[:, :3], *self.worlds.workspace_m, out=control[:, :3])
            step(nstep=substeps, stage=1)

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


def compare(env_id: str, num_envs: int, ticks: int) -> dict[str, float]:
    """Speeds in env steps per second, medians over rounds."""
    begin_mb = memory_mb()
    env = gym.make_vec(env_id, num_envs=num_envs, **iker_envs.TRAINING)
    warm_up(env)
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (ticks, num_envs, 6))
    ours = []
    bare = []
    for _ in range(ROUNDS):
        ours.append(timed(lambda: [env.step(a) for a in actions]))
        state = env.worlds.get_state()
        engine = Bare(env)
        bare.append(timed(lambda engine=engine: engine.batch(ticks, actions)))
        env.worlds.set_state(state)
    used_mb = memory_mb() - begin_mb
    few = max(1, ticks // 4)
    rolled = timed(lambda: Bare(env).rollout(few, actions, len(os.sched_getaffinity(0))))
    env.close()
    steps = ticks * num_envs
    return {
        "ours": steps / np.median(ours),
        "batch": steps / np.median(bare),
        "rollout": few * num_envs / rolled,
        "ratio": float(np.median(bare) / np.median(ours)),
        "simulated": 0.1 * steps / np.median(ours),
        "memory_mb": used_mb,
    }


def fetch_push(python: str) -> float:
    """Simulated seconds per second of FetchPush, run by the Python of another environment (see fetch_push.py)."""
    script = Path(__file__).with_name("fetch_push.py")
    done = subprocess.run([python, str(script)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print one row per id and number of worlds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, nargs="+", default=[64, 512, 2048])
    parser.add_argument("--ticks", type=int, default=30, help="per round, of six")
    parser.add_argument("--ids", nargs="+", default=list(iker_envs.TASKS))
    parser.add_argument("--fetch-python", help="Python of an environment with Gymnasium-Robotics, to compare with")
    options = parser.parse_args()
    if options.fetch_python:
        print(f"FetchPush, async x 8: {fetch_push(options.fetch_python):.0f} simulated s/s\n")
    print("| id | worlds | ours | Batch.step | rollout | ours / Batch | simulated s/s | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for env_id in options.ids:
        for num_envs in options.worlds:
            row = compare(env_id, num_envs, options.ticks)
            numbers = " | ".join(f"{row[name]:.0f}" for name in ("ours", "batch", "rollout"))
            rest = f"{row['ratio']:.2f} | {row['simulated']:.0f} | {row['memory_mb']:.0f}"
            print(f"| {env_id} | {num_envs} | {numbers} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
