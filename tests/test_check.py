"""`iker check`: sound tasks have no faults; of a broken copy every fault is told in one sentence."""

import copy
import re
from importlib.resources import files

import pytest
import yaml

from iker_agent.authoring.check import check_task

SOUND = yaml.safe_load(files("iker_cfg").joinpath("tasks/shoe_place.yaml").read_text(encoding="utf-8"))
SOUND["configurations"] = [{}]


def _programs(data: dict) -> dict:
    return data["stages"][0]["programs"]


def _replaced(contract: str, old: str, new: str):
    def change(data: dict) -> None:
        code = _programs(data)[contract]
        assert old in code
        _programs(data)[contract] = code.replace(old, new)

    return change


def _set(*path_and_value):
    *path, last, value = path_and_value

    def change(data: dict) -> None:
        for key in path:
            data = data[key]
        data[last] = value

    return change


FAULTS = {
    "inside": (_set("objects", "left_shoe", "position_m", [0.60, 0.1, 0.0]), r"rack starts \d+ mm inside left_shoe"),
    "in the air": (_set("objects", "left_shoe", "position_m", [0.335, 0.17, 0.2]), "not at rest: left_shoe moved by"),
    "below the table": (_set("objects", "left_shoe", "position_m", [0.335, 0.17, -0.03]), "30 mm below the table"),
    "start out of reach": (
        _set("objects", "left_shoe", "position_m", [0.15, 0.05, 0.0]),
        "cannot be grasped for this: the arm does not reach the grasp at the start",
    ),
    "goal out of reach": (_set("values", "x", 0.25), "does not reach the grasp at the target"),
    "goal on nothing": (
        _set("values", "y", 0.41),
        "would end 10 cm above",
    ),
    "nothing to do": (
        _set("stages", 0, "goal", {"object": "left_shoe", "relative_to": "left_shoe", "position_m": [0, 0, 0]}),
        "there is nothing to do",
    ),
    "furniture to move": (_set("stages", 0, "goal", "object", "rack"), "rack is furniture"),
    "out of sight": (
        _set("objects", "left_shoe", {"model": "sneaker_left", "position_m": [0.335, 0.62, 0.0]}),
        "only 0 keypoints of left_shoe are visible|does not reach the grasp at the start",
    ),
    "no pose program": (lambda data: _programs(data).pop("poses"), "there is no program for the poses contract"),
    "keypoints off by 2 cm": (
        _replaced("keypoints", "centre = rack +", "centre = 0.02 + rack +"),
        r"the keypoints program puts left_shoe 34\.6 mm from the annotated goal",
    ),
    "poses off by 2 mm": (_replaced("poses", "y + $y", "y + $y + 0.002"), r"the poses program puts left_shoe 2\.0 mm"),
    "grasp mode": (_replaced("poses", "True", "False"), "the poses program says grasp_mode False, the goal says True"),
    "wrong object": (_replaced("keypoints", '"left_shoe"', '"boot"'), "moves 'boot', the goal is for 'left_shoe'"),
    "a program that fails": (_replaced("poses", "np.deg2rad", "np.degrad"), "the poses program ends with"),
    "not idempotent": (
        _replaced(
            "keypoints", "half_height = height if height < rack[2] else height - rack[2]", "half_height = height"
        ),
        "the keypoints program moves its own result by 100.. mm; it is not idempotent",
    ),
    "no instruction": (_set("instruction", " "), "the instruction is empty"),
    "a value without a number": (_set("values", {"x": 0.0}), "'y' has no value in this configuration; values: x"),
    "an unknown contract": (lambda data: _programs(data).update(six="x"), "for keypoints or poses, not for 'six'"),
    "a range out of the workspace": (
        _set("objects", "left_shoe", "position_range_m", [0.5, 0.0]),
        "of its start range left_shoe starts outside the workspace",
    ),
    "a range into the rack": (
        _set("objects", "left_shoe", "position_range_m", [0.15, 0.0]),
        r"of its start range left_shoe (starts \d+ mm inside rack|starts outside|cannot be grasped)",
    ),
    "a reserved name": (
        lambda data: data["objects"].update(hand={"model": "book_red", "position_m": [0.4, -0.3, 0.0]}),
        "an object cannot be called 'hand'",
    ),
    "unknown model": (_set("objects", "left_shoe", "model", "clog"), "no object model 'clog'"),
}


def _check(data: dict, tmp_path, **options) -> list[str]:
    file = tmp_path / "copy.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return check_task(str(file), **options)


def test_the_sound_original_has_no_faults(tmp_path):
    assert _check(SOUND, tmp_path) == []


@pytest.mark.parametrize(("change", "words"), FAULTS.values(), ids=FAULTS)
def test_a_broken_copy_is_told_in_one_sentence(change, words, tmp_path):
    data = copy.deepcopy(SOUND)
    change(data)
    faults = _check(data, tmp_path, solve=False)
    assert len(faults) == 1 and "\n" not in faults[0]
    assert re.search(words, faults[0]), faults[0]


