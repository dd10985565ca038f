"""What `iker_envs.sim.Sim` promises, held against every engine: one test a promise, through the door alone.

What is randomised is in test_sim_randomising.py. sim_worlds.py says which engines there are.
"""

from __future__ import annotations

import inspect
import pickle
import typing
from dataclasses import replace

import mujoco
import numpy as np
import pytest
from sim_worlds import (
    ACROSS,
    AWAY,
    BESIDE,
    BOX,
    ENGINES,
    ON_RACK,
    ON_TABLE,
    POISON,
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

from iker_envs.geometry import norm, pose_apply, pose_compose
from iker_envs.physics.engines import ENGINES as KNOWN
from iker_envs.physics.mujoco_model import build_model
from iker_envs.randomisation import QUANTITIES
from iker_envs.scene import HOME_GRIPPER_QUATERNION, upright_pose
from iker_envs.sim import Sim, Variant, WorldReset

GRAVITY_M_S2 = 9.81
PARTS = ("gripper_pose", "opening_m", "object_pose", "object_twist", "contact_force", "unstable")
make = pytest.fixture(params=ENGINES)(sims)


# -- the door itself ---------------------------------------------------------------------------------------------------


def test_every_engine_is_held_to_this_contract():
    assert tuple(KNOWN) == ENGINES


def test_an_engine_has_every_member_with_the_same_signature(make):
    sim = make(scene_of())
    for name, kind in typing.get_type_hints(Sim).items():
        expected = typing.get_origin(kind) or kind
        if expected is not typing.Any:
            assert isinstance(getattr(sim, name), expected), name
    methods = [name for name, value in vars(Sim).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert len(methods) == 8
    for name in methods:
        ours, asked = (inspect.signature(getattr(of, name)) for of in (type(sim), Sim))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in asked.parameters.values()
        ], name


def test_members_say_what_is_simulated(make, rack_scene):
    sim = make(rack_scene, 3, ("left_shoe",))
    assert (sim.num_worlds, sim.objects) == (3, ("shoe_box", "left_shoe", "right_shoe"))
    assert (sim.furniture, sim.free) == (("rack",), ("left_shoe",))
    assert sim.name in ENGINES and sim.device in ("cpu", "cuda:0") and 0 < sim.substep_s <= 0.1
    np.testing.assert_array_equal(sim.variant, np.zeros(3))
    physical = {name for name, quantity in QUANTITIES.items() if quantity.physics}
    assert set(sim.randomizable) <= {"geometry", *physical}
    assert set(sim.randomizable.values()) <= {"startup", "reset"}


def test_a_state_has_a_row_a_world(make, rack_scene):
    sim = make(rack_scene, 3)
    state = sim.state()
    shapes = {"gripper_pose": (7,), "opening_m": (), "object_pose": (3, 7), "object_twist": (3, 6)}
    for name, shape in {**shapes, "contact_force": (3,), "unstable": ()}.items():
        assert getattr(state, name).shape == (3, *shape), name
    assert state.unstable.dtype == bool
    np.testing.assert_allclose(norm(state.object_pose[..., 3:]), 1.0, atol=1e-6)


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_a_state_keeps_its_numbers_when_the_world_goes_on(make):
    sim = started(make(scene_of()), pose=upright_pose([0.45, 0, 0.3]))
    kept = sim.state()
    copies = pickle.loads(pickle.dumps(kept))
    moved = wait(sim, 0.1, hand=BESIDE)
    started(sim, hand=BESIDE)
    assert_same(kept, copies)
    assert moved.object_pose[0, 0, 2] < kept.object_pose[0, 0, 2]
    for name in PARTS:
        assert not np.shares_memory(getattr(kept, name), getattr(sim.state(), name)), name


def test_arrays_that_are_given_are_read_once(make):
    sims = [started(make(scene_of())) for _ in range(2)]
    to = rows(sims[1], hand=BESIDE)
    commanded = np.tile(AWAY, (2, 1))
    opening = np.zeros(2)
    factor = np.full((2, 1), 0.5)
    for k, sim in enumerate(sims):
        sim.randomize("friction", everyone(sim), factor)
        sim.reset(everyone(sim), to)
        sim.step(commanded, opening, 5)
        if k == 0:
            first = sim.state()
    for array in (to.gripper_pose, to.opening_m, to.object_pose, commanded, opening, factor):
        array += 0.3
    assert_same(sims[1].state(), first, rounding=rounding(sims[1]))
    saved = sims[0].get_state()
    for values in saved["state"].values():
        values[...] = 0.0
    assert_same(sims[0].state(), first)


# -- reset -------------------------------------------------------------------------------------------------------------


def test_a_reset_shows_at_once_and_only_in_its_worlds(make, rack_scene):
    sim = make(rack_scene, 3)
    sim.reset(everyone(sim), rows(sim))
    poses = np.array([[rack_scene.object(name).pose for name in sim.objects]])
    poses[..., 2] += 0.02
    hand = np.array([[0.3, 0.1, 0.4, *pose_compose(BESIDE, upright_pose(np.zeros(3), 0.4))[3:]]])
    before = wait(sim, 0.05)
    sim.reset(np.array([1]), WorldReset(hand, np.array([0.05]), poses, np.array([0.05])))
    state = sim.state()
    assert_same(state, before, worlds=[0, 2])
    np.testing.assert_allclose(state.object_pose[1], poses[0], atol=1e-6)
    np.testing.assert_allclose(state.gripper_pose[1, :3], hand[0, :3], atol=1e-6)
    assert abs(state.gripper_pose[1, 3:] @ hand[0, 3:]) == pytest.approx(1.0, abs=1e-6)
    assert state.opening_m[1] == pytest.approx(0.05, abs=1e-6)
    np.testing.assert_array_equal(state.object_twist[1], 0.0)


def test_worlds_do_not_notice_what_happens_in_others(make):
    sims = [started(make(scene_of(rack=True), 3), pose=upright_pose([0.45, 0.02, 0.2])) for _ in range(2)]
    for sim in sims:
        wait(sim, 0.1)
    sims[1].randomize("friction", np.array([1]), np.full((1, 1), 0.1))
    sims[1].reset(np.array([1]), rows(sims[1], 1, hand=BESIDE, furniture_pose=RACK_POSE[None, None] + 0.0))
    states = [wait(sim, 0.3, hand=BESIDE) for sim in sims]
    assert_same(states[0], states[1], worlds=[0, 2], rounding=rounding(sims[0]))
    assert not np.array_equal(states[0].object_pose[1], states[1].object_pose[1])


def test_a_reset_of_the_hand_alone_leaves_objects_in_motion(make):
    sim = started(make(scene_of()), pose=upright_pose([0.45, 0, 0.4]))
    before = wait(sim, 0.1)
    sim.reset(everyone(sim), rows(sim, hand=BESIDE, object_pose=None))
    after = sim.state()
    np.testing.assert_allclose(after.gripper_pose[:, :3], np.tile(BESIDE[:3], (2, 1)), atol=1e-6)
    np.testing.assert_array_equal(after.object_pose, before.object_pose)
    np.testing.assert_array_equal(after.object_twist, before.object_twist)
    assert after.object_twist[0, 0, 2] < -0.8, "it falls"


def test_furniture_stands_where_a_reset_puts_it_until_the_next(make):
    sim = make(scene_of(ON_RACK, rack=True))
    aside = np.array([[RACK_POSE], [upright_pose([0.45, 0.5, 0.05])]])
    sim.reset(everyone(sim), rows(sim, pose=ON_RACK, furniture_pose=aside))
    np.testing.assert_allclose(wait(sim, 1.0).object_pose[:, 0, 2], [0.155, 0.055], atol=0.002)
    sim.reset(everyone(sim), rows(sim, pose=ON_RACK, furniture_pose=None))
    np.testing.assert_allclose(wait(sim, 1.0).object_pose[:, 0, 2], [0.155, 0.055], atol=0.002)


def test_welded_objects_stay_where_they_are_put(make):
    high = upright_pose([0.45, 0.0, 0.3], 0.5)
    welded, free = (started(make(scene_of(), free=names), pose=high) for names in ((), ("box",)))
    state = wait(welded, 0.5)
    np.testing.assert_allclose(state.object_pose[:, 0], np.tile(high, (2, 1)), atol=1e-6)
    np.testing.assert_array_equal(state.object_twist, 0.0)
    assert wait(free, 0.5).object_pose[0, 0, 2] < 0.2


def test_the_fingers_of_a_reset_squeeze(make):
    model = replace(BOX, size_m=np.array([0.06, 0.05, 0.08]), mass_kg=0.2, friction=1.0)
    sim = make(scene_of(model=model))
    hand = np.array([0.45, 0.0, 0.31, *HOME_GRIPPER_QUATERNION])
    held = upright_pose([0.45, 0.0, 0.3])
    commands = np.array([0.0, 0.085])
    sim.reset(everyone(sim), rows(sim, pose=held, hand=hand, opening=0.05, opening_command_m=commands))
    sim.step(np.tile(hand, (2, 1)), commands, round(0.5 / sim.substep_s))
    height = sim.state().object_pose[:, 0, 2]
    assert height[0] > 0.28 and height[1] < 0.2


# -- step --------------------------------------------------------------------------------------------------------------


def test_the_hand_goes_where_it_is_told(make):
    sim = started(make(scene_of()))
    turned = pose_compose(AWAY, upright_pose([0.03, 0.0, -0.02], 2.9))
    state = wait(sim, 1.5, hand=turned, opening=0.06)
    np.testing.assert_allclose(state.gripper_pose[0, :3], turned[:3], atol=0.001)
    assert abs(state.gripper_pose[0, 3:] @ turned[3:]) > np.cos(np.deg2rad(0.5))
    assert state.opening_m[0] == pytest.approx(0.06, abs=0.001)


def test_joints_are_led_to_a_command_in_a_line(make):
    sim = started(make(scene_of()))
    start = sim.state().gripper_pose
    goal = start + np.array([0.02, -0.01, 0.03, 0, 0, 0, 0])
    sim.step(goal, np.full(2, 0.02), 10)
    at_once = sim.state()
    started(sim)
    for k in range(1, 11):
        sim.step(start + k / 10 * (goal - start), np.full(2, 0.002 * k), 1)
    np.testing.assert_allclose(sim.state().gripper_pose, at_once.gripper_pose, atol=1e-5)
    np.testing.assert_allclose(sim.state().opening_m, at_once.opening_m, atol=1e-5)


def test_time_passes_in_substeps(make):
    sim = started(make(scene_of()), pose=upright_pose([0.45, 0.0, 0.5]))
    for substeps in (5, 15):
        sim.step(np.tile(AWAY, (2, 1)), np.zeros(2), substeps)
    seconds = 20 * sim.substep_s
    fallen = 0.5 - sim.state().object_pose[:, 0, 2]
    np.testing.assert_allclose(fallen, 0.5 * GRAVITY_M_S2 * seconds**2, rtol=0.06)


def test_contact_force_is_what_the_world_does_to_the_hand(make):
    sim = started(make(scene_of()))
    assert np.abs(wait(sim, 1.0).contact_force).max() < 0.2, "nothing touches it"
    started(sim, hand=AWAY - np.array([0, 0, 0.55, 0, 0, 0, 0]))
    down = AWAY - np.array([0, 0, 0.60, 0, 0, 0, 0])
    pressed = wait(sim, 1.0, hand=down).contact_force[0]
    assert 50.0 < pressed[2] <= 105.0 and np.abs(pressed[:2]).max() < 2.0, "the table pushes up, the limit is 100 N"
    force = pushing_force(started(sim, hand=ACROSS))
    np.testing.assert_allclose(force[:, 0], -BOX.friction * BOX.mass_kg * GRAVITY_M_S2, rtol=0.2)
    assert np.abs(force[:, 1]).max() < 0.3


# -- state and mirror --------------------------------------------------------------------------------------------------


def test_a_saved_state_goes_on_to_the_bit(make):
    scene = scene_of(ON_RACK, rack=True)
    sim = make([Variant(scene), Variant(scene, "box", 1.2)], 2)
    sim.randomize("geometry", everyone(sim), np.array([1, 0]))
    sim.randomize("mass", everyone(sim), np.array([[0.5], [2.0]]))
    sim.randomize("friction", everyone(sim), np.array([[0.3], [1.0]]))
    started(sim, pose=upright_pose([0.45, 0.1, 0.3], 0.4))
    wait(sim, 0.1)
    saved = pickle.loads(pickle.dumps(sim.get_state()))
    expected = wait(sim, 0.4, hand=BESIDE)
    sim.randomize("geometry", everyone(sim), np.array([0, 1]))
    sim.randomize("mass", everyone(sim), np.array([[1.0], [0.1]]))
    started(sim, furniture_pose=np.tile(upright_pose([0.45, 0.6, 0.05]), (2, 1, 1)))
    wait(sim, 0.2)
    sim.set_state(saved)
    np.testing.assert_array_equal(sim.variant, [1, 0])
    assert_same(wait(sim, 0.4, hand=BESIDE), expected, rounding=rounding(sim))


def test_a_world_is_shown_in_the_pictures_model(make, rack_scene):
    sim = make(rack_scene, 2, ("left_shoe",))
    poses = np.tile([rack_scene.object(name).pose for name in sim.objects], (2, 1, 1))
    poses[1, :, 1] += 0.01
    furniture = np.array([[upright_pose([0.66, 0.0, 0.05])], [upright_pose([0.67, 0.02, 0.05], 0.1)]])
    sim.reset(everyone(sim), rows(sim, hand=BESIDE, opening=0.04, object_pose=poses, furniture_pose=furniture))
    state = wait(sim, 0.2, hand=BESIDE, opening=0.04)
    model = build_model(rack_scene, visuals=True)
    data = mujoco.MjData(model)
    sim.mirror(1, data)
    mujoco.mj_kinematics(model, data)
    names = (*sim.objects, "rack", "hand")
    for name, pose in zip(names, (*state.object_pose[1], *furniture[1], state.gripper_pose[1]), strict=True):
        shown = np.concatenate([data.body(name).xpos, data.body(name).xquat])
        points = np.eye(3)
        np.testing.assert_allclose(pose_apply(shown, points), pose_apply(pose, points), atol=1e-6, err_msg=name)
    apart = data.geom("finger_left").xpos - data.geom("finger_right").xpos
    assert np.linalg.norm(apart) == pytest.approx(0.012 + state.opening_m[1], abs=1e-4)
    assert data.time == pytest.approx(0.2)


def test_closing_twice_is_once_and_a_closed_simulation_says_so(make):
    sim = started(make(scene_of()))
    saved = sim.get_state()
    sim.close()
    sim.close()
    uses = (
        sim.state,
        sim.get_state,
        lambda: sim.set_state(saved),
        lambda: sim.mirror(0, None),
        lambda: sim.reset(everyone(sim), rows(sim)),
        lambda: sim.randomize("mass", everyone(sim), np.ones((2, 1))),
        lambda: sim.step(np.tile(AWAY, (2, 1)), np.zeros(2), 1),
    )
    for use in uses:
        with pytest.raises(ValueError, match="the simulation is closed; make another one"):
            use()


def test_a_world_that_diverged_is_told_until_its_reset(make):
    sims = [started(make(scene_of(), 3)) for _ in range(2)]
    state = sims[0].get_state()
    POISON[sims[0].name](state, 1)
    sims[0].set_state(state)
    for _ in range(2):
        broken, whole = (wait(sim, 0.1) for sim in sims)
        np.testing.assert_array_equal(broken.unstable, [False, True, False])
        assert_same(broken, whole, worlds=[0, 2], rounding=rounding(sims[0]))
    sims[0].reset(np.array([1]), rows(sims[0], 1))
    healed = wait(sims[0], 0.3)
    assert not healed.unstable.any() and np.abs(healed.object_pose[1, 0, :3] - ON_TABLE[:3]).max() < 0.002


# -- what cannot be ----------------------------------------------------------------------------------------------------

HANDS = np.tile(AWAY, (2, 1))
BOTH = np.arange(2)
BAD = {
    "objects": (lambda sim, to: sim.reset(BOTH, replace(to, object_pose=HANDS[:, None])), "(2, 3, 7), not (2, 1, 7)"),
    "no hand": (
        lambda sim, to: sim.reset(BOTH, replace(to, gripper_pose=None)),
        "gripper_pose is an array (2, 7), not",
    ),
    "nan pose": (
        lambda sim, to: sim.reset(BOTH, replace(to, gripper_pose=HANDS * np.nan)),
        "gripper_pose holds finite",
    ),
    "no rotation": (lambda sim, to: sim.reset(BOTH, replace(to, gripper_pose=HANDS * 0)), "gripper_pose ends in unit"),
    "late fault": (lambda sim, to: sim.reset(BOTH, replace(to, furniture_pose=HANDS)), "furniture_pose is an array"),
    "no such world": (lambda sim, to: sim.reset(np.array([0, 2]), to), "ascending indices from 0 to 1, not [0, 2]"),
    "twice": (lambda sim, to: sim.reset(np.array([1, 1]), to), "ascending indices from 0 to 1, not [1, 1]"),
    "backwards": (lambda sim, to: sim.reset(np.array([1, 0]), to), "ascending indices from 0 to 1, not [1, 0]"),
    "from the end": (lambda sim, to: sim.reset(np.array([-1, 0]), to), "ascending indices from 0 to 1, not [-1, 0]"),
    "mask": (lambda sim, to: sim.reset(np.ones(2, dtype=bool), to), "worlds are ascending indices from 0 to 1"),
    "hands": (lambda sim, to: sim.step(HANDS[:1], np.zeros(2), 1), "gripper_pose is an array (2, 7), not (1, 7)"),
    "openings": (lambda sim, to: sim.step(HANDS, np.zeros(3), 1), "opening_m is an array (2,), not (3,)"),
    "nan command": (lambda sim, to: sim.step(HANDS, np.full(2, np.nan), 1), "opening_m holds finite numbers"),
    "no time": (lambda sim, to: sim.step(HANDS, np.zeros(2), 0), "num_substeps is a whole number of at least 1, not 0"),
    "half a step": (lambda sim, to: sim.step(HANDS, np.zeros(2), 2.5), "num_substeps is a whole number of at least 1"),
    "no state": (lambda sim, to: sim.set_state({}), "as get_state gives it, not an empty one"),
    "words": (
        lambda sim, to: sim.set_state(sim.get_state() | {"variant": np.array(["a", "b"])}),
        "'s variant is an array of",
    ),
    "other state": (lambda sim, to: sim.set_state(_smaller(sim.get_state())), "is an array (2,"),
    "mirror": (lambda sim, to: sim.mirror(2, None), "a world's index is from 0 to 1, not 2"),
    "last world": (lambda sim, to: sim.mirror(-1, None), "a world's index is a whole number of at least 0, not -1"),
}


def _smaller(state):
    """A saved state of one world fewer."""
    return {k: _smaller(v) for k, v in state.items()} if isinstance(state, dict) else state[:-1]


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_changes_nothing(make, rack_scene, call, words):
    sim = make(rack_scene, 2)
    poses = np.tile([rack_scene.object(name).pose for name in sim.objects], (2, 1, 1))
    to = rows(sim, object_pose=poses)
    sim.reset(BOTH, to)
    wait(sim, 0.1)
    before = sim.get_state()
    with pytest.raises(ValueError) as caught:
        call(sim, to)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert pickle.dumps(sim.get_state()) == pickle.dumps(before)


def test_no_worlds_are_none(make):
    sim = started(make(scene_of()))
    before = wait(sim, 0.1)
    none = np.array([], dtype=int)
    sim.reset(none, rows(sim, 0))
    sim.randomize("geometry", none, none)
    sim.randomize("mass", none, np.ones((0, 1)))
    assert_same(sim.state(), before)


def test_a_scene_of_furniture_alone_is_a_scene(make):
    scene = scene_of(rack=True)
    sim = started(make(replace(scene, objects=scene.objects[:1])))
    state = wait(sim, 0.1)
    assert state.object_pose.shape == (2, 0, 7) and sim.objects == () and not state.unstable.any()
