"""Programs that mean well: replies in all the forms models use, and how mistakes are told."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_here import run_here
from scipy.spatial.transform import Rotation

from iker_agent.program import ProgramResult, extract_program, run_program

REPLIES = json.loads((Path(__file__).parent / "data" / "replies.json").read_text())
SHOE = REPLIES["scenes"]["shoe"]["keypoints"]
HEAD = "def get_interaction_data(keypoint_coordinates):\n    kp = keypoint_coordinates\n"


def program(body: str, returns: str = "'shoe', ['5'], True, kp") -> str:
    """A function with that body; its first line is line 3."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{HEAD}{lines}    return {returns}\n"


def run(body: str, returns: str = "'shoe', ['5'], True, kp", check_targets: bool = True) -> ProgramResult:
    """Runs such a function in this process."""
    return run_here(program(body, returns), SHOE, check_targets=check_targets)


def run_isolated(body: str, returns: str = "'shoe', ['5'], True, kp", **limits) -> ProgramResult:
    """Runs such a function in a process of its own."""
    return run_program(program(body, returns), SHOE, **{"timeout_s": 60.0, **limits})


# ------------------------------------------------------------------ replies as they come


@pytest.mark.parametrize("reply", REPLIES["replies"], ids=[reply["name"] for reply in REPLIES["replies"]])
def test_reply(reply):
    keypoints = REPLIES["scenes"][reply["scene"]]["keypoints"]
    code, _ = extract_program(reply["reply"])
    check_reply(run_here(code, keypoints), keypoints, reply["expect"])


@pytest.mark.parametrize("reply", REPLIES["replies"][::4], ids=[reply["name"] for reply in REPLIES["replies"][::4]])
def test_reply_in_a_process_of_its_own(reply):
    keypoints = REPLIES["scenes"][reply["scene"]]["keypoints"]
    check_reply(run_program(extract_program(reply["reply"])[0], keypoints), keypoints, reply["expect"])


def check_reply(result: ProgramResult, keypoints: dict, expected: dict) -> None:
    assert result.status == ("done" if expected["done"] else "ok"), result.message
    if expected["done"]:
        assert result.targets == {} and result.indices == ()
        return
    assert (result.object, list(result.indices)) == (expected["object"], expected["indices"])
    assert result.grasp is expected["grasp_mode"]
    assert list(result.targets) == list(keypoints)
    for label, start in keypoints.items():
        assert result.targets[label] == pytest.approx(expected["targets"].get(label, start), abs=1e-9)
        if label not in expected["targets"]:
            assert result.targets[label] == tuple(start)


def test_result_holds_plain_values_and_goes_through_json():
    result = run_isolated("kp['5'] = np.float32(0.9) * kp['5']\nprint('moving', 5)")
    assert all(type(x) is float for row in result.targets.values() for x in row)
    assert result.message == "" and result.printed == "moving 5\n" and result.seconds > 0
    again = ProgramResult.from_dict(json.loads(json.dumps(result.to_dict())))
    assert again.to_dict() == result.to_dict() and again.targets == result.targets
    with pytest.raises(ValueError, match="statuss"):
        ProgramResult.from_dict({"statuss": "ok"})
    with pytest.raises(ValueError, match="fine"):
        ProgramResult.from_dict({"status": "fine"})


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux")
def test_layers_on_linux():
    assert run_isolated("kp['5'] = kp['5'] + 0.1").layers == ("language", "process", "rlimit", "seccomp")
    assert run_isolated("while True:\n    pass", cpu_s=1).layers == ("language", "process", "rlimit", "seccomp")
    assert run_isolated("import os\nos.getcwd()").layers == ("language", "process")
    assert run_isolated("#" * 20_000).layers == ("language",)


def test_callers_keypoints_stay_as_they_are():
    keypoints = {label: np.array(row) for label, row in SHOE.items()}
    result = run_program(HEAD + "    kp['5'] += 0.2\n    del kp['6']\n    return 's', ['5'], False, kp", keypoints)
    assert result.status == "ok" and result.targets["5"] == pytest.approx(np.array(SHOE["5"]) + 0.2)
    assert all(np.array_equal(keypoints[label], row) for label, row in SHOE.items())


def test_results_repeat_exactly():
    """Sets of text iterate in an order that depends on the hash seed; sums depend on the order."""
    body = "total = sum(kp[k] * 0.03 for k in set(kp))\nkp['5'] = total"
    first, second = (run_isolated(body, "'shoe', {'5', '6', '10'}, True, kp", check_targets=False) for _ in range(2))
    assert first.targets == second.targets
    assert first.indices == second.indices == ("5", "6", "10")


