"""Engines by name, and what happens where an engine cannot do what an environment asks for."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
from sim_worlds import ENGINES, scene_of, sims

import iker_envs  # noqa: F401 (registers the environments)
from iker_agent.config import RunConfig, make_config
from iker_agent.learning.ppo_config import PPOConfig
from iker_envs.physics import engines
from iker_envs.physics.engines import DEFAULT_ENGINE, make_sim
from iker_envs.physics.mujoco_sim import MujocoSim
from iker_envs.sim import Variant

make = pytest.fixture(params=ENGINES)(sims)


def test_an_unknown_engine_names_the_known_ones():
    with pytest.raises(ValueError, match="the engine 'warped' is unknown; known: threads"):
        make_sim("warped", scene_of(), 1)


NAMES = {
    "number": (3, "the engine 3 is unknown; known: threads, warp"),
    "setting": ("warp:rooms=3", "the engine 'warp' has no setting 'rooms' in 'warp:rooms=3'; it has: device"),
    "no settings": (
        "threads:njmax=3",
        "the engine 'threads' has no setting 'njmax' in 'threads:njmax=3'; it has: none",
    ),
    "no room": ("warp:njmax=0", "the setting njmax of the engine 'warp' is a whole number of at least 1, not 0"),
    "too much room": ("warp:nconmax=999999999", "the setting nconmax of the engine 'warp' is at most 65536, not 99"),
    "words": ("warp:njmax=many", "the setting njmax of the engine 'warp' is a whole number of at least 1, not 'many'"),
}


@pytest.mark.parametrize(("name", "words"), NAMES.values(), ids=NAMES)
def test_a_name_with_what_an_engine_has_not_is_refused_before_anything_is_made(name, words):
    for use in (lambda: make_sim(name, scene_of(), 1), lambda: made(sim=name)):
        with pytest.raises(ValueError) as caught:
            use()
        assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_an_engine_that_is_not_installed_names_its_pip_line(monkeypatch):
    monkeypatch.setitem(engines.NEEDS, "warp", (("mujoco_warp_of_tomorrow",), "warp"))
    words = r"the engine 'warp' needs mujoco_warp_of_tomorrow: python -m pip install 'iker\[warp\]'"
    for use in (lambda: make_sim("warp", scene_of(), 1), lambda: made(sim="warp")):
        with pytest.raises(ModuleNotFoundError, match=words):
            use()
    with pytest.raises(ValueError, match=f"learn.sim: {words}"):
        make_config(["learn.sim=warp"])
    assert PPOConfig(sim="warp").sim == "warp", "what was trained elsewhere can be read"
    elsewhere = RunConfig(learn=PPOConfig(sim="warp"))
    assert make_config(["learn.sim=threads"], defaults=elsewhere).learn.sim == "threads", "and gone on with"


def test_arrays_are_of_a_known_library():
    with pytest.raises(ValueError, match="xp is numpy or torch, not 'jax'"):
        made(xp="jax")


def test_threads_are_not_fewer_than_none():
    with pytest.raises(ValueError, match="num_threads is a whole number of at least 0, not -1"):
        make_sim(DEFAULT_ENGINE, scene_of(), 1, num_threads=-1)


MAKING = {
    "no world": (lambda make: make(scene_of(), 0), "num_worlds is a whole number of at least 1, not 0"),
    "half a world": (lambda make: make(scene_of(), 1.5), "num_worlds is a whole number of at least 1, not 1.5"),
    "no variant": (lambda make: make([]), "at least one variant"),
    "free sock": (lambda make: make(scene_of(), free=["sock"]), "'sock' cannot be free; movable: box"),
    "free rack": (lambda make: make(scene_of(rack=True), free=["rack"]), "'rack' cannot be free; movable: box"),
    "a name for names": (
        lambda make: make(scene_of(), free="box"),
        "free is a collection of names, not the name 'box'",
    ),
    "other objects": (
        lambda make: make([Variant(scene_of()), Variant(scene_of(rack=True))]),
        "all variants have the objects of variant 0 (box), each movable or not as there; variant 1 has rack, box",
    ),
}


@pytest.mark.parametrize(("call", "words"), MAKING.values(), ids=MAKING)
def test_what_cannot_be_simulated_is_refused(make, call, words):
    with pytest.raises(ValueError) as caught:
        call(make)
    assert words in str(caught.value) and "\n" not in str(caught.value)


# -- engines that can do less ------------------------------------------------------------------------------------------


@pytest.fixture
def engine_with(monkeypatch) -> Callable[[dict[str, str]], list[tuple[str, list[int]]]]:
    """Puts an engine that takes only some quantities in the place of the default one; gives the calls of randomize."""

    def put(randomizable: dict[str, str]) -> list[tuple[str, list[int]]]:
        calls: list[tuple[str, list[int]]] = []

        class Lesser(MujocoSim):
            def __init__(self, *arguments) -> None:
                super().__init__(*arguments)
                self.name = "lesser"
                self.randomizable = randomizable

            def randomize(self, what, worlds, values) -> None:
                calls.append((what, worlds.tolist()))
                super().randomize(what, worlds, values)

        monkeypatch.setitem(engines.ENGINES, DEFAULT_ENGINE, Lesser)
        return calls

    return put


def made(**arguments):
    return gym.make_vec("IKER-BookPush-v0", num_envs=3, num_threads=1, **arguments)


def test_only_what_the_engine_takes_is_applied(engine_with):
    calls = engine_with({"geometry": "reset", "mass": "reset"})
    env = made(randomisation={"mass": [0.5, 2.0], "object_yaw": [0, 0]})
    env.reset(seed=0)
    assert dict.fromkeys(name for name, _ in calls) == {"geometry": None, "mass": None}
    assert np.ptp(env.worlds.physics.drawn["mass"]) > 0.1
    env.close()


def test_what_the_engine_cannot_randomise_is_refused_in_one_sentence(engine_with):
    engine_with({"geometry": "reset", "mass": "reset"})
    words = (
        "the engine 'lesser' cannot randomise 'friction', only: geometry, mass; leave it out of the randomisation, or "
        "take another engine"
    )
    with pytest.raises(ValueError) as caught:
        made(randomisation="on")
    assert str(caught.value) == words


def test_what_is_taken_at_the_start_only_is_drawn_and_applied_once(engine_with):
    calls = engine_with({"geometry": "reset", "friction": "reset", "mass": "startup"})
    env = made(randomisation={"mass": [0.5, 2.0], "friction": [0.5, 1.0]})
    env.reset(seed=0)
    first = {name: values.copy() for name, values in env.worlds.physics.drawn.items()}
    env.reset(options={"reset_mask": np.array([False, True, False])})
    env.reset()
    assert [worlds for name, worlds in calls if name == "mass"] == [[0, 1, 2]]
    assert [worlds for name, worlds in calls if name == "friction"] == [[0, 1, 2], [1], [0, 1, 2]]
    now = env.worlds.physics.drawn
    np.testing.assert_array_equal(now["mass"], first["mass"])
    assert not np.any(now["friction"] == first["friction"])
    env.close()


def test_an_engine_that_keeps_its_objects_holds_one_variant(engine_with):
    engine_with({"geometry": "startup"})
    with pytest.raises(ValueError, match="'lesser' cannot exchange the objects of a world between episodes") as caught:
        made(randomisation={"geometry_scale": [0.9, 1.1]})
    assert "\n" not in str(caught.value) and "variants of them; randomise without geometry_scale" in str(caught.value)
