"""What no engine can take, told in one sentence before anything has changed; every engine asks here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from iker_envs.components import columns, norm
from iker_envs.contract import check_whole
from iker_envs.randomisation import QUANTITIES
from iker_envs.scene import Scene
from iker_envs.sim import Sim, Variant, WorldReset

_UNIT = 1e-2  # how far a quaternion's length may be from 1


def check_making(
    scene: Scene | Sequence[Variant], num_worlds: int, free: Collection[str] | None, num_threads: int
) -> list[Variant]:
    """The variants to simulate, of which a scene is one; ValueError unless `num_worlds` of them can be made."""
    variants = [Variant(scene)] if isinstance(scene, Scene) else list(scene)
    if not variants:
        raise ValueError("a simulation holds at least one variant of a scene, not none")
    check_whole("num_worlds", num_worlds, 1)
    check_whole("num_threads", num_threads, 0)
    names = [[(o.name, o.movable) for o in v.scene.objects] for v in variants]
    if differing := [k for k, found in enumerate(names) if found != names[0]]:
        raise ValueError(
            f"all variants have the objects of variant 0 ({', '.join(n for n, _ in names[0])}), each movable or not as "
            f"there; variant {differing[0]} has {', '.join(n for n, _ in names[differing[0]])}"
        )
    movable = variants[0].scene.movable
    if isinstance(free, str):
        raise ValueError(f"free is a collection of names, not the name {free!r}")
    if unknown := [name for name in free or () if name not in movable]:
        raise ValueError(f"{unknown[0]!r} cannot be free; movable: {', '.join(movable)}")
    return variants


def check_worlds(worlds: np.ndarray, num_worlds: int) -> None:
    """ValueError unless these are ascending indices (M,) of worlds."""
    rows = np.asarray(worlds)
    is_indices = rows.ndim == 1 and (not len(rows) or rows.dtype.kind in "iu")
    known = f"worlds are ascending indices from 0 to {num_worlds - 1}"
    if not is_indices:
        raise ValueError(f"{known}, not {worlds!r}")
    if len(rows) and (rows[0] < 0 or rows[-1] >= num_worlds or (rows[1:] <= rows[:-1]).any()):
        raise ValueError(f"{known}, not {rows.tolist()}")


def check_world(world: int, num_worlds: int) -> None:
    """ValueError unless this is the index of a world."""
    if check_whole("a world's index", world, 0) >= num_worlds:
        raise ValueError(f"a world's index is from 0 to {num_worlds - 1}, not {world}")


def check_reset(sim: Sim, worlds: np.ndarray, to: WorldReset) -> None:
    """ValueError unless these worlds can be put there."""
    check_worlds(worlds, sim.num_worlds)
    count = len(worlds)
    _check_poses("gripper_pose", to.gripper_pose, (count, 7))
    _check_numbers("opening_m", to.opening_m, (count,))
    _check_numbers("opening_command_m", to.opening_command_m, (count,))
    if to.object_pose is not None:
        _check_poses("object_pose", to.object_pose, (count, len(sim.objects), 7))
    if to.furniture_pose is not None:
        _check_poses("furniture_pose", to.furniture_pose, (count, len(sim.furniture), 7))


def check_command(num_worlds: int, gripper_pose: np.ndarray, opening_m: np.ndarray, num_substeps: int) -> None:
    """ValueError unless so many hands can be driven there."""
    check_whole("num_substeps", num_substeps, 1)
    _check_poses("gripper_pose", gripper_pose, (num_worlds, 7))
    _check_numbers("opening_m", opening_m, (num_worlds,))


def check_values(sim: Sim, what: str, worlds: np.ndarray, values: np.ndarray, num_variants: int) -> None:
    """ValueError unless the engine can randomise `what`, and to these values."""
    if what not in sim.randomizable:
        raise ValueError(f"{what!r} cannot be randomised here; can be: {', '.join(sim.randomizable)}")
    check_worlds(worlds, sim.num_worlds)
    if what == "geometry":
        _check_numbers(what, values, (len(worlds),))
        whole = np.asarray(values).dtype.kind in "iu" or not len(worlds)
        if not whole or np.any(values < 0) or np.any(values >= num_variants):
            raise ValueError(f"geometry is an index from 0 to {num_variants - 1}, not {values!r}")
        return
    quantity = QUANTITIES[what]
    of_world = (len(sim.objects),) if quantity.physics == "object" else ()
    size = (quantity.size,) if quantity.size > 1 else ()
    _check_numbers(what, values, (len(worlds), *of_world, *size))
    least, most = quantity.limits
    if values.size and (values.min() < least or values.max() > most):
        wrong = values[(values < least) | (values > most)].flat[0]
        meaning = "a factor" if quantity.operation == "scale" else "an offset"
        raise ValueError(f"{what} is {meaning} within [{least:g}, {most:g}], not {wrong:g}")


def check_state(state: Any, present: Mapping[str, Any], where: str = "the state") -> None:
    """ValueError unless a state has the parts and array shapes of the present one; NaN makes a world unstable."""
    if not isinstance(state, Mapping) or set(state) != set(present):
        found = (", ".join(map(str, state)) or "an empty one") if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"{where} is a mapping with {', '.join(present)}, as get_state gives it, not {found}")
    for name, part in present.items():
        if isinstance(part, Mapping):
            check_state(state[name], part, f"{where}'s {name}")
        elif np.shape(state[name]) != part.shape:
            raise ValueError(f"{where}'s {name} is an array {part.shape}, not {np.shape(state[name])}")
        elif (kind := np.asarray(state[name]).dtype).kind not in "biuf":
            raise ValueError(f"{where}'s {name} is an array of numbers, not of {kind}")


def check_shape(name: str, values: Any, shape: tuple[int, ...]) -> None:
    """ValueError unless this is an array of a shape, of whatever library."""
    if tuple(getattr(values, "shape", ())) != shape:
        raise ValueError(f"{name} is an array {shape}, not {tuple(getattr(values, 'shape', ())) or values!r}")


def _check_poses(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    _check_numbers(name, values, shape)
    length = norm(columns(values)[3:])
    is_wrong = np.abs(length - 1.0) > _UNIT
    if is_wrong.any():
        raise ValueError(f"{name} ends in unit quaternions (w, x, y, z), not in {values[is_wrong][0, 3:].tolist()}")


def _check_numbers(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    """ValueError unless this is an array of finite numbers of a shape."""
    if not isinstance(values, np.ndarray) or values.shape != shape:
        raise ValueError(f"{name} is an array {shape}, not {getattr(values, 'shape', None) or values!r}")
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise ValueError(f"{name} holds finite numbers, not nan, infinite ones or anything else")