def test_calls_in_parallel():
    bodies = [f"kp['5'] = kp['5'] * 0 + {i / 10}" for i in range(6)]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(run_isolated, bodies))
    assert [result.targets["5"][0] for result in results] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


# ----------------------------------------------------------------------- generous forms

MOVED = tuple(np.array(SHOE["5"]) + 0.1)
FORMS = {
    "int key": ("kp[5] = kp['5'] + 0.1", "'s', [5], False, kp"),
    "int keys only": ("", "'s', [5], False, {int(k): v + 0.1 * (k == '5') for k, v in kp.items()}"),
    "quoted key": ("kp[\"'5'\"] = kp['5'] + 0.1", "'s', ['\"5\"'], False, kp"),
    "in place": ("kp['5'] += 0.1", "'s', ['5'], False, kp"),
    "list value": ("kp['5'] = [x + 0.1 for x in kp['5']]", "'s', ['5'], False, kp"),
    "tuple value": ("kp['5'] = tuple(kp['5'] + 0.1)", "'s', ['5'], False, kp"),
    "object array": ("kp['5'] = np.array(kp['5'] + 0.1, dtype='O')", "'s', ['5'], False, kp"),
    "reversed dictionary": ("kp['5'] += 0.1", "'s', ['5'], False, dict(reversed(list(kp.items())))"),
    "new key first": ("kp = {5: kp['5'] + 0.1, **kp}", "'s', ['5'], False, kp"),
    "list of four": ("kp['5'] += 0.1", "['s', ['5'], False, kp]"),
    "five values": ("kp['5'] += 0.1", "False, 's', ['5'], False, kp"),
    "numpy indices": ("kp['5'] += 0.1", "'s', np.array([5]), False, kp"),
    "numpy text indices": ("kp['5'] += 0.1", "'s', np.array(['5']), np.bool_(0), kp"),
    "indices twice": ("kp['5'] += 0.1", "'s', ['5', 5], False, kp"),
    "one index": ("kp['5'] += 0.1", "'s', 5, False, kp"),
    "indices as text": ("kp['5'] += 0.1", "'s', \"['5']\", False, kp"),
    "dictionary view": ("kp['5'] += 0.1", "'s', {'5': 1}.keys(), 0, kp"),
    "grasp as text": ("kp['5'] += 0.1", "'s', ['5'], 'push', kp"),
    "default argument": ("f = lambda p, d=0.1: p + d\nkp['5'] = f(kp['5'])", "'s', ['5'], False, kp"),
    "rounding elsewhere": (
        "kp = {k: np.float32(v) for k, v in kp.items()}\nkp['5'] = kp['5'] + 0.1",
        "'s', ['5'], False, kp",
    ),
}


@pytest.mark.parametrize(("body", "returns"), FORMS.values(), ids=FORMS.keys())
def test_form(body, returns):
    result = run(body, returns)
    assert result.status == "ok", result.message
    assert result.indices == ("5",) and result.grasp is False
    assert result.targets == {**{k: tuple(v) for k, v in SHOE.items()}, "5": pytest.approx(MOVED, abs=1e-7)}


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("'left shoe'", "left shoe"),
        ("'schwarzer Schuh \u00e9\u978b'", "schwarzer Schuh \u00e9\u978b"),
        ("'shoe\\ud800'", "shoe?"),
        ("'shoe\\nbox\\x1b[2J\\u202e'", "shoe box [2J"),
        ("'x' * 1000", "x" * 197 + "..."),
    ],
)
def test_object_names_are_printable(name, read):
    result = run("kp['5'] += 0.1", f"{name}, ['5'], True, kp")
    assert result.status == "ok" and result.object == read
    json.dumps(result.to_dict()).encode("utf-8")
    assert result.object.encode("utf-8")


# ----------------------------------------------------------------------- mistakes, told


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("x = 1\nx = half_len", "error", "line 4: NameError: name 'half_len' is not defined"),
        ("def f():\n    return 1 / 0\nf()", "error", "line 4: ZeroDivisionError: division by zero"),
        ("kp['99'] + 1", "error", "line 3: KeyError: '99'"),
        ("raise NotImplementedError", "error", "line 3: NotImplementedError"),
        ("raise ValueError('the box\\nis too wide.')", "error", "line 3: ValueError: the box is too wide"),
        ("np.array([1, 2]) + np.array([1, 2, 3])", "error", "line 3: ValueError: operands could not be"),
        ("x = 1\nwhile True: pass", "limit", "line 4: the program used more than 1 s of processor time"),
        ("x = 1\nx = 'x' * 10**12", "limit", "line 4: the program needs too much memory"),
        ("kp['5'] = kp['5'] * float('nan')", "invalid", "the target of keypoint 5 is not finite: (nan, nan, nan)"),
        ("kp['99'] = kp['5']", "invalid", "unknown keypoint '99'; there are '1', '2', '3'"),
        (
            "import random\nx = random.random()",
            "refused",
            "line 3: import of random is not allowed; numpy and math are",
        ),
        ("x = np.random.rand(3)", "refused", "line 3: the attribute random is not available to programs; compute"),
        ("x = 1\ny = (", "refused", "line 4: syntax error: '(' was never closed"),
        ("break", "refused", "line 3: syntax error: 'break' outside loop"),
        ("kp['6'] += 0.1", "invalid", "keypoint 6 would move without being in keypoint_indices_to_interact"),
        ("kp['keypoint_indices_to_interact[0]'] = 1", "invalid", "the key 'keypoint_indices_to_interact[0]' is text"),
    ],
)
def test_mistake(body, status, message):
    result = run_isolated(body, cpu_s=1) if status == "limit" else run(body)
    assert (result.status, result.message[: len(message)]) == (status, message)
    assert result.targets == {} and not result.message.endswith(".")


