"""Does another physics engine do what MuJoCo on CPU threads does? Free motion, rest, a push, and a policy.

    python benchmarks/sim_parity.py --sim warp                  all rows; ends with 1 if a limit is not kept
    python benchmarks/sim_parity.py --sim warp --copies 512     narrower intervals for the policy
    python benchmarks/sim_parity.py --sim warp --copies 0       physics alone

Both engines get the same worlds, physical parameters and commands. Before contact they agree to rounding; a push is
chaotic, so after its first 50 substeps distributions are compared and no paths. The policy is the one that is shipped
for `--task`, trained on threads; its strict success on both engines is shown with 95 % intervals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import norm
from iker_envs.optics import default_cameras
from iker_envs.physics.engines import DEFAULT_ENGINE, ENGINES, base_name, make_sim
from iker_envs.scene import HOME_GRIPPER_QUATERNION, ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.sim import Sim, SimulationError, WorldReset, WorldState

NUM_WORLDS = 64
SAME_M = 1e-5  # free motion and rest
PUSHED_M = 1e-4  # after the first substeps of a push, in 90 % of the worlds
FIRST_SUBSTEPS = 50
ALL_SUBSTEPS = 200
SPEED_M_S = 0.1
MAX_STANDARD_ERRORS = 3.0  # between the mean final positions of the two engines
MAX_POINTS = 3.0  # between the rates of success, in percent
_BOX = ObjectModel("box", "box", np.array([0.10, 0.16, 0.11]), 0.6, friction=0.5)
_HAND = np.array([0.36, 0.0, 0.056, *HOME_GRIPPER_QUATERNION])  # it meets the box after about 25 substeps


@dataclass(frozen=True)
class Row:
    """A number, and the limit that it should keep."""

    what: str
    found: float
    limit: float
    unit: str
    note: str = ""

    @property
    def kept(self) -> bool:
        """Is the number within its limit?"""
        return self.found <= self.limit

    def __str__(self) -> str:
        verdict = "ok" if self.kept else "NOT KEPT"
        return f"| {self.what} | {self.found:.2g} {self.unit} | {self.limit:g} {self.unit} | {verdict} | {self.note} |"


def box_sims(engine: str, num_worlds: int = NUM_WORLDS) -> tuple[Sim, Sim]:
    """N worlds with a box on threads and on the other engine."""
    scene = Scene(
        (SceneObject(_BOX, upright_pose([0.45, 0.0, 0.055])),),
        default_cameras(),
        np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]]),
    )
    return make_sim(DEFAULT_ENGINE, scene, num_worlds), make_sim(engine, scene, num_worlds)


def physics_rows(engine: str, num_worlds: int = NUM_WORLDS) -> Iterator[Row]:
    """All rows but that of the policy."""
    sims = box_sims(engine, num_worlds)
    try:
        yield from _still_rows(sims)
        yield from _push_rows(sims)
    finally:
        for sim in sims:
            sim.close()


def _still_rows(sims: tuple[Sim, Sim]) -> Iterator[Row]:
    """Free motion of box and hand, then a box at rest on the table."""
    away = np.array([0.3, -0.3, 0.4, *HOME_GRIPPER_QUATERNION])
    target = np.array([0.35, -0.2, 0.45, *HOME_GRIPPER_QUATERNION])
    free = [_carry_out(sim, away, upright_pose([0.45, 0.1, 0.5], 0.4), target, 25) for sim in sims]
    yield Row("free motion", _farthest_m(*free), SAME_M, "m", "box and hand, 0.25 s")
    rest = [_carry_out(sim, away, upright_pose([0.45, 0.1, 0.055], 0.4), away, 100) for sim in sims]
    yield Row("rest", _farthest_m(*rest), SAME_M, "m", "box on the table, 1 s")


def _carry_out(sim: Sim, hand: np.ndarray, box: np.ndarray, target: np.ndarray, substeps: int) -> WorldState:
    _begin(sim, np.tile(hand, (sim.num_worlds, 1)), np.tile(box, (sim.num_worlds, 1, 1)))
    sim.step(np.tile(target, (sim.num_worlds, 1)), np.zeros(sim.num_worlds), substeps)
    return sim.state()


def _begin(sim: Sim, hands: np.ndarray, boxes: np.ndarray) -> None:
    closed = np.zeros(sim.num_worlds)
    sim.reset(np.arange(sim.num_worlds), WorldReset(hands, closed, boxes, closed))


def _farthest_m(a: WorldState, b: WorldState) -> float:
    moved = norm(a.object_pose[..., :3] - b.object_pose[..., :3]).max(initial=0.0)
    return float(max(moved, norm(a.gripper_pose[:, :3] - b.gripper_pose[:, :3]).max()))


def _push_rows(sims: tuple[Sim, Sim]) -> Iterator[Row]:
    """A push of boxes that stand, weigh and slide differently in every world."""
    paths = [_push(sim) for sim in sims]
    early_m = norm(paths[0][0] - paths[1][0])
    yield Row(
        f"push, {FIRST_SUBSTEPS} substeps",
        float(np.quantile(early_m, 0.9)),
        PUSHED_M,
        "m",
        f"90 % of {len(early_m)} worlds; median {np.median(early_m):.1g} m, most {early_m.max():.1g} m",
    )
    ends = [path[1] for path in paths]
    apart = ends[0].mean(axis=0) - ends[1].mean(axis=0)
    error = np.sqrt(sum(end.var(axis=0, ddof=1) / len(end) for end in ends))
    yield Row(
        f"push, {ALL_SUBSTEPS} substeps",
        float(np.max(np.abs(apart) / np.maximum(error, SAME_M))),
        MAX_STANDARD_ERRORS,
        "standard errors",
        f"between mean positions, {1e3 * np.linalg.norm(apart):.2g} mm apart",
    )


def _push(sim: Sim) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) of the boxes after the first substeps and after all of them."""
    rng = np.random.default_rng(0)
    n = sim.num_worlds
    everyone = np.arange(n)
    for what, values in {
        "friction": rng.uniform(0.7, 1.4, (n, 1)),
        "mass": rng.uniform(0.6, 1.6, (n, 1)),
        "com_offset": rng.uniform(-0.01, 0.01, (n, 1, 3)),
    }.items():
        if what in sim.randomizable:
            sim.randomize(what, everyone, values)
    boxes = np.array([[upright_pose([0.45, y, 0.055], yaw)] for y, yaw in rng.uniform(-0.05, 0.05, (n, 2))])
    hands = np.tile(_HAND, (n, 1))
    _begin(sim, hands, boxes)
    seen = []
    for substep in range(1, ALL_SUBSTEPS + 1):
        hands[:, 0] += SPEED_M_S * sim.substep_s
        sim.step(hands, np.zeros(n), 1)
        if substep in (FIRST_SUBSTEPS, ALL_SUBSTEPS):
            seen.append(sim.state().object_pose[:, 0, :3])
    return seen[0], seen[1]


