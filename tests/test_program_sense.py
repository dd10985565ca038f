"""What a program may call done, and which targets no scene could want."""

from __future__ import annotations

import re

import pytest
from program_here import run_here
from test_program import HEAD, SHOE, run


@pytest.mark.parametrize(
    "returns", ["None", "", "True", "np.bool_(True)", "True, None, [], False, kp", "[True, 0, 0, 0, 0]"]
)
def test_done(returns):
    result = run("pass", returns)
    assert (result.status, result.targets, result.message) == ("done", {}, "")


@pytest.mark.parametrize("body", ["pass", "...", '"""Moves the shoe."""', "kp = dict(k)\n    kp['5'] = kp['5'] + 0.1"])
def test_a_program_that_falls_off_its_end_is_not_done(body):
    result = run_here(f"def get_interaction_data(k):\n    {body}\n", SHOE)
    assert result.status == "invalid"
    assert result.message == "the program ends without a return; return None if the instruction is fulfilled"


@pytest.mark.parametrize(
    ("body", "returns"),
    [
        ("kp['5'] += 0.1", ""),
        ("kp[5] = list(kp['5'] + 0.1)", "None"),
        ("kp['5'][2] += 0.002", "True"),
        ("kp['5'] += 0.1", "True, None, [], False, {}"),
        ("kp = {**kp, '5': kp['5'] + 0.1}", "True, 'shoe', ['5'], True, kp"),
    ],
)
def test_what_moves_keypoints_is_not_done(body, returns):
    result = run(body, returns)
    assert result.status == "invalid" and result.message.startswith("the program moves keypoint 5 but says done")


def test_helpers_in_the_dictionary_do_not_hinder_done():
    assert run("kp['centre'] = np.mean(list(kp.values()), axis=0)\nkp['5'] += 1e-6\nkp['6'] = None").status == "invalid"
    assert run("kp['centre'] = kp['5'] * 2\nkp['5'] += 1e-6\ndel kp['6']", "None").status == "done"


def test_coordinates_have_an_order():
    result = run("kp['5'] = {0.5, 0.1, 0.04}")
    assert result.status == "invalid" and result.message.endswith("not a set, which has no order")


NONSENSE = {
    "pass": "nothing moves; return None if the instruction is fulfilled",
    "kp['5'] += 1e-5": "nothing moves",
    "kp['5'] += np.array([0, 0, -0.4])": "the target of keypoint 5 is .* cm below the table",
    "kp['5'] += np.array([0, 1.3, 0])": "the target of keypoint 5 is .* m from the robot, out of its reach",
    "kp['5'] += np.array([0, 0, 0.9])": "the target of keypoint 5 is 1.08 m from the robot, out of its reach",
}


@pytest.mark.parametrize(("body", "message"), NONSENSE.items(), ids=NONSENSE)
def test_targets_that_no_scene_could_want_are_invalid(body, message):
    result = run(body)
    assert result.status == "invalid" and result.targets == {} and result.indices == ()
    assert re.match(message, result.message), result.message


def test_a_stretched_object_is_invalid_and_a_turned_one_is_not():
    labels = "['5', '6', '7', '8']"
    stretched = run("for k in '5678':\n    kp[k] = kp['5'] + 1.7 * (kp[k] - kp['5'])", f"'shoe', {labels}, True, kp")
    assert stretched.status == "invalid" and "keep the distances" in stretched.message
    turn = "turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])"
    turned = run(
        f"{turn}\nfor k in '8765':\n    kp[k] = kp['5'] + turn @ (kp[k] - kp['5'])", f"'shoe', {labels}, True, kp"
    )
    assert turned.status == "ok", turned.message


def test_a_caller_may_want_targets_as_they_are():
    """A finished stage run again moves nothing; who asks whether it is finished needs its targets."""
    result = run("pass", check_targets=False)
    assert result.status == "ok" and "nothing moves" in result.warnings[0]


def test_all_listed_keypoints_are_one_body():
    for labels in ("['5', '6', '7', '8']", "['5', '13', '14']"):  # one left behind, others of another object
        result = run("kp['5'] += [0.2, 0, 0]", f"'shoe', {labels}, True, kp")
        assert result.status == "invalid" and "list the keypoints of one object only" in result.message


def test_near_keypoints_may_not_collapse():
    near = {"1": (0.5, 0.0, 0.1), "2": (0.54, 0.0, 0.1)}
    for shift, status in ((0.04, "invalid"), (0.015, "ok")):
        code = f"{HEAD}    kp['2'][0] -= {shift}\n    return 'cube', ['1', '2'], False, kp\n"
        assert run_here(code, near).status == status


def test_unmoved_keypoints_of_other_objects_are_read():
    """Which object each keypoint is of is for the check of goals to say."""
    result = run("kp['5'] += 0.1", "'shoe', ['5', '13', '14'], True, kp", check_targets=False)
    assert result.status == "ok" and result.indices == ("5", "13", "14")
    assert result.targets["13"] == tuple(SHOE["13"])
