"""Answers in other forms than the contract's: read where there is one reading, with a note; told where there is not."""

from __future__ import annotations

import numpy as np
import pytest
from program_here import run_here

from iker_agent.program import ProgramResult

POINTS = {str(i): (0.4 + 0.01 * i, 0.02 * i, 0.1) for i in range(1, 8)}
POSES = {"shoe box": (0.65, 0.02, 0.1, 0.0, 0.0, 0.0), "left shoe": (0.38, 0.15, 0.04, 0.0, 0.0, 0.3)}
MOVED = tuple(np.array(POINTS["5"]) + 0.1)


def answer(returns: str, body: str = "kp['5'] += 0.1", check_targets: bool = True) -> ProgramResult:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    code = f"def get_interaction_data(kp):\n{lines}    return {returns}\n"
    return run_here(code, POINTS, check_targets=check_targets)


# -------------------------------------------------------------------------- one reading

LABELS = [
    "5",
    "'5.0'",
    "5.0",
    "np.float64(5)",
    "'#5'",
    "'keypoint_5'",
    "'Keypoint 5'",
    "'kp5'",
    "'key-point 5'",
    "'p5'",
]
LABELS += ["'point_5'", "'No. 5'", "'\"5\"'", "' 5\\u200b'", "'(5)'"]


@pytest.mark.parametrize("label", LABELS)
def test_labels_of_keypoints(label):
    result = answer(f"'s', [{label}], True, kp")
    assert result.status == "ok" and result.indices == ("5",), result.message
    result = answer(
        "'s', ['5'], True, new", f"new = {{k: v for k, v in kp.items() if k != '5'}}\nnew[{label}] = kp['5'] + 0.1"
    )
    assert result.status == "ok" and result.targets["5"] == pytest.approx(MOVED), result.message


LISTS = {
    "a filter": "filter(lambda k: k == '5', kp)",
    "a map": "map(str, [5])",
    "a generator": "(k for k in kp if k == '5')",
    "a set": "{'5'}",
    "a frozen set": "frozenset(['5'])",
    "keys": "{'5': 1}.keys()",
    "a dictionary": "{'5': kp['5']}",
    "a column": "np.array([[5]])",
    "an array of floats": "np.array([5.0])",
}


@pytest.mark.parametrize("labels", LISTS.values(), ids=LISTS)
def test_lists_of_labels(labels):
    result = answer(f"'s', {labels}, True, kp")
    assert result.status == "ok" and result.indices == ("5",), result.message


