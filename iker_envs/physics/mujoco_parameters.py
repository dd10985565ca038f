"""Every world's own physical parameters in MuJoCo: model fields with a row per world.

    a world's variant, and what was drawn for it  ->  WorldModels.randomize  ->  rows of the engine's model fields

A physical quantity of `iker_envs.randomisation.QUANTITIES` is one function at the end of this file; its decorator names
the model fields that it writes. Nominal values are those of the compiled variants, contacts included: MuJoCo's contacts
are springs with a time constant (nominal 20 ms, two substeps) and a damping ratio (nominal 1, no bounce).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np

from iker_envs.physics.mujoco_addresses import Addresses
from iker_envs.randomisation import QUANTITIES
from iker_envs.sim import Variant

# Where static bodies stand is set by resets, whatever the variant.
_PLACES = ("body_pos", "body_quat")
# What set_const derives from shapes alone. Version 4.0 gets it wrong for meshes, so the compiled values stay.
_OF_SHAPE = ("geom_rbound", "geom_aabb", "bvh_aabb", "dof_length")
_SLIDING = 0  # column of geom_friction, beside torsion and rolling
# Columns of geom_solref.
_TIME_CONSTANT = 0
_DAMPING_RATIO = 1


@dataclass(frozen=True)
class _Effect:
    """How a quantity is applied: the function, the model fields that it writes, whether derived constants follow."""

    apply: Callable[..., None]
    fields: tuple[str, ...]
    derived: bool


class Fields(Protocol):
    """What holds a row of model fields per world: `mujoco.batch.Batch`, or `warp_fields.WarpFields`."""

    nsim: int

    def expand(self, name: str) -> np.ndarray:
        """The rows (N, ...) of a field, which may be written."""
        ...

    def set_const(self, worlds: np.ndarray) -> None:
        """Compute what follows from the rows of the worlds (M,)."""
        ...


EFFECTS: dict[str, _Effect] = {}


def _effect(what: str, *fields: str, derived: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register how a quantity is applied.

    The function takes the WorldModels, the worlds (M,), for a quantity of objects the index of a free one, and the
    drawn numbers, (M,) or (M, size).
    """

    def register(apply: Callable[..., None]) -> Callable[..., None]:
        EFFECTS[what] = _Effect(apply, fields, derived)
        return apply

    return register


class WorldModels:
    """The model fields of N worlds: what is randomised, what differs between variants, where static bodies stand.

    `field[name]` (N, ...) is what the engine computes with, `nominal[name]` (V, ...) what the variants were compiled
    to, `variant` (N,) which of them a world holds. `known` names the fields that can have a row per world. `changed`
    (N,) marks the worlds whose rows were written; an engine that keeps copies of the rows clears it.
    """

    def __init__(
        self,
        engine: Fields,
        models: Sequence[mujoco.MjModel],
        variants: Sequence[Variant],
        places: Addresses,
        known: Collection[str],
    ) -> None:
        self._engine = engine
        self.places = places
        self.substep_s = models[0].opt.timestep
        self.num_variants = len(models)
        self.variant = np.zeros(engine.nsim, dtype=int)
        randomised = [name for effect in EFFECTS.values() for name in effect.fields]
        differing = [name for name in sorted(known) if "." not in name and _differs(models, name)]
        self.field = {name: engine.expand(name) for name in dict.fromkeys((*randomised, *_PLACES, *differing))}
        rows = {name: values.shape[1] for name, values in self.field.items()}  # of bvh_aabb those of the bodies only
        self.nominal = {name: np.stack([getattr(m, name)[:count] for m in models]) for name, count in rows.items()}
        self._of_variant = [name for name in self.field if name not in _PLACES]
        self._shape_fields = [name for name in _OF_SHAPE if name in differing]
        movable = variants[0].scene.movable
        self.nominal_mass_kg = np.array([[v.scene.object(name).model.mass_kg for name in movable] for v in variants])
        first_geoms = [geoms[0] for geoms in places.geoms]
        self.nominal_contact = self.nominal["geom_solref"][:, first_geoms]  # (V, O, 2)
        self.contact = self.nominal_contact[self.variant]  # (N, O, 2) as asked for; stiffer ones are softened
        self.changed = np.ones(engine.nsim, dtype=bool)
        self._stale = np.zeros(engine.nsim, dtype=bool)  # worlds whose derived constants must follow

    def take_variant(self, worlds: np.ndarray, variant: np.ndarray) -> None:
        """Give the worlds (M,) the objects of their variants (M,), with nominal parameters."""
        self.variant[worlds] = variant
        for name in self._of_variant:
            self.field[name][worlds] = self.nominal[name][variant]
        self.contact[worlds] = self.nominal_contact[variant]
        self._stale[worlds] = True
        self.changed[worlds] = True

    def randomize(self, what: str, worlds: np.ndarray, values: np.ndarray) -> None:
        """Apply drawn numbers in the worlds (M,); see `Sim.randomize`."""
        effect = EFFECTS[what]
        if QUANTITIES[what].physics == "object":
            for k in self.places.free:
                effect.apply(self, worlds, k, values[:, k])
        else:
            effect.apply(self, worlds, values)
        self._stale[worlds] |= effect.derived
        self.changed[worlds] = True

    def place(self, worlds: np.ndarray, bodies: np.ndarray, pose: np.ndarray) -> None:
        """Put static bodies (B,) of the worlds (M,) at poses (M, B, 7)."""
        if len(bodies):
            rows = _column(worlds)
            self.field["body_pos"][rows, bodies] = pose[..., :3]
            self.field["body_quat"][rows, bodies] = pose[..., 3:]
            self.changed[worlds] = True

    def refresh(self) -> None:
        """Recompute the constants that follow from mass and geometry where these have changed."""
        if self._stale.any():
            self._derive(np.flatnonzero(self._stale))
            self._stale[:] = False

    def _derive(self, worlds: np.ndarray) -> None:
        self._engine.set_const(worlds)
        for name in self._shape_fields:
            self.field[name][worlds] = self.nominal[name][self.variant[worlds]]

    def restore(self, fields: dict[str, np.ndarray], contact: np.ndarray, variant: np.ndarray) -> None:
        """Go back to an earlier `field`, `contact` and `variant`."""
        for name, values in fields.items():
            self.field[name][:] = values
        self.contact[:] = contact
        self.variant[:] = variant
        self._derive(np.arange(len(self.variant)))
        self._stale[:] = False
        self.changed[:] = True

    def of_body(self, name: str, worlds: np.ndarray, k: int) -> np.ndarray:
        """Nominal rows (M, ...) of a body field for object k of the worlds' variants."""
        return self.nominal[name][self.variant[worlds], self.places.bodies[k]]


