"""The Rotation that programs see agrees with scipy's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation as Scipy

from iker_agent.program import run_program
from iker_agent.program.rotation import Rotation
from iker_agent.program.vocabulary import LINALG, NUMPY

LETTERS = ["".join(p) for p in itertools.product("xyz", repeat=3) if p[0] != p[1] != p[2]]
SEQUENCES = st.sampled_from([*LETTERS, *(letters.upper() for letters in LETTERS)])
ANGLES = st.lists(st.floats(-4, 4), min_size=3, max_size=3)
VECTORS = st.lists(st.floats(-5, 5), min_size=3, max_size=3).map(np.array)


@given(SEQUENCES, ANGLES, st.booleans())
def test_from_euler(seq, angles, degrees):
    ours, theirs = (cls.from_euler(seq, angles, degrees=degrees) for cls in (Rotation, Scipy))
    np.testing.assert_allclose(ours.as_matrix(), theirs.as_matrix(), atol=1e-12)


@given(SEQUENCES, ANGLES)
def test_as_euler(seq, angles):
    theirs = Scipy.from_euler(seq, angles)
    assume(abs(np.sin(2 * angles[1])) > 1e-3)  # away from gimbal lock the angles are unique
    difference = Rotation.from_matrix(theirs.as_matrix()).as_euler(seq) - theirs.as_euler(seq)
    np.testing.assert_allclose(np.remainder(difference + np.pi, 2 * np.pi), np.pi, atol=1e-9)


@given(SEQUENCES, st.lists(st.integers(-4, 4).map(lambda n: n * np.pi / 2), min_size=3, max_size=3))
def test_as_euler_in_gimbal_lock(seq, angles):
    ours = Rotation.from_euler(seq, angles)
    np.testing.assert_allclose(Rotation.from_euler(seq, ours.as_euler(seq)).as_matrix(), ours.as_matrix(), atol=1e-8)


@given(VECTORS, VECTORS)
def test_vectors_and_quaternions(rotvec, point):
    ours = Rotation.from_rotvec(rotvec)
    theirs = Scipy.from_rotvec(rotvec)
    np.testing.assert_allclose(ours.as_matrix(), theirs.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(ours.apply(point), theirs.apply(point), atol=1e-11)
    np.testing.assert_allclose(
        ours.apply([point] * 2, inverse=True), theirs.apply([point] * 2, inverse=True), atol=1e-11
    )
    np.testing.assert_allclose(ours.magnitude(), theirs.magnitude(), atol=1e-7)
    assert abs(np.dot(ours.as_quat(), theirs.as_quat())) == pytest.approx(1)
    np.testing.assert_allclose(Rotation.from_quat(3 * ours.as_quat()).as_matrix(), ours.as_matrix(), atol=1e-12)
    np.testing.assert_allclose((ours * ours.inv()).as_matrix(), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(Rotation.from_rotvec(ours.as_rotvec()).as_matrix(), ours.as_matrix(), atol=1e-7)


@pytest.mark.parametrize("angle", [0.0, 1e-13, 1e-7, np.pi - 1e-9, np.pi])
def test_small_and_half_turns(angle):
    matrix = Rotation.from_rotvec([0, angle, 0]).as_matrix()
    np.testing.assert_allclose(matrix, Scipy.from_rotvec([0, angle, 0]).as_matrix(), atol=1e-15)
    np.testing.assert_allclose(np.abs(Rotation(matrix).as_rotvec()), [0, angle, 0], atol=1e-12)


def test_matrices_are_made_orthogonal():
    given_matrix = Scipy.from_euler("xyz", [0.1, 0.2, 0.3]).as_matrix() * 1.02
    np.testing.assert_allclose(Rotation.from_matrix(given_matrix).as_matrix(), given_matrix / 1.02, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("from_quat", [0, 0, 0, 0]),
        ("from_quat", [[0, 0, 0, 1]]),
        ("from_matrix", -np.eye(3)),
        ("from_matrix", np.full((3, 3), np.nan)),
        ("from_rotvec", [0, 0]),
    ],
)
def test_bad_values(method, argument):
    with pytest.raises(ValueError, match=method):
        getattr(Rotation, method)(argument)


@pytest.mark.parametrize("seq", ["", "xx", "xyzx", "xYz", "abc", 5])
def test_bad_axes(seq):
    with pytest.raises(ValueError, match="sequence of axes"):
        Rotation.from_euler(seq, [0.1] * 3)


def _run_rotation(body: str):
    code = "from scipy.spatial.transform import Rotation as R\ndef get_interaction_data(kp):\n    kp['5'] = " + body
    return run_program(code + "\n    return 'x', ['5'], True, kp\n", {"5": (0.0, 0.0, 0.0)})


def test_rotation_inside_a_program():
    result = _run_rotation("(R.from_rotvec([0, 0, np.pi / 2]) * R.from_euler('x', 90, degrees=True)).apply([0, 1, 0])")
    assert result.targets["5"] == pytest.approx((0, 0, 1), abs=1e-12)
    assert "one rotation at a time" in _run_rotation("R.from_euler('z', [1, 2, 3]).apply([0, 1, 0])").message


def test_the_vocabulary_exists_in_this_numpy():
    newer = {"acos", "asin", "atan", "atan2", "pow", "cross"}  # numpy 2 names
    assert {name for name in NUMPY if not hasattr(np, name)} <= newer
    assert {name for name in LINALG if not hasattr(np.linalg, name)} <= newer
