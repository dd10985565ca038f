"""Randomisation as data: ranges are checked, drawn from and scaled; absent rows are nominal."""

import numpy as np
import pytest

from iker_envs.randomisation import DEFAULT_RANGES, OPTIONAL_RANGES, ROWS, Randomisation
from iker_envs.setup import as_randomisation

RANGES = {**DEFAULT_RANGES, **OPTIONAL_RANGES}
NOMINAL = {name: 1.0 if row.operation == "scale" else 0.0 for name, row in ROWS.items()}


def test_every_row_says_what_it_is():
    assert set(RANGES) == set(ROWS) and not set(DEFAULT_RANGES) & set(OPTIONAL_RANGES)
    assert set(Randomisation().ranges) == set(DEFAULT_RANGES) and set(Randomisation.all().ranges) == set(ROWS)
    for row in ROWS.values():
        assert row.operation in ("scale", "add") and row.size in (1, 2, 3) and row.meaning
        assert (row.unit == "") == (row.operation == "scale")


@pytest.mark.parametrize("name", ROWS)
def test_default_ranges_hold_the_nominal_value(name):
    low, high = Randomisation.all().ranges[name]
    assert low <= NOMINAL[name] <= high and low < high


@pytest.mark.parametrize("name", ROWS)
def test_draws_fill_their_range_and_no_more(name, rng):
    low, high = RANGES[name]
    drawn = Randomisation.all().draw(name, rng, 2000)
    assert drawn.shape == (2000, ROWS[name].size)
    assert drawn.min() >= low and drawn.max() <= high
    for column in drawn.T:  # every component of its own
        assert np.ptp(column) > 0.98 * (high - low)
        assert column.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    if ROWS[name].size > 1:
        assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_are_absent_are_nominal(name, rng):
    np.testing.assert_array_equal(Randomisation.off().draw(name, rng, 3), np.full((3, ROWS[name].size), NOMINAL[name]))
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
    assert all(name in str(caught.value) for name in ROWS)


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
