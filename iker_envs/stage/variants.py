"""Which objects a world may hold: the configurations of a task, times the sizes that geometry is randomised over.

    StartSource, Randomisation  ->  make_variants  ->  Variants(scenes and scales, index of (configuration, size))

Worlds of one batch may hold different objects: every variant is compiled once, and a world takes another one with its
next episode. All variants have the same objects by name; models, sizes and masses differ.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iker_envs.geometry import Array
from iker_envs.planning.nearby import free_objects
from iker_envs.randomisation import Randomisation
from iker_envs.scene import ObjectModel, Scene
from iker_envs.sim import Variant
from iker_envs.spec import check_target
from iker_envs.stage.starts import Start, StartSource

MAX_VARIANTS = 32  # of one environment whose geometry is randomised
_SIZES = (5, 3)  # of the manipulated object, over the range of geometry_scale: 5 where they fit, else 3


@dataclass(frozen=True, eq=False)
class Variants:
    """All variants, and what is common to them."""

    starts: tuple[Start, ...]  # one example per configuration
    free: tuple[str, ...]  # objects with a body of their own, in scene order
    items: tuple[Variant, ...]
    first: tuple[int, ...]  # by configuration: index of its first size
    scales: np.ndarray  # (S,) sizes, the nominal one alone when geometry is not randomised

    @property
    def scene(self) -> Scene:
        return self.starts[0].scene

    def pick(self, configuration: int, scale: float) -> int:
        """Index of the variant of a configuration whose size is nearest to a drawn one."""
        return self.first[configuration] + int(np.argmin(np.abs(self.scales - scale)))


def make_variants(source: StartSource, randomisation: Randomisation, free: str) -> Variants:
    """The variants of a source; ValueError when configurations cannot share a batch or a goal is out of the world."""
    starts = tuple(source.sample(np.random.default_rng(0), c) for c in range(source.num_configurations))
    _check_alike(starts)
    for start in starts:
        check_target(start.goal, start.scene)
    movable = starts[0].scene.movable
    near = {name for s in starts for name in free_objects(s.scene, s.goal)} if free == "near" else set(movable)
    keys = [json.dumps([o.model.to_dict() for o in s.scene.objects]) + s.goal.object for s in starts]
    distinct = list(dict.fromkeys(keys))
    scales = _scales(randomisation, len(distinct))
    chosen = [starts[keys.index(key)] for key in distinct]
    items = tuple(Variant(s.scene, s.goal.object, float(scale)) for s in chosen for scale in scales)
    first = tuple(distinct.index(key) * len(scales) for key in keys)
    return Variants(starts, tuple(n for n in movable if n in near), items, first, scales)


def _scales(randomisation: Randomisation, num_sets: int) -> np.ndarray:
    """Sizes (S,) of each of so many sets of objects; the nominal one is the middle one where the range holds it."""
    if "geometry_scale" not in randomisation.ranges:
        return np.ones(1)
    count = next((n for n in _SIZES if n * num_sets <= MAX_VARIANTS), None)
    if count is None:
        raise ValueError(
            f"geometry_scale makes {_SIZES[-1]} sizes of each of {num_sets} different sets of objects; at most "
            f"{MAX_VARIANTS // _SIZES[-1]} sets fit; use fewer configurations, or randomise without geometry_scale"
        )
    low, high = randomisation.ranges["geometry_scale"]
    middle = 1.0 if low < 1.0 < high else (low + high) / 2
    half = count // 2 + 1
    return np.unique(np.concatenate([np.linspace(low, middle, half), np.linspace(middle, high, half)]))


def _check_alike(starts: Sequence[Start]) -> None:
    names = [[(o.name, o.movable) for o in s.scene.objects] for s in starts]
    for index, (start, found) in enumerate(zip(starts, names, strict=True)):
        if found != names[0]:
            raise ValueError(
                f"configurations of one environment have the same objects; 0 has {', '.join(n for n, _ in names[0])}, "
                f"{index} has {', '.join(n for n, _ in found)}"
            )
        if start.goal.grasp != starts[0].goal.grasp:
            raise ValueError(
                f"configurations of one environment all grasp or all push; 0 and {index} differ in the goal's `grasp`"
            )


def standing_higher(model: ObjectModel, pose: Array, scale: Array) -> np.ndarray:
    """The pose (..., 7) of a scaled object whose lowest side stays where that of the nominal one is."""
    lifted = np.array(pose)
    lifted[..., 2] += (scale - 1.0) * model.half_height_m(lifted[..., 3:])
    return lifted
