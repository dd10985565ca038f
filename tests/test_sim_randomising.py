"""What `Sim.randomize` promises, held against every engine: a quantity has its effect, and in its worlds only."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from sim_worlds import (
    ACROSS,
    AWAY,
    ENGINES,
    ON_RACK,
    ON_TABLE,
    POISON,
    RACK,
    RACK_POSE,
    assert_same,
    everyone,
    pushing_force,
    rounding,
    rows,
    scene_of,
    sims,
    started,
    wait,
)

from iker_envs.randomisation import QUANTITIES
from iker_envs.scene import upright_pose
from iker_envs.sim import Sim, Variant

make = pytest.fixture(params=ENGINES)(sims)
PHYSICAL = {name: quantity for name, quantity in QUANTITIES.items() if quantity.physics}


def pushed(sim: Sim) -> np.ndarray:
    """How hard a hand must push to keep a box going (N,), newtons."""
    return -pushing_force(started(sim, hand=ACROSS))[:, 0]


def tipped(sim: Sim) -> np.ndarray:
    """Height (N,) at which a box ends that was put on the edge of a rack, a little more than half of it on the rack."""
    edge = RACK_POSE[0] - RACK.size_m[0] / 2
    started(sim, pose=upright_pose([edge + 0.004, 0.0, ON_RACK[2]]))
    return wait(sim, 1.0).object_pose[:, 0, 2]


def rebounded(sim: Sim) -> np.ndarray:
    """How high (N,) a box bounces that falls 10 cm."""
    started(sim, pose=upright_pose([0.45, 0, 0.155]))
    wait(sim, 0.16)
    return np.max([wait(sim, 0.01).object_pose[:, 0, 2] - ON_TABLE[2] for _ in range(20)], axis=0)


def sunk(sim: Sim) -> np.ndarray:
    """How deep (N,) a box rests in the table."""
    started(sim)
    return ON_TABLE[2] - wait(sim, 2.0).object_pose[:, 0, 2]


@dataclass(frozen=True)
class Effect:
    """A number that says what is meant and what a world does then, compared with one that was left alone."""

    values: object  # of the one object of the second world
    measure: Callable[[Sim], np.ndarray]
    shows: Callable[[float, float], bool]  # nominal, changed
    rack: bool = False


EFFECTS = {
    "friction": Effect(2.0, pushed, lambda nominal, changed: 1.7 < changed / nominal < 2.3),
    "mass": Effect(0.5, pushed, lambda nominal, changed: 0.4 < changed / nominal < 0.6),
    "com_offset": Effect(
        [-0.02, 0, 0], tipped, lambda nominal, changed: abs(nominal - 0.155) < 0.003 and changed < 0.14, rack=True
    ),
    "restitution": Effect(0.2, rebounded, lambda nominal, changed: changed > 0.01 > nominal),
    "compliance": Effect(5.0, sunk, lambda nominal, changed: 0.01 > changed > 3 * max(nominal, 1e-6)),
}


def changed_world(sim: Sim, what: str, effect: Effect) -> None:
    """Randomise the second of two worlds."""
    sim.randomize(what, np.array([1]), np.array([[effect.values]], dtype=float))


def test_every_physical_quantity_has_its_effect_here():
    assert set(EFFECTS) == set(PHYSICAL) and set(ENGINES) == set(POISON)


@pytest.mark.parametrize("what", PHYSICAL)
def test_a_quantity_has_its_effect_in_its_worlds_until_the_next_call(make, what):
    effect = EFFECTS[what]
    sim = make(scene_of(rack=effect.rack))
    if what not in sim.randomizable:
        with pytest.raises(ValueError, match=f"'{what}' cannot be randomised here; can be: "):
            changed_world(sim, what, effect)
        return
    untouched = effect.measure(make(scene_of(rack=effect.rack)))
    changed_world(sim, what, effect)
    for _ in range(2):  # it holds for a second episode
        nominal, changed = effect.measure(sim)
        np.testing.assert_allclose(untouched, nominal, rtol=rounding(sim))
        assert effect.shows(nominal, changed), (nominal, changed)


def test_the_nominal_numbers_change_nothing(make):
    sims = [make(scene_of(), 1) for _ in range(2)]
    for what, quantity in PHYSICAL.items():
        size = (quantity.size,) if quantity.size > 1 else ()
        of_world = (1,) if quantity.physics == "object" else ()
        if what in sims[0].randomizable:
            sims[0].randomize(what, np.arange(1), np.full((1, *of_world, *size), quantity.nominal))
    np.testing.assert_allclose(*(pushed(sim) for sim in sims), rtol=1e-6)


def test_welded_objects_ignore_it(make):
    sims = [make(scene_of(), 1, free=()) for _ in range(2)]
    for what, effect in EFFECTS.items():
        if what in sims[0].randomizable:
            sims[0].randomize(what, np.arange(1), np.array([[effect.values]], dtype=float))
    states = [wait(started(sim), 0.2, hand=ACROSS) for sim in sims]
    assert_same(*states, rounding=rounding(sims[0]))


@pytest.mark.parametrize("offset_m", [0.02, -0.02])
@pytest.mark.parametrize("sizes", [(1.0,), (1.0, 1.05)], ids=["one size", "two sizes"])
def test_a_moved_centre_of_mass_loses_no_contacts(make, offset_m, sizes):
    scene = scene_of(ON_RACK, rack=True)
    sim = make([Variant(scene, "box", size) for size in sizes])
    sim.randomize("geometry", everyone(sim), np.zeros(2, dtype=int))
    sim.randomize("com_offset", everyone(sim), np.tile([0, 0, offset_m], (2, 1, 1)))
    started(sim, pose=ON_RACK)
    assert wait(sim, 0.5).object_pose[:, 0, 2] == pytest.approx(ON_RACK[2], abs=0.001)


def test_contacts_that_bounce_are_as_soft_as_is_stable(make):
    """Without friction a box that falls keeps at most the energy it had, however its contacts are drawn."""
    sim = make(scene_of(), 3)
    for what, factors in {"restitution": [0.1, 0.5, 10.0], "compliance": [1.0, 1.0, 20.0]}.items():
        sim.randomize(what, everyone(sim), np.array(factors)[:, None])
    highest = rebounded(sim)
    assert (highest < 0.1).all() and not sim.state().unstable.any()


# -- variants ----------------------------------------------------------------------------------------------------------


def resting_height(sim: Sim) -> np.ndarray:
    """Height (N,) of the box's centre at rest."""
    started(sim, pose=upright_pose([0.45, 0, 0.08]))
    return wait(sim, 0.8).object_pose[:, 0, 2]


