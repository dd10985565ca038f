"""The physical parameters of every world: which variant it holds, and what was drawn for it.

Randomisation + a world's generator  ->  Physics.draw  ->  Physics.apply(worlds, variant)  ->  Sim.randomize

Which quantities there are stands in `iker_envs.randomisation.QUANTITIES`, which of them an engine takes in
`Sim.randomizable`; nominal values belong to the engine and the object models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from iker_envs.randomisation import QUANTITIES, Randomisation
from iker_envs.sim import Sim
from iker_envs.stage.variants import Variants

MAX_COM_SHARE = 0.25  # of the way from the middle to the surface: a thin book whose mass is on one side cannot stand


class Physics:
    """Parameters of N worlds.

    `drawn` maps a physical quantity to the numbers of each world and object (N, O, size), or of each world
    (N, 1, size); `keypoints_m` (V, O, 4, 3) are the control keypoints of every variant's objects in their body frames.

    ValueError if the engine cannot do what the randomisation or the variants ask for.
    """

    def __init__(self, sim: Sim, variants: Variants, randomisation: Randomisation) -> None:
        _check_engine(sim, variants, randomisation)
        self._sim = sim
        self._randomisation = randomisation
        counts = {"object": len(sim.objects), "world": 1}
        self._counts = {name: counts[q.physics] for name, q in QUANTITIES.items() if q.physics}  # numbers per world
        self._started = np.zeros(sim.num_worlds, dtype=bool)  # worlds that have had their first reset
        self.drawn = {
            name: np.full((sim.num_worlds, count, QUANTITIES[name].size), QUANTITIES[name].nominal)
            for name, count in self._counts.items()
        }
        models = [[v.scene.object(name).model for name in sim.objects] for v in variants.items]
        self.keypoints_m = np.array(
            [
                [v.scale_of(m.name) * m.control_keypoints_m() for m in row]
                for v, row in zip(variants.items, models, strict=True)
            ]
        )
        sizes = np.array([[model.size_m for model in row] for row in models])  # (V, O, 3)
        self._max_com_m = MAX_COM_SHARE * sizes / 2

    def draw(self, worlds: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the parameters of the worlds (M,) anew; `apply` makes them physical.

        What the engine takes at a world's start only is drawn once.
        """
        first = ~self._started[worlds]
        late = {name: n for name, n in self._counts.items() if self._sim.randomizable.get(name) != "startup"}
        for chosen, counts in ((worlds[first], self._counts), (worlds[~first], late)):
            if not len(chosen):
                continue
            for name, values in self._randomisation.draw_each(counts, [rngs[w] for w in chosen]).items():
                self.drawn[name][chosen] = values

    def _due(self, name: str, worlds: np.ndarray) -> np.ndarray:
        """In which of the worlds (M,) the engine still takes this quantity, (M,) bool."""
        return (self._sim.randomizable.get(name) != "startup") | ~self._started[worlds]

    def apply(self, worlds: np.ndarray, variant: np.ndarray) -> None:
        """Give the worlds (M,) their variants (M,) of the objects and the parameters drawn for them."""
        for name in self._sim.randomizable:
            due = self._due(name, worlds)
            chosen = worlds[due]
            if not len(chosen):
                continue
            values = variant[due] if name == "geometry" else self._values(name, chosen, variant[due])
            self._sim.randomize(name, chosen, values)
        self._started[worlds] = True

    def _values(self, name: str, worlds: np.ndarray, variant: np.ndarray) -> np.ndarray:
        """What was drawn for the worlds (M,), in the shape that `Sim.randomize` takes."""
        values = self.drawn[name][worlds]
        if name == "com_offset":
            limit = self._max_com_m[variant]
            values = np.clip(values, -limit, limit)
        if QUANTITIES[name].physics == "world":
            values = values[:, 0]
        return values[..., 0] if QUANTITIES[name].size == 1 else values

    def take(self, world: int, drawn: Mapping[str, np.ndarray]) -> None:
        """Parameters (O, size) by row for one world, in the place of what was drawn for it last."""
        for name, values in drawn.items():
            self.drawn[name][world] = values

    def get_state(self) -> dict[str, np.ndarray]:
        """What has been drawn."""
        return {name: values.copy() for name, values in self.drawn.items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go back to an earlier `get_state`; the simulation has a state of its own."""
        for name, values in self.drawn.items():
            values[:] = state[name]


def _check_engine(sim: Sim, variants: Variants, randomisation: Randomisation) -> None:
    """ValueError if the engine cannot randomise a physical quantity that has a range, or exchange objects."""
    can = ", ".join(sim.randomizable) or "nothing"
    asked = [name for name in randomisation.ranges if QUANTITIES[name].physics]
    if unable := [name for name in asked if name not in sim.randomizable]:
        raise ValueError(
            f"the engine {sim.name!r} cannot randomise {unable[0]!r}, only: {can}; leave it out of the randomisation, "
            "or take another engine"
        )
    if len(variants.items) > 1 and sim.randomizable.get("geometry") != "reset":
        raise ValueError(
            f"the engine {sim.name!r} cannot exchange the objects of a world between episodes, and here are "
            f"{len(variants.items)} variants of them; randomise without geometry_scale and give one configuration, or "
            "take another engine"
        )
