"""Does physics survive a bad policy? Random and adversarial actions over every environment id, unstable worlds counted.

    python benchmarks/stability.py --steps 1000000        env steps of each kind, spread over the ids
    python benchmarks/stability.py --resets 10000         how memory grows from reset 1,000 on, by id

A world is unstable when the engine said so (NaN), and exploding when something moves faster than any hand or fall
explains. Both numbers are to be zero.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

import iker_envs
from iker_envs.vector_env import StageVectorEnv

EXPLODING_M_S = 6.0  # a fall from the top of the workspace ends at 3 m/s, a blow of the hand throws at about 1 m/s
ATTACK_TICKS = 15  # each world keeps to an attack for so long
SQUEEZE_M = 0.085  # fingers close from fully open


def random_actions(env: StageVectorEnv, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uniform actions (N, 6)."""
    return rng.uniform(-1, 1, env.action_space.shape)


class Adversary:
    """Every world drives into its object, presses on it, tears at it, spins or flickers, for a while each."""

    def __init__(self) -> None:
        self._tick = 0
        self._attack = np.zeros(0, dtype=int)

    def __call__(self, env: StageVectorEnv, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Full-speed actions (N, 6) from observations (N, 38); also works the fingers of half of the worlds."""
        n = env.num_envs
        if self._tick % ATTACK_TICKS == 0:
            self._attack = rng.integers(len(_ATTACKS), size=n)
            self._work_fingers(env, rng)
        self._tick += 1
        candidates = np.stack([attack(observation, rng) for attack in _ATTACKS])
        return candidates[self._attack, np.arange(n)]

    def _work_fingers(self, env: StageVectorEnv, rng: np.random.Generator) -> None:
        """Squeeze with all their force, or open: what no policy can do, and what the subroutines do."""
        chosen = rng.random(env.num_envs) < 0.5
        env.worlds.episode.opening_command_m[chosen] = rng.choice([0.0, SQUEEZE_M], size=chosen.sum())


def _aim(direction: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Full speed along directions (N, 3), with any rotation."""
    speed = direction / (np.abs(direction).max(axis=-1, keepdims=True) + 1e-9)
    return np.concatenate([speed, rng.uniform(-1, 1, direction.shape)], axis=-1)


def _ram(o: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _aim(o[:, 7:10] - o[:, :3], rng)


def _press(o: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Over the object, then straight down on it."""
    offset = o[:, 7:10] - o[:, :3]
    above = np.linalg.norm(offset[:, :2], axis=-1) < 0.05
    offset[:, 2] = np.where(above, -1.0, 0.15 + offset[:, 2])
    offset[above, :2] = 0.0
    return _aim(offset, rng)


def _dig(o: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Into the table, sideways at full speed."""
    down = np.tile([0.0, 0.0, -1.0], (len(o), 1))
    down[:, :2] = np.sign(o[:, 7:9] - o[:, :2])
    return _aim(down, rng)


def _into_target(o: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whatever is held or pushed goes straight into whatever stands at the target."""
    return _aim(o[:, 26:29] - o[:, 14:17] + np.array([0.0, 0.0, -0.05]), rng)


def _spin(o: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    action = _ram(o, rng)
    action[:, 3:] = np.sign(rng.normal(size=(1, 3)))
    return action


def _flicker(o: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.choice([-1.0, 1.0], size=(len(o), 6))


_ATTACKS = (_ram, _press, _dig, _into_target, _spin, _flicker)
Actions = Callable[[StageVectorEnv, np.ndarray, np.random.Generator], np.ndarray]
KINDS: dict[str, Callable[[], Actions]] = {"random": lambda: random_actions, "adversarial": Adversary}


@dataclass(frozen=True)
class Count:
    """What happened in some env steps."""

    steps: int
    unstable: int
    exploding: int
    fastest_m_s: float


def run(env: StageVectorEnv, actions: Actions, ticks: int, seed: int = 0) -> Count:
    """Drive a vector environment (without autoreset) for some ticks."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    unstable = exploding = 0
    fastest = 0.0
    for _ in range(ticks):
        observation, _, terminated, truncated, _ = env.step(actions(env, observation, rng))
        state = env.worlds.state
        speed = np.linalg.norm(state.object_twist[..., :3], axis=-1).max(axis=-1)
        unstable += int(state.unstable.sum() + (~np.isfinite(observation).all(axis=-1)).sum())
        exploding += int((speed > EXPLODING_M_S).sum())
        fastest = max(fastest, float(speed.max()))
        if (done := terminated | truncated).any():
            observation, _ = env.reset(options={"reset_mask": done})
    return Count(ticks * env.num_envs, unstable, exploding, fastest)


def environments(num_envs: int, ids: tuple[str, ...] = tuple(iker_envs.TASKS)) -> Iterator[tuple[str, StageVectorEnv]]:
    """Every id as it is trained in, and with everything free and randomised."""
    for id_ in ids:
        for free, randomisation in (("near", "on"), ("all", "all")):
            make = {**iker_envs.TRAINING, "free": free, "randomisation": randomisation, "autoreset_mode": "disabled"}
            yield f"{id_} free={free} randomisation={randomisation}", gym.make_vec(id_, num_envs=num_envs, **make)


def memory_growth(env: StageVectorEnv, num_resets: int) -> tuple[float, float]:
    """Resident megabytes after the first tenth of so many resets of all worlds, a tick after each, and after all."""
    first_mb = 0.0
    env.reset(seed=0)
    for number in range(1, num_resets + 1):
        env.reset()
        env.step(np.zeros(env.action_space.shape))
        if number == max(1, num_resets // 10):
            first_mb = resident_mb()
    return first_mb, resident_mb()


def resident_mb() -> float:
    """Resident memory of this process in megabytes, what is garbage collected before."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def print_memory(num_resets: int, num_envs: int) -> None:
    """One line per id of a single stage."""
    for id_ in iker_envs.TASKS:
        env = gym.make_vec(id_, num_envs=num_envs, **iker_envs.TRAINING)
        first_mb, last_mb = memory_growth(env, num_resets)
        env.close()
        growth = 100 * (last_mb / first_mb - 1)
        print(f"{id_}: {first_mb:.1f} MB, {last_mb:.1f} MB after {num_resets} resets: {growth:+.2f} %", flush=True)


def main() -> None:
    """Print one line per id and kind, and a sum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000, help="env steps of each kind")
    parser.add_argument("--num-envs", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resets", type=int, help="measure memory instead, over so many resets of --num-envs worlds")
    options = parser.parse_args()
    if options.resets:
        print_memory(options.resets, options.num_envs)
        return
    share = options.steps / (2 * len(iker_envs.TASKS))
    ticks = int(np.ceil(share / options.num_envs))
    for kind, make in KINDS.items():
        total = 0
        bad = 0
        for name, env in environments(options.num_envs):
            begin = time.perf_counter()
            count = run(env, make(), ticks, options.seed)
            env.close()
            total = total + count.steps
            bad = bad + count.unstable + count.exploding
            print(f"{kind:12s} {name:52s} {count} {time.perf_counter() - begin:.0f} s", flush=True)
        print(f"{kind}: {total} env steps, {bad} unstable or exploding worlds", flush=True)


if __name__ == "__main__":
    main()
