"""x, y, z, roll, pitch, yaw of a pose: what programs of the pose contract work on, there and back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iker_envs.geometry import rotation_angle
from iker_envs.scene import position_and_angles, turned_pose, upright_pose

angle = st.floats(-3.1, 3.1)


@given(st.tuples(angle, st.floats(-1.5, 1.5), angle), st.tuples(*[st.floats(-2, 2)] * 3))
def test_six_numbers_give_the_pose_back(angles, position):
    pose = turned_pose(position, angles)
    six = position_and_angles(pose)
    assert len(six) == 6 and all(type(value) is float for value in six)
    again = turned_pose(six[:3], six[3:])
    np.testing.assert_array_equal(again[:3], pose[:3])
    assert float(rotation_angle(again[3:], pose[3:])) < 1e-7


def test_the_last_angle_is_the_heading():
    np.testing.assert_allclose(position_and_angles(upright_pose([1, 2, 3], 0.7)), [1, 2, 3, 0, 0, 0.7], atol=1e-12)
