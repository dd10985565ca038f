"""Randomisation as data: ranges are checked, drawn from and scaled; absent rows are nominal."""

import numpy as np
import pytest

from iker_envs.physics.transfer import deepest_contact
from iker_envs.randomisation import DEFAULT_RANGES, OPTIONAL_RANGES, QUANTITIES, Randomisation, as_randomisation
from iker_envs.scene import Goal, upright_pose
from iker_envs.stage.starts import FixedStart

RANGES = {**DEFAULT_RANGES, **OPTIONAL_RANGES}
NOMINAL = {name: 1.0 if row.operation == "scale" else 0.0 for name, row in QUANTITIES.items()}


def test_every_row_says_what_it_is():
    assert set(RANGES) == set(QUANTITIES) and not set(DEFAULT_RANGES) & set(OPTIONAL_RANGES)
    assert set(Randomisation().ranges) == set(DEFAULT_RANGES) and set(Randomisation.all().ranges) == set(QUANTITIES)
    for row in QUANTITIES.values():
        assert row.operation in ("scale", "add") and row.size in (1, 2, 3) and row.meaning
        assert (row.unit == "") == (row.operation == "scale")


@pytest.mark.parametrize("name", QUANTITIES)
def test_default_ranges_hold_the_nominal_value(name):
    low, high = Randomisation.all().ranges[name]
    assert low <= NOMINAL[name] <= high and low < high


@pytest.mark.parametrize("name", QUANTITIES)
def test_draws_fill_their_range_and_no_more(name, rng):
    low, high = RANGES[name]
    drawn = Randomisation.all().draw(name, rng, 2000)
    assert drawn.shape == (2000, QUANTITIES[name].size)
    assert drawn.min() >= low and drawn.max() <= high
    for column in drawn.T:  # every component of its own
        assert np.ptp(column) > 0.98 * (high - low)
        assert column.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    if QUANTITIES[name].size > 1:
        assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


@pytest.mark.parametrize("name", QUANTITIES)
def test_rows_that_are_absent_are_nominal(name, rng):
    np.testing.assert_array_equal(
        Randomisation.off().draw(name, rng, 3), np.full((3, QUANTITIES[name].size), NOMINAL[name])
    )
    only = Randomisation.all().only(name)
    assert list(only.ranges) == [name] and np.ptp(only.draw(name, rng, 10)) > 0


def test_equal_generators_draw_equal_numbers():
    first, again = (Randomisation().draw("com_offset", np.random.default_rng(3), 4) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_scaling_is_about_the_nominal_value(factor):
    scaled = Randomisation({"mass": (0.7, 1.4), "object_yaw": (-0.1, 0.3)}).scaled(factor)
    np.testing.assert_allclose(scaled.ranges["mass"], [1 - 0.3 * factor, 1 + 0.4 * factor])
    np.testing.assert_allclose(scaled.ranges["object_yaw"], [-0.1 * factor, 0.3 * factor])


def test_scaling_stops_where_physics_and_sensors_do():
    scaled = Randomisation.all().scaled(3.0).ranges
    np.testing.assert_allclose(scaled["compliance"], [1.0, 2.5])
    np.testing.assert_allclose(scaled["action_latency"], [0.0, 2.0])


@pytest.mark.parametrize(
    ("name", "bad"), [("compliance", (0.5, 1.0)), ("mass", (0.0, 1.0)), ("action_latency", (0, 3))]
)
def test_a_range_beyond_what_can_be_is_refused(name, bad):
    with pytest.raises(ValueError, match=f"the range of '{name}' lies within"):
        Randomisation({name: bad})


def test_an_unknown_row_names_the_known_ones():
    with pytest.raises(ValueError, match="'colour' cannot be randomised; can be: friction, mass") as caught:
        Randomisation({"colour": (0, 1)})
    assert all(name in str(caught.value) for name in QUANTITIES)


@pytest.mark.parametrize("bad", [(1.0, 0.5), (0.5,), (0.5, 1.0, 2.0), (0.5, np.nan), (-np.inf, 1.0), 0.7])
def test_a_range_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match=r"the range of 'mass' is \[low, high\]"):
        Randomisation({"mass": bad})


