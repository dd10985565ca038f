"""What the contract tests of engines share: which engines there are, a box and a hand to push it with.

A new engine adds its name to ENGINES and its way of breaking a world to POISON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from isaac_double import use_double

from iker_envs.geometry import pose_compose
from iker_envs.optics import default_cameras
from iker_envs.physics.engines import check_engine, make_sim
from iker_envs.scene import HOME_GRIPPER_QUATERNION, ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.sim import Sim, WorldReset, WorldState

BOX = ObjectModel("box", "box", np.array([0.10, 0.16, 0.11]), 0.6, friction=0.5)
RACK = ObjectModel("rack", "rack", np.array([0.28, 0.64, 0.10]))
ON_TABLE = upright_pose([0.45, 0.0, 0.055])
ON_RACK = upright_pose([0.45, 0.0, 0.155])
RACK_POSE = upright_pose([0.45, 0.0, 0.05])
AWAY = np.array([0.2, -0.4, 0.6, *HOME_GRIPPER_QUATERNION])
BESIDE = np.array([0.36, 0.0, 0.056, *HOME_GRIPPER_QUATERNION])  # in front of the box, the hand just over its top
ACROSS = pose_compose(BESIDE, upright_pose(np.zeros(3), np.pi / 2))  # there, the closed fingers flat towards the box


def _poison_mujoco(state: dict[str, Any], world: int) -> None:
    state["state"]["qvel"][world, 0] = np.nan


def _poison_isaac(state: dict[str, Any], world: int) -> None:
    state["state"]["joint"][world, 0, 1] = np.nan


# By engine: write into a saved state what makes a world diverge.
POISON = {"threads": _poison_mujoco, "warp": _poison_mujoco, "isaac": _poison_isaac}
ENGINES = tuple(POISON)


def sims(request) -> Iterator[Callable[..., Sim]]:
    """A fixture, parametrised by ENGINES: makes simulations of one engine and closes them."""
    made: list[Sim] = []
    skip_without(request.param)
    if request.param == "isaac":
        use_double(request.getfixturevalue("monkeypatch"))

    def make(scene, num_worlds: int = 2, free=None) -> Sim:
        made.append(make_sim(request.param, scene, num_worlds, free, num_threads=1))
        return made[-1]

    yield make
    for sim in made:
        sim.close()


def skip_without(engine: str) -> None:
    """Skip a test where the engine is not installed; the reason has the pip line."""
    try:
        check_engine(engine)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def scene_of(pose=ON_TABLE, *, rack: bool = False, model: ObjectModel = BOX) -> Scene:
    """A box, on request over a rack."""
    furniture = (SceneObject(RACK, RACK_POSE, movable=False),) if rack else ()
    workspace = np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]])
    return Scene((*furniture, SceneObject(model, pose)), default_cameras(), workspace)


def rows(sim: Sim, count: int | None = None, *, pose=ON_TABLE, hand=AWAY, opening=0.0, **changes) -> WorldReset:
    """Every object at one pose, the hand elsewhere."""
    count = sim.num_worlds if count is None else count
    width = np.full(count, opening)
    objects = np.tile(pose, (count, len(sim.objects), 1))
    return replace(WorldReset(np.tile(hand, (count, 1)), width, objects, width), **changes)


def everyone(sim: Sim) -> np.ndarray:
    """The indices of all worlds."""
    return np.arange(sim.num_worlds)


def started(sim: Sim, **places) -> Sim:
    """The simulation after a reset of all worlds; see `rows`."""
    sim.reset(everyone(sim), rows(sim, **places))
    return sim


def wait(sim: Sim, seconds: float, hand=AWAY, opening: float = 0.0) -> WorldState:
    """Tell all hands one pose at once, and let them go on towards it for a while."""
    commanded = np.tile(hand, (sim.num_worlds, 1))
    openings = np.full(sim.num_worlds, opening)
    sim.step(commanded, openings, 1)
    if more := round(seconds / sim.substep_s) - 1:
        sim.step(commanded, openings, more)
    return sim.state()


def pushing_force(sim: Sim) -> np.ndarray:
    """Mean contact force (N, 3) on hands that push their box steadily along +x, at 3 cm/s, beginning at ACROSS.

    A box sticks and slips, so that the mean is one over many slips.
    """
    hand = np.tile(ACROSS, (sim.num_worlds, 1))
    forces = []
    for substep in range(800):
        hand[:, 0] += 0.03 * sim.substep_s
        sim.step(hand, np.zeros(sim.num_worlds), 1)
        if substep >= 200:
            forces.append(sim.state().contact_force)
    return np.mean(forces, axis=0)


def rounding(sim: Sim) -> float:
    """What two runs of the same may differ by: sums have no fixed order on a GPU, in single precision."""
    return 1e-5 if str(getattr(sim, "_torch_device", "cpu")).startswith("cuda") else 0.0


def assert_same(a: WorldState, b: WorldState, worlds=slice(None), *, rounding: float = 0.0) -> None:
    """All parts of two states are equal, to the last bit unless told otherwise, in the chosen worlds."""
    for name, values in vars(a).items():
        found, wanted = (np.asarray(v[worlds], dtype=float) for v in (values, getattr(b, name)))
        np.testing.assert_allclose(found, wanted, rtol=rounding, atol=rounding, err_msg=name)