ROWS = {
    "(1, 3)": "kp['5'].reshape(1, 3)",
    "(3, 1)": "kp['5'].reshape(3, 1)",
    "a list": "list(kp['5'])",
    "a nested list": "[list(kp['5'])]",
    "numbers with names": "{'x': kp['5'][0], 'y': kp['5'][1], 'z': kp['5'][2]}",
    "a column of lists": "[[x] for x in kp['5']]",
    "a list of arrays": "[np.array([x]) for x in kp['5']]",
    "a map": "map(float, kp['5'])",
    "a generator": "(x for x in kp['5'])",
    "zero-dimensional arrays": "[np.array(x) for x in kp['5']]",
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_rows_in_other_shapes(row):
    result = answer("'s', ['5'], True, kp", f"kp['5'] = kp['5'] + 0.1\nkp['5'] = {row}")
    assert result.status == "ok", result.message
    assert result.targets["5"] == pytest.approx(MOVED)


TABLES = {
    "all rows as an array": "np.array(list(kp.values()))",
    "all rows as a list": "list(kp.values())",
    "the moved row as an array": "kp['5']",
    "the moved row in a list": "[kp['5']]",
    "the moved row as a (1, 3) array": "np.array([kp['5']])",
    "None for what stays": "{k: v if k == '5' else None for k, v in kp.items()}",
    "only what moves": "{'5': kp['5']}",
    "a helper of its own": "{**kp, 'centre': np.zeros(3), 'plan': 'push'}",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_targets_in_other_forms_are_read_with_a_note(table):
    result = answer(f"'s', ['5'], True, {table}")
    assert result.status == "ok", result.message
    assert result.targets == {**POINTS, "5": pytest.approx(MOVED)}
    assert result.warnings


@pytest.mark.parametrize("word", ["pick", "Pick up", "pick-and-place", "grasp", "GRAB", "lift", "carry", "yes", 1, 1.0])
def test_words_for_grasping(word):
    assert answer(f"'s', ['5'], {word!r}, kp").grasp is True


@pytest.mark.parametrize("word", ["push", "Slide", "pushing", "no", 0, 0.0])
def test_words_for_pushing(word):
    result = answer(f"'s', ['5'], {word!r}, kp")
    assert result.status == "ok" and result.grasp is False and "grasp_mode" in result.warnings[0]


VALUES = {
    "a dictionary": "{'object_to_interact': 's', 'keypoint_indices_to_interact': ['5'], 'grasp_mode': True,"
    " 'keypoint_coordinates': kp, 'note': 'x'}",
    "a dictionary with other spellings": "{'Object to interact': 's', 'keypoint indices to interact': ['5'],"
    " 'grasp-mode': True, 'Keypoint_Coordinates': kp, 'done': False}",
    "done first": "False, 's', ['5'], True, kp",
    "done last": "'s', ['5'], True, kp, False",
    "a tuple inside a tuple": "(('s', ['5'], True, kp),)",
    "a list": "['s', ['5'], True, kp]",
    "the object in a list": "['s'], ['5'], True, kp",
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_values_in_other_forms(values):
    result = answer(values)
    assert (result.status, result.object, result.indices, result.grasp) == ("ok", "s", ("5",), True), result.message


def test_a_named_tuple_and_a_default_dictionary_are_read():
    before = (
        "from collections import defaultdict, namedtuple\nR = namedtuple('R', 'a b c d')\nd = defaultdict(list, kp)\n"
    )
    result = answer("R('s', ['5'], True, d)", f"{before}d['5'] = d['5'] + 0.1")
    assert result.status == "ok" and result.targets["5"] == pytest.approx(MOVED)


DONE = [
    "None, None, None, None",
    "[None] * 4",
    "None, None, None, kp",
    "{'done': True}",
    "'done'",
    "True, None, None, None, None",
]


@pytest.mark.parametrize("values", DONE)
def test_done_in_other_forms(values):
    assert answer(values, "pass").status == "done"
    moved = answer(values)
    assert moved.status == "invalid" and "moves keypoint 5 but says done" in moved.message


# ------------------------------------------------------------------------ no one reading

NOT_CLEAR = {
    "'s', ['99'], True, kp": "unknown keypoint '99'",
    "'s', ['keypoint_99'], True, kp": "unknown keypoint 'keypoint_99'",
    "'s', [5.5], True, kp": "unknown keypoint '5.5'",
    "'s', [True], True, kp": "labels are text",
    "'s', ['toe'], True, kp": "unknown keypoint 'toe'",
    "'s', ['5'], 'maybe', kp": "grasp_mode must be",
    "'s', ['5'], 2, kp": "grasp_mode must be",
    "'s', ['5'], None, kp": "grasp_mode must be",
    "'s', ['5'], True, np.zeros((4, 3))": "cannot be told which row",
    "'s', {'5', '6'}, True, np.zeros((2, 3))": "cannot be told which row",
    "'s', list('7654321'), True, np.zeros((7, 3))": "cannot be told which row",
    "'s', ['5'], True, np.zeros((7, 2))": "must be a dictionary",
    "'s', ['5'], True, {k: None for k in kp}": "None",
    "'s', ['5'], True, {**kp, '5': [kp['5'], kp['5']]}": "needs an array of 3 numbers",
    "'s', ['5'], True, {**kp, '5': [[0.1, 0.2]]}": "needs an array of 3 numbers",
    "'s', ['5'], True, {**kp, '5': np.append(kp['5'], 1)}": "needs an array of 3 numbers",
    "'s', ['5'], True, {**kp, '5': ['0.1', '0.2', '0.3']}": "needs an array of 3 numbers",
    "{'grasp_mode': True, 'keypoint_coordinates': kp}": "lacks object_to_interact",
    "{'5': kp['5']}": "it returned a dictionary",
    "None, None, True, kp": "return None alone when the task is done",
    "'', [], False, kp": "empty",
}


@pytest.mark.parametrize(("values", "says"), NOT_CLEAR.items(), ids=NOT_CLEAR)
def test_what_has_no_one_reading_is_told(values, says):
    result = answer(values)
    assert result.status == "invalid" and says in result.message, result


def test_a_target_under_a_name_that_is_no_label_is_told():
    result = answer("'s', ['5'], True, kp", "kp['Toe'] = kp['5'] + 0.1")
    assert result.message == "nothing moves, and 'Toe' is no keypoint; use the labels that you are given"


def test_poses_in_other_forms():
    head = "def get_final_poses(p):\n    new = [0.6, 0.1, 0.14, 0, 0, 0]\n    return "
    for values in (
        "'left shoe', 'carry', new",
        "'left shoe', 1, np.array([new])",
        "'left shoe', True, {'left_shoe': [new]}",
    ):
        result = run_here(head + values + "\n", POSES, "poses")
        assert result.status == "ok" and result.targets["left shoe"] == (0.6, 0.1, 0.14, 0.0, 0.0, 0.0), result.message
    assert run_here(head + "None, None, None\n", POSES, "poses").status == "done"
    message = run_here(head + "'left shoe', True, {**p, 'left sheo': new}\n", POSES, "poses").message
    assert message == "nothing moves, and 'left sheo' is no object; use the labels that you are given"
