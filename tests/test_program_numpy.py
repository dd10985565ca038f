"""Idioms of numpy and of scipy's rotations that programs use."""

from __future__ import annotations

import pytest
from program_here import run_here
from test_program_language import HEAD, POINTS, TAIL, lift, shown

from iker_agent.program import run_program

IDIOMS = {
    "np.r_[1, 2:4]": "[1 2 3]",
    "np.c_[[1, 2], [3, 4]].tolist()": "[[1, 3], [2, 4]]",
    "np.polyfit([0, 1, 2], [1, 3, 5], 1).round(6).tolist()": "[2.0, 1.0]",
    "np.polyval([2, 1], 3)": "7",
    "np.searchsorted([1, 2, 3], 2)": "1",
    "np.apply_along_axis(lambda r: r.sum(), 1, np.eye(2)).tolist()": "[1.0, 1.0]",
    "np.vectorize(lambda a, b: a + b)([1, 2], 1).tolist()": "[2, 3]",
    "np.vectorize(round, otypes=[float])([1.2]).tolist()": "[1.0]",
    "np.maximum.reduce([[1, 5], [3, 2]]).tolist()": "[3, 5]",
    "np.add.accumulate([1, 2, 3]).tolist()": "[1, 3, 6]",
    "np.subtract.outer([1, 2], [1, 0]).tolist()": "[[0, 1], [1, 2]]",
    "np.finfo(float).eps": "2.220446049250313e-16",
    "np.finfo(np.float32).max > 1e38, np.iinfo(np.int32).max": "True 2147483647",
    "np.divide([1.0, 2.0], [0.0, 2.0], out=np.zeros(2), where=[False, True]).tolist()": "[0.0, 1.0]",
    "'{:.2f} {:>6} {name}'.format(1.234, 'a', name=3)": "1.23      a 3",
    "'{0} {1!r}'.format(1, 'a')": "1 'a'",
    "list(map('{:.1f}'.format, [1.25, 2]))": "['1.2', '2.0']",
    "format(1.5, '.3f')": "1.500",
    "np.eye(2).flat[3], np.array([1.0]).real": "1.0 [1.]",
    "np.intersect1d([1, 2], [2, 3]), np.digitize(0.5, [0, 1])": "[2] 1",
    "np.trapezoid([1.0, 1.0]), np.gradient([1.0, 3.0]).tolist()": "1.0 [2.0, 2.0]",
    "np.array_str(np.array([1.0])), np.isscalar(1)": "[1.] True",
    "np.where(np.greater([1, 3], 2), 'a', 'b').tolist()": "['b', 'a']",
    "np.linalg.cond(np.eye(2)), np.linalg.vector_norm([3.0, 4.0])": "1.0 5.0",
    "np.pad([1], 1).tolist(), np.kron([1, 2], [1, 1]).tolist()": "[0, 1, 0] [1, 1, 2, 2]",
    "np.mgrid[0:2, 0:2].shape": "(2, 2, 2)",
    "7 % 4, 7.5 % 2, np.array([5, 7]) % 4, '%d %s' % (1, 'a'), '%(a)s' % {'a': 1}": "3 1.5 [1 3] 1 a 1",
}


@pytest.mark.parametrize(("expression", "expected"), IDIOMS.items(), ids=IDIOMS)
def test_idioms_of_numpy(expression, expected):
    assert shown(expression) == expected


def test_idioms_of_numpy_in_a_locked_process():
    body = "\n    ".join(f"x = ({expression})" for expression in IDIOMS)
    result = run_program(f"{HEAD}    {body}\n    kp['5'] += 0.1\n{TAIL}", POINTS)
    assert lift(result) == pytest.approx(0.1)


def test_errors_of_arithmetic_can_be_silenced_or_raised():
    body = "    with np.errstate(divide='ignore', invalid='ignore'):\n        x = np.array([1.0]) / 0\n"
    body += "    np.seterr(all='ignore')\n    np.set_printoptions(precision=2, suppress=True)\n"
    body += "    try:\n        with np.errstate(all='raise'):\n            np.array([1.0]) / 0\n"
    body += "    except FloatingPointError:\n        kp['5'] += 0.1\n"
    assert lift(run_here(HEAD + body + TAIL, POINTS)) == pytest.approx(0.1)


@pytest.mark.parametrize("where", ["np.add(x, 1, where=[True, False, True])", "np.sqrt(x, where=x > 0)"])
def test_arbitrary_memory_is_no_result(where):
    result = run_here(f"{HEAD}    x = kp['5']\n    y = {where}\n{TAIL}", POINTS)
    assert result.status == "error" and "give out=" in result.message


def test_one_rotation_may_come_as_a_list():
    code = "from scipy.spatial.transform import Rotation as R\n" + HEAD
    code += "    turn = R.from_euler('z', [np.pi])\n    kp['5'] = turn.apply(-kp['5']) * [1, 1, -2]\n" + TAIL
    assert run_here(code, POINTS).targets["5"] == pytest.approx((*POINTS["5"][:2], 0.2))


def test_rotations_align_vectors():
    code = "from scipy.spatial.transform import Rotation\n" + HEAD
    code += "    turn, error = Rotation.align_vectors([[0, 1, 0], [-1, 0, 0]], [[1, 0, 0], [0, 1, 0]])\n"
    code += "    assert error < 1e-9\n    kp['5'] = turn.apply([0.1, -0.5, 0.2])\n" + TAIL
    assert run_here(code, POINTS).targets["5"] == pytest.approx((0.5, 0.1, 0.2))