def test_every_world_holds_its_variant_until_it_takes_another(make):
    sim = make([Variant(scene_of(), "box", size) for size in (1.0, 1.2, 0.8)], 3)
    np.testing.assert_allclose(resting_height(sim), 0.055, atol=0.001)
    sim.randomize("geometry", np.array([1, 2]), np.array([1, 2]))
    np.testing.assert_array_equal(sim.variant, [0, 1, 2])
    np.testing.assert_allclose(resting_height(sim), [0.055, 0.066, 0.044], atol=0.001)
    sim.randomize("geometry", np.array([1]), np.array([0]))
    np.testing.assert_array_equal(sim.variant, [0, 0, 2])
    heights = resting_height(sim)
    np.testing.assert_allclose(heights, [0.055, 0.055, 0.044], atol=0.001)
    np.testing.assert_allclose(heights[0], heights[1], rtol=rounding(sim))  # as if it had never held another


@pytest.mark.parametrize("variants", [1, 2])
def test_a_world_that_takes_a_variant_is_nominal_again(make, variants):
    sim = make([Variant(scene_of(), "box", size) for size in (1.0, 1.2)[:variants]])
    for what, effect in EFFECTS.items():
        if what in sim.randomizable and what != "com_offset":
            changed_world(sim, what, effect)
    sim.randomize("geometry", np.array([1]), np.array([0]))
    left, right = pushed(sim)
    np.testing.assert_allclose(left, right, rtol=rounding(sim))


def test_furniture_stays_where_it_was_when_a_world_takes_a_variant(make):
    scene = scene_of(ON_RACK, rack=True)
    sim = make([Variant(scene), Variant(scene.with_poses({"rack": upright_pose([0.45, 0.1, 0.05])}))], 1)
    aside = np.tile(upright_pose([0.45, 0.6, 0.05]), (1, 1, 1))
    sim.reset(everyone(sim), rows(sim, furniture_pose=aside))
    sim.randomize("geometry", everyone(sim), np.array([1]))
    started(sim, pose=ON_RACK)
    assert wait(sim, 1.0).object_pose[0, 0, 2] == pytest.approx(0.055, abs=0.002)


# -- what cannot be ----------------------------------------------------------------------------------------------------

BAD = {
    "unknown": ("colour", np.ones((2, 1)), "'colour' cannot be randomised here; can be: geometry, friction, mass"),
    "no physics": ("object_yaw", np.ones((2, 1)), "'object_yaw' cannot be randomised here"),
    "shape": ("mass", np.ones((2, 5)), "mass is an array (2, 1), not (2, 5)"),
    "one for all": ("mass", 1.0, "mass is an array (2, 1), not 1.0"),
    "vectors": ("com_offset", np.zeros((2, 1)), "com_offset is an array (2, 1, 3), not (2, 1)"),
    "no mass": ("mass", np.array([[1.0], [0.0]]), "mass is a factor within [0.05, 20], not 0"),
    "negative": ("friction", -np.ones((2, 1)), "friction is a factor within [0, 10], not -1"),
    "stiff": ("compliance", np.full((2, 1), 0.5), "compliance is a factor within [1, 20], not 0.5"),
    "nan": ("mass", np.array([[1.0], [np.nan]]), "mass holds finite numbers"),
    "words": ("mass", np.array([["1"], ["2"]]), "mass holds finite numbers"),
    "no variant": ("geometry", np.array([0, 1]), "geometry is an index from 0 to 0"),
    "half a variant": ("geometry", np.zeros(2), "geometry is an index from 0 to 0"),
    "last variant": ("geometry", np.array([0, -1]), "geometry is an index from 0 to 0"),
}


@pytest.mark.parametrize(("what", "values", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_changes_nothing(make, what, values, words):
    sim = started(make(scene_of()))
    before = sim.get_state()
    with pytest.raises(ValueError) as caught:
        sim.randomize(what, everyone(sim), values)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert pickle.dumps(sim.get_state()) == pickle.dumps(before)


@pytest.mark.parametrize("worlds", [np.array([2]), np.array([0, 0]), np.array([True, False])], ids=str)
def test_worlds_that_are_none_are_refused(make, worlds):
    sim = started(make(scene_of(), 2), hand=AWAY)
    before = sim.get_state()
    with pytest.raises(ValueError, match="worlds are ascending indices from 0 to 1, not "):
        sim.randomize("mass", worlds, np.full((len(worlds), 1), 2.0))
    assert pickle.dumps(sim.get_state()) == pickle.dumps(before)
