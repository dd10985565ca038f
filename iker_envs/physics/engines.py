"""Engines by name: the one place that says which ones there are.

An engine is a class with the members of `iker_envs.sim.Sim` and a function here that makes one. Everything else knows
the name only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from iker_envs.physics.isaac.client import IsaacSim
from iker_envs.physics.mujoco_sim import MujocoSim
from iker_envs.scene import Scene
from iker_envs.sim import Sim, Variant

DEFAULT_ENGINE = "threads"


def make_sim(
    name: str,
    scene: Scene | Sequence[Variant],
    num_worlds: int,
    free: Collection[str] | None = None,
    *,
    num_threads: int = 0,
) -> Sim:
    """N worlds of a scene, or of variants of one, on the engine called `name`.

    `free` names the objects that can move (None: all movable ones), the rest is welded; an engine on the CPU uses
    `num_threads` threads, 0 for one per core. ValueError names the known engines, or what cannot be simulated.
    """
    if name not in ENGINES:
        raise ValueError(f"the engine {name!r} is unknown; known: {', '.join(ENGINES)}")
    return ENGINES[name](scene, num_worlds, free, num_threads)


def _threads(scene: Scene | Sequence[Variant], num_worlds: int, free: Collection[str] | None, num_threads: int) -> Sim:
    """MuJoCo on CPU threads."""
    return MujocoSim(scene, num_worlds, free, num_threads)


ENGINES: dict[str, Callable[[Scene | Sequence[Variant], int, Collection[str] | None, int], Sim]] = {
    "threads": _threads,
    "isaac": IsaacSim,
}
