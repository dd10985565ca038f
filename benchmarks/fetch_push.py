"""Simulated seconds per second of Gymnasium-Robotics' FetchPush in asynchronous workers, printed as one number.

Stands alone: Gymnasium-Robotics 1.4 does not run on MuJoCo 4, so it needs an environment of its own, for example
`pip install gymnasium-robotics==1.4.2 mujoco==3.3.2`; throughput.py calls it with that environment's Python.
"""

from __future__ import annotations

import argparse
import time

import gymnasium as gym
import gymnasium_robotics

TICK_S = 0.04  # 20 substeps of 2 ms


def main() -> None:
    """Step random actions for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    gym.register_envs(gymnasium_robotics)
    env = gym.make_vec("FetchPush-v4", num_envs=options.workers, vectorization_mode="async")
    env.reset(seed=0)
    steps = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < options.seconds:
        env.step(env.action_space.sample())
        steps += options.workers
    print(TICK_S * steps / (time.perf_counter() - begin))
    env.close()


if __name__ == "__main__":
    main()
