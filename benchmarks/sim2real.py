"""One policy in simulation and on the arm of the emulated laboratory: success of both, and how the arm fared.

    python benchmarks/sim2real.py                                        # 10 configurations of four tasks, real time
    python benchmarks/sim2real.py --task shoe_push --clock 0.5 --json out.json
    python benchmarks/sim2real.py --task shoe_push --episodes 2 --busy 2     # 20 episodes while two processes compute

Every task: success and strict success with 95 % intervals in simulation and in the laboratory (through the vendor's own
SDK, poses with 5 mm and 2 degrees of error), faults by kind, how late the set points were, how far the hand lagged
behind its command, the largest external torque on a joint, and return codes that were not 0. What a robot's computer is
judged by is in the line "timing": errors 60 of the box, the lateness of set points, and the longest tick, 0.1 s where
no call blocks. Nothing of this is metal. Numbers count from a machine that does nothing else, but for `--busy`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from iker_agent.learning.evaluate import summary
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.provenance import versions
from iker_agent.learning.seeds import seed_for
from iker_agent.learning.shipped import family_of, shipped_policy
from iker_agent.learning.task_evaluation import EvalSettings, measure
from iker_agent.learning.world_evaluation import run_episode
from iker_agent.robots import robot_world
from iker_envs.spec import spec_of
from iker_envs.task import load_task
from iker_envs.world import WorldFault
from real_env.lab.client import LabOrders

TASKS = ("shoe_push", "shoe_place", "book_push", "book_reorient")  # of the paper's Tables I and II
_NUM_COPIES = 32  # of a configuration in simulation


class Watched:
    """A robot's world that remembers how far the hand lagged in every tick, and how long the tick took."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.lags_m: list[float] = []
        self.ticks_s: list[float] = []  # without those in which a fault was recovered from

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def step(self, action: np.ndarray) -> Any:
        """As the world's."""
        begun = time.monotonic()
        result = self._world.step(action)
        if "fault" not in result[-1]:
            self.ticks_s.append(time.monotonic() - begun)
        self.lags_m.append(result[-1]["lag_m"])
        return result


def policy_for(task_name: str, path: str) -> Any:
    """The policy of a file, or the shipped one of a task or of its family."""
    if path:
        return load_policy(path)
    task = load_task(task_name)
    scene = task.sample(None)
    spec = spec_of(scene)
    found = shipped_policy(task_name, spec) or shipped_policy(family_of(task.goal(0, scene)), spec)
    if found is None:
        raise ValueError(f"no policy is shipped for {task_name}; give --policy FILE")
    return found


def in_laboratory(task_name: str, policy: Any, given: argparse.Namespace) -> dict[str, Any]:
    """Episodes of every configuration on the emulated arm, and what the arm says of them.

    An arm that waits for a person ends them early, and the episodes until then count.
    """
    world = robot_world(task_name, "lab", "", given.clock, given.seed)
    watched = Watched(world)
    settings = world.config.lab  # type: ignore[attr-defined]  # a RealWorld
    orders = LabOrders(settings.host, settings.control_port, settings.token)
    rows = []
    peaks_nm = []
    faults: Counter[str] = Counter()
    stopped = ""
    try:
        try:
            for index in range(len(load_task(task_name).configurations)):
                for k in range(given.episodes):
                    orders.order("status")  # forgets the peak so far
                    rows.append(run_episode(watched, policy, seed_for(given.seed, index, k), index, faults))
                    peaks_nm.append(orders.order("status")["peak_nm"])
                    told = "success" if rows[-1][0] else "miss"
                    print(f"  {task_name} {index}: {told}, {peaks_nm[-1]:.0f} Nm", flush=True)
        except WorldFault as fault:
            if not peaks_nm:
                raise
            stopped = str(fault)
            print(f"  no further episode of {task_name}: {stopped}", flush=True)
        robot = world.robot  # type: ignore[attr-defined]
        codes = {f"{name} {code}": n for (name, code), n in robot.arm.codes.items() if code}
        stream = asdict(robot.statistics())
        status = orders.order("status")
    finally:
        orders.close()
        world.close()
    return {
        **asdict(summary(np.array(rows))),
        "faults": dict(faults),
        "stopped": stopped,
        "codes": codes,
        "stream": stream,
        "lag_mm": dict(
            zip(("p50", "p90", "p99"), (1e3 * np.percentile(watched.lags_m, [50, 90, 99])).tolist(), strict=True)
        ),
        "peak_nm": dict(zip(("p50", "max"), np.percentile(peaks_nm, [50, 100]).tolist(), strict=True)),
        "timing": {
            "C60": status["errors"].get("60", 0),
            "late_p99_ms": stream["lateness_p99_ms"],
            "longest_tick_s": max(watched.ticks_s),
            "laboratory_dropped_s": status["dropped_s"],
        },
    }


@contextlib.contextmanager
def busy(num_processes: int) -> Iterator[None]:
    """While so many processes compute."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(num_processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def line(where: str, result: dict[str, Any]) -> str:
    """Both rates with their intervals."""
    parts = [
        f"{name} {result[rate]:.2f} ({result[interval][0]:.2f}-{result[interval][1]:.2f})"
        for name, rate, interval in (
            ("success", "success_rate", "interval"),
            ("strict", "success_rate_strict", "interval_strict"),
        )
    ]
    return f"  {where:12s} n {result['num_episodes']:4d}  {'  '.join(parts)}"


def main() -> None:
    """Measure and print; write the JSON if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", help="may be repeated; default: the four of the paper")
    parser.add_argument("--policy", default="", help="a policy file in the place of the shipped ones")
    parser.add_argument("--episodes", type=int, default=1, help="of every configuration in the laboratory")
    parser.add_argument("--clock", type=float, default=1.0, help="laboratory seconds in a second")
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside the laboratory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    record: dict[str, Any] = {
        "versions": versions(),
        "machine": platform.machine(),
        "clock": given.clock,
        "busy": given.busy,
    }
    record |= {"seed": given.seed, "tasks": {}}
    for name in given.task or TASKS:
        policy = policy_for(name, given.policy)
        settings = EvalSettings(policy=given.policy, task=name, num_envs=_NUM_COPIES, seed=given.seed)
        simulated = asdict(measure(settings).result.overall)
        with busy(given.busy):
            laboratory = in_laboratory(name, policy, given)
        record["tasks"][name] = {"simulation": simulated, "laboratory": laboratory}
        print(name)
        print(line("simulation", simulated))
        print(line("laboratory", laboratory))
        for key in ("faults", "codes", "lag_mm", "peak_nm", "stream", "timing"):
            print(f"  {key}: {laboratory[key]}")
        if given.json:
            given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