@pytest.mark.parametrize(
    "signature",
    [
        "def get_interaction_data():",
        "def get_interaction_data(a, b):",
        "def get_interaction_data(a, *, b):",
        "def f(a):",
    ],
)
def test_wrong_signature_is_refused(signature):
    result = run_here(f"{signature}\n    return None\n", SHOE)
    assert result.status == "refused" and "get_interaction_data" in result.message


def test_a_megabyte_of_printing_is_cut():
    result = run_isolated("kp['5'] += 0.1\nfor _ in range(10**4):\n    print('x' * 100)")
    assert result.status == "ok" and len(result.printed) == 4000
    assert "the printed text was cut" in result.warnings


def test_printing_before_an_error_is_kept():
    result = run_isolated("print('half way', end='!')\n1 / 0")
    assert result.status == "error" and result.printed == "half way!"


def test_endings_without_result_do_not_raise():
    assert run_isolated("kp['5'] += 0.1", timeout_s=1e-3).status == "limit"
    assert run_isolated("x = [0] * 10**6", memory_mb=1).status == "limit"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"contract": "points"}, "points.*keypoints.*poses"),
        ({"keypoints": {}}, "0 entries"),
        ({"keypoints": [[0, 0, 0]]}, "mapping"),
        ({"keypoints": {"1": [0, 0]}}, "'1'"),
        ({"keypoints": {"1": [0, 0, float("nan")]}}, "finite"),
        ({"keypoints": {"1": "abc"}}, "'1'"),
        ({"keypoints": {1: [0, 0, 0]}}, "label 1"),
        ({"keypoints": {"": [0, 0, 0]}}, "label ''"),
        ({"keypoints": {"box": [0, 0, 0]}, "contract": "poses"}, "6 finite"),
        ({"code": b"x"}, "bytes"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"cpu_s": 0.5}, "cpu_s"),
        ({"memory_mb": 0}, "memory_mb"),
    ],
)
def test_wrong_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        run_program(**{"code": HEAD + "    return None", "keypoints": SHOE, **arguments})


# ---------------------------------------------------------------------- what programs use

