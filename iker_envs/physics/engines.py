"""Engines by name: the one place that says which ones there are.

    "warp:njmax=256"  ->  check_engine  ->  make_sim  ->  a Sim          Sim, "torch"  ->  make_ticks  ->  its Ticks

An engine is a class with the members of `iker_envs.sim.Sim` and a function here that makes one. Everything else knows
the name only, which may carry the engine's own settings; an engine's module is imported when one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from iker_envs.contract import check_whole
from iker_envs.documents import shown
from iker_envs.scene import Scene
from iker_envs.sim import Sim, Ticks, Variant

DEFAULT_ENGINE = "threads"
ARRAYS = ("numpy", "torch")
"""Libraries whose arrays a `Ticks` takes and gives."""
MOST_ROOM = 2**16  # contacts or rows of a world; more is a slip, and the memory for it would end the process


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
    `num_threads` threads, 0 for one per core. ValueError names the known engines, or what cannot be simulated;
    ModuleNotFoundError the extra that an engine needs.
    """
    settings = check_engine(name)
    return ENGINES[base_name(name)](scene, num_worlds, free, num_threads, **settings)


def base_name(name: str) -> str:
    """The engine's name without its settings."""
    return name.split(":", 1)[0]


def check_engine(name: str) -> dict[str, int | str]:
    """As `engine_settings`, and ModuleNotFoundError for an engine that is not installed; both before any is made."""
    settings = engine_settings(name)
    own = base_name(name)
    modules, extra = NEEDS.get(own, ((), ""))
    if missing := [module for module in modules if find_spec(module) is None]:
        raise ModuleNotFoundError(
            f"the engine {own!r} needs {missing[0]}: python -m pip install 'iker[{extra}]'", name=missing[0]
        )
    return settings


def engine_settings(name: str) -> dict[str, int | str]:
    """The settings in an engine's name, such as "warp:njmax=256,device=cpu", here or not.

    ValueError for an engine or a setting that is unknown.
    """
    if not isinstance(name, str) or base_name(name) not in ENGINES:
        raise ValueError(f"the engine {name!r} is unknown; known: {', '.join(ENGINES)}")
    own = base_name(name)
    settings: dict[str, Any] = {}
    for item in filter(None, name[len(own) + 1 :].split(",")):
        key, _, value = item.partition("=")
        if key not in SETTINGS.get(own, ()):
            known = ", ".join(SETTINGS.get(own, ())) or "none"
            raise ValueError(f"the engine {own!r} has no setting {key!r} in {name!r}; it has: {known}")
        if key == "device":
            settings[key] = value
        else:
            number = int(value) if value.isdecimal() else value
            settings[key] = check_whole(f"the setting {key} of the engine {own!r}", number, 1)
            if settings[key] > MOST_ROOM:
                raise ValueError(f"the setting {key} of the engine {own!r} is at most {MOST_ROOM}, not {shown(number)}")
    return settings


def make_ticks(sim: Sim, arrays: str) -> Ticks:
    """What a tick needs of a simulation, on arrays of a library of `ARRAYS`; ValueError for another one."""
    if arrays not in ARRAYS:
        raise ValueError(f"arrays are of {' or '.join(ARRAYS)}, not of {arrays!r}")
    if arrays == "numpy":
        return sim
    from iker_envs.physics.torch_ticks import torch_ticks

    return torch_ticks(sim)


def _threads(scene: Scene | Sequence[Variant], num_worlds: int, free: Collection[str] | None, num_threads: int) -> Sim:
    """MuJoCo on CPU threads."""
    from iker_envs.physics.mujoco_sim import MujocoSim

    return MujocoSim(scene, num_worlds, free, num_threads)


def _warp(
    scene: Scene | Sequence[Variant],
    num_worlds: int,
    free: Collection[str] | None,
    num_threads: int,
    *,
    device: str = "",
    nconmax: int = 0,
    njmax: int = 0,
) -> Sim:
    """MuJoCo Warp on a CUDA device, or slowly on the CPU."""
    import warp

    warp.config.log_level = warp.LOG_ERROR  # before its first use: nothing about caches at every start
    from iker_envs.physics.warp_sim import WarpSim

    return WarpSim(scene, num_worlds, free, num_threads, device=device, nconmax=nconmax, njmax=njmax)


def _isaac(
    scene: Scene | Sequence[Variant],
    num_worlds: int,
    free: Collection[str] | None,
    num_threads: int,
    *,
    device: str = "",
) -> Sim:
    """Isaac Gym Preview 4, in a process of its own."""
    from iker_envs.physics.isaac.client import IsaacSim

    return IsaacSim(scene, num_worlds, free, num_threads, device=device)


ENGINES: dict[str, Callable[..., Sim]] = {"threads": _threads, "warp": _warp, "isaac": _isaac}
SETTINGS: Mapping[str, tuple[str, ...]] = {"warp": ("device", "nconmax", "njmax"), "isaac": ("device",)}
"""What may follow an engine's name."""
NEEDS: Mapping[str, tuple[tuple[str, ...], str]] = {"warp": (("mujoco_warp", "warp", "torch"), "warp")}
"""Modules that an engine imports, and the extra that brings them."""
