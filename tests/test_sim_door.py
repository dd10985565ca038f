"""What physics cannot take is refused in one sentence, and nothing has changed."""

from dataclasses import replace

import numpy as np
import pytest

from iker_envs.physics.mujoco_sim import MujocoSim
from iker_envs.sim import WorldReset

HAND = np.tile([0.3, 0, 0.4, 0, 1, 0, 0], (2, 1)).astype(float)
CLOSED = np.zeros(2)
BOTH = np.arange(2)


@pytest.fixture
def sim(rack_scene):
    made = MujocoSim(rack_scene, 2, num_threads=1)
    made.reset(BOTH, start(rack_scene))
    yield made
    made.close()


def start(scene, **changes) -> WorldReset:
    poses = np.tile([scene.object(name).pose for name in scene.movable], (2, 1, 1))
    return replace(WorldReset(HAND, CLOSED, poses, CLOSED), **changes)


BAD = {
    "objects": (lambda sim, to: sim.reset(BOTH, replace(to, object_pose=HAND[:, None])), "(2, 3, 7), not (2, 1, 7)"),
    "nan pose": (lambda sim, to: sim.reset(BOTH, replace(to, gripper_pose=HAND * np.nan)), "gripper_pose holds finite"),
    "furniture": (lambda sim, to: sim.reset(BOTH, replace(to, furniture_pose=HAND)), "furniture_pose is an array"),
    "no such world": (lambda sim, to: sim.reset(np.array([0, 2]), to), "indices from 0 to 1, not [0, 2]"),
    "mask": (lambda sim, to: sim.reset(np.ones(2, dtype=bool), to), "worlds are indices from 0 to 1"),
    "hands": (lambda sim, to: sim.step(HAND[:1], CLOSED, 1), "gripper_pose is an array (2, 7), not (1, 7)"),
    "openings": (lambda sim, to: sim.step(HAND, np.zeros(3), 1), "opening_m is an array (2,), not (3,)"),
    "masses": (lambda sim, to: sim.randomize("mass", BOTH, np.ones((2, 5))), "mass is an array (2, 3), not (2, 5)"),
    "no mass": (lambda sim, to: sim.randomize("mass", BOTH, np.zeros((2, 3))), "mass is above 0, not 0"),
    "friction": (lambda sim, to: sim.randomize("friction", BOTH, -np.ones((2, 3))), "friction is at least 0, not -1"),
    "nan": (lambda sim, to: sim.randomize("mass", BOTH, np.full((2, 3), np.nan)), "mass holds finite numbers"),
    "variant": (lambda sim, to: sim.randomize("geometry", BOTH, BOTH), "geometry is an index from 0 to 0"),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_changes_nothing(sim, rack_scene, call, words):
    before = sim.get_state()
    with pytest.raises(ValueError) as caught:
        call(sim, start(rack_scene))
    assert words in str(caught.value) and "\n" not in str(caught.value)
    after = sim.get_state()
    for part in ("state", "fields"):
        for name, values in before[part].items():
            np.testing.assert_array_equal(after[part][name], values)
    np.testing.assert_array_equal(after["variant"], before["variant"])


@pytest.mark.parametrize("name", ["sock", "rack"])
def test_what_is_freed_is_movable(rack_scene, name):
    with pytest.raises(ValueError, match=f"'{name}' cannot be free; movable: shoe_box, left_shoe, right_shoe"):
        MujocoSim(rack_scene, 1, free=[name])


def test_there_is_a_world(rack_scene):
    with pytest.raises(ValueError, match="num_worlds is a whole number of at least 1, not 0"):
        MujocoSim(rack_scene, 0)