USES = """
from __future__ import annotations
import numpy as np, math, copy
import numpy.linalg as la
from numpy.linalg import norm
from math import pi, sin as sine
from typing import Dict, List, Optional, Tuple
from collections.abc import Sequence
from numpy.typing import NDArray
import numpy.typing as npt
from scipy.spatial.transform import Rotation as R
import scipy.spatial.transform

Points = Dict[str, NDArray]
Turn = npt.NDArray[np.float64]
OFFSET: float = 0.1
TABLE = {}
for i in range(3):
    TABLE[i] = i * OFFSET

def rotate(points: List[np.ndarray], angle: float, *, about: Optional[np.ndarray] = None) -> List[np.ndarray]:
    about = np.mean(points, axis=0) if about is None else about
    turn = R.from_euler('z', angle, degrees=True)
    return [turn.apply(p - about) + about for p in points]

def get_interaction_data(keypoint_coordinates: Points) -> Tuple[str, Sequence[str], bool, Points]:
    kp = copy.deepcopy(keypoint_coordinates)
    pts = np.array([kp[k] for k in sorted(kp, key=int)])
    for x in (pts.mean(0), pts.std(), pts.min(axis=1), pts.clip(0, 1), pts.T @ pts, np.median(pts, 0), pts.var(),
              np.percentile(pts, 30), np.cov(pts.T), np.unique(pts), np.linalg.svd(pts), la.eigh(np.cov(pts.T)),
              np.linalg.lstsq(pts, pts[:, 0], rcond=None), np.linalg.pinv(pts), np.cross(pts[0], pts[1]), norm(pts),
              np.interp(0.5, [0, 1], [2, 3]), np.roll(pts, 1), np.isin([1], [2]), np.where(pts > 0, 1, 0), np.diff(pts),
              np.average(pts, axis=0, weights=range(len(pts))), np.linalg.inv(np.eye(3)), np.meshgrid([1], [2]),
              np.argsort(pts[:, 0]), np.round(pts, 2), pts.astype(int), pts.tolist(),
              np.einsum('ij,ij->i', pts, pts), np.block([[pts], [pts]]), np.split(pts, 2), np.nansum(pts),
              np.size(pts), np.ndim(pts), np.shape(pts), np.fmin(pts, 0), np.fmax(pts, 0), np.asanyarray(pts),
              np.ascontiguousarray(pts),
              np.linalg.matrix_rank(pts), np.quantile(pts, 0.2), np.insert([1], 0, 2), np.linalg.qr(pts), pts.copy()):
        print(x)
    print(f"{pts[0, 0]:.3f} {pts[0]} {OFFSET!r:>5}", sep='', end='')
    assert isinstance(pts, np.ndarray) and not isinstance(1.0, (list, np.ndarray))
    assert isinstance(pts[0, 0], np.floating)
    try:
        np.linalg.inv(np.zeros((3, 3)))
    except np.linalg.LinAlgError as error:
        print(str(error))
    ids = ['5', '6', '7', '8']
    for k, p in zip(ids, rotate([kp[k] for k in ids], 30.0)):
        kp[k] = p + np.array([0, 0, TABLE[1]])
    assert math.isclose(sine(pi / 6), 0.5) and scipy.spatial.transform.Rotation.identity().magnitude() == 0
    return f"{'left'} shoe", ids, norm(kp['5'] - kp['6']) > 0.1, kp
"""


def test_what_models_use_works_when_locked_down():
    result = run_program(USES, SHOE)
    assert result.status == "ok", result.message
    ids = ["5", "6", "7", "8"]
    points = np.array([SHOE[k] for k in ids])
    about = points.mean(0)
    expected = Rotation.from_euler("z", 30, degrees=True).apply(points - about) + about + [0, 0, 0.1]
    assert np.array([result.targets[k] for k in ids]) == pytest.approx(expected, abs=1e-12)
    assert result.object == "left shoe" and result.grasp is True


def test_statements_outside_the_function():
    code = (
        '"""A program."""\nimport numpy as np\nprint("hello")\n'
        + HEAD
        + "    kp['5'] += 0.1\n    return 's', ['5'], True, kp\n"
    )
    code += "result = get_interaction_data({'5': np.zeros(3)})\nif __name__ == '__main__':\n    import os\n"
    result = run_here(code, SHOE)
    assert result.status == "ok" and result.printed == ""
    assert [w.split(":")[0] for w in result.warnings] == ["line 3", "line 8", "line 9"]


def test_an_example_of_use_after_the_function_is_ignored():
    code = HEAD + "    kp['5'] += 0.1\n    return 's', ['5'], True, kp\n"
    code += "ex = {'5': np.zeros(3)}\nobj, idx, grasp, out = get_interaction_data(ex)\nfor k in idx:\n    n = out[k]\n"
    code += "shown = f'{n}'\nidx = [1, 2]\nCOUNT = len(idx)\n"
    result = run_program("\ufeff" + code, SHOE)
    assert result.status == "ok", result.message
    assert [w.split(":")[0] for w in result.warnings] == ["line 6", "line 7", "line 9"]


# --------------------------------------------------------------------------- any text

FRAGMENTS = st.sampled_from(
    [
        "def get_interaction_data(kp):\n",
        "    return ",
        "None",
        "kp",
        "'s', ['5'], True, kp",
        "\n",
        "    ",
        "x = ",
        "1 / 0",
        "import numpy as np\n",
        "np.array([",
        "])",
        "(",
        ")",
        "pass",
        "kp['5'] += 0.1\n",
        "\x00",
        "\ud800",
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(FRAGMENTS, max_size=12).map("".join)))
def test_any_text_gives_a_result(code):
    check_any(run_here(code, SHOE), code)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FRAGMENTS | st.just("while True:\n"), max_size=12).map("".join))
def test_any_text_gives_a_result_in_a_process_of_its_own(code):
    check_any(run_program(code, SHOE, cpu_s=1, timeout_s=60.0), code)


def check_any(result: ProgramResult, code: str) -> None:
    assert result.status in ("ok", "done", "refused", "error", "limit", "invalid")
    if "def get_interaction_data" not in code:
        assert result.status == "refused"
    assert (result.status == "ok") == bool(result.targets)
    json.dumps(result.to_dict()).encode("utf-8")
    result.message.encode("utf-8")