def policy_row(engine: str, task: str, copies: int) -> Row:
    """Strict success of a shipped policy on both engines."""
    from iker_agent.learning.evaluate import StrictCopies, wilson
    from iker_agent.learning.shipped import shipped_policy
    from iker_envs.spec import spec_of
    from iker_envs.task import load_task

    policy = shipped_policy(task, spec_of(load_task(task).sample(None)))
    if policy is None:
        raise ValueError(f"no policy is shipped for the task {task!r}")
    rates = []
    notes = []
    for name in (DEFAULT_ENGINE, engine):
        fresh = StrictCopies(copies, task=task, randomisation="on", sim=name)
        good = int(fresh(policy, 0).sum())
        fresh.close()
        low, high = wilson(good, copies)
        rates.append(100 * good / copies)
        notes.append(f"{name} {rates[-1]:.1f} % ({100 * low:.1f}-{100 * high:.1f})")
    note = f"{copies} episodes: {', '.join(notes)}"
    return Row(f"policy, {task}", abs(rates[0] - rates[1]), MAX_POINTS, "points", note)


def main() -> int:
    """Print a row when it is measured; 1 if a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    others = ", ".join(name for name in ENGINES if name != DEFAULT_ENGINE)
    parser.add_argument("--sim", required=True, help=f"the engine to compare with threads: {others}")
    parser.add_argument("--worlds", type=int, default=NUM_WORLDS, help="of the physics rows")
    parser.add_argument("--task", default="shoe_push", help="whose shipped policy is tried")
    parser.add_argument("--copies", type=int, default=128, help="episodes of the policy on each engine; 0: none")
    options = parser.parse_args()
    if base_name(options.sim) == DEFAULT_ENGINE:
        parser.error(f"--sim is an engine to compare with {DEFAULT_ENGINE}: {others}")
    print("| what | found | limit | | |\n|---|---|---|---|---|")
    kept = True
    try:
        for row in _all_rows(options):
            print(row, flush=True)
            kept = kept and row.kept
    except (ValueError, ModuleNotFoundError, SimulationError) as error:
        sys.exit(f"sim_parity: {error}")
    return 0 if kept else 1


def _all_rows(options: argparse.Namespace) -> Iterator[Row]:
    yield from physics_rows(options.sim, options.worlds)
    if options.copies:
        yield policy_row(options.sim, options.task, options.copies)


if __name__ == "__main__":
    sys.exit(main())