TWO_FAULTS = {
    "another model": (
        [_set("objects", "left_shoe", "model", "shoe_box")],
        ["its narrowest side is 200 mm", "the keypoints program puts left_shoe"],
    ),
    "no instruction, and a program": (
        [_set("instruction", " "), _replaced("poses", "y + $y", "y + $y + 0.002")],
        ["the instruction is empty", r"the poses program puts left_shoe 2\.0 mm"],
    ),
    "both programs": (
        [_replaced("poses", "True", "False"), _replaced("keypoints", '"left_shoe"', '"boot"')],
        ["keypoints program moves 'boot'", "poses program says grasp_mode False"],
    ),
    "one program twice": (
        [_replaced("poses", "True", "False"), _replaced("poses", "y + $y", "y + $y + 0.002")],
        ["poses program says grasp_mode False", r"poses program puts left_shoe 2\.0 mm"],
    ),
    "in the air, and a program": (
        [
            _set("objects", "left_shoe", "position_m", [0.335, 0.17, 0.2]),
            _replaced("poses", "y + $y", "y + $y + 0.002"),
        ],
        ["not at rest: left_shoe moved by", r"the poses program puts left_shoe 2\.0 mm"],
    ),
    "two below the table, the labels of one counted as the rack's": (
        [
            _set("objects", "left_shoe", "position_m", [0.335, 0.17, -0.03]),
            _set("objects", "book", {"model": "book_red", "position_m": [0.335, -0.17, -0.02]}),
        ],
        ["left_shoe starts 30 mm below", "book starts 20 mm below the table", "the keypoints program puts left_shoe"],
    ),
    "the start, and a missing program": (
        [_set("objects", "left_shoe", "position_m", [0.15, 0.05, 0.0]), lambda data: _programs(data).pop("poses")],
        ["does not reach the grasp at the start", "there is no program for the poses contract"],
    ),
    "a program, and a range": (
        [
            _replaced("poses", "y + $y", "y + $y + 0.002"),
            _set("objects", "left_shoe", "position_range_m", [0.5, 0.0]),
        ],
        [r"the poses program puts left_shoe 2\.0 mm", "of its start range left_shoe starts outside the workspace"],
    ),
}


@pytest.mark.parametrize(("changes", "words"), TWO_FAULTS.values(), ids=TWO_FAULTS)
def test_all_faults_are_told_and_nothing_else(changes, words, tmp_path):
    data = copy.deepcopy(SOUND)
    for change in changes:
        change(data)
    faults = _check(data, tmp_path, solve=False)
    assert len(faults) == len(words), faults
    for word in words:
        assert any(re.search(word, fault) for fault in faults), (word, faults)


def test_faults_of_several_stages_are_all_told(tmp_path):
    data = copy.deepcopy(SOUND)
    second = copy.deepcopy(data["stages"][0])
    second["goal"] |= {"object": "rack"}
    data["stages"] += [second]
    _replaced("poses", "y + $y", "y + $y + 0.002")(data)
    faults = _check(data, tmp_path, solve=False)
    assert any("stage 1: the poses program puts left_shoe 2.0 mm" in fault for fault in faults)
    assert any("stage 2: rack is furniture" in fault for fault in faults)


def test_a_program_that_misses_is_told_with_both_positions_and_their_frames(tmp_path):
    data = copy.deepcopy(SOUND)
    _replaced("poses", "y + $y", "y + $y - 0.04")(data)
    assert _check(data, tmp_path, solve=False) == [
        "configuration 0: stage 1: the poses program puts left_shoe 40.0 mm from the annotated goal: its centre is at "
        "x 0.650, y -0.080, z 0.145 m instead of x 0.650, y -0.040, z 0.145 m in the robot's base frame, "
        "which is x -0.010, y -0.080, z 0.095 m instead of x -0.010, y -0.040, z 0.095 m in the frame of rack"
    ]


def test_a_program_that_turns_its_object_is_told_by_how_much(tmp_path):
    data = copy.deepcopy(SOUND)
    _replaced("poses", "np.deg2rad", "0.2 + np.deg2rad")(data)
    (fault,) = _check(data, tmp_path, solve=False)
    assert re.search(r"mm from the annotated goal and turned by \d\d degrees: its centre is at", fault)


def test_a_check_says_how_far_it_is(tmp_path, caplog):
    data = copy.deepcopy(SOUND) | {"instruction": "", "configurations": [{}, {}]}
    with caplog.at_level("INFO", logger="iker_agent.authoring.check"):
        _check(data, tmp_path, solve=False)
    assert caplog.messages == ["checking configuration 1 of 2", "checking configuration 2 of 2"]


def test_equal_faults_of_configurations_are_told_once(tmp_path):
    data = copy.deepcopy(SOUND) | {"instruction": "", "configurations": [{}, {}, {"instruction": "Put it there"}]}
    assert _check(data, tmp_path, solve=False) == ["configurations 0, 1: the instruction is empty"]


def test_configurations_that_cannot_share_worlds_are_told(tmp_path):
    stages = copy.deepcopy(SOUND["stages"])
    stages[0]["goal"]["grasp"] = False
    data = copy.deepcopy(SOUND) | {"configurations": [{}, {"stages": stages}]}
    assert any("all grasp or all push" in fault for fault in _check(data, tmp_path, solve=False))