def _column(indices: np.ndarray) -> np.ndarray:
    """Indices (M, 1) that go with others (B,) to cells (M, B)."""
    return np.reshape(indices, (-1, 1))


def _differs(models: Sequence[mujoco.MjModel], name: str) -> bool:
    first = np.asarray(getattr(models[0], name))
    return any(not np.array_equal(first, getattr(m, name)) for m in models[1:])


# -- the quantities --------------------------------------------------------------------------------------------------


@_effect("friction", "geom_friction")
def _friction(models: WorldModels, worlds: np.ndarray, k: int, factor: np.ndarray) -> None:
    geoms = models.places.geoms[k]
    nominal = models.nominal["geom_friction"][_column(models.variant[worlds]), geoms, _SLIDING]
    models.field["geom_friction"][_column(worlds), geoms, _SLIDING] = nominal * factor[:, None]


@_effect("mass", "body_mass", "body_inertia", derived=True)
def _mass(models: WorldModels, worlds: np.ndarray, k: int, factor: np.ndarray) -> None:
    body = models.places.bodies[k]
    mass_kg = models.nominal_mass_kg[models.variant[worlds], k] * factor
    scale = mass_kg / models.of_body("body_mass", worlds, k)
    models.field["body_mass"][worlds, body] = mass_kg
    models.field["body_inertia"][worlds, body] = models.of_body("body_inertia", worlds, k) * scale[:, None]


@_effect("com_offset", "body_ipos", derived=True)
def _com_offset(models: WorldModels, worlds: np.ndarray, k: int, offset_m: np.ndarray) -> None:
    models.field["body_ipos"][worlds, models.places.bodies[k]] = models.of_body("body_ipos", worlds, k) + offset_m


@_effect("restitution", "geom_solref")
def _restitution(models: WorldModels, worlds: np.ndarray, k: int, factor: np.ndarray) -> None:
    _set_contact(models, worlds, k, _DAMPING_RATIO, factor)


@_effect("compliance", "geom_solref")
def _compliance(models: WorldModels, worlds: np.ndarray, k: int, factor: np.ndarray) -> None:
    _set_contact(models, worlds, k, _TIME_CONSTANT, factor)


def _set_contact(models: WorldModels, worlds: np.ndarray, k: int, column: int, factor: np.ndarray) -> None:
    """A contact's spring oscillates at 1 / (time constant * damping ratio); faster than this it gains energy."""
    models.contact[worlds, k, column] = models.nominal_contact[models.variant[worlds], k, column] * factor
    time_s, ratio = models.contact[worlds, k].T
    time_s = np.maximum(time_s, 2 * models.substep_s / np.minimum(ratio, 1.0))
    solref = np.stack([time_s, ratio], axis=-1)
    models.field["geom_solref"][_column(worlds), models.places.geoms[k]] = solref[:, None]
