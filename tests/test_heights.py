"""Heights of objects: lowest and highest corners, what carries a point, how high a turned object stands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iker_envs.planning.collision import highest_m, lowest_m, object_boxes, scene_boxes, support_height
from iker_envs.planning.push import push_height
from iker_envs.scene import ObjectModel, turned_pose, upright_pose
from iker_envs.stage.variants import standing_higher

BOX = ObjectModel("box", "box", np.array([0.2, 0.1, 0.06]), 0.5)
ANGLES = st.tuples(*[st.floats(-3.0, 3.0)] * 3)


def test_an_upright_box_ends_half_its_height_from_its_centre():
    boxes = object_boxes(BOX, upright_pose([0.4, 0.1, 0.5], 0.7))
    assert lowest_m(boxes) == pytest.approx(0.47) and highest_m(boxes) == pytest.approx(0.53)


def test_a_box_on_its_edge_by_hand():
    boxes = object_boxes(BOX, turned_pose([0.4, 0.1, 0.5], [np.pi / 4, 0, 0]))
    half = (0.05 + 0.03) / np.sqrt(2)
    assert lowest_m(boxes) == pytest.approx(0.5 - half) and highest_m(boxes) == pytest.approx(0.5 + half)


@given(ANGLES)
def test_half_a_height_is_that_of_the_turned_bounding_box(angles):
    pose = turned_pose([0.0, 0.0, 0.0], angles)
    assert BOX.half_height_m(pose[3:]) == pytest.approx(highest_m(object_boxes(BOX, pose)), abs=1e-12)


@given(ANGLES, st.floats(0.5, 2.0))
def test_a_scaled_object_stands_on_what_the_nominal_one_stands_on(angles, scale):
    pose = turned_pose([0.4, 0.1, 0.3], angles)
    scaled = ObjectModel("box", "box", scale * BOX.size_m, 0.5)
    lifted = object_boxes(scaled, standing_higher(BOX.size_m, pose, scale))
    assert lowest_m(lifted) == pytest.approx(lowest_m(object_boxes(BOX, pose)), abs=1e-12)


def test_several_boxes_have_one_lowest_corner(rack_scene):
    boxes = [box for group in scene_boxes(rack_scene).values() for box in group]
    assert lowest_m(boxes) == pytest.approx(0.0, abs=1e-9) and highest_m(boxes) == pytest.approx(0.21)


@pytest.mark.parametrize(
    ("position", "below_m", "height"),
    [
        ([0.65, 0.0], 0.3, 0.21),  # the box on the rack
        ([0.65, 0.0], 0.2, 0.10),  # seen from lower: the rack
        ([0.65, 0.25], 0.3, 0.10),  # beside the box
        ([0.2, 0.0], 0.3, 0.0),  # the table
        ([0.65, 0.0], 0.05, 0.0),  # under the board
    ],
)
def test_what_carries_a_point(rack_scene, position, below_m, height):
    others = scene_boxes(rack_scene, skip=["left_shoe"])
    assert support_height(others, np.array(position), below_m) == pytest.approx(height)


def test_nothing_but_the_table_carries_in_an_empty_world():
    assert support_height({}, np.zeros(3), 1.0) == 0.0


@pytest.mark.parametrize(("height_m", "expected"), [(0.06, 0.018), (0.12, 0.062)])
def test_a_push_is_low_and_the_hand_clears_the_top(height_m, expected):
    model = ObjectModel("box", "box", np.array([0.2, 0.1, height_m]), 0.5)
    assert push_height(object_boxes(model, upright_pose([0.4, 0.0, height_m / 2]))) == pytest.approx(expected)