@pytest.mark.parametrize("bad", [("a", "b"), None, [[0.5], [0.6, 0.7]]])
def test_a_range_that_is_no_numbers_is_refused_alike(bad):
    with pytest.raises(ValueError, match="the range of 'mass'"):
        Randomisation({"mass": bad})


def test_what_an_environment_takes(tmp_path):
    assert as_randomisation(None).to_dict() == as_randomisation("on").to_dict() == Randomisation().to_dict()
    assert not as_randomisation("off").ranges
    for form in ({"mass": [0.5, 2.0]}, {"ranges": {"mass": [0.5, 2.0]}}, Randomisation({"mass": (0.5, 2.0)})):
        np.testing.assert_array_equal(as_randomisation(form).ranges["mass"], [0.5, 2.0])
    file = tmp_path / "light.yaml"
    file.write_text("mass: [0.5, 2.0]\n")
    np.testing.assert_array_equal(as_randomisation(str(file)).ranges["mass"], [0.5, 2.0])
    with pytest.raises(ValueError, match="'on', 'off', 'all', a file or a mapping of ranges, not 'strong'"):
        as_randomisation("strong")


def test_ranges_are_scaled_where_they_are_given(tmp_path):
    for form in ({"ranges": "all", "scale": 0.5}, {"ranges": Randomisation.all().ranges, "scale": 0.5}):
        np.testing.assert_allclose(as_randomisation(form).ranges["mass"], [0.85, 1.2])
        assert set(as_randomisation(form).ranges) == set(QUANTITIES)
    file = tmp_path / "half.yaml"
    file.write_text("scale: 0.5\n")
    assert as_randomisation(str(file)).to_dict() == Randomisation().scaled(0.5).to_dict()
    assert not as_randomisation({"ranges": "off", "scale": 2}).ranges


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"ranges": {}, "friction": [1, 1]}, "a randomisation with 'ranges' or 'scale' has no 'friction'; put rows"),
        ({"ranges": "on", "scaled": 2}, "has no 'scaled'"),
        ({"ranges": "on", "scale": -1}, "the scale of a randomisation is at least 0, not -1"),
        ({"scale": np.nan}, "the scale of a randomisation is a finite number, not nan"),
        ({"scale": "2"}, "the scale of a randomisation is a finite number, not '2'"),
        ({"ranges": "some"}, "randomisation ranges are 'on', 'off', 'all' or a mapping"),
        ("scaled", "'on', 'off', 'all', a file or a mapping of ranges, not 'scaled'; to scale ranges give {'ranges'"),
        ("gone.yaml", "not 'gone.yaml'; 'gone.yaml' cannot be read"),
    ],
)
def test_a_mistaken_scale_is_told_in_one_sentence(bad, words):
    with pytest.raises(ValueError) as caught:
        as_randomisation(bad)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_drawn_start_is_not_inside_another_object(rack_scene):
    near = rack_scene.with_poses({"right_shoe": upright_pose([0.335, 0.065, 0.045])})  # 5 mm beside the left one
    source = FixedStart(near, Goal("left_shoe", upright_pose([0.42, 0.08, 0.045])), Randomisation())
    starts = [source.sample(np.random.default_rng(seed)).scene for seed in range(40)]
    assert not any(deepest_contact(scene, 0.002) for scene in starts)
    assert len({tuple(scene.object("left_shoe").pose) for scene in starts}) == 40


def test_a_start_without_room_is_the_nominal_one(rack_scene):
    near = rack_scene.with_poses({"right_shoe": upright_pose([0.335, 0.065, 0.045])})
    ranges = Randomisation({"object_position": (-0.05, -0.04)})  # always towards the other shoe
    source = FixedStart(near, Goal("left_shoe", upright_pose([0.42, 0.08, 0.045])), ranges)
    drawn = source.sample(np.random.default_rng(0)).scene.object("left_shoe").pose
    np.testing.assert_array_equal(drawn, near.object("left_shoe").pose)
