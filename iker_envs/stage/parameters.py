"""The physical parameters of every world: what its variant says, times what was drawn for it.

Randomisation + a world's generator  ->  Physics.draw  ->  Physics.apply(worlds, variant)  ->  Sim.randomize
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from iker_envs.randomisation import Randomisation
from iker_envs.scene import ObjectModel
from iker_envs.sim import Sim
from iker_envs.stage.variants import Variants

CONTACT_TIME_S = 0.02  # nominal time constant of contacts (MuJoCo's default; two steps of 10 ms)
CONTACT_DAMPING = 1.0  # nominal damping ratio: no bounce
MAX_COM_SHARE = 0.25  # of the way from the middle to the surface: a thin book whose mass is on one side cannot stand
_ROWS = ("friction", "mass", "com_offset", "restitution", "compliance")


class Physics:
    """Parameters of N worlds.

    `drawn` maps a row of the randomisation to the numbers of each world and object (N, O, size); `keypoints_m`
    (V, O, 4, 3) are the control keypoints of every variant's objects in their body frames.
    """

    def __init__(self, sim: Sim, variants: Variants, randomisation: Randomisation) -> None:
        self._sim = sim
        self._randomisation = randomisation
        nominal = Randomisation.off()
        shape = (sim.num_worlds, len(sim.objects))
        self.drawn = {n: np.tile(nominal.draw(n, np.random.default_rng(0)), (*shape, 1)) for n in _ROWS}
        models = [[v.scene.object(name).model for name in sim.objects] for v in variants.items]
        self.keypoints_m = np.array(
            [
                [v.scale_of(m.name) * m.control_keypoints_m() for m in row]
                for v, row in zip(variants.items, models, strict=True)
            ]
        )
        self._friction = _table(models, "friction")
        self._mass = _table(models, "mass_kg")
        self._max_com_m = MAX_COM_SHARE * _table(models, "size_m") / 2

    def draw(self, worlds: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the parameters of the worlds (M,) anew; `apply` makes them physical."""
        count = len(self._sim.objects)
        for w in worlds:
            for name in _ROWS:
                self.drawn[name][w] = self._randomisation.draw(name, rngs[w], count)

    def apply(self, worlds: np.ndarray, variant: np.ndarray) -> None:
        """Give the worlds (M,) their variants (M,) of the objects and the parameters drawn for them."""
        drawn = {name: values[worlds] for name, values in self.drawn.items()}
        randomize = self._sim.randomize
        randomize("geometry", worlds, variant)
        randomize("friction", worlds, self._friction[variant] * drawn["friction"][..., 0])
        randomize("mass", worlds, self._mass[variant] * drawn["mass"][..., 0])
        limit = self._max_com_m[variant]
        randomize("com_offset", worlds, np.clip(drawn["com_offset"], -limit, limit))
        randomize("restitution", worlds, CONTACT_DAMPING * drawn["restitution"][..., 0])
        randomize("compliance", worlds, CONTACT_TIME_S * drawn["compliance"][..., 0])

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


def _table(models: Sequence[Sequence[ObjectModel]], name: str) -> np.ndarray:
    """A field of every variant's objects (V, O, ...)."""
    return np.array([[getattr(m, name) for m in row] for row in models])
